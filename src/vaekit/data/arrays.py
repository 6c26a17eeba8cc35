r"""Data in NumPy files: `.npy` with one array, `.npz` with one array or with splits."""

__all__ = ["load_file"]

import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vaekit.data.dataset import Dataset, assemble
from vaekit.errors import RequestError, nearest

_SPLITS = {"train": ("train",), "validation": ("validation", "valid", "val"), "test": ("test",)}
_LABELS = ("y", "labels")


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
    `train_labels`. Splits are used as they are; one that is missing is drawn from train. What becomes of the values
    is said at `vaekit.data.from_arrays`.

    Arguments:
        path: The file.
        key: The array of an `.npz` file to take the examples from.
        seed: Seed of the split, where one is drawn.
        validation: Part or number of the examples to validate on, where it is drawn.
        test: Part or number of the examples to test on, where it is drawn.

    Raises:
        RequestError: If the file is missing, damaged, needs unpickling or does not say which array is meant, and as
            `vaekit.data.from_arrays`.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "points.npy"
        >>> np.save(path, np.linspace(0, 1, 60).reshape(20, 3))
        >>> load_file(path)
        <Dataset 'points': 16 train, 2 validation and 2 test examples of shape (3,), real numbers>
    """
    path = Path(path)
    arrays = _read(path)
    try:
        parts = _parts(arrays, key)
        return assemble(parts, name=path.stem, seed=seed, validation=validation, test=test)
    except RequestError as error:
        raise RequestError(f"{path}: {error}") from error


def _read(path: Path) -> dict[str, Any]:
    """Return the arrays of a file by name; the one of a `.npy` file is called x."""
    if path.is_dir() or not path.exists():
        raise RequestError(f"{path} is not a file; expected a .npy or .npz file: check the path")
    try:
        content = np.load(path, allow_pickle=False)
        if isinstance(content, np.ndarray):
            return {"x": content}
        with content:
            return {name: content[name] for name in content.files}
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


def _parts(arrays: Mapping[str, Any], key: str | None) -> dict[str, tuple[Any, Any]]:
    """Find the splits, or else the one array of examples, with their labels."""
    listed = ", ".join(arrays) or "nothing"
    labels = _first(arrays, _LABELS)
    if key is not None:
        if key not in arrays:
            raise RequestError(f"key is {key!r}; expected one of {listed}: pass another key.{nearest(key, arrays)}")
        return {"train": (arrays[key], labels)}
    parts = {}
    for part, aliases in _SPLITS.items():
        x = _first(arrays, [name for a in aliases for name in (a, f"x_{a}", f"{a}_x")])
        y = _first(arrays, [name for a in aliases for name in (f"y_{a}", f"{a}_y", f"labels_{a}", f"{a}_labels")])
        if x is not None:
            parts[part] = (x, y)
    if "train" in parts:
        return parts
    if "x" in arrays:
        return {"train": (arrays["x"], labels)}
    others = [name for name in arrays if name not in _LABELS]
    if len(others) == 1:
        return {"train": (arrays[others[0]], labels)}
    raise RequestError(
        f"it holds {listed}; expected x, or train with validation and test, or a single array: "
        "say which array is meant with key=NAME"
    )


def _first(arrays: Mapping[str, Any], names: Any) -> Any:
    return next((arrays[name] for name in names if name in arrays), None)
