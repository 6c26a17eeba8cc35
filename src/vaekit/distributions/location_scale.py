r"""Densities of location and scale that PyTorch lacks, or has only for callers who check every argument."""

__all__ = ["LogisticDistribution", "StudentTDistribution"]

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Chi2, Distribution, Independent, Laplace, Normal, StudentT, constraints, register_kl
from torch.distributions.utils import broadcast_all
from torch.nn import functional as F

from vaekit.distributions.divergences import find_formula


class LogisticDistribution(Distribution):
    r"""The logistic distribution, whose distribution function is the sigmoid of :math:`y = (z - \mu) / s`.

    .. math::
        p(z) = \frac{e^{-y}}{s (1 + e^{-y})^2} , \qquad z = \mu + s \log \frac{u}{1 - u} , \quad u \sim U(0, 1)

    Arguments:
        loc: Mean, of any shape.
        scale: :math:`s`; the standard deviation is :math:`s \pi / \sqrt 3`.

    Example:
        >>> p = LogisticDistribution(torch.zeros(()), torch.ones(()))
        >>> p.log_prob(torch.tensor([0.0, 1e6])), p.entropy()  # the density at 0 is 1/4
        (tensor([-1.3863e+00, -1.0000e+06]), tensor(2.))
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}  # noqa: RUF012 - torch's own convention
    support = constraints.real
    has_rsample = True

    def __init__(self, loc: Tensor | float, scale: Tensor | float, validate_args: bool | None = None) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        super().__init__(self.loc.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """The location."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        r"""The variance, :math:`s^2 \pi^2 / 3`."""
        return self.scale.square() * (math.pi**2 / 3)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density, in nats."""
        y = (value - self.loc) / self.scale
        return -F.softplus(y) - F.softplus(-y) - self.scale.log()

    def entropy(self) -> Tensor:
        """Return the differential entropy, in nats."""
        return self.scale.log() + 2

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draw values, by inverting the distribution function."""
        shape = self._extended_shape(torch.Size(sample_shape))
        u = torch.rand(shape, dtype=self.loc.dtype, device=self.loc.device)
        # Both 0 and 1 would be sent to infinity; half an epsilon is the distance of 1 to the number below it.
        return self.loc + self.scale * torch.logit(u, eps=torch.finfo(u.dtype).eps / 2)


class StudentTDistribution(StudentT):
    r"""Student's t with more than two degrees of freedom, without the branches for fewer.

    PyTorch's own checks its degrees of freedom whatever it is told, and assigns its moments by masks; neither can be
    compiled.

    Arguments:
        df: Degrees of freedom, above 2, so that there is a variance.
        loc: Mean, of any shape.
        scale: Scale; the variance is its square times :math:`\nu / (\nu - 2)`.

    Example:
        >>> StudentTDistribution(4.0, torch.zeros(2), torch.ones(2)).variance
        tensor([2., 2.])
    """

    def __init__(
        self, df: Tensor | float, loc: Tensor | float, scale: Tensor | float, validate_args: bool | None = None
    ) -> None:
        self.df, self.loc, self.scale = broadcast_all(df, loc, scale)
        self._chi2 = Chi2(self.df, validate_args=False)
        Distribution.__init__(self, self.loc.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """The location."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        r"""The variance, :math:`s^2 \nu / (\nu - 2)`."""
        return self.scale.square() * self.df / (self.df - 2)


def _kl_normal(q: LogisticDistribution | StudentTDistribution, p: Normal) -> Tensor:
    # The normal's log density is a square, so the first two moments of q are all that its expectation asks for.
    square = (q.variance + (q.mean - p.loc).square()) / p.variance
    return (square + math.log(2 * math.pi)) / 2 + p.scale.log() - q.entropy()


for _family in (LogisticDistribution, StudentTDistribution):
    register_kl(_family, Normal)(_kl_normal)
_zero, _one = torch.zeros(1), torch.ones(1)
for _q in (LogisticDistribution(_zero, _one), StudentTDistribution(5.0, _zero, _one), Laplace(_zero, _one)):
    find_formula(Independent(_q, 1), Independent(Normal(_zero, _one), 1))
