r"""Fewer classes of large factors: a grid small enough that all of it is encoded in seconds."""

__all__ = ["Thinned"]

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.data.factors import Classes, FactorizedData, Integers
from vaekit.errors import RequestError


class Thinned:
    r"""Data with known factors, of which only evenly spaced classes are left: `FactorizedData` in its turn.

    The metrics draw examples that agree in one factor and nothing else, again and again, and so come to see nearly
    all combinations of the factors. Here the largest factor is halved until there are few enough. Each keeps its
    range, and its classes are as far from each other as they can be, so that they are easier to tell apart: scores
    are not those of the whole grid.

    Arguments:
        data: The data.
        combinations: How many combinations there may be, at least 2 for each factor that varies.

    Raises:
        RequestError: If that many combinations cannot keep two classes of each factor.

    Example:
        >>> from vaekit.data.sprites import Sprites
        >>> Thinned(Sprites(), 20_000).factor_sizes
        (1, 3, 6, 10, 8, 8)
    """

    def __init__(self, data: FactorizedData, combinations: int) -> None:
        self.data = data
        sizes = list(data.factor_sizes)
        while math.prod(sizes) > combinations:
            largest = int(np.argmax(sizes))
            if sizes[largest] < 3:
                raise RequestError(
                    f"combinations is {combinations}; expected at least {math.prod(sizes)}, two classes of each factor "
                    "that varies: pass 20000, say"
                )
            sizes[largest] = -(-sizes[largest] // 2)
        self.factor_names = tuple(data.factor_names)
        self.factor_sizes = tuple(sizes)
        self._classes = [np.arange(kept) * whole // kept for kept, whole in zip(sizes, data.factor_sizes, strict=True)]

    def sample_factors(self, n: int, generator: np.random.Generator) -> Classes:
        """Draw n combinations of the classes that are left, every factor uniform and independent."""
        return np.stack([generator.integers(size, size=n) for size in self.factor_sizes], axis=1)

    def images(self, factors: Integers) -> NDArray[Any]:
        """Return the examples of combinations, shape `(n, *shape)`."""
        columns = zip(self._classes, np.asarray(factors).T, strict=True)
        return self.data.images(np.stack([classes[chosen] for classes, chosen in columns], axis=1))
