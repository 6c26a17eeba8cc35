r"""How good a model is: its likelihood, and what its latent units carry."""

from vaekit.evaluation.evaluate import Evaluation, evaluate_model
from vaekit.evaluation.likelihood import likelihood_metrics
from vaekit.evaluation.posterior import ACTIVE_VARIANCE, codes, posterior_metrics

__all__ = [
    "ACTIVE_VARIANCE",
    "Evaluation",
    "codes",
    "evaluate_model",
    "likelihood_metrics",
    "posterior_metrics",
]
