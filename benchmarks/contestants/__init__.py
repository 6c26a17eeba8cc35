r"""The contestants: one module each, with `train(x, laps)`. Each trains the same network on the same images.

784-500-tanh-2-500-tanh-784: Gaussian posterior with mean and log-scale, standard normal prior, Bernoulli likelihood
of freshly binarised pixels, batches of 100, Adam with learning rate 1e-3.
"""

__all__ = ["BATCH", "CONTESTANTS", "HIDDEN", "LATENT", "LEARNING_RATE", "PIXELS", "epoch_seconds", "load"]

import importlib
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from benchmarks.laps import Laps

PIXELS, HIDDEN, LATENT, BATCH, LEARNING_RATE = 784, 500, 2, 100, 1e-3

CONTESTANTS = {
    "floor": "the five large matrix products of a step, and nothing else",
    "bare_eager": "a DataLoader, the textbook loop and plain Adam",
    "bare_compiled": "tensors in memory, a compiled loss, fused Adam",
    "jax_scan": "JAX, a whole epoch in one compiled scan",
    "pythae_trainer": "pythae 0.1.2, its BaseTrainer",
    "vaekit_trainer": "vaekit.train",
}

Train = Callable[[npt.NDArray[np.uint8], Laps], None]


def load(name: str) -> Train:
    """Return the `train` function of a contestant, importing only that one."""
    train: Train = importlib.import_module(f"benchmarks.contestants.{name}").train
    return train


def epoch_seconds(name: str, x: npt.NDArray[np.uint8], epochs: int) -> list[float]:
    """Train a contestant on its own in this process, and return the seconds of each epoch after the warm-up."""
    laps = Laps(epochs)
    load(name)(x, laps)
    return laps.seconds
