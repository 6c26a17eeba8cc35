r"""How good a model is: its likelihood, what its latent units carry, what it reconstructs and generates.

What only some evaluations need is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vaekit.evaluation.accuracy import accuracy_metrics
from vaekit.evaluation.aggregate import AggregatePosterior, aggregate_metrics
from vaekit.evaluation.amortisation import amortisation_metrics, refine
from vaekit.evaluation.annealed import annealed_log_prob, annealed_metrics, bidirectional_gap
from vaekit.evaluation.collapse import code_use_metrics, diagnose
from vaekit.evaluation.evaluate import Evaluation, evaluate_model
from vaekit.evaluation.families import FAMILIES
from vaekit.evaluation.likelihood import effective_sample_size, likelihood_metrics
from vaekit.evaluation.posterior import ACTIVE_VARIANCE, codes, posterior_metrics
from vaekit.evaluation.reconstruction import perceptual_distance, reconstruction_metrics

if TYPE_CHECKING:
    from vaekit.evaluation.attributes import attribute_metrics
    from vaekit.evaluation.classification import classification_metrics
    from vaekit.evaluation.conditioning import conditioning_metrics
    from vaekit.evaluation.disentanglement import disentanglement_metrics
    from vaekit.evaluation.features import FeatureNet, feature_net, features_of
    from vaekit.evaluation.frechet import (
        extrapolated_frechet_distance,
        frechet_distance,
        gaussian_frechet_distance,
    )
    from vaekit.evaluation.generation import generation_metrics
    from vaekit.evaluation.kernel import kernel_distance
    from vaekit.evaluation.manifolds import manifold_metrics
    from vaekit.evaluation.prior_match import prior_match_metrics, two_sample_classifier, two_sample_discrepancy

__all__ = [
    "ACTIVE_VARIANCE",
    "FAMILIES",
    "AggregatePosterior",
    "Evaluation",
    "FeatureNet",
    "accuracy_metrics",
    "aggregate_metrics",
    "amortisation_metrics",
    "annealed_log_prob",
    "annealed_metrics",
    "attribute_metrics",
    "bidirectional_gap",
    "classification_metrics",
    "code_use_metrics",
    "codes",
    "conditioning_metrics",
    "diagnose",
    "disentanglement_metrics",
    "effective_sample_size",
    "evaluate_model",
    "extrapolated_frechet_distance",
    "feature_net",
    "features_of",
    "frechet_distance",
    "gaussian_frechet_distance",
    "generation_metrics",
    "kernel_distance",
    "likelihood_metrics",
    "manifold_metrics",
    "perceptual_distance",
    "posterior_metrics",
    "prior_match_metrics",
    "reconstruction_metrics",
    "refine",
    "two_sample_classifier",
    "two_sample_discrepancy",
]

_HOMES = {
    "FeatureNet": "features",
    "attribute_metrics": "attributes",
    "classification_metrics": "classification",
    "conditioning_metrics": "conditioning",
    "disentanglement_metrics": "disentanglement",
    "extrapolated_frechet_distance": "frechet",
    "feature_net": "features",
    "features_of": "features",
    "frechet_distance": "frechet",
    "gaussian_frechet_distance": "frechet",
    "generation_metrics": "generation",
    "kernel_distance": "kernel",
    "manifold_metrics": "manifolds",
    "prior_match_metrics": "prior_match",
    "two_sample_classifier": "prior_match",
    "two_sample_discrepancy": "prior_match",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
