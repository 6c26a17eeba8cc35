r"""Pictures of examples: originals above reconstructions, samples, the decoded plane; vectors as plots."""

__all__ = ["reconstructions", "sample_grid", "manifold"]

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from vaekit.errors import RequestError
from vaekit.figures.style import DPI, FAINT, MAIN, SOFT, styled

_LINE_PLOTS = 24


@styled
def reconstructions(
    originals: ArrayLike,
    reconstructions: ArrayLike,
    *,
    columns: int = 10,
    name: str = "reconstruction",
    beside: Mapping[str, ArrayLike] | None = None,
) -> Figure:
    r"""Draw originals above their reconstructions, by one model or several; for vectors, one over the other.

    Images are grey or RGB (any other number of channels is averaged). Originals in [0, 1], or bytes, are shown
    as they are and reconstructions are clipped; otherwise both are scaled by their shared minimum and maximum.
    Pixels that are not finite are red. Vectors of at most three columns give a scatter a column, original
    against reconstruction; longer ones line plots, of the first 24.

    Arguments:
        originals: Shape `(n, C, H, W)` for images, `(n, D)` for vectors; more axes are flattened to vectors.
        reconstructions: The same shape.
        columns: The most images side by side; rows are filled evenly.
        name: What the row of reconstructions is called.
        beside: Reconstructions by other models, of the same shape, by name: of images, more rows.

    Raises:
        RequestError: If there is nothing to draw or the shapes differ.

    Example:
        >>> x = np.linspace(0, 1, 2 * 3 * 4 * 4).reshape(2, 3, 4, 4)
        >>> reconstructions(x, x).axes[0].images[0].get_array().shape  # two tiles of 4 by 4, gaps of 1
        (9, 9, 3)
    """
    x = _batch(originals)
    results = {key: _batch(value) for key, value in {name: reconstructions, **(beside or {})}.items()}
    for y in results.values():
        if x.shape != y.shape:
            raise RequestError(f"originals are {x.shape}, reconstructions {y.shape}; expected the same shape")
    if x.ndim == 2:
        return _scatter_pairs(x, results[name]) if x.shape[1] <= 3 else _line_plots(x, results[name])
    limits = (0.0, 1.0) if _within(x, 0.0) else _extent(x, *results.values())
    shown = [_rgb(tiles, limits) for tiles in (x, *results.values())]
    bands = math.ceil(len(x) / columns)
    wide = math.ceil(len(x) / bands)
    gap = _gap(shown[0])
    rows: list[NDArray[np.uint8]] = []
    centres: list[float] = []
    for start in range(0, len(x), wide):
        if start:
            rows.append(np.full((3 * gap, rows[0].shape[1], 3), 255, np.uint8))
        for number, tiles in enumerate(shown):
            if number:
                rows.append(np.full((gap, rows[0].shape[1], 3), 255, np.uint8))
            centres.append(sum(len(row) for row in rows) + (tiles.shape[1] - 1) / 2)
            rows.append(_mosaic(tiles[start : start + wide], wide, gap))
    figure, ax = _picture(np.concatenate(rows), left=max(104, 8 * max(map(len, results)) + 16))
    ax.set_yticks(centres, ["original", *results] * bands)
    return figure


@styled
def sample_grid(images: ArrayLike, columns: int = 8, *, limits: tuple[float, float] | None = None) -> Figure:
    r"""Draw samples: images in a grid, vectors as a histogram, scatters or line plots (1, 2 to 3, more columns).

    Arguments:
        images: Shape `(n, C, H, W)`, or `(n, D)` for vectors; more axes are flattened to vectors.
        columns: Images side by side.
        limits: The values shown as black and white. By default 0 and 1 when every value is at most a quarter
            outside (the mean of a Gaussian likelihood overshoots a little), else the minimum and maximum.

    Raises:
        RequestError: If there is nothing to draw.

    Example:
        >>> sample_grid(np.zeros((3, 1, 5, 7)), columns=2).axes[0].images[0].get_array().shape
        (11, 15, 3)
    """
    x = _batch(images)
    if x.ndim == 2:
        return _scatter_plane(x) if x.shape[1] <= 3 else _line_plots(x)
    tiles = _rgb(x, limits or ((0.0, 1.0) if _within(x, 0.25) else _extent(x)))
    canvas = _mosaic(tiles, min(columns, len(tiles)), _gap(tiles))
    return _picture(canvas, width=960 if canvas.shape[1] > 1.5 * canvas.shape[0] else 720)[0]


@styled
def manifold(
    images_grid: ArrayLike,
    *,
    quantiles: tuple[Sequence[float], Sequence[float]] | None = None,
    axes: tuple[str, str] = ("z1", "z2"),
    limits: tuple[float, float] | None = None,
) -> Figure:
    r"""Draw the decoded plane of a two-dimensional latent space as one seamless picture.

    The decoder is asked at :math:`\Phi^{-1}(u)` for evenly spaced :math:`u`, so that equal areas hold equal prior
    probability ("Auto-Encoding Variational Bayes", Kingma & Welling, 2014, figure 4).

    Arguments:
        images_grid: Shape `(rows, columns, C, H, W)`, as it is to be seen: `[0, 0]` is the top left corner, that
            is the *lowest* first and the *highest* second latent, the orientation of `latent_scatter`.
        quantiles: The :math:`u` of the columns from the left and of the rows from the bottom, as on any two axes;
            by default :math:`(j + 1/2) / columns` and :math:`(i + 1/2) / rows`.
        axes: The names of the two latents.
        limits: The values shown as black and white, as in `sample_grid`.

    Raises:
        RequestError: If the grid does not have five axes, or the quantiles do not match it.

    Example:
        >>> manifold(np.zeros((2, 3, 1, 4, 5))).axes[0].images[0].get_array().shape
        (8, 15, 3)
    """
    grid = np.asarray(images_grid)
    if grid.ndim != 5 or not grid.size:
        raise RequestError(f"the grid has shape {grid.shape}; expected (rows, columns, C, H, W)")
    rows, columns, _, height, width = grid.shape
    across, up = quantiles or ((np.arange(columns) + 0.5) / columns, (np.arange(rows) + 0.5) / rows)
    if (len(across), len(up)) != (columns, rows):
        raise RequestError(f"{len(across)} and {len(up)} quantiles for {columns} columns and {rows} rows")
    x = _batch(grid.reshape(-1, *grid.shape[2:]))
    tiles = _rgb(x, limits or ((0.0, 1.0) if _within(x, 0.25) else _extent(x)))
    figure, ax = _picture(_mosaic(tiles, columns, 0), width=720, left=64, bottom=52, right=14, top=14)
    for u, size, put in ((across, width, ax.set_xticks), (up[::-1], height, ax.set_yticks)):
        at = np.asarray(u, dtype=np.float64)
        centres = size * (np.arange(len(at)) + 0.5) - 0.5
        rank = np.argsort(at)
        ticks = [q for q in (0.05, 0.25, 0.5, 0.75, 0.95) if at.min() <= q <= at.max()]
        put(np.interp(ticks, at[rank], centres[rank]), [f"{q:.0%}" for q in ticks])
    ax.tick_params(bottom=True, left=True, length=4, width=0.8, color=SOFT)
    ax.set_xlabel(f"prior quantile of {axes[0]}")
    ax.set_ylabel(f"prior quantile of {axes[1]}")
    return figure


def _batch(x: ArrayLike) -> NDArray[Any]:
    r"""Return images `(n, C, H, W)` or vectors `(n, D)`, bytes as numbers in [0, 1]."""
    x = np.asarray(x)
    if x.ndim < 1 or not x.size:
        raise RequestError(f"an array of shape {x.shape}; expected at least one image (n, C, H, W) or vector (n, D)")
    if x.dtype == np.uint8 and x.max() > 1:  # else these are bits
        x = x / np.float64(255)
    return x.astype(np.float64) if x.ndim == 4 else x.astype(np.float64).reshape(len(x), -1)


def _within(x: NDArray[Any], slack: float) -> bool:
    low, high = _extent(x)
    return low >= -slack and high <= 1 + slack


def _extent(*arrays: NDArray[Any]) -> tuple[float, float]:
    finite = np.concatenate([x[np.isfinite(x)] for x in arrays])
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)


def _rgb(x: NDArray[Any], limits: tuple[float, float]) -> NDArray[np.uint8]:
    low, high = limits
    x = np.moveaxis(x if x.shape[1] == 3 else x.mean(1, keepdims=True).repeat(3, 1), 1, -1)
    shown = np.clip((x - low) / ((high - low) or 1.0), 0, 1)
    shown = np.where(np.isfinite(x).all(-1, keepdims=True), shown, (1.0, 0.0, 0.0))
    pixels: NDArray[np.uint8] = np.rint(255 * shown).astype(np.uint8)
    return pixels


def _gap(tiles: NDArray[np.uint8]) -> int:
    return max(1, int(max(tiles.shape[1:3])) // 16)


def _mosaic(tiles: NDArray[np.uint8], columns: int, gap: int) -> NDArray[np.uint8]:
    n, height, width, _ = tiles.shape
    rows = math.ceil(n / columns)
    canvas = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for i, tile in enumerate(tiles):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        canvas[top : top + height, left : left + width] = tile
    return canvas


def _picture(
    canvas: NDArray[np.uint8], *, width: int = 960, left: int = 0, right: int = 0, top: int = 0, bottom: int = 0
) -> tuple[Figure, Axes]:
    r"""Return a figure in which each pixel of `canvas` is a square of whole screen pixels, with margins in pixels."""
    high, wide = canvas.shape[:2]
    scale = min(10.0, max(1, width // wide)) if wide <= 1600 else 1600 / wide
    across, down = round(wide * scale) + left + right, round(high * scale) + top + bottom
    # A hair more, for 123 / 120 * 120 < 123 and the canvas may round down.
    figure = Figure(figsize=((across + 1e-6) / DPI, (down + 1e-6) / DPI))
    box = (left / across, bottom / down, 1 - (left + right) / across, 1 - (top + bottom) / down)
    ax = figure.add_axes(box)
    ax.imshow(canvas, aspect="auto", interpolation="nearest" if scale >= 1 else "antialiased")
    ax.set(xticks=[], yticks=[], frame_on=False)
    ax.grid(False)
    return figure, ax


def _scatter_pairs(x: NDArray[Any], y: NDArray[Any]) -> Figure:
    columns = x.shape[1]
    figure = Figure(figsize=(max(3.6, 2.9 * columns), 3.1 if columns > 1 else 3.6), layout="constrained")
    for i in range(columns):
        ax = figure.add_subplot(1, columns, i + 1)
        low, high = _extent(x[:, i], y[:, i])
        margin = 0.06 * (high - low) or 0.5
        ends = (low - margin, high + margin)
        ax.plot(ends, ends, color=FAINT, linewidth=1, zorder=1)
        ax.scatter(x[:, i], y[:, i], s=float(np.clip(4000 / len(x), 4, 24)), color=MAIN, linewidths=0, alpha=0.7)
        ax.set(xlim=ends, ylim=ends, title=f"x{i + 1}", xlabel="original", aspect="equal")
        ax.set_ylabel("reconstruction" if i == 0 else "")
        ax.grid(False)
    return figure


def _scatter_plane(x: NDArray[Any]) -> Figure:
    if x.shape[1] == 1:
        figure = Figure(figsize=(5.2, 3.1), layout="constrained")
        ax = figure.add_subplot(xlabel="x1", ylabel="samples")
        ax.hist(x[np.isfinite(x)], bins=min(60, max(5, math.isqrt(len(x)))), color=MAIN)
        return figure
    pairs = [(0, 1)] if x.shape[1] == 2 else [(0, 1), (0, 2), (1, 2)]
    figure = Figure(figsize=(4.4 if len(pairs) == 1 else 9, 4.2 if len(pairs) == 1 else 3.1), layout="constrained")
    for i, (a, b) in enumerate(pairs):
        ax = figure.add_subplot(1, len(pairs), i + 1, xlabel=f"x{a + 1}", ylabel=f"x{b + 1}")
        size = float(np.clip(6000 / len(x), 4, 24))
        ax.scatter(x[:, a], x[:, b], s=size, color=MAIN, linewidths=0, alpha=0.7)
        ax.set_aspect("equal", adjustable="datalim")
        ax.grid(False)
    return figure


def _line_plots(x: NDArray[Any], y: NDArray[Any] | None = None) -> Figure:
    n = min(len(x), _LINE_PLOTS)
    columns = min(n, 4)
    rows = math.ceil(n / columns)
    figure = Figure(figsize=(max(4.2, 2.3 * columns), 1.35 * rows + 0.75), layout="constrained")
    low, high = _extent(x[:n], *([] if y is None else [y[:n]]))
    margin = 0.06 * (high - low) or 0.5
    at = np.arange(1, x.shape[1] + 1)
    for i in range(n):
        ax = figure.add_subplot(rows, columns, i + 1, ylim=(low - margin, high + margin))
        if y is None:
            ax.plot(at, x[i], color=MAIN, linewidth=1.2)
        else:
            ax.plot(at, x[i], color="#9aa3b0", linewidth=2.4, label="original")
            ax.plot(at, y[i], color=MAIN, linewidth=1.2, label="reconstruction")
        ax.xaxis.set_major_locator(MaxNLocator(3, integer=True))
        ax.tick_params(labelleft=i % columns == 0, labelbottom=i + columns >= n)
    if y is not None:
        handles, names = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper left", ncols=2)
    figure.supxlabel("column of the vector", fontsize=9)
    return figure
