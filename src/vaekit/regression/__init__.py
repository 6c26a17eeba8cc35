r"""Regression through latent space: what comes after training, and predictions."""

from vaekit.regression.calibration import Calibration
from vaekit.regression.hyperparameters import MarginalLikelihood, maximise_marginal
from vaekit.regression.prediction import Prediction, observed, predict

__all__ = ["Calibration", "MarginalLikelihood", "Prediction", "maximise_marginal", "observed", "predict"]
