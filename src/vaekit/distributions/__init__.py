r"""Posterior heads, priors, likelihoods and the divergences between them."""

from vaekit.distributions.ancestral import Ancestral
from vaekit.distributions.autoregressive_sequence import AutoregressiveSequence, RecurrentLikelihood
from vaekit.distributions.category_style import CategoryStyle, CategoryStylePrior
from vaekit.distributions.chain import Chain
from vaekit.distributions.codes import CertainCode, UniformCodes
from vaekit.distributions.conditional import Conditional
from vaekit.distributions.delta import Delta
from vaekit.distributions.discrepancy import maximum_mean_discrepancy
from vaekit.distributions.divergences import kl_divergence
from vaekit.distributions.families import posterior, prior_for
from vaekit.distributions.finite_scalar import FiniteScalar
from vaekit.distributions.fitted import FullMixturePrior
from vaekit.distributions.gaussian_process import GaussianProcess
from vaekit.distributions.likelihoods import Bernoulli, ContinuousBernoulli, Gaussian, InUnits, Likelihood, likelihood
from vaekit.distributions.marginal import Marginal
from vaekit.distributions.mixtures import DiagonalMixture, MixturePrior, VampPrior
from vaekit.distributions.perceptual import Perceptual
from vaekit.distributions.pixelcnn_prior import AutoregressiveGrid, PixelCNNPrior
from vaekit.distributions.posteriors import (
    DiagonalGaussian,
    FullGaussian,
    Laplace,
    Logistic,
    Point,
    Posterior,
    StudentT,
)
from vaekit.distributions.priors import (
    ConditionalPrior,
    Factorised,
    LearnedNormal,
    RelaxedUniform,
    StandardNormal,
    SymmetricDirichlet,
)
from vaekit.distributions.quantisers import Codebook, MovingCodebook, Quantiser
from vaekit.distributions.residual_quantiser import ResidualQuantiser
from vaekit.distributions.restricted_posteriors import Dirichlet, Gamma, GumbelSoftmax, Kumaraswamy, LogNormal
from vaekit.distributions.shaped import FlowerPrior, SwissRollPrior
from vaekit.distributions.total_correlation import aggregate_log_prob, total_correlation
from vaekit.distributions.two_level_quantiser import TwoLevelPrior, TwoLevelQuantiser

__all__ = [
    "Ancestral",
    "AutoregressiveGrid",
    "AutoregressiveSequence",
    "Bernoulli",
    "CategoryStyle",
    "CategoryStylePrior",
    "CertainCode",
    "Chain",
    "Codebook",
    "Conditional",
    "ConditionalPrior",
    "ContinuousBernoulli",
    "Delta",
    "DiagonalGaussian",
    "DiagonalMixture",
    "Dirichlet",
    "Factorised",
    "FiniteScalar",
    "FlowerPrior",
    "FullGaussian",
    "FullMixturePrior",
    "Gamma",
    "Gaussian",
    "InUnits",
    "GaussianProcess",
    "GumbelSoftmax",
    "Kumaraswamy",
    "Laplace",
    "LearnedNormal",
    "Likelihood",
    "LogNormal",
    "Logistic",
    "Marginal",
    "MixturePrior",
    "MovingCodebook",
    "Perceptual",
    "PixelCNNPrior",
    "Point",
    "Posterior",
    "Quantiser",
    "RecurrentLikelihood",
    "RelaxedUniform",
    "ResidualQuantiser",
    "StandardNormal",
    "StudentT",
    "SwissRollPrior",
    "SymmetricDirichlet",
    "TwoLevelPrior",
    "TwoLevelQuantiser",
    "UniformCodes",
    "VampPrior",
    "aggregate_log_prob",
    "kl_divergence",
    "likelihood",
    "maximum_mean_discrepancy",
    "posterior",
    "prior_for",
    "total_correlation",
]
