r"""Arrays in NumPy files that are read row by row, for those that do not fit in memory."""

__all__ = ["FileRows", "member_rows", "npy_rows"]

import math
import os
import struct
import threading
import weakref
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np

from vaekit.data.rows import Array, Indices, LazyRows
from vaekit.errors import RequestError

_AT_ONCE = 2**30
_LOCAL_HEADER = 30  # bytes of a zip member's header before its name


class FileRows(LazyRows):
    r"""The rows of an array in a file, in C order.

    The file is read, not mapped: a mapped one that is cut short would end the process without a word.

    Arguments:
        path: The file.
        offset: Where the array begins, in bytes.
        shape: Its shape, `(n, ...)`.
        dtype: Its type.

    Raises:
        ValueError: If the file is too short for the array.
        OSError: If it cannot be opened.
    """

    def __init__(self, path: str | os.PathLike[str], offset: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.path, self.offset, self.shape, self.dtype = Path(path), offset, shape, np.dtype(dtype)
        self._row = math.prod(shape[1:]) * self.dtype.itemsize
        self._file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        weakref.finalize(self, os.close, self._file)
        self._stamp = self._now()
        missing = offset + self.nbytes - self._stamp[0]
        if missing > 0:
            raise ValueError(f"the file ends {missing:,} bytes before its array of shape {shape} does")

    def read(self, rows: Indices) -> Array:
        """Return some rows, by number; neighbours in the file are read together, and all in the file's order.

        Raises:
            RequestError: If the file has changed since it was opened.
        """
        order = np.argsort(rows, kind="stable")
        wanted = rows[order]
        found = np.empty((len(rows), *self.shape[1:]), self.dtype)
        content = found.view(np.uint8).reshape(-1).data if found.size else memoryview(b"")
        cuts = np.flatnonzero(np.diff(wanted, prepend=-2, append=-2) != 1) if len(wanted) else np.empty(0, np.int64)
        bounds = cuts * self._row
        places = self.offset + wanted[cuts[:-1]] * self._row
        sizes = np.minimum(np.diff(bounds), _AT_ONCE)
        # For small rows this loop is what reading costs: nothing is in it that could be outside.
        file, read = self._file, _read_at
        runs = (bounds[:-1].tolist(), bounds[1:].tolist(), sizes.tolist(), places.tolist())
        for start, stop, size, place in zip(*runs, strict=True):
            piece = read(file, size, place)
            if len(piece) == stop - start:
                content[start:stop] = piece
            else:
                self._fill(content[start:stop], place, piece)
        if self._now() != self._stamp:
            self._fail()
        if (order[1:] > order[:-1]).all():
            return found
        result = np.empty_like(found)
        result[order] = found
        return result

    def _fill(self, content: memoryview, place: int, piece: bytes) -> None:
        """Read on where a read gave less than was asked for."""
        while piece:
            content[: len(piece)] = piece
            content, place = content[len(piece) :], place + len(piece)
            if not len(content):
                return
            piece = _read_at(self._file, min(len(content), _AT_ONCE), place)
        self._fail()

    def _now(self) -> tuple[int, int]:
        status = os.fstat(self._file)
        return status.st_size, status.st_mtime_ns

    def _fail(self) -> None:
        raise RequestError(
            f"{self.path} has changed since it was opened, and is too large to be held in memory; expected it to stay "
            "as it is while it is in use: leave it alone, and start again or go on with --resume"
        )


def npy_rows(path: str | os.PathLike[str]) -> FileRows:
    r"""Return the rows of a `.npy` file.

    Raises:
        ValueError: If it is no such file, is cut short, or its array is not in C order or needs unpickling.
        OSError: If it cannot be read.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "x.npy"
        >>> np.save(path, np.arange(6.0).reshape(3, 2))
        >>> npy_rows(path)[np.array([2, 0])].tolist()
        [[4.0, 5.0], [0.0, 1.0]]
    """
    with open(path, "rb") as file:
        shape, dtype = read_header(file)
        return FileRows(path, file.tell(), shape, dtype)


def member_rows(path: str | os.PathLike[str], name: str) -> FileRows | None:
    r"""Return the rows of an array in an `.npz` file, or None if it is compressed, which cannot be read in parts.

    Raises:
        ValueError, OSError, KeyError, zipfile.BadZipFile: As `npy_rows`, and if there is no array of that name.
    """
    with zipfile.ZipFile(path) as archive, open(path, "rb") as file:
        member = archive.getinfo(f"{name}.npy")
        if member.compress_type != zipfile.ZIP_STORED:
            return None
        # The directory at the end says where the member's own header is, and only that one how long it is.
        file.seek(member.header_offset)
        lengths = struct.unpack("<HH", file.read(_LOCAL_HEADER)[26:])
        file.seek(sum(lengths), os.SEEK_CUR)
        shape, dtype = read_header(file)
        return FileRows(path, file.tell(), shape, dtype)


def read_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    r"""Read the header of a `.npy` file, and return shape and type of the array that follows.

    Raises:
        ValueError: If there is none, or the array cannot be read by rows.
    """
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
    else:  # the third is for names of fields, which examples do not have
        raise ValueError(f"it has version {version} of the format, which is not for plain numbers")
    if dtype.hasobject:
        raise ValueError("it needs unpickling: allow_pickle is off")
    if fortran and len(shape) > 1:
        raise ValueError("it is in Fortran order, and too large to be turned: save it with numpy.ascontiguousarray")
    return shape, dtype


_turn = threading.Lock()


def _read_in_turn(file: int, size: int, place: int) -> bytes:
    with _turn:
        os.lseek(file, place, os.SEEK_SET)
        return os.read(file, size)


_read_at = getattr(os, "pread", _read_in_turn)  # Windows reads from where the file stands
