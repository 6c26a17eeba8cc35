r"""Images decoded once to a file, for folders that do not fit in memory."""

__all__ = ["DecodedImages", "cache_folder"]

import hashlib
import json
import math
import os
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image

from vaekit.data.memory import fits_in_memory
from vaekit.data.npy import FileRows
from vaekit.data.rows import Rows
from vaekit.errors import RequestError
from vaekit.storage import is_litter, replace_file, write_json

_FORMAT = 1
_ABANDONED = 3600.0  # seconds since a file that is being written was last written to


def cache_folder() -> Path:
    r"""Return the folder for files that can be made again: `VAEKIT_CACHE`, else `XDG_CACHE_HOME`'s or `~/.cache`'s.

    Example:
        >>> cache_folder().name
        'vaekit'
    """
    own, general = os.environ.get("VAEKIT_CACHE"), os.environ.get("XDG_CACHE_HOME")
    return Path(own) if own else Path(general or "~/.cache").expanduser() / "vaekit"


class DecodedImages:
    r"""The pixels of a folder's images as bytes in one file, and beside it a note which of them could be read.

    Arguments:
        root: The folder.
        paths: Its image files.
        options: How they are decoded; with the names, sizes and times of the files it says which file is theirs.
    """

    def __init__(self, root: Path, paths: Sequence[Path], options: Mapping[str, Any]) -> None:
        self.root, self.count = root, len(paths)
        digest = hashlib.sha256(json.dumps([_FORMAT, PIL.__version__, Image.MAX_IMAGE_PIXELS, options]).encode())
        for path in paths:
            digest.update(_state(path).encode(errors="surrogateescape"))
        self.pixels = cache_folder() / f"images-{digest.hexdigest()[:32]}.bytes"
        self.notes = self.pixels.with_suffix(".json")

    def find(self) -> tuple[Rows, list[int]] | None:
        """Return the images, shape `(n, C, H, W)`, and the numbers of their files; None if there are no whole ones."""
        try:
            notes = json.loads(self.notes.read_text())  # written last
            rows = FileRows(self.pixels, 0, tuple(notes["shape"]), np.dtype(np.uint8))
            skipped = set(notes["skipped"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        kept = [row for row in range(self.count) if row not in skipped]
        return (np.asarray(rows) if fits_in_memory(rows.nbytes) else rows), kept

    def write(self, shape: tuple[int, ...], images: Iterable[tuple[int, NDArray[np.uint8]]]) -> tuple[Rows, list[int]]:
        """Write images, each given with the number of its file, and return what `find` does.

        Arguments:
            shape: `(n, C, H, W)` for at most n images.
            images: The images.

        Raises:
            RequestError: If there is no room for them.
        """
        folder, needed = self.pixels.parent, math.prod(shape)
        what = f"{shape[0]:,} images of {shape[2]}x{shape[3]} take {needed / 2**30:,.1f} GiB"
        kept: list[int] = []

        def fill(path: Path) -> None:
            with open(path, "wb") as file:
                for row, pixels in images:
                    file.write(np.ascontiguousarray(pixels).data)
                    kept.append(row)

        try:
            folder.mkdir(parents=True, exist_ok=True)
            _sweep(folder)
            if shutil.disk_usage(folder).free < needed:
                raise OSError("no space left on the disk")
            replace_file(self.pixels, fill, durable=False)
            skipped = sorted(set(range(self.count)) - set(kept))
            write_json(self.notes, {"folder": str(self.root), "shape": [len(kept), *shape[1:]], "skipped": skipped})
        except OSError as error:
            raise RequestError(
                f"{what}, which neither memory has room for nor {folder} ({error.strerror or error}): "
                "pass a smaller size, as size=64, or set VAEKIT_CACHE to a folder with room"
            ) from None
        return FileRows(self.pixels, 0, (len(kept), *shape[1:]), np.dtype(np.uint8)), kept


def _state(path: Path) -> str:
    """What tells a file from others, and from itself once it is changed."""
    try:
        status = path.stat()
    except OSError:  # a link that leads nowhere
        return f"{path.absolute()}\n"
    return f"{path.absolute()}\0{status.st_size} {status.st_mtime_ns}\n"


def _sweep(folder: Path) -> None:
    """Remove what killed processes left, but not what another is writing."""
    for path in folder.iterdir():
        if is_litter(path) and time.time() - path.stat().st_mtime > _ABANDONED:
            path.unlink(missing_ok=True)
