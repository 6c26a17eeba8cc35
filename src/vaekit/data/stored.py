r"""From the arrays that users have to the arrays that are stored: checked, of one type, channels first."""

__all__ = ["numbered", "stored"]

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.data.memory import fits_in_memory
from vaekit.data.rows import Array, Converted, LazyRows, Rows, Subset, blocks
from vaekit.errors import RequestError


def stored(arrays: Mapping[str, Any]) -> tuple[dict[str, Rows], int | None]:
    r"""Check arrays and bring them to one stored type, channels first; return them with their number of levels.

    What is in memory is converted there. Lazy rows, and memory maps that do not fit in memory, are checked in one
    pass and converted as they are read.

    Arguments:
        arrays: Arrays of shape `(n, ...)`, or lazy rows, under the names to call them by in errors.

    Raises:
        RequestError: If one is empty, has fewer than two axes, is not made of numbers, or holds NaN, infinity or a
            number that float32 cannot hold.

    Example:
        >>> arrays, levels = stored({"x": np.zeros((5, 8, 8), bool)})
        >>> arrays["x"].shape, arrays["x"].dtype, levels
        ((5, 1, 8, 8), dtype('uint8'), 2)
    """
    checked = {name: _checked(name, x) for name, x in arrays.items()}
    if any(x.dtype not in (np.uint8, np.bool_) for x in checked.values()):
        for name, x in checked.items():
            _check_reals(name, x)
        return {name: _converted(x, _reals) for name, x in checked.items()}, None
    levels = 2 if all(_holds_bits(name, x) for name, x in checked.items()) else 256
    return {name: _converted(x, _bytes) for name, x in checked.items()}, levels


def _converted(x: Rows, convert: Callable[[Array], Array]) -> Rows:
    return Converted(x, convert) if isinstance(x, LazyRows) else convert(np.asarray(x))


def _checked(name: str, x: Any) -> Rows:
    if isinstance(x, np.memmap) and not fits_in_memory(x.nbytes):
        x = Subset(x, np.arange(len(x)))
    array: Rows = x if isinstance(x, LazyRows) else np.asarray(x)
    if array.dtype.kind not in "biuf":
        raise RequestError(
            f"{name} has dtype {array.dtype}; expected bool, integers or floats: convert it, as "
            f"{name}.astype('float32'), or give every example one shape"
        )
    if array.ndim < 2:
        raise RequestError(
            f"{name} has shape {array.shape}; expected one example a row, (n, ...): "
            f"reshape it, as {name}[:, None] for one number an example"
        )
    if 0 in array.shape:
        raise RequestError(
            f"{name} has shape {array.shape} and is empty; expected at least one example: check the source"
        )
    return array


def _channels_first(x: Array) -> Array:
    last = x.ndim == 4 and x.shape[1] not in (1, 3, 4) and x.shape[3] in (1, 3, 4)
    return x.transpose(0, 3, 1, 2) if last else x


def _bytes(x: Array) -> Array:
    return np.ascontiguousarray(x[:, None] if x.ndim == 3 else _channels_first(x), dtype=np.uint8)


def _reals(x: Array) -> Array:
    return np.ascontiguousarray(_channels_first(x), dtype=np.float32)


def _holds_bits(name: str, x: Rows) -> bool:
    return x.dtype == np.bool_ or all(int(block.max()) <= 1 for _, block in blocks(x, f"Checking {name}"))


def _check_reals(name: str, x: Rows) -> None:
    """Raise a `RequestError` if there are values that float32 does not have."""
    if x.dtype.kind != "f":
        return
    bad, first, large = 0, None, None
    for start, block in blocks(x, f"Checking {name}"):
        finite = np.isfinite(block)
        if not finite.all():
            bad += block.size - int(np.count_nonzero(finite))
            first = first or _first(start, block, ~finite)
        if large is None and x.dtype.itemsize > 4:
            with np.errstate(over="ignore"):
                over = finite & ~np.isfinite(block.astype(np.float32))
            large = _first(start, block, over) if over.any() else None
    if first:
        raise RequestError(
            f"{name} holds {bad:,} of {math.prod(x.shape):,} values that are NaN or infinite, the first {first}; "
            "expected finite numbers: drop those rows or fill them in"
        )
    if large:
        raise RequestError(
            f"{name} holds {large}; expected magnitudes below 3.4e38, the most that float32 holds: rescale the data"
        )


def _first(start: int, block: Array, wanted: NDArray[np.bool_]) -> str:
    """The first wanted value of a block and where it stands in the whole."""
    row, *rest = (int(i) for i in np.unravel_index(int(np.argmax(wanted)), block.shape))
    return f"{block[(row, *rest)]} at {(start + row, *rest)}"


def numbered(
    labels: Mapping[str, Any],
) -> tuple[dict[str, NDArray[np.int64] | None], tuple[str, ...] | None]:
    r"""Turn labels into class numbers; return them with the names of the classes, if the labels are names.

    Arguments:
        labels: Labels of shape `(n,)`, or None, under the names to call them by in errors.

    Raises:
        RequestError: If labels are neither whole numbers nor strings.

    Example:
        >>> numbered({"x": ["b", "a", "b"]})
        ({'x': array([1, 0, 1])}, ('a', 'b'))
    """
    arrays = {name: None if y is None else np.asarray(y) for name, y in labels.items()}
    given = [y for y in arrays.values() if y is not None]
    if given and all(y.dtype.kind == "U" for y in given):
        names: Sequence[str] = sorted({str(word) for y in given for word in y.ravel()})
        coded = {n: None if y is None else np.searchsorted(np.asarray(names), y) for n, y in arrays.items()}
        return {n: None if y is None else y.astype(np.int64) for n, y in coded.items()}, tuple(names)
    for name, y in arrays.items():
        whole = (
            y is None
            or y.dtype.kind in "biu"
            or (y.dtype.kind == "f" and bool((np.isfinite(y) & (np.floor(y) == y)).all()))
        )
        if not whole:
            raise RequestError(
                f"the labels of {name} are not class numbers or names; expected integers or strings, "
                "one for each example: bin real targets first"
            )
    return {n: None if y is None else y.astype(np.int64) for n, y in arrays.items()}, None
