r"""Priors that are mixtures: of Gaussians, and of the posteriors of learned pseudo-inputs."""

__all__ = ["DiagonalMixture", "MixturePrior", "VampPrior"]

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, Normal, constraints
from torch.nn import functional as F

from vaekit.errors import RequestError


class DiagonalMixture(Distribution):
    r"""A mixture of Gaussians with diagonal covariances, :math:`p(z) = \sum_k \pi_k \mathcal N(z; \mu_k, \sigma_k^2)`.

    The squared distances to all components are a matrix product, so that nothing of the size of rows times components
    times units is ever made:

    .. math::
        \sum_j \frac{(z_j - \mu_{kj})^2}{\sigma_{kj}^2}
        = \sum_j z_j^2 \, \sigma_{kj}^{-2} - 2 z_j \, \mu_{kj} \sigma_{kj}^{-2} + \mu_{kj}^2 \sigma_{kj}^{-2}

    Its terms cancel: they are larger than their sum by about :math:`\mu^2 / \sigma^2`, ten thousand times and more for
    a narrow component. They are taken in double precision, where that leaves ten digits.

    Arguments:
        logits: Weights of the components, as logs, normalised or not, shape `(components,)`.
        loc: Means, shape `(components, latent_dim)`.
        scale: Standard deviations, shape `(components, latent_dim)`.

    Example:
        >>> p = DiagonalMixture(torch.zeros(2), torch.tensor([[-1.0], [1.0]]), torch.ones(2, 1))
        >>> p.mean, p.stddev, p.log_prob(torch.zeros(3, 1))
        (tensor([0.]), tensor([1.4142]), tensor([-1.4189, -1.4189, -1.4189]))
    """

    arg_constraints = {}  # noqa: RUF012 - torch's own convention
    support = constraints.real_vector
    has_rsample = False

    def __init__(self, logits: Tensor, loc: Tensor, scale: Tensor, validate_args: bool | None = None) -> None:
        self.log_weights = logits.log_softmax(-1)
        self.loc, self.scale = loc, scale
        super().__init__(event_shape=loc.shape[-1:], validate_args=validate_args)

    @property
    def components(self) -> Distribution:
        """The components, `batch_shape (components,)`."""
        return Independent(Normal(self.loc, self.scale, validate_args=False), 1, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """The mean of the mixture."""
        return self.log_weights.exp() @ self.loc

    @property
    def variance(self) -> Tensor:
        """The variance of each unit: within the components and between them."""
        return self.log_weights.exp() @ (self.scale.square() + (self.loc - self.mean).square())

    def component_log_prob(self, value: Tensor) -> Tensor:
        r"""Return :math:`\log \pi_k \mathcal N(z; \mu_k, \sigma_k^2)` in nats, shape `(..., components)`."""
        d = self.loc.shape[-1]
        constant = self.log_weights - self.scale.log().sum(-1) - d / 2 * math.log(2 * math.pi)
        return constant - self._distance(value) / 2

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density in nats, shape `(...)`, of z with shape `(..., latent_dim)`."""
        return self.component_log_prob(value).logsumexp(-1)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draw z, shape `(*sample_shape, latent_dim)`: a component, then a point of it."""
        with torch.no_grad():
            shape = torch.Size(sample_shape)
            chosen = torch.multinomial(self.log_weights.exp(), shape.numel(), replacement=True).view(shape)
            return torch.normal(self.loc[chosen], self.scale[chosen])

    def _distance(self, value: Tensor) -> Tensor:
        """Squared distances to the components in units of their scales, shape `(..., components)`."""
        if value.device.type == "mps":  # which has no doubles
            return ((value.unsqueeze(-2) - self.loc) / self.scale).square().sum(-1)
        z, loc, precision = value.double(), self.loc.double(), self.scale.double().square().reciprocal()
        terms = torch.cat([precision, -2 * loc * precision], dim=-1)
        constant = (loc.square() * precision).sum(-1)
        return F.linear(torch.cat([z.square(), z], dim=-1), terms, constant).to(value.dtype)


class MixturePrior(nn.Module):
    r"""A mixture of diagonal Gaussians whose weights, means and scales are learned with the model.

    It starts with equal weights, means spread out and scales of one half, so that all of it has mean 0 and variance 1.

    References:
        Deep unsupervised clustering with Gaussian mixture variational autoencoders (Dilokthanakul et al., 2016).
        VAE with a VampPrior (Tomczak and Welling, 2018), section 5, where it is the baseline.

    Arguments:
        latent_dim: Size of z.
        components: Number of components.

    Raises:
        RequestError: If `components` is less than 1.

    Example:
        >>> prior = MixturePrior(2, components=10)
        >>> prior().components.batch_shape, prior().sample((4,)).shape
        (torch.Size([10]), torch.Size([4, 2]))
    """

    def __init__(self, latent_dim: int, components: int = 10) -> None:
        super().__init__()
        _at_least_one(components)
        self.logits = nn.Parameter(torch.zeros(components))
        self.loc = nn.Parameter(torch.randn(components, latent_dim) * math.sqrt(0.75))
        self.log_scale = nn.Parameter(torch.full((components, latent_dim), math.log(0.5)))

    def forward(self, context: Tensor | None = None) -> Distribution:
        """Return p(z), the same whatever the context."""
        return DiagonalMixture(self.logits, self.loc, self.log_scale.exp(), validate_args=False)


class VampPrior(nn.Module):
    r"""The mixture of the posteriors of learned pseudo-inputs, :math:`p(z) = \frac1K \sum_k q(z \mid u_k)`.

    The best prior for the bound is the aggregate posterior, the mixture of the posteriors of all data; this one makes
    do with K inputs, which are learned. As in the paper they are held in the data's range by a clamp (hardtanh); they
    start inside it, since a clamped entry has no gradient.

    The encoder is the model's. It is not registered as a part of the prior: the model holds it, and its weights are
    stored once. A new prior for a copy of the encoder is made with it, and a copy of the model copies both.

    References:
        VAE with a VampPrior (Tomczak and Welling, 2018).

    Arguments:
        encoder: The model's encoder, :math:`q(z \mid x)`.
        data_shape: Shape of one x.
        components: Number of pseudo-inputs, K.
        mean: Where they start: an array that broadcasts to `(components, *data_shape)`, such as the mean of the data,
            or K examples. By default the middle of the range.
        bounds: The range of the data; None for data without one.
        spread: Standard deviation of what is added to the start, so that the components differ.

    Raises:
        RequestError: If `components` is less than 1, or `mean` has another shape; in `forward`, if there is a context.

    Example:
        >>> from vaekit.distributions import Conditional, DiagonalGaussian
        >>> encoder = Conditional(nn.Linear(6, 4), DiagonalGaussian(2))
        >>> prior = VampPrior(encoder, (6,), components=5)
        >>> [name for name, _ in prior.named_parameters()], prior().sample((3,)).shape
        (['raw'], torch.Size([3, 2]))
    """

    def __init__(
        self,
        encoder: nn.Module,
        data_shape: Sequence[int],
        components: int = 500,
        mean: Any = None,
        *,
        bounds: tuple[float, float] | None = (0.0, 1.0),
        spread: float = 0.01,
    ) -> None:
        super().__init__()
        _at_least_one(components)
        self._encoder = (encoder,)  # in a tuple, where no module is looked for
        self.bounds = bounds
        shape = (components, *data_shape)
        if mean is None:
            mean = 0.0 if bounds is None else sum(bounds) / 2
        start = torch.as_tensor(mean, dtype=torch.get_default_dtype())
        try:
            start = start.expand(shape)
        except RuntimeError as error:
            raise RequestError(
                f"mean has shape {tuple(start.shape)}; expected one that broadcasts to {shape}: "
                "pass the mean of the data, or as many examples as there are components"
            ) from error
        raw = start + spread * torch.randn(shape)
        if bounds is not None:
            low, high = bounds
            margin = 0.01 * (high - low)
            raw = raw.clamp(low + margin, high - margin)
        self.raw = nn.Parameter(raw)

    @property
    def pseudo_inputs(self) -> Tensor:
        """The pseudo-inputs, shape `(components, *data_shape)`."""
        return self.raw if self.bounds is None else F.hardtanh(self.raw, *self.bounds)

    def forward(self, context: Tensor | None = None) -> Distribution:
        """Return p(z); every call encodes the pseudo-inputs."""
        if context is not None:
            raise RequestError(
                "a VampPrior was given a context; it is a mixture over pseudo-inputs, which have none: "
                "leave the context out, or use a ConditionalPrior"
            )
        q: Distribution = self._encoder[0](self.pseudo_inputs)
        equal = torch.zeros(len(self.raw), dtype=self.raw.dtype, device=self.raw.device)
        if isinstance(q, Independent) and isinstance(q.base_dist, Normal) and q.reinterpreted_batch_ndims == 1:
            return DiagonalMixture(equal, q.base_dist.loc, q.base_dist.scale, validate_args=False)
        return MixtureSameFamily(Categorical(logits=equal, validate_args=False), q, validate_args=False)


def _at_least_one(components: int) -> None:
    if components < 1:
        raise RequestError(f"components is {components}; a mixture has at least 1: pass 1 or more")
