r"""A folder that is whole or absent, and says what made it."""

__all__ = ["MARK", "whole_folder"]

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vaekit.errors import RequestError
from vaekit.storage import check_writable, write_json

MARK = "export.json"  # written last


@contextmanager
def whole_folder(
    path: str | os.PathLike[str], record: Mapping[str, Any], *, force: bool = False
) -> Iterator[tuple[Path, dict[str, Any]]]:
    r"""Yield a folder beside `path` to write to, and move it there when the block ends without an error.

    The record, with what the block adds to it and the sizes and SHA-256 of the files, is its `export.json`. A reader,
    or a crash, sees the old folder, none, or the new one whole.

    Arguments:
        path: Where the folder is to be.
        record: What to say of it.
        force: Replace a folder that an export has made; no other is ever removed.

    Raises:
        RequestError: If there is something and `force` is not given or it is no export, or it cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as place:
        ...     with whole_folder(Path(place) / "out", {"kind": "note"}) as (folder, record):
        ...         _ = (folder / "a.txt").write_text("whole")
        ...     sorted(os.listdir(Path(place) / "out"))
        ['a.txt', 'export.json']
    """
    path = Path(os.path.realpath(path))  # a link stays, and what it points to is replaced
    _check_free(path, force)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    said = dict(record)
    try:
        temporary.mkdir(parents=True)
        yield temporary, said
        said["files"] = {
            str(file.relative_to(temporary)): {"bytes": file.stat().st_size, "sha256": _digest(file)}
            for file in sorted(temporary.rglob("*"))
            if file.is_file()
        }
        write_json(temporary / MARK, said)
        _check_free(path, force)  # nobody else wrote there meanwhile
        _put(temporary, path)
    except OSError as error:
        raise RequestError(f"{path} cannot be written ({error.strerror or error}): pass another --out") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _check_free(path: Path, force: bool) -> None:
    check_writable(path)
    if not path.exists() or not any(path.iterdir()):
        return
    if not (path / MARK).is_file():
        raise RequestError(f"{path} exists and is no export; nothing in it is touched: pass another --out")
    if not force:
        raise RequestError(f"{path} holds an export: pass another --out, or --force to write over it")


def _put(new: Path, path: Path) -> None:
    old = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    if path.exists():
        os.replace(path, old)
    try:
        os.replace(new, path)
    except OSError:
        if old.exists():
            os.replace(old, path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _digest(file: Path) -> str:
    with open(file, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
