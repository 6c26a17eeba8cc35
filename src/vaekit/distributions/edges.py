r"""Densities on a part of the real space that keep their draws where float32 can tell them from its edge."""

__all__ = [
    "DirichletDistribution",
    "GammaDistribution",
    "KumaraswamyDistribution",
    "RelaxedCategories",
    "find_uniform_formula",
]

import math
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.distributions import (
    Dirichlet,
    Distribution,
    Gamma,
    Independent,
    Kumaraswamy,
    LogNormal,
    Uniform,
    constraints,
    register_kl,
)

from vaekit.distributions.divergences import find_formula

# A draw at 0 has the log of 0 in its density. One at the smallest float is no better in a gradient: its reciprocal
# overflows as soon as anything multiplies it. Here the reciprocal is 1e30, and there is room left.
EDGE = 1e-30


class GammaDistribution(Gamma):
    r"""PyTorch's gamma distribution, with draws of at least 1e-30.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> bool(GammaDistribution(torch.tensor(0.01), torch.tensor(1.0)).sample((100,)).min() > 9e-31)
        True
    """

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draw values, with implicit gradients to both parameters."""
        return super().rsample(torch.Size(sample_shape)).clamp_min(EDGE)


class DirichletDistribution(Dirichlet):
    r"""PyTorch's Dirichlet distribution, with draws of at least 1e-30 in every part.

    Example:
        >>> z = DirichletDistribution(torch.full((3,), 0.01)).sample((100,))
        >>> bool(z.min() > 9e-31), bool(torch.allclose(z.sum(1), torch.ones(100)))
        (True, True)
    """

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draw points of the simplex, with implicit gradients to the concentrations."""
        return super().rsample(torch.Size(sample_shape)).clamp_min(EDGE)


class KumaraswamyDistribution(Kumaraswamy):
    r"""The Kumaraswamy distribution on (0, 1), much like a beta distribution, from logarithms.

    .. math::
        p(z) = a b z^{a - 1} (1 - z^a)^{b - 1} , \qquad z = \left( 1 - u^{1 / b} \right)^{1 / a} , \quad u \sim U(0, 1)

    PyTorch's own takes powers, so that :math:`1 - z^a` is 0 in single precision long before z is 1, and its log
    density infinite. Draws are kept a rounding away from 1.

    References:
        A generalized probability density function for double-bounded random processes (Kumaraswamy, 1980).

    Example:
        >>> p = KumaraswamyDistribution(torch.tensor(2.0), torch.tensor(1.0))
        >>> p.log_prob(torch.tensor(0.5)), p.mean  # the density is 2 z
        (tensor(0.), tensor(0.6667))
    """

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density, in nats, of values in (0, 1)."""
        a, b = self.concentration1, self.concentration0
        log = value.log()
        return a.log() + b.log() + (a - 1) * log + (b - 1) * torch.log(-torch.expm1(a * log))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draw values, by inverting the distribution function."""
        a, b = self.concentration1, self.concentration0
        limits = torch.finfo(a.dtype)
        # log u is minus an exponential variable: never 0 and never infinite.
        shape = self._extended_shape(torch.Size(sample_shape))
        log_u = -torch.empty(shape, dtype=a.dtype, device=a.device).exponential_()
        # 1 - u^(1/b) may still round to 0, whose log is infinite and whose gradient is not a number.
        z = ((-torch.expm1(log_u / b)).clamp_min(limits.tiny).log() / a).exp()
        return z.clamp(EDGE, 1 - limits.eps / 2)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draw values, cut off from the graph."""
        with torch.no_grad():
            return self.rsample(sample_shape)


class _Simplices(constraints.Constraint):
    r"""Vectors that are simplices one after the other."""

    event_dim = 1

    def __init__(self, categories: int) -> None:
        self.categories = categories
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        groups = value.unflatten(-1, (-1, self.categories))
        inside: Tensor = constraints.simplex.check(groups)
        return inside.all(-1)


class RelaxedCategories(Distribution):
    r"""Relaxed one-hot choices, one after the other: the Concrete or Gumbel-softmax distribution.

    .. math::
        z = \operatorname{softmax} \frac{\ell + g}{\tau} , \qquad
        p(z) = (K - 1)! \, \tau^{K - 1} \prod_k \frac{\pi_k z_k^{-\tau - 1}}{\sum_j \pi_j z_j^{-\tau}} ,
        \qquad \pi = \operatorname{softmax} \ell

    for each group of K categories, with Gumbel noise g. The density is one of the first K - 1 entries.

    `mean` is :math:`\pi`, the probability that an entry is the largest, whatever the temperature, and the expectation
    of the one-hot choice that is relaxed. That of the relaxed one has no closed form; it is nearer to the centre.

    PyTorch's own checks its logits whatever it is told, which a compiled step cannot do, and meets the log of 0 at
    the simplex's edge, where most of the draws are; here they keep a distance of 1e-30.

    References:
        The Concrete distribution: a continuous relaxation of discrete random variables (Maddison et al., 2017).
        Categorical reparameterization with Gumbel-softmax (Jang et al., 2017).

    Arguments:
        logits: Shape `(*batch, groups, categories)`. An event has shape `(groups * categories,)`.
        temperature: :math:`\tau`, a positive scalar.

    Example:
        >>> p = RelaxedCategories(torch.zeros(5, 3, 4), torch.tensor(0.5))
        >>> p.event_shape, p.sample((2,)).shape, bool(p.support.check(p.sample()).all())
        (torch.Size([12]), torch.Size([2, 5, 12]), True)
    """

    arg_constraints = {"logits": constraints.real}  # noqa: RUF012 - torch's own convention
    has_rsample = True

    def __init__(self, logits: Tensor, temperature: Tensor, validate_args: bool | None = None) -> None:
        self.logits = logits.log_softmax(-1)
        self.temperature = temperature
        *batch, self.groups, self.categories = logits.shape
        super().__init__(torch.Size(batch), torch.Size([self.groups * self.categories]), validate_args=validate_args)

    @property
    def support(self) -> constraints.Constraint:
        """A simplex for each group."""
        return _Simplices(self.categories)

    @property
    def mean(self) -> Tensor:
        """The probabilities of the categories."""
        return self.logits.exp().flatten(-2)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density, in nats."""
        log = value.unflatten(-1, (self.groups, self.categories)).clamp_min(EDGE).log()
        score = (self.logits - self.temperature * log).log_softmax(-1).sum(-1) - log.sum(-1)
        constant = math.lgamma(self.categories) + (self.categories - 1) * self.temperature.log()
        joint: Tensor = (score + constant).sum(-1)
        return joint

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draw points of the simplices."""
        shape = (*torch.Size(sample_shape), *self.logits.shape)
        gumbel = -torch.empty(shape, dtype=self.logits.dtype, device=self.logits.device).exponential_().log()
        return ((self.logits + gumbel) / self.temperature).softmax(-1).clamp_min(EDGE).flatten(-2)


def _kl_uniform(q: KumaraswamyDistribution, p: Uniform) -> Tensor:
    covered = (p.low <= 0) & (p.high >= 1)
    entropy: Tensor = q.entropy()  # type: ignore[no-untyped-call]
    return torch.where(covered, (p.high - p.low).log() - entropy, math.inf)


register_kl(KumaraswamyDistribution, Uniform)(_kl_uniform)
_ones = torch.ones(2)
find_formula(DirichletDistribution(_ones), DirichletDistribution(_ones))
for _q in (LogNormal(_ones, _ones), GammaDistribution(_ones, _ones)):
    find_formula(Independent(_q, 1), Independent(_q, 1))


@cache
def find_uniform_formula() -> None:
    r"""Have PyTorch find the divergence of Kumaraswamy variables from uniform ones, before a step is compiled.

    Whoever makes such a variable asks for it, and not this module: to make the first takes PyTorch half a second.
    """
    q, p = KumaraswamyDistribution(_ones, _ones), Uniform(0 * _ones, _ones)
    find_formula(Independent(q, 1), Independent(p, 1))
