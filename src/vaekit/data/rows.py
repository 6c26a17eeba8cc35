r"""Rows of examples, in memory or read when they are asked for."""

__all__ = [
    "Converted",
    "LazyRows",
    "Rows",
    "Subset",
    "are_unlike",
    "blocks",
    "deviation_of",
    "joined",
    "mean_of",
    "spread",
    "take",
]

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vaekit.data.memory import fits_in_memory
from vaekit.data.progress import tracked

Array = NDArray[Any]
Indices = NDArray[np.int64]

_BLOCK_BYTES = 2**23
_MEAN_ROWS = 2**16


class Rows(Protocol):
    r"""Examples, one a row: a NumPy array, or what behaves like one but reads its rows when they are asked for.

    As with arrays, an array of row numbers gives a new array. A slice gives rows again: of a lazy source it reads
    nothing. `numpy.asarray` reads all.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape `(n, ...)`."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of an entry."""
        ...

    @property
    def ndim(self) -> int:
        """Number of axes."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> Any: ...


class LazyRows(ABC):
    r"""Rows that are read when they are asked for: a source says `shape`, `dtype` and how to `read`.

    Example:
        >>> class Squares(LazyRows):
        ...     shape, dtype = (1000, 1), np.dtype(np.int64)
        ...     def read(self, rows):
        ...         return rows[:, None] ** 2
        >>> x = Squares()
        >>> x[np.array([3, 2])].tolist(), x[-1].tolist(), x[10:13], np.asarray(x[10:13]).ravel()
        ([[9], [4]], [998001], <Subset: 3 rows of shape (1,), int64>, array([100, 121, 144]))
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @abstractmethod
    def read(self, rows: Indices) -> Array:
        """Return some rows, by number, as a new array. May be called by several threads at once."""

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes that all rows would take in memory."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any, /) -> Any:
        if isinstance(rows, slice):
            return Subset(self, np.arange(*rows.indices(len(self))))
        numbers = np.asarray(rows)
        if numbers.dtype == np.bool_ and numbers.shape == (len(self),):
            numbers = np.flatnonzero(numbers)
        if numbers.ndim > 1 or (numbers.dtype.kind not in "iu" and numbers.size):
            raise IndexError("rows are chosen by a number, a slice, an array of numbers or a mask")
        numbers = numbers.astype(np.int64)
        if ((numbers < -len(self)) | (numbers >= len(self))).any():
            raise IndexError(f"row out of range: there are {len(self)} rows")
        found = self.read(np.atleast_1d(np.where(numbers < 0, numbers + len(self), numbers)))
        return found if numbers.ndim else found[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        # Without this NumPy would go through the rows one by one.
        return np.asarray(self.read(np.arange(len(self))), dtype=dtype)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self):,} rows of shape {self.shape[1:]}, {self.dtype}>"


class Subset(LazyRows):
    r"""Some rows of others, in an order of their own. Nothing is copied but row numbers.

    Arguments:
        rows: The rows to choose from.
        indices: Numbers of the chosen ones, shape `(n,)`.

    Example:
        >>> odd = Subset(np.arange(20).reshape(10, 2), np.arange(1, 10, 2))
        >>> odd[np.array([0, -1])].tolist(), np.asarray(odd[1:3]).tolist()
        ([[2, 3], [18, 19]], [[6, 7], [10, 11]])
    """

    def __init__(self, rows: Rows, indices: ArrayLike) -> None:
        chosen: Indices = np.asarray(indices, np.int64)
        whole: Rows = rows
        if isinstance(rows, Subset):
            whole, chosen = rows.rows, rows.indices[chosen]
        self.rows: Rows = whole
        self.indices: Indices = chosen
        self.shape, self.dtype = (len(chosen), *rows.shape[1:]), rows.dtype

    def read(self, rows: Indices) -> Array:
        """Return some rows, by number."""
        return np.asarray(self.rows[self.indices[rows]])

    def __getitem__(self, rows: Any, /) -> Any:
        return Subset(self.rows, self.indices[rows]) if isinstance(rows, slice) else super().__getitem__(rows)


class Converted(LazyRows):
    r"""Rows that are converted as they are read.

    Arguments:
        rows: The rows.
        convert: From an array of any number of rows to one of as many; an entry depends on its row alone.

    Example:
        >>> Converted(np.arange(6).reshape(3, 2), lambda x: x[:, :1] / 2)[np.array([2, 1])].tolist()
        [[2.0], [1.0]]
    """

    def __init__(self, rows: Rows, convert: Callable[[Array], Array]) -> None:
        self.rows, self.convert = rows, convert
        none = convert(np.empty((0, *rows.shape[1:]), rows.dtype))
        self.shape, self.dtype = (len(rows), *none.shape[1:]), none.dtype

    def read(self, rows: Indices) -> Array:
        """Return some rows, by number."""
        return self.convert(np.asarray(self.rows[rows]))


class _Joined(LazyRows):
    def __init__(self, parts: tuple[Rows, ...]) -> None:
        self.parts = parts
        self.starts = np.cumsum([0, *(len(part) for part in parts)])
        self.shape, self.dtype = (int(self.starts[-1]), *parts[0].shape[1:]), parts[0].dtype

    def read(self, rows: Indices) -> Array:
        found = np.empty((len(rows), *self.shape[1:]), self.dtype)
        for part, start, stop in zip(self.parts, self.starts[:-1], self.starts[1:], strict=True):
            here = (rows >= start) & (rows < stop)
            if here.any():
                found[here] = part[rows[here] - start]
        return found


def joined(*parts: Rows) -> Rows:
    r"""Return rows of one shape and type one after the other: a copy where all are in memory and that fits there.

    Example:
        >>> joined(np.zeros((2, 1)), np.ones((1, 1))).ravel()
        array([0., 0., 1.])
    """
    arrays = [part for part in parts if isinstance(part, np.ndarray)]
    if len(arrays) == len(parts) and fits_in_memory(sum(array.nbytes for array in arrays)):
        return np.concatenate(arrays)
    return _Joined(parts)


def take(rows: Rows, indices: ArrayLike) -> Rows:
    r"""Return some rows in an order of their own: a copy where that fits in memory, and else a `Subset`.

    Example:
        >>> take(np.arange(4)[:, None], [3, 0])
        array([[3],
               [0]])
    """
    chosen = np.asarray(indices, np.int64)
    if isinstance(rows, np.ndarray) and fits_in_memory(rows[:1].nbytes * len(chosen)):
        return cast(Array, rows[chosen])
    return Subset(rows, chosen)


def blocks(rows: Rows, text: str = "") -> Iterator[tuple[int, Array]]:
    r"""Yield all rows in order, in arrays of some megabytes, each with the number of its first row.

    Arguments:
        rows: The rows.
        text: What is being done, to show progress with where the rows are read; nothing is shown without it.

    Example:
        >>> [(start, block.shape) for start, block in blocks(np.zeros((2, 3)))]
        [(0, (2, 3))]
    """
    size = max(1, _BLOCK_BYTES // max(1, math.prod(rows.shape[1:]) * rows.dtype.itemsize))
    starts = range(0, len(rows), size)
    shown = text if isinstance(rows, LazyRows) else ""
    for start in tracked(starts, shown, len(starts)):
        yield start, np.asarray(rows[start : start + size])


def mean_of(rows: Rows) -> NDArray[np.float64]:
    r"""Return the mean row, of at most 65,536 rows spread evenly: the same in memory and not.

    Example:
        >>> mean_of(np.array([[1, 2], [3, 6]], np.uint8))
        array([2., 4.])
    """
    chosen = rows if len(rows) <= _MEAN_ROWS else Subset(rows, spread(len(rows), _MEAN_ROWS))
    total = np.zeros(rows.shape[1:])
    for _, block in blocks(chosen):
        total += block.sum(axis=0, dtype=np.float64)
    return total / max(1, len(chosen))


def deviation_of(rows: Rows) -> NDArray[np.float64]:
    r"""Return the standard deviation of each entry, of the rows that `mean_of` reads.

    Example:
        >>> deviation_of(np.array([[1.0, 2.0], [3.0, 2.0]]))
        array([1., 0.])
    """
    chosen = rows if len(rows) <= _MEAN_ROWS else Subset(rows, spread(len(rows), _MEAN_ROWS))
    mean, total = mean_of(rows), np.zeros(rows.shape[1:])
    for _, block in blocks(chosen):
        total += np.square(block - mean).sum(axis=0)
    return np.sqrt(total / max(1, len(chosen)))


def are_unlike(rows: Rows) -> bool:
    r"""Whether some entries of vectors vary ten times as much as others: in one scale only the former are seen.

    Entries that never change do not count, and vectors of up to three are points, whose axes have scales of their own.

    Example:
        >>> are_unlike(np.arange(20.0).reshape(4, 5)), are_unlike(np.arange(20.0).reshape(4, 5) * [1, 1, 1, 1, 90])
        (False, True)
    """
    if rows.ndim != 2 or rows.shape[1] <= 3:
        return False
    sizes = deviation_of(rows)
    sizes = sizes[sizes > 0]
    return bool(len(sizes) and sizes.max() > 10 * sizes.min())


def spread(n: int, most: int) -> Indices:
    r"""Return the numbers of at most so many of n rows, spread evenly from the first to the last.

    Example:
        >>> spread(10, 4), spread(3, 4)
        (array([0, 3, 6, 9]), array([0, 1, 2]))
    """
    return np.arange(n) if n <= most else np.arange(most, dtype=np.int64) * (n - 1) // (most - 1)
