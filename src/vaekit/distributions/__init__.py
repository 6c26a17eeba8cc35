r"""Posterior heads, priors, likelihoods and the divergences between them."""

from vaekit.distributions.conditional import Conditional
from vaekit.distributions.delta import Delta
from vaekit.distributions.divergences import kl_divergence
from vaekit.distributions.likelihoods import Bernoulli, ContinuousBernoulli, Gaussian, Likelihood, likelihood
from vaekit.distributions.posteriors import DiagonalGaussian, Point
from vaekit.distributions.priors import StandardNormal

__all__ = [
    "Bernoulli",
    "Conditional",
    "ContinuousBernoulli",
    "Delta",
    "DiagonalGaussian",
    "Gaussian",
    "Likelihood",
    "Point",
    "StandardNormal",
    "kl_divergence",
    "likelihood",
]
