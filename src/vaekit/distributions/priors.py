r"""Priors over the latent space: fixed, learned, and conditional on a context."""

__all__ = ["ConditionalPrior", "Factorised", "LearnedNormal", "RelaxedUniform", "StandardNormal", "SymmetricDirichlet"]

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from vaekit.distributions.conditional import Conditional
from vaekit.distributions.edges import DirichletDistribution, RelaxedCategories
from vaekit.errors import RequestError


class StandardNormal(nn.Module):
    r"""The standard normal prior, :math:`p(z) = \mathcal N(0, I)`.

    Arguments:
        latent_dim: Size of z.

    Example:
        >>> prior = StandardNormal(2)
        >>> prior().event_shape
        torch.Size([2])
    """

    loc: Tensor
    scale: Tensor

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        # Buffers, not constants, so that the prior follows the model to its device.
        self.register_buffer("loc", torch.zeros(latent_dim), persistent=False)
        self.register_buffer("scale", torch.ones(latent_dim), persistent=False)

    def forward(self, context: Tensor | None = None) -> Distribution:
        """Return p(z), the same whatever the context."""
        return Independent(Normal(self.loc, self.scale, validate_args=False), 1, validate_args=False)


class Factorised(nn.Module):
    r"""The same fixed distribution for every unit, independently, :math:`p(z) = \prod_j p(z_j)`.

    Arguments:
        latent_dim: Size of z.
        family: A univariate distribution of `torch.distributions`, or any class like them.
        parameters: The family's parameters, by name.

    Raises:
        RequestError: If the family refuses the parameters.

    Example:
        >>> from torch.distributions import Laplace
        >>> prior = Factorised(3, Laplace, loc=0.0, scale=1.0)
        >>> prior().log_prob(torch.zeros(3)).exp()  # one half, cubed
        tensor(0.1250)
    """

    def __init__(self, latent_dim: int, family: Callable[..., Distribution], **parameters: float) -> None:
        super().__init__()
        self.family = family
        self._names = tuple(parameters)
        for name, value in parameters.items():
            self.register_buffer(name, torch.full((latent_dim,), float(value)), persistent=False)
        try:
            self._distribution(validate_args=True)
        except (TypeError, ValueError) as error:
            raise RequestError(
                f"{family} refuses the parameters {parameters}; expected its own, each in its range: {error}"
            ) from error

    def forward(self, context: Tensor | None = None) -> Distribution:
        """Return p(z), the same whatever the context."""
        return Independent(self._distribution(validate_args=False), 1, validate_args=False)

    def _distribution(self, validate_args: bool) -> Distribution:
        return self.family(**{name: getattr(self, name) for name in self._names}, validate_args=validate_args)


class SymmetricDirichlet(nn.Module):
    r"""The Dirichlet prior on the simplex with one concentration for all its corners.

    Arguments:
        latent_dim: Size of z.
        concentration: 1 is uniform; below it, points near the simplex's edge are likelier.

    Raises:
        RequestError: If `concentration` is not positive.

    Example:
        >>> SymmetricDirichlet(3)().log_prob(torch.tensor([0.2, 0.3, 0.5])).exp()  # the simplex has area one half
        tensor(2.)
    """

    concentration: Tensor

    def __init__(self, latent_dim: int, concentration: float = 1.0) -> None:
        super().__init__()
        if not concentration > 0:
            raise RequestError(f"concentration is {concentration}; expected a positive number: pass 1 for uniform")
        self.register_buffer("concentration", torch.full((latent_dim,), float(concentration)), persistent=False)

    def forward(self, context: Tensor | None = None) -> Distribution:
        """Return p(z), the same whatever the context."""
        return DirichletDistribution(self.concentration, validate_args=False)


class RelaxedUniform(nn.Module):
    r"""Relaxed one-hot choices, all categories equally likely.

    References:
        The Concrete distribution: a continuous relaxation of discrete random variables (Maddison et al., 2017).

    Arguments:
        groups: Number of choices.
        categories: Number of categories of each; z has `groups * categories` entries.
        temperature: Temperature of the relaxation; it need not be the posterior's.

    Raises:
        RequestError: If `temperature` is not positive.

    Example:
        >>> z = RelaxedUniform(2, 5)().sample((3,))
        >>> z.shape, bool(torch.allclose(z.unflatten(1, (2, 5)).sum(2), torch.ones(3, 2)))
        (torch.Size([3, 10]), True)
    """

    logits: Tensor
    temperature: Tensor

    def __init__(self, groups: int, categories: int, temperature: float = 2 / 3) -> None:
        super().__init__()
        if not temperature > 0:
            raise RequestError(f"temperature is {temperature}; expected a positive number: pass 0.67, say")
        self.register_buffer("logits", torch.zeros(groups, categories), persistent=False)
        self.register_buffer("temperature", torch.tensor(float(temperature)), persistent=False)

    def forward(self, context: Tensor | None = None) -> Distribution:
        """Return p(z), the same whatever the context."""
        return RelaxedCategories(self.logits, self.temperature, validate_args=False)


class LearnedNormal(nn.Module):
    r"""A diagonal Gaussian whose means and scales are learned with the model; it starts as the standard normal.

    Arguments:
        latent_dim: Size of z.

    Example:
        >>> [name for name, _ in LearnedNormal(2).named_parameters()]
        ['loc', 'log_scale']
    """

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.loc = nn.Parameter(torch.zeros(latent_dim))
        self.log_scale = nn.Parameter(torch.zeros(latent_dim))

    def forward(self, context: Tensor | None = None) -> Distribution:
        """Return p(z), the same whatever the context."""
        return Independent(Normal(self.loc, self.log_scale.exp(), validate_args=False), 1, validate_args=False)


class ConditionalPrior(nn.Module):
    r"""A prior that a context decides, :math:`p(z \mid c) = \mathrm{head}(\mathrm{network}(c))`.

    References:
        Learning structured output representation using deep conditional generative models (Sohn, Lee and Yan, 2015).

    Arguments:
        network: Maps contexts, shape `(n, *context_shape)`, to parameters, shape `(n, *head.parameter_shape)`.
        head: A posterior head, which reads them as a distribution over z.

    Raises:
        RequestError: In `forward`, if there is no context.

    Example:
        >>> from vaekit.distributions import DiagonalGaussian
        >>> prior = ConditionalPrior(nn.Linear(10, 4), DiagonalGaussian(2))
        >>> p = prior(torch.eye(10))
        >>> p.batch_shape, p.event_shape
        (torch.Size([10]), torch.Size([2]))
    """

    def __init__(self, network: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.conditional = Conditional(network, head)

    def forward(self, context: Tensor | None = None) -> Distribution:
        """Return p(z|c), one for each row of the context."""
        if context is None:
            raise RequestError("the prior was given no context; it is p(z|c): pass one context for each example")
        p: Distribution = self.conditional(context)
        return p
