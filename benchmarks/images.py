r"""Images to train on: the digits that scikit-learn ships, enlarged to the size of MNIST. Nothing is downloaded."""

__all__ = ["make_images"]

import numpy as np
import numpy.typing as npt


def make_images(n: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    r"""Return `n` grey images of 28 by 28 pixels, flattened, values 0 to 255, shape `(n, 784)`.

    Each is one of the 1797 digits, drawn with replacement, every pixel enlarged to 4 by 4 and the outermost two
    rows and columns cut off. The time of a step does not depend on what the pixels show.
    """
    from sklearn.datasets import load_digits

    small = load_digits().images
    chosen = np.random.default_rng(seed).integers(len(small), size=n)
    grey = np.rint(small * (255 / 16)).astype(np.uint8)
    large = grey.repeat(4, axis=1).repeat(4, axis=2)[:, 2:-2, 2:-2]
    return np.ascontiguousarray(large[chosen].reshape(n, 784))
