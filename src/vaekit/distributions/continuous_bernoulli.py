r"""The continuous Bernoulli distribution, exact at every logit."""

__all__ = ["ContinuousBernoulliLogits"]

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

_SERIES = 0.2  # below this the closed forms cancel, and four terms of their series are exact to 1e-12


class ContinuousBernoulliLogits(Distribution):
    r"""The continuous Bernoulli on [0, 1] with logit :math:`\lambda`: an exponential cut off at both ends.

    .. math::
        p(x) = \frac{\lambda e^{\lambda x}}{e^\lambda - 1}
             = \frac{a\, e^{-a d}}{1 - e^{-a}} , \qquad a = |\lambda| ,\quad d = 1 - x
             \text{ if } \lambda > 0 \text{ else } x

    PyTorch's own works from probabilities, clamped to a float's distance from 0 and 1: in single precision its
    mass falls from 1 at a logit of 16 to 0.16 at 100, its constant stops having a gradient, and its mean cannot
    come within 0.06 of 0 or 1, so that black stays grey. The second form above has none of this.

    References:
        The continuous Bernoulli: fixing a pervasive error in variational autoencoders (Loaiza-Ganem and
        Cunningham, 2019).

    Arguments:
        logits: :math:`\lambda`, of any shape.

    Example:
        >>> p = ContinuousBernoulliLogits(torch.tensor([0.0, -100.0]))
        >>> p.mean, p.log_prob(torch.tensor([0.3, 0.0]))
        (tensor([0.5000, 0.0100]), tensor([0.0000, 4.6052]))
    """

    arg_constraints = {"logits": constraints.real}  # noqa: RUF012 - torch's own convention
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits.to(torch.promote_types(logits.dtype, torch.float32))  # the constant wants the digits
        super().__init__(logits.shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        r"""The mean, :math:`1 / (1 - e^{-\lambda}) - 1 / \lambda`."""
        small, a, safe = self._size()
        distance = 1 / safe - torch.exp(-safe) / -torch.expm1(-safe)
        series = 1 / 2 - a / 12 + a**3 / 720 - a**5 / 30240
        distance = torch.where(small, series, distance)
        return torch.where(self.logits > 0, 1 - distance, distance)

    @property
    def variance(self) -> Tensor:
        r"""The variance, :math:`1 / a^2 - e^{-a} / (1 - e^{-a})^2`."""
        small, a, safe = self._size()
        exact = safe**-2 - torch.exp(-safe) / torch.expm1(-safe) ** 2
        return torch.where(small, 1 / 12 - a**2 / 240 + a**4 / 6048 - a**6 / 172800, exact)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density, in nats, of values in [0, 1]."""
        return self.logits * value - self.logits.relu() + self._log_constant()

    def entropy(self) -> Tensor:
        """Return the differential entropy, in nats."""
        return -self.log_prob(self.mean)  # the log density is linear in x

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draw values, by inverting the distribution function."""
        a = self.logits.abs().clamp_min(1e-6)
        u = torch.rand(self._extended_shape(torch.Size(sample_shape)), dtype=a.dtype, device=a.device)
        distance = (-torch.log1p(u * torch.expm1(-a)) / a).clamp(0, 1)
        return torch.where(self.logits > 0, 1 - distance, distance)

    def _size(self) -> tuple[Tensor, Tensor, Tensor]:
        """Where the series serve, |logits| as they see it, and as the closed forms see it, where they are safe."""
        # Not abs: its gradient at 0 is 0, and what is even in the logit and what is odd would not add up there.
        a = torch.where(self.logits > 0, self.logits, -self.logits)
        small = a < _SERIES
        # Each branch of a `where` gets a value it can bear: the one not taken must not send back a NaN.
        return small, torch.where(small, a, 0.0), torch.where(small, 1.0, a)

    def _log_constant(self) -> Tensor:
        small, a, safe = self._size()
        series = a / 2 - a**2 / 24 + a**4 / 2880 - a**6 / 181440
        return torch.where(small, series, torch.log(safe / -torch.expm1(-safe)))
