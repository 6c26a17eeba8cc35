r"""A folder of images: any format that Pillow reads, any sizes, grey or colour, with or without classes and splits."""

__all__ = ["load_images"]

import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from vaekit.data.dataset import Dataset, assemble
from vaekit.errors import RequestError, nearest

T = TypeVar("T")
R = TypeVar("R")

_SPLITS = {"train": ("train",), "validation": ("validation", "valid", "val"), "test": ("test",)}
_GREY = frozenset({"1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"})
# These hand the file to another program, or Pillow names them without being able to read them.
_REFUSED = frozenset({"EPS", "WMF", "MPEG", "HDF5", "GRIB", "BUFR"})
_PROGRESS_FROM = 2000
_ORIENTATION = 0x0112


@dataclass(frozen=True)
class _File:
    """An image file, and where it stands."""

    path: Path
    split: str
    label: str | None


@dataclass(frozen=True)
class _Header:
    """What can be told of an image before it is decoded: (width, height) once upright and cropped, and its colour."""

    size: tuple[int, int]
    grey: bool


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
        RequestError: If the folder holds no image that can be read, an option is not understood, or the images would
            not fit in memory.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for level in range(20):
        ...     Image.new("L", (32, 24), level).save(folder / f"{level}.png")
        >>> data = load_images(folder)
        >>> data.shape, len(data.train), data.note.split(";")[0]
        ((1, 24, 32), 16, '20 images')
    """
    root = Path(path)
    asked = _parse_size(size)
    if crop is not None and (not isinstance(crop, int) or crop < 1):
        raise RequestError(f"crop is {crop!r}; expected the side of a square in pixels, from 1 up: pass crop=140")
    if colour not in ("auto", "grey", "rgb"):
        raise RequestError(
            f"colour is {colour!r}; expected auto, grey or rgb.{nearest(colour, ['auto', 'grey', 'rgb'])}"
        )
    Image.init()
    formats = [name for name in Image.OPEN if name not in _REFUSED]
    endings = {end for end, name in Image.registered_extensions().items() if name in formats}
    found = _find(root, endings)
    if not found:
        raise RequestError(
            f"the folder {root} holds no file that ends as an image does, such as .png or .jpg; "
            "expected a folder of images: check the path"
        )

    with warnings.catch_warnings():
        # Pillow warns of every odd file by itself; here a file is either read or counted as skipped.
        warnings.simplefilter("ignore")
        headers = _map(partial(_header, crop=crop, formats=formats), [file.path for file in found], "Looking at images")
        opened = [(file, header) for file, header in zip(found, headers, strict=True) if header]
        width, height = asked or _common([header.size for _, header in opened])
        grey = colour == "grey" or (colour == "auto" and all(header.grey for _, header in opened))
        x = _allocate(len(opened), 1 if grey else 3, height, width)
        read = partial(_decode, size=(width, height), crop=crop, grey=grey, formats=formats)
        paths = [file.path for file, _ in opened]
        kept: list[_File] = []
        for row, pixels in enumerate(_each(read, paths, "Reading images")):
            if pixels is not None:
                x[len(kept)] = pixels
                kept.append(opened[row][0])
    note = _report(root, found, kept)
    parts = _parts(x[: len(kept)], kept)
    data = assemble(parts, name=root.resolve().name, seed=seed, validation=validation, test=test, note=note)
    # Dark images are not bits, even if none of their bytes is above 1.
    return replace(data, levels=256, suggested="gaussian")


def _parse_size(size: int | str | Sequence[int] | None) -> tuple[int, int] | None:
    """Return (width, height), as Pillow has it, of a size given height first."""
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
    paths = []
    for folder, below, names in os.walk(root):
        below[:] = [name for name in below if not name.startswith(".")]
        paths += [Path(folder, name) for name in names if Path(name).suffix.lower() in endings and name[0] != "."]
    places = sorted((path.relative_to(root).parts, path) for path in paths)
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


def _header(path: Path, crop: int | None, formats: list[str]) -> _Header | None:
    """Look at an image without decoding it; None if it cannot be read."""
    try:
        with Image.open(path, formats=formats) as image:
            width, height = image.size
            if Image.MAX_IMAGE_PIXELS is not None and width * height > Image.MAX_IMAGE_PIXELS:
                return None
            # Only where it is at hand: Pillow would decode a whole PNG to look for it.
            if "exif" in image.info and image.getexif().get(_ORIENTATION, 1) >= 5:
                width, height = height, width
            if crop is not None:
                width = height = min(crop, width, height)
            return _Header((width, height), image.mode in _GREY)
    except Exception:  # what damaged files raise is not only OSError, and differs between formats and versions
        return None


def _decode(
    path: Path, size: tuple[int, int], crop: int | None, grey: bool, formats: list[str]
) -> NDArray[np.uint8] | None:
    """Decode an image to `(C, H, W)`; None if it cannot be read."""
    try:
        with Image.open(path, formats=formats) as opened:
            if crop is None:
                # A JPEG can be decoded at a half, quarter or eighth of its size: still twice what is wanted.
                opened.draft(opened.mode, (2 * max(size), 2 * max(size)))
            opened.load()
            image = _eight_bits(_upright(opened), grey)
            if crop is not None:
                side = min(crop, *image.size)
                left, top = (image.width - side) // 2, (image.height - side) // 2
                image = image.crop((left, top, left + side, top + side))
            if image.size != size:
                image = ImageOps.fit(image, size, Image.Resampling.LANCZOS)
            pixels = np.asarray(image)
            return pixels[None] if grey else np.moveaxis(pixels, 2, 0)
    except Exception:  # as above
        return None


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # the pixels are good, only the note on how the camera was held is not
        return image


def _eight_bits(image: Image.Image, grey: bool) -> Image.Image:
    """Bring any mode to L or RGB, with transparency laid on white."""
    if image.mode.startswith(("I", "F")):
        image = Image.fromarray(_bytes(np.asarray(image)))
    elif image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        colours = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), colours)
    return image.convert("L" if grey else "RGB")


def _bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale grey of more than 8 bits to bytes: floats from [0, 1] if they fit it, integers from 16 bits."""
    low, high = float(values.min()), float(values.max())
    top = (1.0 if high <= 1 else 255.0) if values.dtype.kind == "f" else 65535.0
    if not (low >= 0 and high <= top):
        raise ValueError(f"grey values from {low} to {high} have no known scale")
    return np.rint(values.astype(np.float64) * (255 / top)).astype(np.uint8)


def _common(sizes: list[tuple[int, int]]) -> tuple[int, int]:
    return sizes[0] if len(set(sizes)) == 1 else (64, 64)


def _allocate(n: int, channels: int, height: int, width: int) -> NDArray[np.uint8]:
    needed = n * channels * height * width
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not every system says
        memory = 2**63
    if needed > memory // 2:
        raise RequestError(
            f"{n:,} images of {height}x{width} need {needed / 2**30:.1f} GiB; expected at most half of the "
            f"{memory / 2**30:.1f} GiB of memory: pass a smaller size, as size=64"
        )
    return np.empty((n, channels, height, width), np.uint8)


def _parts(x: NDArray[np.uint8], files: list[_File]) -> dict[str, tuple[Any, Any]]:
    """Cut what was read into splits, with the names of the classes as labels if all images have one."""
    classes = {file.label for file in files}
    labelled = None not in classes and len(classes) > 1
    parts: dict[str, tuple[Any, Any]] = {}
    for split in _SPLITS:
        rows = [row for row, file in enumerate(files) if file.split == split]
        if rows:
            # A slice where it can be, so that the images are not in memory twice.
            block = slice(rows[0], rows[-1] + 1) if rows[-1] - rows[0] + 1 == len(rows) else rows
            parts[split] = (x[block], np.array([files[row].label for row in rows]) if labelled else None)
    return parts


def _report(root: Path, found: list[_File], kept: list[_File]) -> str:
    """Say, and warn once, what was skipped; refuse to go on with nothing."""
    readable = {file.path for file in kept}
    skipped = [file.path for file in found if file.path not in readable]
    if not any(file.split == "train" for file in kept):
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


def _map(function: Callable[[T], R], items: Sequence[T], text: str) -> list[R]:
    return list(_each(function, items, text))


def _each(function: Callable[[T], R], items: Sequence[T], text: str) -> Iterable[R]:
    """Apply a function in threads, in order, a bounded way ahead; with a progress bar if it will take a while."""
    with ThreadPoolExecutor(min(32, os.cpu_count() or 1)) as pool:
        chunks = (items[start : start + 256] for start in range(0, len(items), 256))
        results = (result for chunk in chunks for result in pool.map(function, chunk))
        if len(items) <= _PROGRESS_FROM:
            yield from results
            return
        from rich.console import Console
        from rich.progress import track

        console = Console(stderr=True)
        quiet = not console.is_terminal
        yield from track(results, text, total=len(items), console=console, transient=True, disable=quiet)
