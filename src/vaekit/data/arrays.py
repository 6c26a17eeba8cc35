r"""Data in NumPy files: `.npy` with one array, `.npz` with one array or with splits."""

__all__ = ["load_file"]

import os
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import numpy as np

from vaekit.data.assembly import assemble
from vaekit.data.dataset import Dataset
from vaekit.data.memory import fits_in_memory
from vaekit.data.npy import member_rows, npy_rows
from vaekit.data.rows import Array, Rows
from vaekit.errors import RequestError, nearest

_SPLITS = {"train": ("train",), "validation": ("validation", "valid", "val"), "test": ("test",)}
_KNOWN = (("y", "labels"), ("c", "context"), ("sequence",))  # of the examples
_ZIP = b"PK"


def load_file(
    path: str | os.PathLike[str],
    *,
    key: str | None = None,
    seed: int = 0,
    validation: float = 0.1,
    test: float = 0.1,
) -> Dataset:
    r"""Load a `.npy` or `.npz` file. Nothing is unpickled.

    A `.npy` file holds the examples. An `.npz` file holds either the examples, as its only array or under `x`, with
    labels under `y` or `labels` if there are any; or splits, under `train`, `validation` (or `valid`, `val`) and
    `test`, each also as `x_train` or `train_x`, with labels as `y_train`, `train_y`, `labels_train` or
    `train_labels`. What a conditional model is told of the examples, if it is not the label, is found in the same way
    under `c` or `context`, and which sequence they belong to under `sequence`. Splits are used as they are; one that
    is missing is drawn from train, or cut from the ends of its sequences. What becomes of the values is said at
    `vaekit.data.from_arrays`.

    Where `y` has more than one axis it is no label: the file is one of inputs and outputs, as for a regression. The
    examples are then y, and x is what is known of them, their context; x of shape `(n,)` is taken as `(n, 1)`.

    A file that does not fit in memory is read as needed: its values are checked in one pass, and the file must stay
    as it is while it is in use. An `.npz` file of that size must not be compressed.

    Arguments:
        path: The file.
        key: The array of an `.npz` file to take the examples from.
        seed: Seed of the split, where one is drawn.
        validation: Part or number of the examples to validate on, where it is drawn.
        test: Part or number of the examples to test on, where it is drawn.

    Raises:
        RequestError: If the file is missing, damaged, needs unpickling or does not say which array is meant, or is
            too large for memory and cannot be read in parts; and as `vaekit.data.from_arrays`.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "points.npy"
        >>> np.save(path, np.linspace(0, 1, 60).reshape(20, 3))
        >>> load_file(path)
        <Dataset 'points': 16 train, 2 validation and 2 test examples of shape (3,), real numbers>
    """
    path = Path(path)
    if path.is_dir() or not path.exists():
        raise RequestError(f"{path} is not a file; expected a .npy or .npz file: check the path")
    with _reading(path):
        file = _Archive(path) if _is_archive(path) else _Single(path)
        found = _parts(file.names, key)
        parts: dict[str, tuple[Rows, Array | None]] = {}
        contexts = {}
        for part, (x, y, c, _) in found.items():
            rows = None if y is None else file.rows(y)
            if rows is not None and rows.ndim > 1:
                if c is not None:
                    raise RequestError(f"it holds outputs {y} and {c}; expected {x} alone beside them: leave {c} out")
                inputs = file.whole(x)
                parts[part], contexts[part] = (rows, None), inputs[:, None] if inputs.ndim == 1 else inputs
            else:
                parts[part] = file.rows(x), None if y is None else file.whole(y)
                if c is not None:
                    contexts[part] = file.whole(c)
        return assemble(
            parts,
            contexts=contexts,
            sequences={part: file.whole(s) for part, (_, _, _, s) in found.items() if s is not None},
            name=path.stem,
            seed=seed,
            validation=validation,
            test=test,
        )


class _Single:
    """A `.npy` file; its array is called x."""

    names = ("x",)

    def __init__(self, path: Path) -> None:
        self.path = path

    def rows(self, name: str) -> Rows:
        """The array, or if it does not fit in memory its rows."""
        return self.whole(name) if fits_in_memory(self.path.stat().st_size) else npy_rows(self.path)

    def whole(self, name: str) -> Array:
        """The array."""
        return cast(Array, np.load(self.path, allow_pickle=False))


class _Archive:
    """An `.npz` file, whose arrays are read one by one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with zipfile.ZipFile(path) as archive:
            sizes = {m.filename.removesuffix(".npy"): m.file_size for m in archive.infolist()}
        self.names = tuple(sizes)
        self.fits = fits_in_memory(sum(sizes.values()))

    def rows(self, name: str) -> Rows:
        """An array, or if they do not fit in memory its rows."""
        found = self.whole(name) if self.fits else member_rows(self.path, name)
        if found is None:
            raise RequestError(
                f"the arrays do not fit in memory, and {name} is compressed; expected one that can be read in parts: "
                "save it to an .npy file of its own with numpy.save, or all again with numpy.savez"
            )
        return found

    def whole(self, name: str) -> Array:
        """An array."""
        with np.load(self.path, allow_pickle=False) as content:
            return cast(Array, content[name])


def _is_archive(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(len(_ZIP)) == _ZIP


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Say in one line which file is wrong, and why."""
    try:
        yield
    except RequestError as error:
        raise error if str(path) in str(error) else RequestError(f"{path}: {error}") from error
    except ValueError as error:
        if "allow_pickle" in str(error) or "pickled" in str(error):
            raise RequestError(
                f"{path} needs unpickling, which can run any code, or is no NumPy file; expected plain arrays: "
                "save them with numpy.save or numpy.savez, and with a numeric dtype"
            ) from error
        raise _damaged(path, error) from error
    except (OSError, EOFError, SyntaxError, MemoryError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: BaseException) -> RequestError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return RequestError(f"{path} cannot be read ({reason}); expected a whole .npy or .npz file: save or copy it again")


_Names = tuple[str, str | None, str | None, str | None]  # of examples, labels, context and sequence


def _parts(names: Sequence[str], key: str | None) -> dict[str, _Names]:
    """Find the splits, or else the one array of examples, with what is known of them."""
    listed = ", ".join(names) or "nothing"
    known = [_first(names, words) for words in _KNOWN]
    if key is not None:
        if key not in names:
            raise RequestError(f"key is {key!r}; expected one of {listed}: pass another key.{nearest(key, names)}")
        return {"train": (key, known[0], known[1], known[2])}
    parts: dict[str, _Names] = {}
    for part, aliases in _SPLITS.items():
        x = _first(names, [name for a in aliases for name in (a, f"x_{a}", f"{a}_x")])
        if x is not None:
            y, c, s = (
                _first(names, [name for a in aliases for word in words for name in (f"{word}_{a}", f"{a}_{word}")])
                for words in _KNOWN
            )
            parts[part] = (x, y, c, s)
    if "train" in parts:
        return parts
    if "x" in names:
        return {"train": ("x", known[0], known[1], known[2])}
    others = [name for name in names if not any(name in words for words in _KNOWN)]
    if len(others) == 1:
        return {"train": (others[0], known[0], known[1], known[2])}
    raise RequestError(
        f"it holds {listed}; expected x, or train with validation and test, or a single array: "
        "say which array is meant with key=NAME"
    )


def _first(names: Sequence[str], wanted: Sequence[str]) -> str | None:
    return next((name for name in wanted if name in names), None)
