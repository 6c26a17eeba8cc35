r"""Calibration: intervals that hold as much as they say."""

__all__ = ["Calibration"]

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.distributions import constraints

from vaekit.data.transforms import Transform
from vaekit.models.base import LatentVariableModel
from vaekit.models.regression import LEVELS, VAERegression
from vaekit.regression.prediction import observed, predict

if TYPE_CHECKING:
    from vaekit.data import Dataset

_MOST = 2**20  # errors whose quantiles are taken; more change no digit that is shown


@dataclass(frozen=True)
class Calibration:
    r"""The stage that makes a model's intervals hold what they say, from observed outputs that it hides from itself.

    Outputs that are observed are hidden, and predicted from the others: those of the validation split, which were
    not trained on. Where there is none they are every other row of each training sequence, its ends left out. These
    the autoencoder has seen, which makes errors too small, and hiding them doubles the distances, which makes them
    too large: what intervals hold is then not to be relied upon, and a few rows for validation are well spent.

    With a validation split it is first said how far the autoencoder is trusted, `VAERegression.trust`, by what makes
    the squared error of the outputs hidden least, from 0 to 1. With r the errors by the predicted standard deviations,
    the standard deviations are multiplied by

    .. math::
        s = \sqrt{\mathrm{mean}(r^2)}

    and an interval of level :math:`\alpha` reaches the :math:`\alpha`-quantile of :math:`|r| / s` times the new
    standard deviation to both sides, where a normal distribution's would be 1.64 at 90 %. Outputs that are held out
    by a protocol, the test split, never enter. Likelihoods of bits are left as they are.

    References:
        Accurate uncertainties for deep learning using calibrated regression (Kuleshov, Fenner and Ermon, 2018).

    Arguments:
        draws: Of z, for each input.
    """

    name: str = "calibration"
    draws: int = 32

    def fit(
        self,
        model: LatentVariableModel,
        data: "Dataset",
        transform: Transform,
        seed: int,
        device: torch.device,
        advance: Callable[[float], object],
    ) -> dict[str, float]:
        """Set the width and the quantiles of the model, and return the width and what 90 % intervals held before."""
        assert isinstance(model, VAERegression)
        y, given = observed([data.train], transform, seed=seed, device=device)
        if len(data.validation):
            hidden_y, hidden_given = observed([data.validation], transform, seed=seed, device=device)
        else:
            hidden = _alternate(data.train.sequence, len(data.train))
            hidden_y, hidden_given = y[hidden], given[hidden]
            y, given = y[~hidden], given[~hidden]
        if not len(hidden_y) or not len(y) or _support(model, y[:1]) is not constraints.real:
            return {}
        model.width.fill_(1.0)
        numbers = {}
        if model.residuals is not None and len(data.validation):
            numbers["trust"] = self._trust(model, y, given, hidden_y, hidden_given, seed)
        found = predict(model, y, given, hidden_given, draws=self.draws, seed=seed)
        errors = np.abs(hidden_y.cpu().numpy() - found.mean, dtype=np.float64).ravel()
        scaled = errors / np.maximum(found.stddev.ravel(), 1e-12)
        width = float(np.sqrt(np.mean(scaled**2)))
        some = scaled[:: max(1, len(scaled) // _MOST)] / width
        levels = np.arange(1, LEVELS + 1) / (LEVELS + 1)
        model.width.fill_(width)
        model.quantiles.copy_(torch.from_numpy(np.quantile(some, levels)))
        return {**numbers, "width": width, "held_by_90_percent_before": float(np.mean(scaled < 1.6449))}

    def _trust(self, model: VAERegression, y: Tensor, given: Tensor, truth: Tensor, new: Tensor, seed: int) -> float:
        """Set the trust in the autoencoder to what makes the squared error of hidden outputs least: it is linear."""
        means = []
        for trust in (0.0, 1.0):
            model.trust.fill_(trust)
            means.append(predict(model, y, given, new, draws=self.draws, seed=seed).mean.astype(np.float64))
        without, adds = means[0], means[1] - means[0]
        best = float(((truth.cpu().numpy() - without) * adds).sum() / max(float((adds**2).sum()), 1e-12))
        model.trust.fill_(min(max(best, 0.0), 1.0))
        return float(model.trust)


def _alternate(sequence: np.ndarray | None, n: int) -> torch.Tensor:
    """Every other row of each sequence, neither its first nor its last."""
    ends = [n] if sequence is None else [*(np.flatnonzero(np.diff(sequence)) + 1).tolist(), n]
    hidden, start = torch.zeros(n, dtype=torch.bool), 0
    for end in ends:
        hidden[start + 1 : end - 1 : 2] = True
        start = end
    return hidden


def _support(model: VAERegression, y: torch.Tensor) -> constraints.Constraint | None:
    with torch.no_grad():
        support: constraints.Constraint | None = model.decode(model.latent().mean.expand(1, -1).to(y)).support
    while isinstance(support, constraints.independent):
        support = support.base_constraint
    return support
