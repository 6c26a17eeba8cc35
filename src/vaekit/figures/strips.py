r"""Strips: what changes from left to right in each row, and the same as frames of an animation."""

__all__ = ["frames", "strips", "titled"]

import math
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from vaekit.errors import RequestError
from vaekit.figures.pictures import _batch, _extent, _gap, _mosaic, _picture, _rgb, _within
from vaekit.figures.style import DPI, INK, SOFT, styled

_TITLE, _LINE, _LABEL = 40, 20, 24  # screen pixels: heights of a title, of a further line of it, and of a label
_CHARACTER, _BOLD = 7.5, 10.0  # widths of a character, of a label and of a title
_LARGEST, _NARROWEST = 180, 340  # screen pixels of a tile's side in an animation, and of its width


@styled
def strips(grid: ArrayLike, *, rows: Sequence[str] = (), columns: Sequence[str] = (), title: str = "") -> Figure:
    r"""Draw rows of examples that change from left to right: images as tiles, vectors as lines from dark to light.

    Arguments:
        grid: Shape `(rows, columns, C, H, W)` for images, `(rows, columns, D)` for vectors; more axes are flattened
            to vectors.
        rows: What each row is, written at its left.
        columns: What each column is, written above; where there is no room, above some.
        title: Above all.

    Raises:
        RequestError: If there is nothing to draw, or the labels are not as many as the rows or columns.

    Example:
        >>> figure = strips(np.zeros((2, 3, 1, 4, 4)), rows=["a", "b"], title="Two rows")
        >>> figure.axes[0].images[0].get_array().shape  # tiles of 4 by 4, gaps of 1
        (9, 14, 3)
    """
    tiles, shape = _tiles(grid, rows, columns)
    if tiles.ndim == 2:
        return _lines(tiles.reshape(*shape, -1), rows, columns, title)
    pixels = _pixels(tiles)
    gap = _gap(pixels)
    canvas = _mosaic(pixels, shape[1], gap)
    left = round(max(map(len, rows), default=0) * _CHARACTER) + (12 if rows else 0)
    heading = _wrapped(title, _picture(canvas, left=left)[0].get_figwidth() * DPI)
    figure, ax = _picture(canvas, left=left, top=(_LABEL if columns else 0) + _high(heading))
    height, width = tiles.shape[2:]
    if rows:
        ax.set_yticks((height + gap) * np.arange(shape[0]) + (height - 1) / 2, list(rows))
    if columns:
        room = (figure.get_figwidth() * DPI - left) / shape[1]
        every = math.ceil((max(map(len, columns)) + 1) * _CHARACTER / room)
        at = (width + gap) * np.arange(shape[1]) + (width - 1) / 2
        ax.xaxis.tick_top()
        ax.set_xticks(at[::every], list(columns)[::every])
    _write_title(figure, heading)
    return figure


@styled
def frames(
    grid: ArrayLike, *, rows: Sequence[str] = (), columns: Sequence[str] = (), title: str = ""
) -> Iterator[NDArray[np.uint8]]:
    r"""Yield a picture of each column of `strips`, uint8 of shape `(height, width, 3)`, all of one size.

    Arguments:
        grid: As for `strips`.
        rows: What each row is, written above its tile.
        columns: What each column is, written below the title.
        title: Above all.

    Raises:
        RequestError: As `strips`.

    Example:
        >>> [frame.shape[2] for frame in frames(np.zeros((2, 3, 1, 4, 4)))]
        [3, 3, 3]
    """
    tiles, shape = _tiles(grid, rows, columns)
    captions = list(columns) or [""] * shape[1]
    if tiles.ndim == 2:
        x = tiles.reshape(*shape, -1)
        limits = _extent(x)
        for j, caption in enumerate(captions):
            yield _rendered(_lines(x[:, j : j + 1], rows, (), "\n".join(filter(None, (title, caption))) or " ", limits))
        return
    pixels = _pixels(tiles).reshape(*shape, *tiles.shape[2:], 3)
    side = max(tiles.shape[2:])
    across = math.ceil(math.sqrt(shape[0]))
    scale = max(1, max(min(_LARGEST, 960 // across), _NARROWEST // across - 8) // side)
    pixels = pixels.repeat(scale, 2).repeat(scale, 3)
    band = _LABEL if rows else 8
    height, width = pixels.shape[2] + band, max(pixels.shape[3] + 8, _room(rows))
    down = math.ceil(shape[0] / across)
    wide = max(across * width, _NARROWEST)
    canvas = np.full((down * height, wide, 3), 255, np.uint8)
    heading = _wrapped(title, wide)
    figure, ax = _picture_of(canvas, top=_high(heading) + (_LABEL if columns else 0))
    corners = [(i // across * height + band, i % across * width) for i in range(shape[0])]
    for (top, left), row in zip(corners, rows, strict=False):
        ax.text(left, top - 6, row, color=SOFT, fontsize=8)
    _write_title(figure, heading)
    below = figure.text(0, canvas.shape[0] / (figure.get_figheight() * DPI), "", va="bottom", fontsize=9, color=SOFT)
    for j, caption in enumerate(captions):
        for i, (top, left) in enumerate(corners):
            canvas[top : top + pixels.shape[2], left : left + pixels.shape[3]] = pixels[i, j]
        ax.images[0].set_data(canvas)
        below.set_text(f" {caption}")
        yield _rendered(figure)


@styled
def titled(figure: Figure, title: str) -> Figure:
    r"""Return a figure of fixed layout with a title above what it has, which keeps its size.

    Example:
        >>> figure = Figure(figsize=(3, 2))
        >>> titled(figure, "A title").texts[0].get_text().strip()
        'A title'
    """
    heading = _wrapped(title, figure.get_figwidth() * DPI)
    high = figure.get_figheight()
    taller = high + _high(heading) / DPI
    for ax in figure.axes:
        box = ax.get_position()
        ax.set_position((box.x0, box.y0 * high / taller, box.width, box.height * high / taller))
    figure.set_figheight(taller)
    _write_title(figure, heading)
    return figure


def _tiles(grid: ArrayLike, rows: Sequence[str], columns: Sequence[str]) -> tuple[NDArray[np.float64], tuple[int, int]]:
    """The examples one after the other, and how many rows and columns there are."""
    x = np.asarray(grid)
    if x.ndim < 3 or not x.size:
        raise RequestError(f"the grid has shape {x.shape}; expected (rows, columns, C, H, W) or (rows, columns, D)")
    for name, labels, n in (("rows", rows, len(x)), ("columns", columns, x.shape[1])):
        if labels and len(labels) != n:
            raise RequestError(f"there are {len(labels)} labels for {n} {name}; expected one for each")
    return _batch(x.reshape(-1, *x.shape[2:])), (x.shape[0], x.shape[1])


def _pixels(tiles: NDArray[np.float64]) -> NDArray[np.uint8]:
    return _rgb(tiles, (0.0, 1.0) if _within(tiles, 0.25) else _extent(tiles))


def _room(labels: Sequence[str]) -> int:
    return round(max(map(len, labels), default=0) * _CHARACTER) + 12


def _picture_of(canvas: NDArray[np.uint8], top: int) -> tuple[Figure, Any]:
    """A figure in which each pixel of the canvas is one of the screen."""
    high, wide = canvas.shape[:2]
    figure = Figure(figsize=((wide + 1e-6) / DPI, (high + top + 1e-6) / DPI), dpi=DPI)
    ax = figure.add_axes((0, 0, 1, high / (high + top)))
    ax.imshow(canvas, aspect="auto", interpolation="nearest")
    ax.set(xticks=[], yticks=[], frame_on=False)
    ax.grid(False)
    return figure, ax


def _wrapped(title: str, wide: float) -> str:
    """The title in lines that fit a width in screen pixels."""
    return "\n".join(f" {line}" for line in textwrap.wrap(title, max(12, int(wide / _BOLD)), break_on_hyphens=False))


def _high(heading: str) -> int:
    return _TITLE + _LINE * heading.count("\n") if heading else 0


def _write_title(figure: Figure, heading: str) -> None:
    if heading:
        y = 1 - 12 / (figure.get_figheight() * DPI)
        figure.text(0, y, heading, ha="left", va="top", weight="bold", fontsize=10, color=INK)


def _lines(
    x: NDArray[np.float64],
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    limits: tuple[float, float] | None = None,
) -> Figure:
    """A plot a row, a line a column."""
    import matplotlib

    high = 1.35 * len(x) + 0.9
    figure = Figure(figsize=(7.2, high), dpi=DPI, layout="constrained")
    low, top = limits or _extent(x)
    margin = 0.06 * (top - low) or 0.5
    shades: Colormap = matplotlib.colormaps["viridis"]
    at = np.arange(1, x.shape[2] + 1)
    for i, row in enumerate(x):
        ax = figure.add_subplot(len(x), 1, i + 1, ylim=(low - margin, top + margin))
        for j, vector in enumerate(row):
            label = columns[j] if columns and j in (0, len(row) - 1) else None
            colour = shades(0.9 * j / max(1, len(row) - 1))
            ax.plot(at, vector, color=colour, linewidth=1.2, marker="o" if len(at) <= 3 else "", label=label)
        ax.set_ylabel(rows[i] if rows else "")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.tick_params(labelbottom=i == len(x) - 1)
    figure.axes[-1].set_xlabel("column of the vector")
    if columns:
        figure.axes[0].legend(loc="upper right")
    if title:
        figure.suptitle(title, x=0.01, ha="left", weight="bold", fontsize=10)
    return figure


def _rendered(figure: Figure) -> NDArray[np.uint8]:
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]
