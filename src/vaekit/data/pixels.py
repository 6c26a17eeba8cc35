r"""One image file: what can be told of it at a glance, and its pixels."""

__all__ = ["Header", "decode", "endings", "fitted", "formats", "header"]

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

_GREY = frozenset({"1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"})
# These hand the file to another program, or Pillow names them without being able to read them.
_REFUSED = frozenset({"EPS", "WMF", "MPEG", "HDF5", "GRIB", "BUFR"})
_ORIENTATION = 0x0112


@dataclass(frozen=True)
class Header:
    r"""What can be told of an image before it is decoded: (width, height) once upright and cropped, and its colour."""

    size: tuple[int, int]
    grey: bool


def formats() -> list[str]:
    r"""Return the names of the formats that are read."""
    Image.init()
    return [name for name in Image.OPEN if name not in _REFUSED]


def endings() -> set[str]:
    r"""Return the endings of files of these formats, with the dot, in lower case."""
    known = formats()
    return {end for end, name in Image.registered_extensions().items() if name in known}


def header(path: Path, crop: int | None, formats: list[str]) -> Header | None:
    r"""Look at an image without decoding it; None if it cannot be read."""
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
            return Header((width, height), image.mode in _GREY)
    except Exception:  # what damaged files raise is not only OSError, and differs between formats and versions
        return None


def decode(
    path: Path, size: tuple[int, int], crop: int | None, grey: bool, formats: list[str]
) -> NDArray[np.uint8] | None:
    r"""Decode an image to `(C, H, W)`; None if it cannot be read."""
    try:
        with Image.open(path, formats=formats) as opened:
            if crop is None:
                # A JPEG can be decoded at a half, quarter or eighth of its size: still twice what is wanted.
                opened.draft(opened.mode, (2 * max(size), 2 * max(size)))
            opened.load()
            return fitted(_eight_bits(_upright(opened), grey), size, crop, grey)
    except Exception:  # as above
        return None


def fitted(image: Image.Image, size: tuple[int, int], crop: int | None, grey: bool) -> NDArray[np.uint8]:
    r"""Cut a square from the centre of an image, resize it, and return it as `(C, H, W)`.

    Arguments:
        image: Of mode L where it is grey, and else RGB.
        size: Width and height.
        crop: Side of the square, or None.
        grey: Whether it is grey.
    """
    if crop is not None:
        side = min(crop, *image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side))
    if image.size != size:
        image = ImageOps.fit(image, size, Image.Resampling.LANCZOS)
    pixels = np.asarray(image)
    return pixels[None] if grey else np.moveaxis(pixels, 2, 0)


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
