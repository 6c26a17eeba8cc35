r"""Regression through latent space: what comes after training, and predictions."""

from vaekit.regression.calibration import Calibration
from vaekit.regression.hyperparameters import MarginalLikelihood, fit_to_outputs, maximise_marginal, principal, runs
from vaekit.regression.prediction import Prediction, observed, predict

__all__ = [
    "Calibration",
    "MarginalLikelihood",
    "Prediction",
    "fit_to_outputs",
    "maximise_marginal",
    "observed",
    "predict",
    "principal",
    "runs",
]
