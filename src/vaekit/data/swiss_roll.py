r"""The Swiss roll: a sheet rolled up in three dimensions, to see whether a latent space unrolls it."""

__all__ = ["load_swiss_roll"]

import math
from dataclasses import replace

import numpy as np

from vaekit.data.assembly import from_arrays
from vaekit.data.dataset import Dataset, Split
from vaekit.errors import RequestError

_BINS = 10


def load_swiss_roll(n: int = 10_000, noise: float = 0.25, seed: int = 0) -> Dataset:
    r"""Points near a rolled sheet, float32 of shape `(n, 3)`.

    .. math::
        (t \cos t,\; h,\; t \sin t) + \epsilon, \quad t \sim \mathrm{U}[1.5 \pi, 4.5 \pi],\;
        h \sim \mathrm{U}[0, 21],\; \epsilon \sim \mathcal{N}(0, \text{noise}^2 I)

    Every coordinate is then standardised to mean 0 and standard deviation 1 over the train split. The label is the
    place along the roll, t cut into ten parts of one length, 0 innermost: it colours a latent space.

    References:
        A global geometric framework for nonlinear dimensionality reduction (Tenenbaum, de Silva and Langford, 2000).

    Arguments:
        n: Number of points, at least 10; a tenth validates and a tenth tests.
        noise: Standard deviation of the noise, in the units before standardising, where the arms of the roll are
            6.3 apart. Without noise the density has no upper limit.
        seed: Seed of the points and of the split.

    Raises:
        RequestError: If `n` is below 10, `noise` is negative or not finite, or `seed` is no seed.

    Example:
        >>> load_swiss_roll(1000)
        <Dataset 'swiss-roll': 800 train, 100 validation and 100 test examples of shape (3,), real numbers>
    """
    if not isinstance(n, int) or n < 10:
        raise RequestError(f"n is {n!r}; expected a number of points of at least 10: pass n=10000")
    if not isinstance(noise, (int, float)) or not 0 <= noise < math.inf:
        raise RequestError(f"noise is {noise!r}; expected a standard deviation from 0 up: pass noise=0.25")
    if not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise RequestError(f"seed is {seed!r}; expected an integer from 0 to 2^32 - 1: pass seed=0")
    from sklearn.datasets import make_swiss_roll  # slow to import

    points, t = make_swiss_roll(n, noise=noise, random_state=seed)
    place = (t / math.pi - 1.5) / 3
    labels = np.minimum((place * _BINS).astype(np.int64), _BINS - 1)
    data = from_arrays(points, labels, name="swiss-roll", seed=seed)
    mean = np.asarray(data.train.x).mean(0, dtype=np.float64)
    scale = np.asarray(data.train.x).std(0, dtype=np.float64)

    def standardise(split: Split) -> Split:
        return Split(((np.asarray(split.x) - mean) / scale).astype(np.float32), split.labels)

    return replace(
        data,
        train=standardise(data.train),
        validation=standardise(data.validation),
        test=standardise(data.test),
        label_names=tuple(f"{bin / _BINS:.1f} to {(bin + 1) / _BINS:.1f} of the roll" for bin in range(_BINS)),
        source="Swiss roll, drawn by scikit-learn",
        note=f"{n:,} points, noise {noise}, seed {seed}, standardised over train; {data.note}",
    )
