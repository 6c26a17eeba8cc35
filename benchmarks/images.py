r"""Images to train on: MNIST, as vaekit ships it. Nothing is downloaded."""

__all__ = ["make_images"]

import numpy as np
import numpy.typing as npt


def make_images(n: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    r"""Return `n` of MNIST's training images, drawn without replacement, flattened, 0 to 255, shape `(n, 784)`."""
    from vaekit.data import load_dataset

    images = load_dataset("mnist").train.x
    chosen = np.random.default_rng(seed).permutation(len(images))[:n]
    return np.ascontiguousarray(images[chosen].reshape(len(chosen), -1))
