r"""vaekit: `vaekit.train` with the recipe of the same network, its progress bar, its logging and its run directory."""

__all__ = ["train"]

import numpy as np
import numpy.typing as npt

from benchmarks.laps import Laps


def train(x: npt.NDArray[np.uint8], laps: Laps) -> None:
    """Train for `laps.epochs` epochs, calling `laps()` at the end of each."""
    raise NotImplementedError("vaekit_trainer waits for vaekit.train")
