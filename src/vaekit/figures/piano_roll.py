r"""Piano rolls: notes as bars over a keyboard, time to the right, one melody or a grid of them."""

__all__ = ["piano_rolls", "roll_tiles"]

import math
from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vaekit.errors import RequestError
from vaekit.figures.pictures import _mosaic, _picture
from vaekit.figures.style import DPI, INK, MAIN, SOFT, styled
from vaekit.music.tokens import STEPS_PER_BAR, Note

_WIDE, _HIGH = 192, 120  # pixels of a tile, about
_KEYS = 13  # semitones that a tile has at least
_BLACK = (1, 3, 6, 8, 10)  # above C
_PAPER, _SHARP, _BEAT, _BAR, _BEHIND = "#f7f8fa", "#edeff3", "#e1e4ea", "#aeb4bf", "#c3c9d2"
_MARGIN, _LABEL, _TITLE, _GAP = 30, 6, 18, 10  # screen pixels: left of the rolls, around a label, above a roll, between


def roll_tiles(
    melodies: Sequence[Iterable[Note]],
    steps: int,
    *,
    behind: Sequence[Iterable[Note]] | None = None,
    keys: tuple[int, int] | None = None,
) -> NDArray[np.float64]:
    r"""Draw each melody as a small picture, colours in [0, 1], shape `(n, 3, height, width)`.

    All have the same keys from bottom to top, an octave or more, the black ones a little darker; and the same
    sixteenths from left to right, with lines between beats and stronger ones between bars. Notes are bars with a gap
    behind each.

    Arguments:
        melodies: Notes of each.
        steps: Sixteenths from left to right; notes beyond are left out.
        behind: Notes to draw below those of each in grey, as many melodies.
        keys: The lowest and the highest pitch; by default what the notes need.

    Raises:
        RequestError: If there is no melody or no step, or there are not as many behind.

    Example:
        >>> roll_tiles([[Note(0, 4, 60)], []], 16).shape
        (2, 3, 78, 192)
    """
    rolls = [list(melody) for melody in melodies]
    shades = [list(melody) for melody in behind] if behind is not None else [[] for _ in rolls]
    if not rolls or steps < 1:
        raise RequestError(f"there are {len(rolls)} melodies of {steps} steps; expected at least 1 of each")
    if len(shades) != len(rolls):
        raise RequestError(f"there are {len(shades)} melodies behind {len(rolls)}; expected one for each")
    low, high = keys or _keys_of([note for roll in (*rolls, *shades) for note in roll])
    width, height = max(2, _WIDE // steps), min(6, max(2, _HIGH // (high - low + 1)))
    paper = _paper(low, high, steps, width, height)
    tiles = np.repeat(paper[None], len(rolls), 0)
    for tile, below, notes in zip(tiles, shades, rolls, strict=True):
        for colour, part in ((_BEHIND, below), (MAIN, notes)):
            for start, stop, pitch in part:
                if start < steps and low <= pitch <= high:
                    top = (high - pitch) * height
                    right = max(min(stop, steps) * width - 1, start * width + 1)
                    tile[top : top + height, start * width : right] = to_rgb(colour)
    return np.ascontiguousarray(np.moveaxis(tiles, -1, 1))


@styled
def piano_rolls(
    melodies: Sequence[Iterable[Note]],
    steps: int,
    *,
    titles: Sequence[str] = (),
    columns: int | None = None,
    behind: Sequence[Iterable[Note]] | None = None,
) -> Figure:
    r"""Draw melodies in a grid of piano rolls of the same keys, with the names of the Cs at the left.

    Arguments:
        melodies: Notes of each; see `roll_tiles`, which has `steps` and `behind`.
        steps: Sixteenths from left to right.
        titles: One for each, written above it.
        columns: The most side by side; by default as many as fit.
        behind: Notes to draw below those of each in grey.

    Raises:
        RequestError: As `roll_tiles`, or if there is not one title for each.

    Example:
        >>> figure = piano_rolls([[Note(0, 4, 60), Note(4, 8, 64)]] * 3, 16, titles=["a", "b", "c"], columns=2)
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['a', 'b', 'c']
    """
    rolls = [list(melody) for melody in melodies]
    shades = None if behind is None else [list(melody) for melody in behind]
    if titles and len(titles) != len(rolls):
        raise RequestError(f"there are {len(titles)} titles for {len(rolls)} melodies; expected one for each")
    low, high = _keys_of([note for roll in (*rolls, *(shades or [])) for note in roll])
    tiles = np.moveaxis(roll_tiles(rolls, steps, behind=shades, keys=(low, high)), 1, -1)
    pixels: NDArray[np.uint8] = np.rint(255 * tiles).astype(np.uint8)
    _, height, width, _ = pixels.shape
    across = min(len(rolls), columns or max(1, 1200 // width))
    if titles:  # room above each
        room = np.full((len(rolls), _TITLE, width, 3), 255, np.uint8)
        pixels = np.concatenate([room, pixels], 1)
    canvas = _mosaic(pixels, across, _GAP)
    figure, ax = _picture(canvas, width=1200, left=_MARGIN, top=_LABEL, bottom=_LABEL, right=_LABEL)
    band = pixels.shape[1] - height
    scale = (figure.get_figwidth() * DPI - _MARGIN - _LABEL) / canvas.shape[1]
    for number, title in enumerate(titles):
        left, top = number % across * (width + _GAP), number // across * (pixels.shape[1] + _GAP)
        fits = max(4, int(width * scale / 6.4))
        shown = title if len(title) <= fits else title[: fits - 1] + "…"
        ax.text(left - 0.5, top + band - 4, shown, color=INK, fontsize=8, va="bottom")
    key = height / (high - low + 1)
    marks = [
        (row * (pixels.shape[1] + _GAP) + band + (high - pitch + 0.5) * key - 0.5, f"C{pitch // 12 - 1}")
        for row in range(math.ceil(len(rolls) / across))
        for pitch in range(low, high + 1)
        if pitch % 12 == 0
    ]
    ax.set_yticks([at for at, _ in marks], [name for _, name in marks])
    ax.tick_params(axis="y", labelsize=7, labelcolor=SOFT, pad=2)
    return figure


def _keys_of(notes: Sequence[Note]) -> tuple[int, int]:
    """The lowest and the highest key of a roll, a semitone around the notes, at least an octave."""
    pitches = [note.pitch for note in notes] or [60]
    low, high = min(pitches) - 1, max(pitches) + 1
    missing = max(0, _KEYS - (high - low + 1))
    return low - missing // 2, high + missing - missing // 2


def _paper(low: int, high: int, steps: int, width: int, height: int) -> NDArray[np.float64]:
    """An empty roll, shape `(height, width, 3)`."""
    rows = [to_rgb(_SHARP if pitch % 12 in _BLACK else _PAPER) for pitch in range(high, low - 1, -1)]
    paper = np.repeat(np.repeat(np.array(rows)[:, None], height, 0), steps * width, 1)
    for step in range(0, steps, STEPS_PER_BAR // 4):
        paper[:, step * width] = to_rgb(_BEAT if step % STEPS_PER_BAR else _BAR)
    paper[0] = 1.0  # parts rolls that lie above each other without a gap
    return paper
