r"""Views: how decoded data are shown, and how an uploaded file becomes data. A kind of data is an entry of `VIEWS`."""

__all__ = ["UPLOAD_BYTES", "UPLOAD_PIXELS", "VIEWS", "ImageView", "MelodyView", "VectorView", "View", "view_of"]

import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from vaekit.data.rows import are_unlike, spread
from vaekit.errors import RequestError
from vaekit.kinds import opening
from vaekit.latent.strokes import MEASURES as STROKES
from vaekit.music import LOWEST, STEPS_PER_BAR, SYMBOLS, notes_of, sound
from vaekit.music.statistics import MEASURES as NOTES

UPLOAD_BYTES = 16 * 2**20
UPLOAD_PIXELS = 32_000_000

_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
_SEEN = 2000  # examples whose range is that of the data
_NUMBERS = 1024  # entries of a vector that can still be told apart
_PAPER = 0.02  # mean of a border that is empty

Array = NDArray[np.float32]
_Measures = Mapping[str, Callable[[Any], NDArray[np.float64]]]


@dataclass(frozen=True)
class View(ABC):
    r"""How decoded examples are shown: their kind, which the page has a drawing for, and their shape and range.

    The page sees values in [0, 1]; :math:`x = \text{low} + (\text{high} - \text{low})\, v`.

    Arguments:
        shape: Shape of one example.
        low: The value of x that is shown as 0; of vectors whose entries have units of their own, that of each.
        high: The value of x that is shown as 1, or those.
    """

    shape: tuple[int, ...]
    low: float | tuple[float, ...] = 0.0
    high: float | tuple[float, ...] = 1.0

    kind: ClassVar[str]
    files: ClassVar[tuple[str, ...]] = ()

    @classmethod
    @abstractmethod
    def fits(cls, shape: tuple[int, ...], levels: int | None) -> bool:
        """Whether examples of this shape, and of this number of values an entry takes, can be shown so."""

    @classmethod
    def of(cls, x: Any, levels: int | None) -> Self:
        """Return the view of examples as stored, shape `(n, *shape)`, which is of the range of real numbers."""
        shape = tuple(x.shape[1:])
        if levels is not None:
            return cls(shape)
        low, high = _range(x)
        return cls(shape, low, high)

    @abstractmethod
    def read(self, content: bytes) -> Array:
        """Return what a file holds as values in [0, 1], of `shape`.

        Raises:
            RequestError: If the file is too large, damaged, or something else.
        """

    def write(self, values: Array, ending: str) -> bytes:
        """Return a file of one example, of values in [0, 1], that ends in one of `files`."""
        raise NotImplementedError

    def measured(self, values: Array) -> dict[str, NDArray[np.float64]]:
        """Return what can be measured of examples of values in [0, 1], one number each, by name."""
        return {}

    def values(self, x: NDArray[Any]) -> Array:
        """Return decoded examples as values in [0, 1], of the same shape."""
        return np.asarray(np.clip((x - self.origin) / self.unit, 0, 1), np.float32)

    @property
    def origin(self) -> NDArray[np.float64]:
        """What is shown as 0, one number or one for each entry."""
        return np.asarray(self.low, np.float64)

    @property
    def unit(self) -> NDArray[np.float64]:
        """How far what is shown as 1 is from that."""
        return np.asarray(self.high, np.float64) - self.origin

    def describe(self) -> dict[str, Any]:
        """Return what the page is told."""
        ends = {
            name: list(end) if isinstance(end, tuple) else end for name, end in (("low", self.low), ("high", self.high))
        }
        described = {"kind": self.kind, "shape": list(self.shape), **ends}
        return described | ({"files": list(self.files)} if self.files else {})


class ImageView(View):
    r"""Pictures of one channel, grey, or three, `(C, H, W)`.

    Example:
        >>> ImageView((1, 28, 28)).describe()
        {'kind': 'image', 'shape': [1, 28, 28], 'low': 0.0, 'high': 1.0}
    """

    kind = "image"

    @classmethod
    def fits(cls, shape: tuple[int, ...], levels: int | None) -> bool:
        """Whether examples of this shape are pictures."""
        return len(shape) == 3 and shape[0] in (1, 3)

    def measured(self, values: Array) -> dict[str, NDArray[np.float64]]:
        """Return what is measured of strokes, where these are strokes: on one channel, with paper of 0 around them."""
        if self.shape[0] != 1:
            return {}
        border = np.concatenate([values[..., 0, :], values[..., -1, :], values[..., 0], values[..., -1]], axis=-1)
        return _all(STROKES, values) if border.mean() < _PAPER < values.mean() else {}

    def read(self, content: bytes) -> Array:
        """Return a picture cut to the middle and brought to size.

        Its size in bytes and in pixels is checked before a pixel is decoded.
        """
        from PIL import Image, ImageOps

        _check_bytes(content)
        channels, height, width = self.shape
        try:
            with Image.open(io.BytesIO(content), formats=_FORMATS) as opened:
                pixels = opened.size[0] * opened.size[1]
                if pixels > UPLOAD_PIXELS:
                    raise RequestError(
                        f"the picture has {opened.size[0]:,} × {opened.size[1]:,} pixels; expected at most "
                        f"{UPLOAD_PIXELS / 1e6:.0f} million: make it smaller"
                    )
                opened.draft("RGB" if channels == 3 else "L", (2 * width, 2 * height))
                opened.load()
                image = ImageOps.exif_transpose(opened).convert("RGBA")
        except RequestError:
            raise
        except Image.DecompressionBombError:  # Pillow's own limit, above ours
            raise RequestError(
                f"the picture has too many pixels; expected at most {UPLOAD_PIXELS / 1e6:.0f} million: make it smaller"
            ) from None
        except Exception:  # what damaged files raise differs between formats and versions
            raise RequestError(
                f"the file is no picture that can be read; expected one of {', '.join(_FORMATS)}: save it as PNG"
            ) from None
        laid = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        fitted = ImageOps.fit(laid.convert("L" if channels == 1 else "RGB"), (width, height), Image.Resampling.LANCZOS)
        values = np.asarray(fitted, np.float32) / 255
        return np.ascontiguousarray(np.atleast_3d(values).transpose(2, 0, 1), np.float32)


class VectorView(View):
    r"""Rows of numbers, `(D,)`, as a curve over their places.

    Example:
        >>> VectorView((3,), low=-1.0).values(np.array([[-1.0, 0.0, 1.0]])).tolist()
        [[0.0, 0.5, 1.0]]
    """

    kind = "vector"

    @classmethod
    def of(cls, x: Any, levels: int | None) -> Self:
        """Return the view of examples: in one range, or where columns have units of their own each in its own."""
        whole = super().of(x, levels)
        if levels is not None or not are_unlike(x):
            return whole
        seen = np.asarray(x[spread(len(x), _SEEN)], np.float64)
        low, high = seen.min(0), seen.max(0)
        return cls(whole.shape, tuple(low.tolist()), tuple(np.where(high > low, high, low + 1).tolist()))

    @classmethod
    def fits(cls, shape: tuple[int, ...], levels: int | None) -> bool:
        """Whether examples of this shape are rows of numbers."""
        return len(shape) == 1 and shape[0] <= _NUMBERS

    def read(self, content: bytes) -> Array:
        """Return the numbers of a text file, with commas, spaces or line ends between them."""
        _check_bytes(content)
        try:
            numbers = np.array(content.decode().replace(",", " ").split(), np.float32)
        except (UnicodeDecodeError, ValueError):
            raise RequestError("the file holds more than numbers; expected a text file with commas between") from None
        if numbers.shape != self.shape or not np.isfinite(numbers).all():
            raise RequestError(
                f"the file holds {len(numbers)} numbers; expected {self.shape[0]} finite ones, as the data have"
            )
        return self.values(numbers)


@dataclass(frozen=True)
class MelodyView(View):
    r"""Melodies as symbols, `(steps,)`, as piano rolls that the page plays.

    Arguments:
        keys: The lowest and the highest pitch of the rolls.

    Example:
        >>> view = MelodyView.of(np.array([[41, 1, 48, 0]], np.uint8), 90)
        >>> view.keys, view.values(np.array([[89.0, 0.0, 0.0, 0.0]])).tolist()
        ((58, 69), [[1.0, 0.0, 0.0, 0.0]])
    """

    keys: tuple[int, int] = (LOWEST, LOWEST + 87)

    kind = "melody"
    files = (".mid", ".wav")

    @classmethod
    def fits(cls, shape: tuple[int, ...], levels: int | None) -> bool:
        """Whether examples are as many symbols as melodies have."""
        return len(shape) == 1 and levels == SYMBOLS

    @classmethod
    def of(cls, x: Any, levels: int | None) -> Self:
        """Return the view of examples, whose rolls have the keys that these need and a semitone around."""
        seen = np.asarray(x[spread(len(x), _SEEN)]).astype(int)
        pitches = seen[seen >= SYMBOLS - 88] - (SYMBOLS - 88) + LOWEST
        low, high = (int(pitches.min()) - 1, int(pitches.max()) + 1) if len(pitches) else (59, 72)
        missing = max(0, 12 - (high - low + 1))
        return cls(tuple(x.shape[1:]), 0.0, SYMBOLS - 1.0, (low - missing // 2, high + missing - missing // 2))

    def read(self, content: bytes) -> Array:
        """Return the melody of a MIDI file, its first bars."""
        _check_bytes(content)
        return np.asarray(opening(content, self.shape[0]) / self.high, np.float32)

    def write(self, values: Array, ending: str) -> bytes:
        """Return a melody in MIDI or as sound."""
        from vaekit.music.midi import midi

        notes = notes_of(np.rint(values * self.high))
        return midi(notes) if ending == ".mid" else sound.wav(notes, self.shape[0])

    def measured(self, values: Array) -> dict[str, NDArray[np.float64]]:
        """Return density, range and syncopation."""
        return _all(NOTES, np.rint(values * self.high))

    def describe(self) -> dict[str, Any]:
        """Return what the page is told: also its keys, and how notes sound."""
        return super().describe() | {
            "keys": list(self.keys),
            "first": SYMBOLS - 88,  # the symbol of the lowest key of a piano
            "lowest": LOWEST,
            "bar": STEPS_PER_BAR,
            "tempo": sound.TEMPO,
            "partials": list(sound.PARTIALS),
            "envelope": {"attack": sound.ATTACK, "release": sound.RELEASE, "fade": sound.FADE},
        }


VIEWS: dict[str, type[View]] = {view.kind: view for view in (ImageView, MelodyView, VectorView)}


def view_of(x: Any, levels: int | None) -> View:
    r"""Return the view that suits examples.

    Arguments:
        x: Examples as stored, shape `(n, *shape)`.
        levels: Number of values an entry takes; None for real numbers, whose range is then that of the data.

    Raises:
        RequestError: If nothing here shows data of that shape.

    Example:
        >>> view_of(np.zeros((5, 3, 8, 8), np.uint8), 256).kind
        'image'
    """
    shape = tuple(x.shape[1:])
    for view in VIEWS.values():
        if view.fits(shape, levels):
            return view.of(x, levels)
    raise RequestError(
        f"the data have examples of shape {shape}, which the explorer has no view for; it shows pictures of shape "
        f"(1, H, W) or (3, H, W), melodies, and up to {_NUMBERS} numbers, (D,): use `vaekit sample --out samples.npy`"
    )


def _all(measures: _Measures, x: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    return {name: measure(x) for name, measure in measures.items()}


def _range(x: Any) -> tuple[float, float]:
    seen = np.asarray(x[spread(len(x), _SEEN)])
    low, high = float(seen.min()), float(seen.max())
    return (low, high) if high > low else (low, low + 1.0)


def _check_bytes(content: bytes) -> None:
    if len(content) > UPLOAD_BYTES:
        raise RequestError(
            f"the file has {len(content) / 2**20:.0f} MiB; expected at most {UPLOAD_BYTES / 2**20:.0f}: make it smaller"
        )
