r"""A folder of images: any format that Pillow reads, any sizes, grey or colour, with or without classes and splits."""

__all__ = ["holds_images", "load_images", "parse_colour", "parse_crop", "parse_size", "read_images", "say_skipped"]

import math
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from vaekit.data.assembly import assemble
from vaekit.data.dataset import Dataset
from vaekit.data.decoded import DecodedImages
from vaekit.data.folders import any_below, files_below
from vaekit.data.memory import fits_in_memory
from vaekit.data.pixels import decode, endings, formats, header
from vaekit.data.progress import tracked
from vaekit.data.rows import Rows, take
from vaekit.errors import RequestError, nearest

T = TypeVar("T")
R = TypeVar("R")

_SPLITS = {"train": ("train",), "validation": ("validation", "valid", "val"), "test": ("test",)}
_PROGRESS_FROM = 2000


@dataclass(frozen=True)
class _File:
    """An image file, and where it stands."""

    path: Path
    split: str
    label: str | None


def load_images(
    path: str | os.PathLike[str],
    *,
    size: int | str | Sequence[int] | None = None,
    crop: int | None = None,
    colour: str = "auto",
    seed: int = 0,
    validation: float = 0.1,
    test: float = 0.1,
) -> Dataset:
    r"""Load a folder of images as uint8 of shape `(n, C, H, W)`, 256 levels.

    Every image is turned upright as its camera says, laid on white where it is transparent, cropped about its
    centre to the wanted aspect ratio, and resized (Lanczos). Grey of 16 bits is scaled to 8, not clipped. The order
    is that of the sorted paths.

    Subfolders `train`, `validation` (or `valid`, `val`) and `test` are splits; a split that is missing is drawn from
    train, or all are drawn where there is no `train`. If every image is in a subfolder (of its split), and there
    are at least two, the subfolders are classes. Files that cannot be read, or have more pixels than Pillow's guard
    `PIL.Image.MAX_IMAGE_PIXELS`, are skipped, counted in the `note`, and warned of once.

    Images that do not fit in memory are decoded once, to a file of bytes in the cache folder (`VAEKIT_CACHE`, else
    `~/.cache/vaekit`), and read from there as needed; loading the same folder again, unchanged, finds the file. It
    can be deleted at any time.

    Arguments:
        path: The folder, searched in depth; hidden files and files without the ending of an image are passed over.
        size: Height and width: `64`, `"64x48"` (height first) or `(64, 48)`. By default, that of the images if they
            all have one (after `crop`), else 64.
        crop: Side of a square to cut from the centre first, in pixels; an image that is smaller gives its largest
            square. For aligned faces this keeps the face and drops the rest.
        colour: "grey" (C = 1), "rgb" (C = 3), or "auto": grey if all files store grey.
        seed: Seed of the split, where one is drawn.
        validation: Part or number of the images to validate on, where it is drawn.
        test: Part or number of the images to test on, where it is drawn.

    Raises:
        RequestError: If the folder holds no image that can be read, an option is not understood, or the images fit
            neither in memory nor on the disk.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> folder = Path(tempfile.mkdtemp())
        >>> for level in range(20):
        ...     Image.new("L", (32, 24), level).save(folder / f"{level}.png")
        >>> data = load_images(folder)
        >>> data.shape, len(data.train), data.note.split(";")[0]
        ((1, 24, 32), 16, '20 images')
    """
    root = Path(path)
    asked, crop, colour = parse_size(size), parse_crop(crop), parse_colour(colour)
    found = _find(root, endings())
    if not found:
        raise RequestError(
            f"the folder {root} holds no file that ends as an image does, such as .png or .jpg; "
            "expected a folder of images: check the path"
        )
    x, rows = read_images(root, [file.path for file in found], asked, crop, colour)
    kept = [found[row] for row in rows]
    trained = any(file.split == "train" for file in kept)
    note = say_skipped(root, [file.path for file in found], [file.path for file in kept] if trained else [])
    parts = _parts(x, kept)
    data = assemble(parts, name=root.resolve().name, seed=seed, validation=validation, test=test, note=note)
    # Dark images are not bits, even if none of their bytes is above 1.
    return replace(data, levels=256, suggested="gaussian")


def holds_images(folder: Path) -> bool:
    r"""Whether there is an image below a folder, as far as names tell."""
    return any_below(folder, endings())


def read_images(
    root: Path, paths: Sequence[Path], asked: tuple[int, int] | None, crop: int | None, colour: str
) -> tuple[Rows, list[int]]:
    r"""Return the images that can be read, and which files they are: in memory, or in a file where they do not fit.

    Arguments:
        root: The folder they are in.
        paths: The files.
        asked: Width and height; None for that of the images if they all have one, else 64.
        crop: Side of a square to cut from the centre first.
        colour: "grey", "rgb" or "auto".

    Returns:
        Rows of shape `(n, C, H, W)`, uint8, and the number of the file that each is of.

    Raises:
        RequestError: If they fit neither in memory nor on the disk.
    """
    cache = DecodedImages(root, list(paths), {"size": asked, "crop": crop, "colour": colour})
    if cached := cache.find():
        return cached
    with warnings.catch_warnings():
        # Pillow warns of every odd file by itself; here a file is either read or counted as skipped.
        warnings.simplefilter("ignore")
        known = formats()
        look = partial(header, crop=crop, formats=known)
        headers = {row: seen for row, seen in enumerate(_each(look, paths, "Looking at images")) if seen}
        size = asked or _common([seen.size for seen in headers.values()])
        grey = colour == "grey" or (colour == "auto" and all(seen.grey for seen in headers.values()))
        read = partial(decode, size=size, crop=crop, grey=grey, formats=known)
        decoded = _each(read, [paths[row] for row in headers], "Reading images")
        images = ((row, pixels) for row, pixels in zip(headers, decoded, strict=True) if pixels is not None)
        shape = (len(headers), 1 if grey else 3, size[1], size[0])
        if fits_in_memory(math.prod(shape)):
            x = np.empty(shape, np.uint8)
            rows: list[int] = []
            for row, pixels in images:
                x[len(rows)] = pixels
                rows.append(row)
            return x[: len(rows)], rows
        written = cache.write(shape, images)
    warnings.warn(
        f"{root}: {shape[0]:,} images of {size[1]}x{size[0]} do not fit in memory; they were decoded once, to "
        f"{cache.pixels}, and are read from there: it can be deleted when they are no longer used",
        stacklevel=3,
    )
    return written


def parse_crop(crop: Any) -> int | None:
    r"""Return the side of a square in pixels, or None; raise a `RequestError` if it is neither."""
    if crop is None or (isinstance(crop, int) and not isinstance(crop, bool) and crop >= 1):
        return crop
    raise RequestError(f"crop is {crop!r}; expected the side of a square in pixels, from 1 up: pass crop=140")


def parse_colour(colour: Any, known: Sequence[str] = ("auto", "grey", "rgb")) -> str:
    r"""Return a colour that is known; raise a `RequestError` if it is not."""
    if colour in known:
        return str(colour)
    raise RequestError(
        f"colour is {colour!r}; expected {', '.join(known[:-1])} or {known[-1]}.{nearest(str(colour), known)}"
    )


def parse_size(size: int | str | Sequence[int] | None) -> tuple[int, int] | None:
    r"""Return (width, height), as Pillow has it, of a size given height first; raise a `RequestError` if it is none."""
    if size is None:
        return None
    words: Sequence[Any] = (size,) if isinstance(size, int) else size
    if isinstance(size, str):
        words = size.lower().split("x")
    try:
        sides = [int(word) for word in words]
        if len(sides) in (1, 2) and min(sides) >= 1 and not any(isinstance(word, (bool, float)) for word in words):
            return sides[-1], sides[0]
    except (TypeError, ValueError):
        pass
    raise RequestError(f'size is {size!r}; expected pixels, as 64, or height by width, as "64x48": pass size=64')


def _find(root: Path, endings: set[str]) -> list[_File]:
    """List the image files below a folder, in order, with their split and class."""
    places = [(path.relative_to(root).parts, path) for path in files_below(root, endings)]
    # A folder that holds nothing but one folder is not a class: look inside.
    while places and len({parts[0] for parts, _ in places}) == 1 and len(places[0][0]) > 1:
        places = [(parts[1:], path) for parts, path in places]
    tops = {parts[0].lower() for parts, _ in places if len(parts) > 1}
    splits = {alias: split for split, aliases in _SPLITS.items() for alias in aliases if alias in tops}
    if len(set(splits.values())) < 2 or "train" not in splits:
        return [_File(path, "train", parts[0] if len(parts) > 1 else None) for parts, path in places]
    return [
        _File(path, splits[parts[0].lower()], parts[1] if len(parts) > 2 else None)
        for parts, path in places
        if len(parts) > 1 and parts[0].lower() in splits
    ]


def _common(sizes: list[tuple[int, int]]) -> tuple[int, int]:
    return sizes[0] if len(set(sizes)) == 1 else (64, 64)


def _parts(x: Rows, files: list[_File]) -> dict[str, tuple[Any, Any]]:
    """Cut what was read into splits, with the names of the classes as labels if all images have one."""
    classes = {file.label for file in files}
    labelled = None not in classes and len(classes) > 1
    parts: dict[str, tuple[Any, Any]] = {}
    for split in _SPLITS:
        rows = [row for row, file in enumerate(files) if file.split == split]
        if rows:
            # A slice where it can be, so that the images are not in memory twice.
            together = rows[-1] - rows[0] + 1 == len(rows)
            part = x[rows[0] : rows[-1] + 1] if together else take(x, rows)
            parts[split] = (part, np.array([files[row].label for row in rows]) if labelled else None)
    return parts


def say_skipped(root: Path, found: Sequence[Path], kept: Sequence[Path]) -> str:
    r"""Return how many images there are; warn once of those that were skipped, and refuse to go on with nothing.

    Arguments:
        root: The folder they are in.
        found: The files.
        kept: Those of them that could be read.

    Raises:
        RequestError: If none could.
    """
    readable = set(kept)
    skipped = [path for path in found if path not in readable]
    if not kept:
        raise RequestError(
            f"the folder {root} holds no readable image to train on: {len(skipped):,} of {len(found):,} image files "
            f"are damaged or too large, such as {skipped[0].name}; expected at least one: check the files"
        )
    if not skipped:
        return f"{len(kept):,} images"
    note = f"{len(kept):,} images, {len(skipped):,} skipped because damaged or too large"
    named = ", ".join(path.name for path in skipped[:3])
    warnings.warn(f"{root}: {note}: {named}{', …' if len(skipped) > 3 else ''}", stacklevel=3)
    return note


def _each(function: Callable[[T], R], items: Sequence[T], text: str) -> Iterable[R]:
    """Apply a function in threads, in order, a bounded way ahead; with a progress bar if it will take a while."""
    with ThreadPoolExecutor(min(32, os.cpu_count() or 1)) as pool:
        chunks = (items[start : start + 256] for start in range(0, len(items), 256))
        results = (result for chunk in chunks for result in pool.map(function, chunk))
        yield from tracked(results, text if len(items) > _PROGRESS_FROM else "", len(items))
