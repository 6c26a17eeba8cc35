r"""Sprites: a white shape on black, from six known factors, rendered when asked for; and the published dSprites."""

__all__ = ["SPRITE_FACTORS", "PackedSprites", "Sprites", "holds_dsprites", "load_dsprites", "load_sprites", "render"]

import math
import os
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from vaekit.data.dataset import Dataset, Split
from vaekit.data.factors import FactorizedData, FactorRows, Factors, Integers, OnGrid
from vaekit.data.progress import tracked
from vaekit.data.rows import Subset
from vaekit.errors import RequestError

_SHAPES = ("square", "ellipse", "heart")

SPRITE_FACTORS = Factors(
    ("colour", "shape", "scale", "orientation", "position_x", "position_y"),
    (
        np.ones(1),
        np.arange(1.0, 4.0),
        np.linspace(0.5, 1, 6),
        np.linspace(0, 2 * math.pi, 40),
        np.linspace(0, 1, 32),
        np.linspace(0, 1, 32),
    ),
)

# Lengths in pixels at scale 1. They agree with the 320 frames in which the authors of dSprites show their data but
# for 48 of 1.3 million pixels.
_SQUARE = 9.6  # half of a side
_ELLIPSE = 12.77, 7.21  # half axes
_HEART = 9.6, 0.662, 1.4375  # half of the width, unit of the height, how far up it sits
_SIZE = 64  # the published size, in whose pixels all lengths are
_SIZES = (32, 64, 128)
_WINDOW = 28  # no shape reaches 14 pixels from its centre
_BLOCK = 32  # images; as many as stay in the cache
_HELD_OUT = 10_000


def render(factors: Integers, size: int = _SIZE) -> NDArray[np.uint8]:
    r"""Render sprites, uint8 of shape `(n, 1, size, size)`, 1 in the shape and 0 outside.

    A pixel is 1 if its centre lies inside the shape. In pixels of the published size, 64, the shape's centre is at
    :math:`16 + 32 p` pixels from the left and from the top for positions p in [0, 1], the orientation turns it
    counter-clockwise, and in its own frame, u to the right, v up, at scale 1, it is

    .. math::
        \text{square: } & \max(|u|, |v|) < 9.6 \\
        \text{ellipse: } & (u / 12.77)^2 + (v / 7.21)^2 < 1 \\
        \text{heart: } & u = 9.6 \sin^3 t,\;
            v = 0.662 \, (13 \cos t - 5 \cos 2t - 2 \cos 3t - \cos 4t) + 1.4375

    Nothing is smoothed, and every platform gives the same bits: no pixel centre is so near to an outline that
    rounding could matter (in 64 pixels the nearest is at 2e-8, and rounding errors are at 1e-14).

    Arguments:
        factors: Combinations of `SPRITE_FACTORS`, shape `(n, 6)`.
        size: Height and width of an image, 32, 64 or 128: the same shapes in fewer or in more pixels.

    Raises:
        RequestError: If a class is out of its range, or the size is another.

    Example:
        >>> render(np.array([[0, 0, 5, 0, 0, 0], [0, 0, 0, 0, 31, 31]])).sum((1, 2, 3))
        array([400, 100], dtype=uint64)
    """
    _check_size(size)
    SPRITE_FACTORS.index(factors)
    factors = np.asarray(factors, np.int64)  # a sum of bytes would wrap around
    images = np.zeros((len(factors), size, size), np.uint8)
    for shape in range(len(_SHAPES)):
        rows = np.flatnonzero(factors[:, 1] == shape)
        for start in range(0, len(rows), _BLOCK):
            _place(images, rows[start : start + _BLOCK], factors, shape)
    return images[:, None]


def _check_size(size: int) -> None:
    if size not in _SIZES:
        expected = ", ".join(map(str, _SIZES))
        raise RequestError(
            f"size is {size}; expected the height of a sprite, one of {expected}: leave it out for {_SIZE}"
        )


def _place(images: NDArray[np.uint8], rows: Integers, factors: Integers, shape: int) -> None:
    """Render the images of some rows, all of one shape, each in a window around its centre."""
    side = _SIZE / images.shape[-1]  # of a pixel
    window = int(_WINDOW / side)
    centre = 16 + 32 * factors[rows, 4:] / 31
    corner = np.floor(centre / side + 0.5).astype(np.int64) - window // 2
    place = corner[..., None] + np.arange(window)  # columns and rows of the window's pixels
    offset = (place + 0.5) * side - centre[..., None]
    right, up = offset[:, 0, None, :], -offset[:, 1, :, None]
    scale = SPRITE_FACTORS.values[2][factors[rows, 2]]
    angle = SPRITE_FACTORS.values[3][factors[rows, 3]]
    cos, sin = (np.cos(angle) / scale)[:, None, None], (np.sin(angle) / scale)[:, None, None]
    inside = _inside(shape, right * cos + up * sin, up * cos - right * sin)
    images[rows[:, None, None], place[:, 1, :, None], place[:, 0, None, :]] = inside


def _inside(shape: int, u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.bool_]:
    if _SHAPES[shape] == "square":
        return (np.abs(u) < _SQUARE) & (np.abs(v) < _SQUARE)
    if _SHAPES[shape] == "ellipse":
        u /= _ELLIPSE[0]
        v /= _ELLIPSE[1]
        return u * u + v * v < 1
    # Both v(t) and v(pi - t) lie over one u. With w = cos² t they are even(w) ± odd(w), and the heart is what is
    # between them.
    width, unit, up = _HEART
    u /= width
    w = np.maximum(1 - np.cbrt(u * u), 0)
    even, odd = 4 - w * (2 + 8 * w), np.sqrt(w) * (19 - 8 * w)
    inside: NDArray[np.bool_] = np.abs((v - up) / unit - even) < odd
    return inside


class Sprites(OnGrid):
    r"""All 737,280 sprites, none of them held: `FactorizedData`.

    Arguments:
        size: Height and width of an image; see `render`.

    Raises:
        RequestError: If there is no such size.

    Example:
        >>> sprites = Sprites()
        >>> combinations = sprites.sample_factors(5, np.random.default_rng(0))
        >>> sprites.images(combinations).shape
        (5, 1, 64, 64)
    """

    factors = SPRITE_FACTORS

    def __init__(self, size: int = _SIZE) -> None:
        _check_size(size)
        self.size = size

    def images(self, factors: Integers) -> NDArray[np.uint8]:
        """Render combinations; see `render`."""
        return render(factors, self.size)


def load_sprites(n: int | None = None, size: int = _SIZE) -> Dataset:
    r"""Sprites: 737,280 images of 64 by 64 bits, every combination of six factors once.

    | factor | classes | values |
    |---|---|---|
    | colour | 1 | white |
    | shape | 3 | square, ellipse, heart |
    | scale | 6 | 0.5, 0.6 … 1 |
    | orientation | 40 | 0 … 2π |
    | position_x, position_y | 32 each | 0 … 1, from the left and from the top |

    They are the factors of dSprites, in its order: image i of `Sprites().factors` is image i of the published
    archive, up to some pixels on the outline of a few. As there, the first and the last orientation are one angle,
    so that 18,432 images occur twice; of the others, 3,096 squares and ellipses look the same at two orientations that
    are not. In all 715,752 images differ (644,100 where they are of 32 by 32), and no shape comes nearer to the border
    than two pixels.

    The splits are of one permutation with a fixed seed: 10,000 images to validate, 10,000 to test, the rest to train.
    The labels are the shapes. A test image differs from some training image by the least step of one factor, so
    that test scores say little about unseen combinations.

    References:
        dSprites: Disentanglement testing Sprites dataset (Matthey, Higgins, Hassabis and Lerchner, 2017).

    Arguments:
        n: Train on so many of them, a random part, for short epochs; by default on all.
        size: Height and width of an image, 32, 64 or 128. Half the size is a quarter of the work for a network, and
            what the factors change can still be seen.

    Raises:
        RequestError: If `n` is less than 1, or more than there are, or there is no such size.

    Example:
        >>> load_sprites()  # doctest: +ELLIPSIS
        <Dataset 'sprites': 717,280 train, 10,000 validation and 10,000 test examples of shape (1, 64, 64), ...>
    """
    most = SPRITE_FACTORS.combinations - 2 * _HELD_OUT
    if n is not None and not 1 <= n <= most:
        raise RequestError(f"n is {n}; expected the number of sprites to train on, 1 to {most}: leave it out for all")
    data = _dataset(
        "sprites",
        Sprites(size),
        SPRITE_FACTORS,
        "Rendered by vaekit with the factors of dSprites (L. Matthey, I. Higgins, D. Hassabis, A. Lerchner)",
    )
    if size != _SIZE:
        data = replace(data, options={"size": size})
    if n is None:
        return data
    part = Split(data.train.x[:n], None if data.train.labels is None else data.train.labels[:n])
    note = f"{data.note}, of which the first {n:,}"
    return replace(data, train=part, note=note, options={**data.options, "n": n})


def _dataset(name: str, data: FactorizedData, factors: Factors, source: str) -> Dataset:
    held = min(_HELD_OUT, factors.combinations // 10)
    # The stream of RandomState is frozen by NumPy's policy, that of default_rng is not: a split must outlive both.
    order = np.random.RandomState(0).permutation(factors.combinations).astype(np.int64)
    shapes = factors.classes(order)[:, 1]
    cuts = [len(order) - 2 * held, len(order) - held]
    rows = FactorRows(data, factors)
    splits = [
        Split(Subset(rows, part), labels)
        for part, labels in zip(np.split(order, cuts), np.split(shapes, cuts), strict=True)
    ]
    return Dataset(
        name=name,
        train=splits[0],
        validation=splits[1],
        test=splits[2],
        levels=2,
        label_names=_SHAPES,
        suggested="bernoulli",
        source=source,
        note=f"fixed split, one permutation with seed 0: {held:,} to validate, {held:,} to test, the rest to train",
    )


class PackedSprites(OnGrid):
    r"""Bits held in eighths of bytes, with the factors of each image: `FactorizedData`.

    Arguments:
        packed: Images in rows of packed bits, uint8 of shape `(n, height * width / 8)`.
        shape: Height and width.
        factors: Their grid; image i is combination `order[i]`.
        order: Numbers of the combinations, each once, shape `(n,)`.
    """

    def __init__(self, packed: NDArray[np.uint8], shape: tuple[int, int], factors: Factors, order: Integers) -> None:
        self.factors = factors
        self._packed, self._shape = packed, shape
        self._row = np.empty_like(order)
        self._row[order] = np.arange(len(order))

    def images(self, factors: Integers) -> NDArray[np.uint8]:
        """Return the images of combinations, uint8 of shape `(n, 1, height, width)`."""
        rows = self._packed[self._row[self.factors.index(factors)]]
        return np.unpackbits(rows, axis=1, count=math.prod(self._shape)).reshape(-1, 1, *self._shape)


def load_dsprites(path: str | os.PathLike[str]) -> Dataset:
    r"""Load the published archive of dSprites, `dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz`.

    The images are kept as packed bits, 360 MiB for 737,280 of them, and the splits are those of `load_sprites`. Of
    the archive only `imgs`, `latents_classes` and `latents_values` are read: its `metadata` is a pickled object, and
    nothing is unpickled.

    References:
        dSprites: Disentanglement testing Sprites dataset (Matthey, Higgins, Hassabis and Lerchner, 2017).

    Arguments:
        path: The archive.

    Raises:
        RequestError: If the file is missing, damaged, or not of that layout.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            classes = _array(archive, "latents_classes")
            values = _array(archive, "latents_values")
            with archive.open("imgs.npy") as stream:
                packed, shape = _pack(stream)
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        reason = " ".join(str(error).split()).strip("'\"") or type(error).__name__
        raise RequestError(
            f"{path} cannot be read as dSprites ({reason}); expected its .npz archive with imgs, latents_classes and "
            "latents_values: fetch it again, or use the data set sprites, which needs no file"
        ) from error
    return _dataset("dsprites", *_with_factors(path, packed, shape, classes, values), source=_CITATION)


_CITATION = "dSprites (Loic Matthey, Irina Higgins, Demis Hassabis, Alexander Lerchner, 2017), Apache 2.0"


def holds_dsprites(path: Path) -> bool:
    r"""Whether a file has the layout of the published archive of dSprites."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return {"imgs.npy", "latents_classes.npy", "latents_values.npy"} <= set(archive.namelist())


def _array(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    with archive.open(f"{name}.npy") as stream:
        return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))


def _pack(stream: IO[bytes]) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Read an array of bits from a stream, shape `(n, height, width)`, never holding it whole: it has 3 GB."""
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    (n, height, width), fortran, dtype = read(stream)
    if fortran or dtype.itemsize != 1 or dtype.kind not in "bu":
        raise ValueError(f"imgs are {dtype}{' in Fortran order' if fortran else ''}, not bytes in C order")
    size = height * width
    packed = np.empty((n, (size + 7) // 8), np.uint8)
    starts = range(0, n, 1000)
    for start in tracked(starts, "Reading dSprites", len(starts)):
        count = min(1000, n - start)
        block = np.frombuffer(stream.read(count * size), np.uint8).reshape(count, size)
        if block.max(initial=0) > 1:
            raise ValueError(f"imgs hold {block.max()}, not only 0 and 1")
        packed[start : start + count] = np.packbits(block, axis=1)
    return packed, (height, width)


def _with_factors(
    path: Path, packed: NDArray[np.uint8], shape: tuple[int, int], classes: NDArray[Any], values: NDArray[Any]
) -> tuple[PackedSprites, Factors]:
    """Tie images to their factors, and check that every combination is there once."""
    columns = len(SPRITE_FACTORS.names)
    if classes.shape != (len(packed), columns) or values.shape != classes.shape or classes.dtype.kind not in "iu":
        raise RequestError(
            f"{path} has {len(packed):,} images, latents_classes of shape {classes.shape} and latents_values of shape "
            f"{values.shape}; expected {columns} factors of every image: fetch the archive again"
        )
    sizes = tuple(int(size) for size in classes.max(axis=0) + 1)
    steps = []
    for column, size in enumerate(sizes):
        present, first = np.unique(classes[:, column], return_index=True)
        if len(present) == size and present[0] == 0:
            steps.append(values[first, column])
    if len(steps) == columns and math.prod(sizes) == len(packed):
        factors = Factors(SPRITE_FACTORS.names, tuple(steps))
        order = factors.index(classes)
        if len(np.unique(order)) == len(order):
            return PackedSprites(packed, shape, factors, order), factors
    raise RequestError(
        f"{path} has {len(packed):,} images and factors of sizes {sizes}; expected every combination of factors once: "
        "fetch the archive again"
    )
