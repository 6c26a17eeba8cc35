r"""What a decoder says of x when z is uncertain."""

__all__ = ["Marginal"]

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution


class Marginal(Distribution):
    r"""The mixture of a decoder's distributions over draws of z, widened about its mean.

    .. math::
        \tilde p(x) = \frac1k \sum_{i=1}^k p(x \mid z_i), \qquad
        p(x) = s^{-D}\, \tilde p\Big( \bar x + \frac{x - \bar x}{s} \Big)

    Its variance is :math:`s^2` times the mean of the variances plus the variance of the means: the decoder's noise
    and what z leaves open. A width s other than 1 is for densities of real numbers.

    Arguments:
        parts: :math:`p(x \mid z_i)`, `batch_shape (k * n,)`: draw by draw, all examples.
        draws: k.
        width: s, as a calibration sets it.

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> parts = Independent(Normal(torch.tensor([[-1.0], [1.0]]), torch.ones(2, 1)), 1)
        >>> p = Marginal(parts, 2)
        >>> p.mean, p.variance
        (tensor([[0.]]), tensor([[2.]]))
    """

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012 - torch's own convention

    def __init__(self, parts: Distribution, draws: int, width: float | Tensor = 1.0) -> None:
        self.parts, self.draws, self.width = parts, draws, width
        super().__init__(torch.Size((parts.batch_shape[0] // draws,)), parts.event_shape, validate_args=False)

    @property
    def support(self) -> Any:
        """Where the decoder's distributions live."""
        return self.parts.support

    @property
    def mean(self) -> Tensor:
        """The mean of the means, shape `(n, *event_shape)`."""
        return self._apart(self.parts.mean).mean(0)

    @property
    def variance(self) -> Tensor:
        """The variance of each entry, shape `(n, *event_shape)`."""
        within = self._apart(self.parts.variance).mean(0)
        between: Tensor = self._apart(self.parts.mean).var(0, correction=0)
        return (within + between) * self.width**2

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density of x, shape `(n, *event_shape)`, in nats, shape `(n,)`."""
        centre = self.mean
        inner = centre + (value - centre) / self.width
        parts: Tensor = self._apart(self.parts.log_prob(inner.repeat(self.draws, *(1,) * (inner.ndim - 1))))
        log_width: Tensor = torch.as_tensor(self.width).log() * math.prod(self.event_shape)
        joint: Tensor = parts.logsumexp(0)
        return joint - math.log(self.draws) - log_width

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draw x, shape `(*sample_shape, n, *event_shape)`."""
        shape, n = torch.Size(sample_shape), self.batch_shape[0]
        count = shape.numel()
        drawn = self.parts.sample((count,)).unflatten(1, (self.draws, n))
        which = torch.randint(self.draws, (count, n), device=drawn.device)
        chosen = drawn[torch.arange(count)[:, None], which, torch.arange(n)]
        widened: Tensor = self.mean + (chosen - self.mean) * self.width
        return widened.view(*shape, n, *self.event_shape)

    def _apart(self, values: Tensor) -> Tensor:
        """Put the draws on an axis of their own."""
        apart: Tensor = values.unflatten(0, (self.draws, -1))
        return apart
