r"""Regression over time: predictions with a band of two standard deviations, and the points that were observed."""

__all__ = ["bands"]

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import ArrayLike, NDArray

from vaekit.errors import RequestError
from vaekit.figures.style import INK, MAIN, SOFT, styled

Floats = NDArray[np.float64]


@styled
def bands(
    times: ArrayLike,
    mean: ArrayLike,
    std: ArrayLike,
    *,
    observed: tuple[ArrayLike, ArrayLike] | None = None,
    truth: tuple[ArrayLike, ArrayLike] | None = None,
    names: Sequence[str] | None = None,
    most: int = 6,
    label: str = "seconds",
) -> Figure:
    r"""Draw outputs over time, one above the other: :math:`\mu(t) \pm 2\sigma(t)`.

    Where there are more outputs than are drawn, those that vary most are.

    Arguments:
        times: Where predictions are, shape `(m,)`, in any order.
        mean: Predictions, shape `(m, d)`.
        std: Their standard deviations, shape `(m, d)`.
        observed: Times `(k,)` and outputs `(k, d)` that were given, drawn as points.
        truth: Times `(l,)` and true outputs `(l, d)`, drawn as a thin line.
        names: Names of the outputs.
        most: How many to draw.
        label: What the horizontal axis is.

    Raises:
        RequestError: If shapes differ, there is nothing to draw, or a standard deviation is negative.

    Example:
        >>> t = np.linspace(0, 1, 20)
        >>> figure = bands(t, np.sin(t)[:, None], 0.1 + 0 * t[:, None], observed=([0.5], [[0.4]]))
        >>> len(figure.axes), figure.axes[0].lines[-1].get_ydata()
        (1, array([0.4]))
    """
    at, middle = _curve("predictions", times, mean)
    spread = np.asarray(std, np.float64)
    if np.shape(std) != np.shape(mean) or not len(at) or not (spread >= 0).all():
        raise RequestError(
            f"std has shape {np.shape(std)}, the mean {np.shape(mean)}; expected the same shape, at least one row, and "
            "no negative number"
        )
    others = {"observed": observed, "truth": truth}
    curves = {name: _curve(name, pair[0], pair[1]) for name, pair in others.items() if pair is not None}
    for name, (_, values) in curves.items():
        if values.shape[1] != middle.shape[1]:
            raise RequestError(f"{name} has {values.shape[1]} outputs, predictions {middle.shape[1]}; expected as many")
    chosen = np.sort(np.argsort(-middle.std(0), kind="stable")[: max(1, most)]).tolist()
    order = np.argsort(at, kind="stable")
    at, middle, spread = at[order], middle[order], spread[order]
    figure = Figure(figsize=(7.6, 1.25 * len(chosen) + 0.9), layout="constrained")
    for row, output in enumerate(chosen):
        ax = figure.add_subplot(len(chosen), 1, row + 1)
        centre, width = middle[:, output], 2 * spread[:, output]
        ax.fill_between(at, centre - width, centre + width, color=MAIN, alpha=0.18, linewidth=0)
        if "truth" in curves:
            when, values = curves["truth"]
            rank = np.argsort(when, kind="stable")
            ax.plot(when[rank], values[rank, output], color=SOFT, linewidth=0.9, linestyle=(0, (3, 2)))
        ax.plot(at, centre, color=MAIN, linewidth=1.6)
        if "observed" in curves:
            when, values = curves["observed"]
            ax.plot(when, values[:, output], "o", color=INK, markersize=3.4, zorder=5)
        ax.set_ylabel(names[output] if names is not None else f"y{output + 1}")
        ax.tick_params(labelbottom=row == len(chosen) - 1)
        ax.margins(x=0.01)
    figure.axes[-1].set_xlabel(label)
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=MAIN, label="prediction"),
        Patch(color=MAIN, alpha=0.18, linewidth=0, label="± 2 standard deviations"),
    ]
    if "truth" in curves:
        handles.append(Line2D([], [], color=SOFT, linewidth=0.9, linestyle=(0, (3, 2)), label="truth"))
    if "observed" in curves:
        handles.append(Line2D([], [], color=INK, marker="o", markersize=3.4, linestyle="", label="observed"))
    figure.legend(handles=handles, loc="outside upper right", ncols=4)
    return figure


def _curve(what: str, times: ArrayLike, values: ArrayLike) -> tuple[Floats, Floats]:
    when, found = np.asarray(times, np.float64).reshape(-1), np.asarray(values, np.float64)
    if found.ndim != 2 or len(found) != len(when):
        raise RequestError(
            f"{what} have {len(when)} times and values of shape {found.shape}; expected (m,) and (m, d): "
            "reshape them, as y[:, None] for one output"
        )
    return when, found
