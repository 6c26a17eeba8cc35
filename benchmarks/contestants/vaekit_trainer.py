r"""vaekit: its recipe of the same network, with progress bar, log, TensorBoard events and checkpoints."""

__all__ = ["train"]

import dataclasses
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.laps import Laps


def train(x: npt.NDArray[np.uint8], laps: Laps) -> None:
    """Train for `laps.epochs` epochs, calling `laps()` at the end of each."""
    from vaekit import recipes
    from vaekit.data import Dataset, Split
    from vaekit.models import seeded
    from vaekit.plan import DataSpec
    from vaekit.training import fit

    none = Split(x[:0])
    data = Dataset("bench", Split(x), none, none, levels=256, suggested="bernoulli")
    with seeded(0):
        plan = recipes.get("aevb")(DataSpec.of(data), epochs=laps.epochs)
    with tempfile.TemporaryDirectory() as folder:
        # All of x is trained on, compiled as a run of the full hundred epochs would be, and never stopped early.
        plan = dataclasses.replace(plan, patience=None)
        fit(plan, data, directory=Path(folder), compile=True, on_epoch=laps)
