r"""How good a model is: its likelihood, what its latent units carry, what it reconstructs and generates."""

from vaekit.evaluation.collapse import diagnose
from vaekit.evaluation.evaluate import Evaluation, evaluate_model
from vaekit.evaluation.families import FAMILIES
from vaekit.evaluation.likelihood import likelihood_metrics
from vaekit.evaluation.posterior import ACTIVE_VARIANCE, codes, posterior_metrics

__all__ = [
    "ACTIVE_VARIANCE",
    "FAMILIES",
    "Evaluation",
    "codes",
    "diagnose",
    "evaluate_model",
    "likelihood_metrics",
    "posterior_metrics",
]
