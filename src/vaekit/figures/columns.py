r"""Tables: what samples and reconstructions do to each column, in its own units and by its name."""

__all__ = ["column_agreement", "column_histograms"]

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from vaekit.errors import RequestError
from vaekit.figures.style import FAINT, MAIN, styled

_MOST = 24  # columns that are drawn
_BINS = 30  # at most
_FEW = 12  # values, up to which each has a bar of its own
_ACROSS = 6


@styled
def column_histograms(samples: ArrayLike, data: ArrayLike, names: Sequence[str] = ()) -> Figure:
    r"""Draw how often each column has which value, among samples and in the data: one panel a column, the first 24.

    Arguments:
        samples: Shape `(n, D)`.
        data: Shape `(m, D)`.
        names: Of the columns; by default their numbers.

    Raises:
        RequestError: If there is nothing to draw, or the numbers of columns differ.

    Example:
        >>> figure = column_histograms(np.zeros((5, 2)), np.eye(2), ["a", "b"])
        >>> [axes.get_title(loc="left") for axes in figure.axes]
        ['a', 'b']
    """
    x, y = np.asarray(samples, np.float64), np.asarray(data, np.float64)
    figure, panels = _panels((x, y), names)
    for i, ax in panels:
        drawn, given = x[np.isfinite(x[:, i]), i], y[np.isfinite(y[:, i]), i]
        edges = _edges(np.concatenate([given, drawn]) if len(np.unique(given)) <= _FEW else given)
        for values, look in (
            (given, {"color": FAINT, "label": "data"}),
            (drawn, {"histtype": "step", "color": MAIN, "linewidth": 1.4, "label": "samples"}),
        ):
            # Samples beyond the data are counted at its ends: none of them is lost from sight.
            inside = np.clip(values, edges[0], edges[-1])
            ax.hist(inside, edges.tolist(), weights=np.full(len(inside), 1 / max(1, len(inside))), **look)
        ax.set_yticks([])
        ax.xaxis.set_major_locator(MaxNLocator(3))
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=2)
    return figure


@styled
def column_agreement(originals: ArrayLike, results: ArrayLike, names: Sequence[str] = ()) -> Figure:
    r"""Draw reconstructions against originals: one panel a column, the first 24, with the share that is explained.

    .. math::
        R^2 = 1 - \frac{\sum_i (x_i - \hat x_i)^2}{\sum_i (x_i - \bar x)^2}

    Arguments:
        originals: Shape `(n, D)`.
        results: The same shape.
        names: Of the columns; by default their numbers.

    Raises:
        RequestError: If there is nothing to draw, or the shapes differ.

    Example:
        >>> x = np.arange(6.0).reshape(3, 2)
        >>> column_agreement(x, x, ["a", "b"]).axes[1].texts[0].get_text()
        'R² 1.00'
    """
    x, y = np.asarray(originals, np.float64), np.asarray(results, np.float64)
    if x.shape != y.shape:
        raise RequestError(f"originals are {x.shape}, reconstructions {y.shape}; expected the same shape")
    figure, panels = _panels((x, y), names)
    for i, ax in panels:
        finite = np.isfinite(x[:, i]) & np.isfinite(y[:, i])
        a, b = x[finite, i], y[finite, i]
        both = np.concatenate([a, b])
        low, high = (float(both.min()), float(both.max())) if both.size else (0.0, 1.0)
        margin = 0.06 * (high - low) or 0.5
        ends = (low - margin, high + margin)
        ax.plot(ends, ends, color=FAINT, linewidth=1, zorder=1)
        ax.scatter(a, b, s=float(np.clip(3000 / max(1, len(a)), 3, 20)), color=MAIN, linewidths=0, alpha=0.6)
        ax.set(xlim=ends, ylim=ends)
        spread = float(np.square(a - a.mean()).sum()) if a.size else 0.0
        if spread > 0:
            share = 1 - float(np.square(a - b).sum()) / spread
            ax.text(0.04, 0.96, f"R² {share:.2f}", transform=ax.transAxes, va="top", fontsize=8)
        ax.xaxis.set_major_locator(MaxNLocator(3))
        ax.yaxis.set_major_locator(MaxNLocator(3))
        ax.grid(False)
    figure.supxlabel("original", fontsize=9)
    figure.supylabel("reconstruction", fontsize=9)
    return figure


def _panels(tables: tuple[NDArray[Any], ...], names: Sequence[str]) -> tuple[Figure, list[tuple[int, Axes]]]:
    """Return a figure, and its panels with the numbers of their columns."""
    widths = {table.shape[1:] for table in tables}
    if len(widths) != 1 or tables[0].ndim != 2 or not all(table.size for table in tables):
        shapes = " and ".join(str(table.shape) for table in tables)
        raise RequestError(f"tables are of shape {shapes}; expected rows of the same columns, and at least one")
    count = min(tables[0].shape[1], _MOST)
    across = min(count, _ACROSS, max(2, math.ceil(math.sqrt(1.5 * count))))
    down = math.ceil(count / across)
    figure = Figure(figsize=(max(3.6, 1.75 * across + 0.4), 1.55 * down + 0.6), layout="constrained")
    panels = [(i, figure.add_subplot(down, across, i + 1)) for i in range(count)]
    for i, ax in panels:
        ax.set_title(_short(names[i]) if names else f"column {i + 1}", fontsize=9)
    return figure, panels


def _short(name: str, most: int = 20) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def _edges(values: NDArray[Any]) -> NDArray[Any]:
    """Bins from the least to the largest value; of few values, one around each."""
    several = np.unique(values)
    if len(several) == 0:
        return np.array([-0.5, 0.5])
    if len(several) == 1:
        return np.array([several[0] - 0.5, several[0] + 0.5])
    if len(several) <= _FEW:
        between = (several[1:] + several[:-1]) / 2
        first, last = several[0] - (between[0] - several[0]), several[-1] + (several[-1] - between[-1])
        around: NDArray[Any] = np.concatenate([[first], between, [last]])
        return around
    return np.linspace(several[0], several[-1], min(_BINS, max(8, math.isqrt(len(values)))) + 1)
