r"""Pairs of a pose and an image: what a scene looks like where the joints are so."""

__all__ = ["holds_pairs", "load_pairs"]

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.data.dataset import Dataset
from vaekit.data.folders import any_below, files_below
from vaekit.data.images import parse_colour, parse_crop, parse_size, read_images, say_skipped
from vaekit.data.pixels import endings
from vaekit.data.sequences import sequential
from vaekit.errors import RequestError

_NAMES = ("poses.npy", "poses.csv")


@dataclass(frozen=True, eq=False)
class _Part:
    """A folder that has poses and images, one pose for each image."""

    name: str
    images: list[Path]
    poses: NDArray[np.float32]


def load_pairs(
    path: str | os.PathLike[str],
    *,
    poses: str | None = None,
    size: int | str | Sequence[int] | None = None,
    crop: int | None = None,
    colour: str = "auto",
    validation: float = 0.1,
    test: float = 0.1,
) -> Dataset:
    r"""Load images with a pose for each: a folder of images and a file of poses.

    The folder holds `poses.npy`, numbers of shape `(n, ...)`, or `poses.csv`, one row for each image in the order of
    the sorted paths; or a row begins with the name of its image. A first row of a `.csv` that is not made of numbers
    is a heading. Where subfolders have poses of their own, each is a sequence. x are the images, uint8 of shape
    `(n, C, H, W)`, read as `vaekit.data.images.load_images` does, and the context is the pose, float32 of shape
    `(n, d)`, as it is stored. Sequences are cut in time: by default the first 80 % train, the next 10 % validate and
    the last 10 % test. Images that cannot be read are skipped with their poses, counted in the `note`, and warned of
    once.

    Arguments:
        path: The folder.
        poses: Name of the file of poses, if it is another.
        size: Height and width: `64`, `"64x48"` (height first) or `(64, 48)`. By default, that of the images if they
            all have one (after `crop`), else 64.
        crop: Side of a square to cut from the centre first, in pixels.
        colour: "grey" (C = 1), "rgb" (C = 3), or "auto": grey if all files store grey.
        validation: Part or number of the pairs of each sequence to validate on.
        test: Part or number of the pairs of each sequence to test on.

    Raises:
        RequestError: If there are no poses, not as many as images, or none that can be read.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> folder = Path(tempfile.mkdtemp())
        >>> for level in range(10):
        ...     Image.new("L", (8, 8), level).save(folder / f"{level}.png")
        >>> np.save(folder / "poses.npy", np.linspace(0, 1, 20).reshape(10, 2))
        >>> data = load_pairs(folder)
        >>> data.shape, data.train.context.shape, data.train.spans
        ((1, 8, 8), (8, 2), {0: slice(0, 8, None)})
    """
    root = Path(path)
    names = _NAMES if poses is None else (poses,)
    folders = sorted({file.parent for name in names for file in root.rglob(name)})
    if not folders:
        raise RequestError(
            f"the folder {root} holds no {' and no '.join(names)}; expected the poses of its images there: "
            "write them, or name their file with poses=FILE"
        )
    parts = [_part(folder, next(folder / name for name in names if (folder / name).is_file())) for folder in folders]
    files = [image for part in parts for image in part.images]
    asked, cut, tone = parse_size(size), parse_crop(crop), parse_colour(colour)
    x, rows = read_images(root, files, asked, cut, tone)
    note = say_skipped(root, files, [files[row] for row in rows])
    every = np.concatenate([part.poses for part in parts])[rows]
    owner = np.repeat(np.arange(len(parts)), [len(part.images) for part in parts])[rows]
    left = np.unique(owner).tolist()  # a folder may have lost all its images
    data = sequential(
        x,
        [every[owner == number] for number in left],
        [parts[number].name for number in left],
        name=root.resolve().name,
        note=f"{note} with poses",
        validation=validation,
        test=test,
    )
    # Dark images are not bits, even if none of their bytes is above 1.
    return replace(data, levels=256, suggested="gaussian")


def holds_pairs(folder: Path) -> bool:
    r"""Whether a folder, or one below it, holds images beside a file of poses of the usual name."""
    places = {file.parent for name in _NAMES for file in folder.rglob(name)}
    return any(any_below(place, endings()) for place in places)


def _part(folder: Path, file: Path) -> _Part:
    """Read the poses of a folder, and put them in the order of its images."""
    images = files_below(folder, endings())
    if not images:
        raise RequestError(f"{file} has poses, and {folder} no image; expected an image for each: check the path")
    if file.suffix.lower() == ".npy":
        try:
            poses = np.load(file, allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise RequestError(f"{file} cannot be read ({error}); expected a whole .npy file: save it again") from error
    else:
        images, poses = _table(file, images)
    if poses.dtype.kind not in "fiu" or poses.ndim < 1 or len(poses) != len(images):
        raise RequestError(
            f"{file} has poses of shape {poses.shape} and type {poses.dtype}, and there are {len(images)} images; "
            f"expected numbers of shape ({len(images)}, ...): give every image one row, in the order of the names"
        )
    return _Part(folder.name, images, poses.reshape(len(poses), -1).astype(np.float32))


def _table(file: Path, images: list[Path]) -> tuple[list[Path], NDArray[Any]]:
    """Read a table of poses, whose rows may begin with the name of their image."""
    with open(file, encoding="utf-8-sig", newline="") as opened:
        rows = [row for row in csv.reader(opened) if row]
    known = {name: image for image in images for name in (image.name, image.relative_to(file.parent).as_posix())}
    named = sum(row[0] in known for row in rows) > len(rows) / 2
    if rows and not _numbers(rows[0][named:]):
        rows = rows[1:]
    for row in rows:
        if len(row) != len(rows[0]) or not _numbers(row[named:]) or (named and row[0] not in known):
            raise RequestError(
                f"{file} has the row {','.join(row)[:60]!r}; expected {len(rows[0]) - named} numbers"
                f"{', after the name of an image that is there' if named else ''}: correct the row"
            )
    poses = np.array([[float(word) for word in row[named:]] for row in rows], np.float64)
    return ([known[row[0]] for row in rows] if named else images), poses


def _numbers(words: Sequence[str]) -> bool:
    try:
        return bool(words) and all(np.isfinite(float(word)) for word in words)
    except ValueError:
        return False
