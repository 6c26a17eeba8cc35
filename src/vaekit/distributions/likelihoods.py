r"""Likelihood heads: how a decoder's output is read as a distribution over x. All of them are normalised."""

__all__ = ["Bernoulli", "ContinuousBernoulli", "Gaussian", "InUnits", "Likelihood", "likelihood"]

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli as _Bernoulli
from torch.distributions import Distribution, Independent, Normal
from torch.nn import functional as F

from vaekit.distributions.continuous_bernoulli import ContinuousBernoulliLogits
from vaekit.errors import RequestError, nearest

_GROUP = 112  # 2 ** 112 is far below the largest float32; a 28 by 28 image is seven groups


class Likelihood(nn.Module):
    r"""What the likelihood heads share: the shape of x and how many numbers they want for each of its entries.

    Arguments:
        event_shape: Shape of one x, such as `(1, 28, 28)`.
    """

    numbers = 1
    from_logits = False

    def __init__(self, event_shape: Sequence[int]) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        """Shape of one example's parameters: the event's, with its first axis as many times as there are numbers."""
        return (self.numbers * self.event_shape[0], *self.event_shape[1:])

    def _joint(self, distribution: Distribution) -> Distribution:
        return Independent(distribution, len(self.event_shape), validate_args=False)


class _BernoulliLogProb(torch.autograd.Function):
    r"""Summed Bernoulli log-probability of rows, with a hundred logarithms fewer a row than term by term.

    :math:`\sum_i x_i l_i - \max(l_i, 0) - \log(1 + e^{-|l_i|})`, where the last terms are taken as logarithms of
    products: each factor lies in (1, 2], so that `_GROUP` of them cannot overflow a float32.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(logits: Tensor, x: Tensor) -> Tensor:
        factors = (-logits.abs()).exp() + 1
        padded = F.pad(factors, (0, -logits.shape[-1] % _GROUP), value=1.0)
        normaliser = padded.unflatten(-1, (-1, _GROUP)).prod(-1).log().sum(-1)
        joint: Tensor = (x * logits - logits.clamp_min(0)).sum(-1) - normaliser
        return joint

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        logits, x = ctx.saved_tensors
        gradient = gradients[0].unsqueeze(-1)
        return gradient * (x - logits.sigmoid()), gradient * logits if ctx.needs_input_grad[1] else None


class _IndependentBits(Independent[_Bernoulli]):
    r"""Independent Bernoulli variables whose joint log-probability is computed in one go."""

    def log_prob(self, value: Tensor) -> Tensor:
        # A product of a hundred factors is beyond half precision.
        exact = torch.promote_types(self.base_dist.logits.dtype, torch.float32)
        logits, value = torch.broadcast_tensors(self.base_dist.logits.to(exact), value.to(exact))
        events = self.reinterpreted_batch_ndims
        joint: Tensor = _BernoulliLogProb.apply(logits.flatten(-events), value.flatten(-events))  # type: ignore[no-untyped-call]
        return joint


class Bernoulli(Likelihood):
    r"""Independent bits, :math:`\log p(x \mid z) = \sum_i x_i \log \pi_i + (1 - x_i) \log (1 - \pi_i)`, from logits.

    It is a likelihood of binary x. Grey values are not in its support: binarise them, or use
    `ContinuousBernoulli` or `Gaussian`.

    Arguments:
        event_shape: Shape of one x.

    Example:
        >>> p = Bernoulli((1, 28, 28))(torch.zeros(16, 1, 28, 28))
        >>> round(p.log_prob(torch.ones(16, 1, 28, 28))[0].item() / math.log(2), 2)
        -784.0
    """

    from_logits = True

    def forward(self, parameters: Tensor) -> Distribution:
        """Read logits of shape `(n, *event_shape)`."""
        bits = _Bernoulli(logits=parameters, validate_args=False)
        return _IndependentBits(bits, len(self.event_shape), validate_args=False)


class ContinuousBernoulli(Likelihood):
    r"""The continuous Bernoulli on [0, 1], :math:`\log p(x) = x \log \pi + (1 - x) \log (1 - \pi) + \log C(\pi)`.

    It is what the Bernoulli formula must become to be a density of grey values: the constant
    :math:`C(\pi) = 2 \tanh^{-1}(1 - 2 \pi) / (1 - 2 \pi)` makes it integrate to one.

    References:
        The continuous Bernoulli: fixing a pervasive error in variational autoencoders (Loaiza-Ganem and
        Cunningham, 2019).

    Arguments:
        event_shape: Shape of one x.

    Example:
        >>> p = ContinuousBernoulli((3,))(torch.zeros(1, 3))
        >>> p.log_prob(torch.full((1, 3), 0.3))  # logit 0 is the uniform density
        tensor([0.])
    """

    from_logits = True

    def forward(self, parameters: Tensor) -> Distribution:
        """Read logits of shape `(n, *event_shape)`."""
        return self._joint(ContinuousBernoulliLogits(parameters))


class Gaussian(Likelihood):
    r"""Independent Gaussians with a variance learned per pixel, learned as one number, or fixed.

    .. math::
        \log p(x \mid z) = -\sum_i \left( \frac{(x_i - \mu_i)^2}{2 \sigma_i^2} + \log \sigma_i + \tfrac12 \log 2 \pi
        \right)

    With a fixed variance this is the squared error, with its weight and its constants in place, so that rate and
    distortion stay in nats and in balance.

    References:
        Simple and effective VAE training with calibrated decoders (Rybkin, Daniilidis and Levine, 2021), for the
        scalar variance learned with the rest.

    Arguments:
        event_shape: Shape of one x.
        variance: "pixel": the network gives one for every entry of x. "scalar": one number, learned. A positive
            number: fixed to it.
        min_scale: Floor added to a learned standard deviation. Without one the density of data that can be
            reproduced exactly, such as a border of zeros, has no upper limit.

    Raises:
        RequestError: If `variance` is neither of the names nor a positive number.

    Example:
        >>> p = Gaussian((2,), variance=1.0)(torch.zeros(1, 2))
        >>> p.log_prob(torch.zeros(1, 2)) / math.log(2 * math.pi)
        tensor([-1.])
    """

    def __init__(self, event_shape: Sequence[int], variance: str | float = "scalar", min_scale: float = 1e-3) -> None:
        super().__init__(event_shape)
        self.variance = variance
        self.min_scale = min_scale
        if variance == "pixel":
            self.numbers = 2
        elif variance == "scalar":
            self.log_scale = nn.Parameter(torch.zeros(()))
        elif isinstance(variance, str) or not (math.isfinite(variance) and variance > 0):
            raise RequestError(
                f"variance is {variance!r}; expected 'pixel', 'scalar' or a positive number: "
                "pass one of these to the Gaussian likelihood"
            )

    def forward(self, parameters: Tensor) -> Distribution:
        """Read means, and log-scale parameters where the variance is the network's, along the first event axis."""
        return self._joint(self.entries(parameters))

    def entries(self, parameters: Tensor) -> Normal:
        """Return the Gaussian of every entry of x by itself."""
        mean, scale = parameters, None
        if self.variance == "pixel":
            mean, raw = parameters.chunk(2, dim=-len(self.event_shape))
            scale = self.min_scale + F.softplus(raw)
        elif self.variance == "scalar":
            scale = (self.min_scale + self.log_scale.exp()).expand_as(mean)
        else:
            scale = torch.full_like(mean, math.sqrt(float(self.variance)))
        return Normal(mean, scale, validate_args=False)


class InUnits(Likelihood):
    r"""A Gaussian likelihood whose parameters are in units of their own; its density is that of x all the same.

    .. math::
        p(x \mid z) = \frac{1}{\prod_i u_i} \, p \Big( \frac{x - o}{u} \,\Big|\, z \Big)

    with origin o and unit u, by change of variables. So a network gives numbers of order one, and a variance that is
    learned as one number, or fixed, is one in these units.

    Arguments:
        gaussian: The likelihood in these units.
        origin: Where they are counted from, of a shape that broadcasts to x's.
        unit: In what, positive.

    Example:
        >>> p = InUnits(Gaussian((1,), 1.0), torch.tensor([100.0]), torch.tensor([20.0]))(torch.tensor([[1.0]]))
        >>> p.mean.item(), p.stddev.item()
        (120.0, 20.0)
    """

    origin: Tensor
    unit: Tensor

    def __init__(self, gaussian: Gaussian, origin: Tensor, unit: Tensor) -> None:
        super().__init__(gaussian.event_shape)
        self.gaussian, self.numbers = gaussian, gaussian.numbers
        self.register_buffer("origin", origin)
        self.register_buffer("unit", unit)

    def forward(self, parameters: Tensor) -> Distribution:
        """Read the parameters as the Gaussian likelihood does, in the units."""
        p = self.gaussian.entries(parameters)
        return self._joint(Normal(self.origin + self.unit * p.loc, self.unit * p.scale, validate_args=False))


_NAMES: dict[str, Callable[[Sequence[int]], Likelihood]] = {
    "bernoulli": Bernoulli,
    "continuous-bernoulli": ContinuousBernoulli,
    "gaussian": Gaussian,
    "gaussian-pixel": lambda shape: Gaussian(shape, "pixel"),
    "squared-error": lambda shape: Gaussian(shape, 1.0),
}


def likelihood(name: str, event_shape: Sequence[int]) -> Likelihood:
    r"""Return a likelihood by name.

    Arguments:
        name: "bernoulli", "continuous-bernoulli", "gaussian" (one variance, learned), "gaussian-pixel" (a variance
            a pixel) or "squared-error" (variance 1).
        event_shape: Shape of one x.

    Raises:
        RequestError: If there is none of that name.

    Example:
        >>> likelihood("gaussian-pixel", (3, 8, 8)).parameter_shape
        (6, 8, 8)
    """
    if name == "categorical":
        raise RequestError(
            "the data are symbols, such as melodies; expected numbers or bits for this model: use the recipe "
            "music-vae-2bar, or a decoder of symbols of your own"
        )
    if name not in _NAMES:
        known = ", ".join(_NAMES)
        raise RequestError(f"unknown likelihood {name!r}; expected one of {known}.{nearest(name, _NAMES)}")
    return _NAMES[name](event_shape)
