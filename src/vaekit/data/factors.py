r"""Data with known factors of variation: from combinations of factors to examples and back."""

__all__ = ["FactorArrays", "FactorRows", "FactorizedData", "Factors", "OnGrid", "known_factors"]

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from vaekit.data.dataset import Dataset
from vaekit.data.rows import Indices, LazyRows, Subset
from vaekit.errors import RequestError

Classes = NDArray[np.int64]
Integers = NDArray[np.integer[Any]]


@runtime_checkable
class FactorizedData(Protocol):
    r"""Data in which an example is a function of its factors, which is what the disentanglement metrics ask for.

    A factor is given by its class, an integer from 0 to its size - 1. Combinations are integer arrays of shape
    `(n, number of factors)`.
    """

    @property
    def factor_names(self) -> tuple[str, ...]:
        """Names of the factors."""
        ...

    @property
    def factor_sizes(self) -> tuple[int, ...]:
        """Number of classes of each factor."""
        ...

    def sample_factors(self, n: int, generator: np.random.Generator) -> Classes:
        """Draw n combinations, every factor uniform over its classes and independent of the others."""
        ...

    def images(self, factors: Integers) -> NDArray[Any]:
        """Return the examples of combinations as stored, shape `(n, *shape)`: the same ones at every call."""
        ...


@dataclass(frozen=True)
class Factors:
    r"""A grid of factors: every combination of their classes, numbered row by row, the last factor fastest.

    .. math::
        i = ((c_1 n_2 + c_2) n_3 + c_3) n_4 + \cdots

    Arguments:
        names: Names of the factors.
        values: What each class of each factor stands for, one array a factor; their lengths are the sizes.

    Raises:
        RequestError: If there are not as many names as factors, a name occurs twice, or a factor has no class.

    Example:
        >>> grid = Factors(("shape", "size"), (np.array([1.0, 2.0]), np.array([0.5, 0.75, 1.0])))
        >>> grid.sizes, grid.combinations
        ((2, 3), 6)
        >>> grid.classes(np.array([0, 5])).tolist(), grid.index(np.array([[1, 0]])).tolist()
        ([[0, 0], [1, 2]], [3])
        >>> grid.values_of(np.array([[1, 2]])).tolist()
        [[2.0, 1.0]]
    """

    names: tuple[str, ...]
    values: tuple[NDArray[Any], ...]

    def __post_init__(self) -> None:
        if len(set(self.names)) != len(self.values) or len(self.names) != len(self.values) or not self.values:
            raise RequestError(
                f"the factors are named {', '.join(self.names) or 'nothing'} and there are {len(self.values)}; "
                "expected a name of its own for each: pass as many names as factors"
            )
        if 0 in self.sizes:
            raise RequestError(f"the factor sizes are {self.sizes}; expected at least one class for each factor")

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of classes of each factor."""
        return tuple(len(v) for v in self.values)

    @property
    def combinations(self) -> int:
        """Number of combinations, the product of the sizes."""
        return int(np.prod(self.sizes, dtype=np.int64))

    def index(self, factors: Integers) -> Classes:
        """Return the numbers, shape `(n,)`, of combinations, shape `(n, number of factors)`.

        Raises:
            RequestError: If a class is out of its range, or the shape is another one.
        """
        factors = np.asarray(factors)
        if factors.ndim != 2 or factors.shape[1] != len(self.sizes) or factors.dtype.kind not in "iu":
            raise RequestError(
                f"factors are {factors.dtype} of shape {factors.shape}; expected integers of shape "
                f"(n, {len(self.sizes)}), the classes of {', '.join(self.names)}"
            )
        bad = (factors < 0) | (factors >= self.sizes)
        if bad.any():
            row, column = (int(i) for i in np.argwhere(bad)[0])
            raise RequestError(
                f"row {row} has class {factors[row, column]} of {self.names[column]}; expected one from 0 to "
                f"{self.sizes[column] - 1}"
            )
        return np.asarray(np.ravel_multi_index(tuple(factors.T), self.sizes), np.int64)

    def classes(self, index: Integers) -> Classes:
        """Return the combinations, shape `(n, number of factors)`, of numbers, shape `(n,)`.

        Raises:
            RequestError: If a number is out of range.
        """
        index = np.asarray(index)
        bad = (index < 0) | (index >= self.combinations)
        if bad.any():
            raise RequestError(f"there is no combination {index[bad][0]}; expected 0 to {self.combinations - 1}")
        return np.stack(np.unravel_index(index, self.sizes), axis=-1).astype(np.int64)

    def values_of(self, factors: Integers) -> NDArray[Any]:
        """Return what the classes stand for, of the shape of `factors`."""
        self.index(factors)
        return np.stack([v[c] for v, c in zip(self.values, np.asarray(factors).T, strict=True)], axis=1)

    def sample(self, n: int, generator: np.random.Generator) -> Classes:
        """Draw n combinations, every factor uniform and independent, shape `(n, number of factors)`."""
        return np.stack([generator.integers(size, size=n) for size in self.sizes], axis=1)


class OnGrid:
    r"""What data on a grid of factors answer by the grid alone; the rest of `FactorizedData` is `images`."""

    factors: Factors

    @property
    def factor_names(self) -> tuple[str, ...]:
        """Names of the factors."""
        return self.factors.names

    @property
    def factor_sizes(self) -> tuple[int, ...]:
        """Number of classes of each factor."""
        return self.factors.sizes

    def sample_factors(self, n: int, generator: np.random.Generator) -> Classes:
        """Draw n combinations, every factor uniform and independent."""
        return self.factors.sample(n, generator)


class FactorArrays(OnGrid):
    r"""Examples in an array with the factors of each: `FactorizedData` made of what is at hand.

    Arguments:
        x: Examples as stored, of shape `(n, *shape)`; anything that an integer array can index.
        factors: The factors of each example, of shape `(n, number of factors)`: integers, floats or strings. The
            different values of a column, in order, are the factor's classes.
        names: Names of the factors; by default "factor 1", "factor 2" and so on.
        nearest: For a combination that no example has, give the nearest that there is: the classes that differ
            least, each difference relative to the factor's range. Scores are then those of an approximation.

    Raises:
        RequestError: If the shapes do not fit, a combination has several examples, or one has none.

    Example:
        >>> x = np.arange(6.0).reshape(6, 1)
        >>> data = FactorArrays(x, [(a, b) for a in ("blue", "red") for b in (10, 20, 30)], ("colour", "size"))
        >>> data.factor_sizes, data.images(np.array([[1, 0]])).tolist()
        ((2, 3), [[3.0]])
    """

    def __init__(self, x: Any, factors: Any, names: Sequence[str] | None = None, *, nearest: bool = False) -> None:
        table = np.asarray(factors)
        if table.ndim != 2 or len(table) != len(x) or not table.size:
            raise RequestError(
                f"factors have shape {table.shape} for {len(x)} examples; expected ({len(x)}, number of factors), "
                "a row for each example"
            )
        columns = [np.unique(column, return_inverse=True) for column in table.T]
        names = [f"factor {i + 1}" for i in range(len(columns))] if names is None else names
        self.x = x
        self.factors = Factors(tuple(names), tuple(values for values, _ in columns))
        present = np.stack([classes for _, classes in columns], axis=1)
        self._row = np.full(self.factors.combinations, -1, dtype=np.int64)
        order = self.factors.index(present)
        self._row[order] = np.arange(len(order))
        if (twice := np.flatnonzero(self._row[order] != np.arange(len(order)))).size:
            first = int(twice[0])
            raise RequestError(
                f"examples {first} and {self._row[order[first]]} have the same factors, "
                f"{', '.join(map(str, table[first]))}; expected one example for each combination: "
                "give what tells them apart as one more factor, or keep one of them"
            )
        missing = np.flatnonzero(self._row < 0)
        if missing.size and not nearest:
            lacking = self.factors.values_of(self.factors.classes(missing[:1]))[0]
            raise RequestError(
                f"{missing.size:,} of {len(self._row):,} combinations of factors have no example, the first "
                f"{', '.join(map(str, lacking))}; expected all: leave out values that are not always there, or take "
                "the nearest combination with nearest=True"
            )
        if missing.size:
            from scipy.spatial import cKDTree  # slow to import

            scale = np.maximum(np.array(self.factors.sizes) - 1, 1)
            _, found = cKDTree(present / scale).query(self.factors.classes(missing) / scale, p=1)
            self._row[missing] = found

    def images(self, factors: Integers) -> NDArray[Any]:
        """Return the examples of combinations, shape `(n, *shape)`."""
        return np.asarray(self.x[self._row[self.factors.index(factors)]])


class FactorRows(LazyRows):
    r"""All examples of data with known factors, in the order of the grid, made when they are asked for.

    Arguments:
        source: The data.
        factors: Their grid.

    Example:
        >>> from vaekit.data.sprites import Sprites
        >>> rows = FactorRows(Sprites(), Sprites.factors)
        >>> rows, rows[np.array([5, 0, 700_000])].shape
        (<FactorRows: 737,280 rows of shape (1, 64, 64), uint8>, (3, 1, 64, 64))
    """

    def __init__(self, source: FactorizedData, factors: Factors) -> None:
        self.source, self.factors = source, factors
        example = source.images(np.zeros((1, len(factors.sizes)), np.int64))
        self.shape, self.dtype = (factors.combinations, *example.shape[1:]), example.dtype

    def read(self, rows: Indices) -> NDArray[Any]:
        """Return the examples of some combinations, by number."""
        return self.source.images(self.factors.classes(rows))


def known_factors(data: Any) -> FactorizedData:
    r"""Return the factors of data: data with factors are returned as they are, a dataset gives those it was made of.

    Raises:
        RequestError: If the data have no known factors.

    Example:
        >>> from vaekit.data import load_dataset
        >>> known_factors(load_dataset("swiss-roll", n=100))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        vaekit.errors.RequestError: swiss-roll has no known factors of variation; expected data made from factors, ...
    """
    if isinstance(data, FactorizedData):
        return data
    rows: Any = data.train.x if isinstance(data, Dataset) else None
    if isinstance(rows, Subset):
        rows = rows.rows
    if isinstance(rows, FactorRows):
        return rows.source
    name = data.name if isinstance(data, Dataset) else f"a {type(data).__name__}"
    raise RequestError(
        f"{name} has no known factors of variation; expected data made from factors, as sprites: "
        "choose other data, or pass FactorArrays(x, factors)"
    )
