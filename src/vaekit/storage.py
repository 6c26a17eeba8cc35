r"""Files that are whole or absent: each is written beside its place and moved there."""

__all__ = ["is_litter", "replace_file", "sweep"]

import os
import secrets
from collections.abc import Callable
from pathlib import Path

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
