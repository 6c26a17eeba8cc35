r"""From the arrays that users have to the arrays that are stored: checked, of one type, channels first."""

__all__ = ["numbered", "stored"]

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.errors import RequestError

Array = NDArray[Any]


def stored(arrays: Mapping[str, Any]) -> tuple[dict[str, Array], int | None]:
    r"""Check arrays and bring them to one stored type, channels first; return them with their number of levels.

    Arguments:
        arrays: Arrays of shape `(n, ...)`, under the names to call them by in errors.

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
        return {name: _reals(name, _channels_first(x)) for name, x in checked.items()}, None
    images = {name: x[:, None] if x.ndim == 3 else _channels_first(x) for name, x in checked.items()}
    result = {name: np.ascontiguousarray(x, dtype=np.uint8) for name, x in images.items()}
    return result, 2 if max(int(x.max()) for x in result.values()) <= 1 else 256


def _checked(name: str, x: Any) -> Array:
    array: Array = np.asarray(x)
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
    if array.size == 0:
        raise RequestError(
            f"{name} has shape {array.shape} and is empty; expected at least one example: check the source"
        )
    return array


def _channels_first(x: Array) -> Array:
    last = x.ndim == 4 and x.shape[1] not in (1, 3, 4) and x.shape[3] in (1, 3, 4)
    return x.transpose(0, 3, 1, 2) if last else x


def _reals(name: str, x: Array) -> Array:
    finite = np.isfinite(x)
    bad = x.size - int(np.count_nonzero(finite))
    if bad:
        first = tuple(int(i) for i in np.unravel_index(int(np.argmin(finite)), x.shape))
        raise RequestError(
            f"{name} holds {bad:,} of {x.size:,} values that are NaN or infinite, the first {x[first]} at {first}; "
            "expected finite numbers: drop those rows or fill them in"
        )
    with np.errstate(over="ignore"):
        narrow = np.ascontiguousarray(x, dtype=np.float32)
    finite = np.isfinite(narrow)
    if not finite.all():
        first = tuple(int(i) for i in np.unravel_index(int(np.argmin(finite)), x.shape))
        raise RequestError(
            f"{name} holds {x[first]} at {first}; expected magnitudes below 3.4e38, the most that float32 holds: "
            "rescale the data"
        )
    return narrow


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
