r"""Tables: `.csv`, `.tsv` and `.parquet` files, a row an example and a column a number."""

__all__ = ["ENDINGS", "load_table", "read_rows"]

import json
import math
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from vaekit.data.assembly import assemble
from vaekit.data.dataset import Dataset
from vaekit.data.memory import fits_in_memory
from vaekit.errors import RequestError, nearest

if TYPE_CHECKING:
    from pandas import DataFrame, Series

ENDINGS = (".csv", ".tsv", ".parquet")
_LISTED = 8  # columns that are named in an error or a note


def load_table(
    path: str | os.PathLike[str],
    *,
    label: str | None = None,
    context: str | Sequence[str] = (),
    columns: str | Sequence[str] = (),
    without: str | Sequence[str] = (),
    shape: Sequence[int] | None = None,
    missing: Literal["refuse", "drop"] = "refuse",
    separator: str | None = None,
    seed: int = 0,
    validation: float = 0.1,
    test: float = 0.1,
) -> Dataset:
    r"""Load a table: comma- or tab-separated values, or Parquet.

    The first row of a `.csv` or `.tsv` file names the columns, unless it is made of numbers other than 0, 1, 2, ...,
    which is what columns without names are called. Columns hold numbers, or true and false. Where all of them are 0
    or 1 they are bits, and where `shape` says that a row is an image, whole numbers from 0 to 255 are levels of grey;
    else they are real numbers.

    It takes pandas, and for Parquet pyarrow: `pip install "vaekit[tables]"`.

    Arguments:
        path: The file.
        label: The column of classes, numbers or words; it is no part of the examples.
        context: Columns of numbers that a conditional model is told, and that are no part of the examples either.
        columns: Which columns make an example; by default all others.
        without: Columns to leave out.
        shape: What one row is, such as 1, 28, 28 for an image of 784 columns.
        missing: refuse a table that lacks values, or drop the rows that do, and say how many.
        separator: Between the values of a row; by default a comma, in `.tsv` files a tab.
        seed: Seed of the split.
        validation: Part or number of the rows to validate on.
        test: Part or number of the rows to test on.

    Raises:
        RequestError: If the file cannot be read, is too large for memory, or lacks a column or values; if a column of
            the examples is made of words; or as `vaekit.data.from_arrays`.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "flowers.csv"
        >>> _ = path.write_text("length,width,kind\n" + "5.1,3.5,setosa\n7.0,3.2,versicolor\n" * 10)
        >>> data = load_table(path, label="kind")
        >>> data
        <Dataset 'flowers': 16 train, 2 validation and 2 test examples of shape (2,), real numbers>
        >>> data.label_names
        ('setosa', 'versicolor')
    """
    path = Path(path)
    if missing not in ("refuse", "drop"):
        raise RequestError(f"missing is {missing!r}; expected refuse or drop: pass drop to leave such rows out")
    frame = _read(path, separator)
    told, wanted, left = _names(context), _names(columns), _names(without)
    listed = [str(name) for name in frame.columns]
    for what, names in (("label", _names(label)), ("context", told), ("columns", wanted), ("without", left)):
        for name in names:
            if name not in listed:
                raise RequestError(
                    f"{what} names {name!r}; expected columns of {path}, which has {_few(listed)}."
                    f"{nearest(name, listed)}"
                )
    known = {*told, *_names(label), *left}
    used = wanted or [name for name in listed if name not in known]
    if both := [name for name in used if name in known]:
        raise RequestError(
            f"columns and label, context or without all name {_few(both)}; expected each column in one of them: "
            "leave it out of the others"
        )
    if not used:
        raise RequestError(f"no column of {path} is left to make an example of; expected at least one: name fewer")
    frame, dropped = _whole(path, frame, [*used, *told, *_names(label)], missing)
    x = _levels(np.stack([_numbers(path, frame[name], label) for name in used], 1), _shape(path, shape, len(used)))
    labels = None if label is None else _classes(frame[label])
    contexts = {"train": np.stack([_numbers(path, frame[name], label) for name in told], 1)} if told else {}
    note = f"columns {_few(used)}" + (f"; {dropped:,} rows that lack values were left out" if dropped else "")
    data = assemble(
        {"train": (x, labels)},
        contexts=contexts,
        name=path.stem,
        seed=seed,
        validation=validation,
        test=test,
        note=note,
    )
    return replace(data, columns=tuple(used)) if len(data.shape) == 1 else data


def read_rows(path: Path, columns: Sequence[str]) -> NDArray[np.float64]:
    r"""Return the numbers of some columns of a table, shape `(n, len(columns))`; others may be there too.

    Raises:
        RequestError: As `load_table`.
    """
    frame = _read(path, None)
    listed = list(frame.columns)
    if missing := [name for name in columns if name not in listed]:
        raise RequestError(f"{path} has the columns {_few(listed)}; expected {_few(missing)} among them: name them so")
    frame, _ = _whole(path, frame, columns, "refuse")
    return np.stack([_numbers(path, frame[name], None) for name in columns], 1)


def _read(path: Path, separator: str | None) -> "DataFrame":
    if not path.is_file():
        raise RequestError(f"{path} is not a file; expected a table, {', '.join(ENDINGS)}: check the path")
    try:
        import pandas
    except ImportError:
        raise RequestError(f'{path} is a table, which pandas reads: pip install "vaekit[tables]"') from None
    if not fits_in_memory(4 * path.stat().st_size):  # once it is numbers, and while it is read
        raise RequestError(
            f"{path} does not fit in memory; expected a smaller table: save its numbers with numpy.save, and pass the "
            ".npy file, which is read as needed"
        )
    try:
        if path.suffix.lower() == ".parquet":
            frame = pandas.read_parquet(path)
        else:
            separator = separator or ("\t" if path.suffix.lower() == ".tsv" else ",")
            frame = pandas.read_csv(path, sep=separator, header=None if _is_headless(path, separator) else "infer")
    except ImportError:
        raise RequestError(f'{path} is Parquet, which pyarrow reads: pip install "vaekit[tables]"') from None
    except (OSError, ValueError) as error:  # pandas' and pyarrow's errors of parsing are ValueErrors
        reason = " ".join(str(error).split())
        raise RequestError(
            f"{path} cannot be read ({reason}); expected a table with one row an example: check the file, and "
            "the separator"
        ) from error
    if frame.empty:
        raise RequestError(f"{path} has {len(frame)} rows and {len(frame.columns)} columns; expected at least one each")
    frame.columns = [str(name) for name in frame.columns]
    only = frame.columns[0]
    if (
        separator
        and len(frame.columns) == 1
        and (found := [mark for mark in ";\t|" if mark in f"{only}{frame[only].iloc[0]}"])
    ):
        raise RequestError(
            f"{path} has one column, {only!r}; expected {separator!r} between values: pass --data-options "
            f"'{json.dumps({'separator': found[0]})}'"
        )
    return frame


def _is_headless(path: Path, separator: str) -> bool:
    """Whether the first row is made of numbers and no row of names, as 0, 1, 2, ... of tables without names."""
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        cells = [cell.strip().strip('"') for cell in file.readline().strip().split(separator)]
    try:
        numbers = [float(cell) for cell in cells]
    except ValueError:
        return False
    return len(cells) < 2 or numbers != [*range(len(cells))]


def _whole(path: Path, frame: "DataFrame", names: Sequence[str], missing: str) -> "tuple[DataFrame, int]":
    """The columns that are wanted, of rows that lack none of their values; and how many rows lack one."""
    frame = frame[list(dict.fromkeys(names))]
    lacking = frame.isna()
    rows = lacking.any(axis=1)
    count = int(rows.sum())
    if count and missing == "refuse":
        worst = lacking.sum().sort_values(ascending=False)[:3]
        said = ", ".join(f"{number:,} of {name}" for name, number in worst.items() if number)
        raise RequestError(
            f"{path} lacks values in {count:,} of {len(frame):,} rows ({said}); expected all: fill them in, or pass "
            """--data-options '{"missing": "drop"}' to leave these rows out"""
        )
    return frame[~rows], count


def _numbers(path: Path, column: "Series[Any]", label: str | None) -> NDArray[np.float64]:
    if column.dtype.kind in "biuf":
        return cast(NDArray[np.float64], column.to_numpy(dtype=np.float64))
    shown = ", ".join(repr(str(value)) for value in column.drop_duplicates()[:3])
    name = json.dumps(str(column.name))
    hint = "" if label else f"--data-options '{{\"label\": {name}}}' if these are classes, or "
    raise RequestError(
        f"column {column.name} of {path} holds {shown}; expected numbers: pass {hint}"
        f"--data-options '{{\"without\": {name}}}' to leave it out"
    )


def _levels(x: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[Any]:
    """Numbers as stored: bits and, of images, levels of grey in bytes; else as they are."""
    most = 255 if len(shape) > 1 else 1
    whole = bool(((x >= 0) & (x <= most) & (x == np.floor(x))).all())
    return (x.astype(np.uint8) if whole else x).reshape(len(x), *shape)


def _classes(column: "Series[Any]") -> NDArray[Any]:
    """Class numbers, where they are 0, 1, 2, ...; else names."""
    if column.dtype.kind in "biu":
        numbers: NDArray[np.int64] = column.to_numpy(dtype=np.int64)
        if set(numbers.tolist()) == set(range(int(numbers.max(initial=-1)) + 1)):
            return numbers
    return cast(NDArray[np.str_], column.astype(str).to_numpy(dtype=str))


def _shape(path: Path, shape: Sequence[int] | None, columns: int) -> tuple[int, ...]:
    if shape is None:
        return (columns,)
    if not all(isinstance(size, int) and size > 0 for size in shape) or math.prod(shape) != columns:
        raise RequestError(
            f"shape is {list(shape)} and a row of {path} has {columns:,} columns; expected sizes whose product that "
            "is: pass [1, 28, 28] for 784, say"
        )
    return tuple(shape)


def _names(given: str | Sequence[str] | None) -> list[str]:
    """Names of columns, of one or of several."""
    return [] if given is None else [given] if isinstance(given, str) else [str(name) for name in given]


def _few(names: Sequence[Any]) -> str:
    shown = ", ".join(str(name) for name in names[:_LISTED])
    return shown if len(names) <= _LISTED else f"{shown} and {len(names) - _LISTED:,} more"
