r"""Data whose examples are their factors, and ways to encode them of which the scores are known."""

import numpy as np
from scipy.stats import ortho_group

from vaekit.data.factors import Factors

SIZES = (4, 5, 6, 7, 3, 5)
K = len(SIZES)


class Grid:
    """Examples are the classes of their factors, in float64."""

    def __init__(self, sizes=SIZES):
        self.factors = Factors(tuple(f"factor {i}" for i in range(len(sizes))), tuple(np.arange(n) for n in sizes))
        self.factor_names, self.factor_sizes = self.factors.names, self.factors.sizes

    def sample_factors(self, n, generator):
        return self.factors.sample(n, generator)

    def images(self, factors):
        self.factors.index(factors)
        return factors.astype(np.float64)


DATA = Grid()
MIDDLE = (np.array(SIZES) - 1) / 2
SPREAD = np.sqrt((np.array(SIZES) ** 2 - 1) / 12)
ROTATION = ortho_group.rvs(K, random_state=3)
RANDOM = np.random.default_rng(5).normal(size=(DATA.factors.combinations, K))


def identity(x):
    """One code a factor, each of mean 0 and variance 1."""
    return (x - MIDDLE) / SPREAD


def constant(x):
    return np.full((len(x), K), 0.7)


def duplicated(x):
    return np.concatenate([identity(x)] * 2, axis=1)


def rotated(x):
    return identity(x) @ ROTATION


def noise(x):
    """Codes that have nothing to do with the factors, but are the same at every call."""
    return RANDOM[DATA.factors.index(x.astype(np.int64))]


def blurred(x):
    return identity(x) + 0.3 * noise(x)
