r"""Files that are whole or absent: each is written beside its place and moved there. Where files can be written."""

__all__ = ["check_writable", "is_litter", "plain", "replace_file", "sole_writer", "sweep", "write_json"]

import contextlib
import json
import math
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vaekit.errors import RequestError

_TEMPORARY = ".tmp"


def replace_file(path: str | os.PathLike[str], write: Callable[[Path], object], *, durable: bool = True) -> Path:
    r"""Write a file so that a reader, or a crash, sees the old one whole or the new one whole; return its path.

    Missing folders are made.

    Arguments:
        path: Where the file is to be.
        write: Called with the path of a temporary file beside it.
        durable: Wait until the content is on the disk, so that a power cut leaves one of the two as well.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     replace_file(Path(folder) / "a" / "b.txt", lambda path: path.write_text("whole")).read_text()
        'whole'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not `tempfile`: its files are private to the user, and a report is meant to be read by others.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}{_TEMPORARY}")
    try:
        temporary.touch()
        mode = temporary.stat().st_mode  # what the user's umask gives; safetensors makes its files private
        write(temporary)
        if durable:
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
        temporary.chmod(mode)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


@contextlib.contextmanager
def sole_writer(directory: Path) -> Iterator[None]:
    r"""Make a directory this process's alone inside the block, where the system can: nothing is left in it.

    The claim ends with the process, however that ends.

    Raises:
        RequestError: If another process has it.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, sole_writer(Path(folder)):
        ...     os.listdir(folder)
        []
    """
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield
        return
    claim = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RequestError(
                f"another process is writing to {directory}; expected a directory of its own for each: wait for it, or "
                "pass another --out"
            ) from None
        except OSError:  # a file system without such claims
            pass
        yield
    finally:
        os.close(claim)


def write_json(path: str | os.PathLike[str], content: Mapping[str, Any]) -> Path:
    r"""Write a JSON file, atomically; numbers that are not finite become null."""
    text = json.dumps(plain(content), indent=2, allow_nan=False) + "\n"
    return replace_file(path, lambda temporary: temporary.write_text(text))


def plain(content: Any) -> Any:
    r"""Make of NumPy's numbers Python's, and of numbers that are not finite None, for which JSON has a word.

    Example:
        >>> plain({"x": (np.float32(0.5), float("nan"))})
        {'x': [0.5, None]}
    """
    if isinstance(content, Mapping):
        return {name: plain(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [plain(value) for value in content]
    content = content.item() if isinstance(content, np.generic) else content
    return None if isinstance(content, float) and not math.isfinite(content) else content


def check_writable(directory: Path) -> None:
    r"""Raise a `RequestError` if a directory could not be made or written to."""
    there = directory
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise RequestError(f"{there} is a file; expected a folder to write the run to: pass another --out")
    if not os.access(there, os.W_OK | os.X_OK):
        raise RequestError(f"{there} cannot be written to: pass another --out, or change its permissions")


def is_litter(path: Path) -> bool:
    r"""Whether a file is what `replace_file` leaves behind when the process is killed while it writes.

    Example:
        >>> is_litter(Path("run/.config.json.1234.tmp")), is_litter(Path("run/config.json"))
        (True, False)
    """
    return path.name.startswith(".") and path.name.endswith(_TEMPORARY)


def sweep(directory: Path) -> None:
    r"""Remove what killed processes left behind in a run directory."""
    for path in directory.rglob(f".*{_TEMPORARY}"):
        path.unlink(missing_ok=True)
