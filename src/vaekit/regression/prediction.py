r"""Predictions of outputs at new inputs, with their uncertainty, as arrays."""

__all__ = ["Prediction", "observed", "predict"]

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import Independent, Normal

from vaekit.data.transforms import pairs
from vaekit.errors import RequestError
from vaekit.models.base import ROWS
from vaekit.models.regression import VAERegression

if TYPE_CHECKING:
    from vaekit.data import Split
    from vaekit.data.transforms import Transform

Floats = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Prediction:
    r"""Outputs at new inputs: means and standard deviations entry by entry, in the units the model sees.

    Arguments:
        mean: Shape `(m, *data_shape)`.
        stddev: Calibrated standard deviations, of that shape.
        quantiles: Quantiles of absolute errors by these, at evenly spaced levels between 0 and 1, shape `(q,)`.
    """

    mean: Floats
    stddev: Floats
    quantiles: Floats

    def reach(self, level: float) -> float:
        r"""Return how many standard deviations an interval reaches to both sides.

        Arguments:
            level: The part of outputs that it should hold.

        Raises:
            RequestError: If there is no calibrated quantile at that level.
        """
        q = len(self.quantiles)
        if not 1 / (q + 1) <= level <= q / (q + 1):
            raise RequestError(f"level is {level}; expected from {1 / (q + 1):.2g} to {q / (q + 1):.2g}: pass 0.9, say")
        return float(np.interp(level, np.arange(1, q + 1) / (q + 1), self.quantiles))

    def interval(self, level: float) -> tuple[Floats, Floats]:
        """Return the ends of the intervals of a level, each of the shape of the mean; see `reach`."""
        half = self.reach(level) * self.stddev
        return self.mean - half, self.mean + half


@torch.no_grad()
def predict(
    model: VAERegression, y: Tensor, given: Tensor, new: Tensor, *, draws: int = 32, seed: int = 0
) -> Prediction:
    r"""Predict outputs at new inputs, a few at a time, so that memory does not grow with their number.

    Arguments:
        model: The trained model.
        y: Outputs observed, as the transform gives them, shape `(n, *data_shape)`.
        given: Their contexts, shape `(n, ...)`.
        new: Contexts of the new inputs, shape `(m, ...)`.
        draws: Of z, for each input.
        seed: Of the draws.
    """
    z, left = model.latent_at(y, given, new)
    means, scales = [], []
    rows = max(1, ROWS // draws)
    for start in range(0, len(new), rows):
        some = slice(start, start + rows)
        normal = Normal(z.mean[some], z.stddev[some], validate_args=False)
        rest = None if left is None else Normal(left.mean[some], left.stddev[some], validate_args=False)
        p = model.decode_latent(Independent(normal, 1, validate_args=False), rest, draws=draws, seed=seed)
        means.append(p.mean.cpu().numpy())
        scales.append(p.stddev.cpu().numpy())
    return Prediction(np.concatenate(means), np.concatenate(scales), model.quantiles.double().cpu().numpy())


def observed(
    splits: "Sequence[Split]", transform: "Transform", *, seed: int = 0, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor]:
    r"""Return the outputs of splits as the model sees them, shape `(n, *data_shape)`, and their contexts.

    Arguments:
        splits: Such as those that were trained on.
        transform: From data as stored to what the likelihood describes.
        seed: Of a transform's draws.
        device: Where to put them.

    Raises:
        RequestError: If a split has no inputs.
    """

    def parts() -> Iterator[tuple[Tensor, Tensor]]:
        for split in splits:
            if len(split) and split.given is None:
                raise RequestError("the data have no inputs to regress on; expected a context for each example")
            for block, given in pairs(split.x, transform, split.given, seed, device):
                assert given is not None
                yield block, given

    outputs, contexts = zip(*parts(), strict=True)
    return torch.cat(outputs), torch.cat(contexts)
