r"""Folders of files that are read one by one: those that are damaged are skipped, counted and warned of."""

__all__ = ["any_below", "files_below", "read_each"]

import os
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from vaekit.errors import RequestError

T = TypeVar("T")


def files_below(root: Path, endings: Collection[str]) -> list[Path]:
    r"""List the files below a folder that have one of some endings, sorted by path; what is hidden is passed over.

    Arguments:
        root: The folder, searched in depth.
        endings: With the dot, in lower case.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> for name in ("b.bvh", "a.BVH", ".c.bvh", "d.txt"):
        ...     (root / name).touch()
        >>> [path.name for path in files_below(root, {".bvh"})]
        ['a.BVH', 'b.bvh']
    """
    return sorted(_walk(root, endings), key=lambda path: path.relative_to(root).parts)


def any_below(root: Path, endings: Collection[str]) -> bool:
    r"""Whether `files_below` lists anything; the search ends with the first."""
    return next(_walk(root, endings), None) is not None


def _walk(root: Path, endings: Collection[str]) -> Iterator[Path]:
    for folder, below, names in os.walk(root):
        below[:] = [name for name in below if not name.startswith(".")]
        for name in names:
            if Path(name).suffix.lower() in endings and name[0] != ".":
                yield Path(folder, name)


def read_each(root: Path, paths: Sequence[Path], read: Callable[[Path], T], what: str) -> tuple[list[T], str]:
    r"""Read files; return what was read, and a note on how many there were and how many had to be skipped.

    Arguments:
        root: The folder or file that was asked for, to name in messages.
        paths: The files.
        read: Reads one; a `ValueError` or `OSError` says that it is damaged. A `RequestError` is passed on.
        what: What they are, in the plural.

    Raises:
        RequestError: If none can be read.
    """
    found: list[T] = []
    failed: list[tuple[Path, str]] = []
    for path in paths:
        try:
            found.append(read(path))
        except RequestError:
            raise
        except (ValueError, OSError, EOFError) as error:
            failed.append((path, " ".join(str(error).split()) or type(error).__name__))
    if not found:
        path, reason = failed[0]
        raise RequestError(
            f"{root} cannot be read ({reason}); expected a whole file: save or copy it again"
            if len(paths) == 1
            else f"the folder {root} holds none of its {len(paths):,} {what} whole, such as {path.name} ({reason}); "
            "expected at least one: check the files"
        )
    if not failed:
        return found, f"{len(found):,} {what}"
    note = f"{len(found):,} {what}, {len(failed):,} skipped because damaged"
    named = ", ".join(f"{path.name} ({reason})" for path, reason in failed[:3])
    warnings.warn(f"{root}: {note}: {named}{', …' if len(failed) > 3 else ''}", stacklevel=4)
    return found, note
