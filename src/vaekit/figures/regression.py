r"""Predictions over one input: lines, the bands that hold them, and the points observed."""

__all__ = ["prediction_bands"]

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
def prediction_bands(
    inputs: ArrayLike,
    mean: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    *,
    observed_inputs: ArrayLike | None = None,
    observed: ArrayLike | None = None,
    truth_inputs: ArrayLike | None = None,
    truth: ArrayLike | None = None,
    level: float | None = None,
    names: Sequence[str] | None = None,
    most: int = 6,
    input_name: str = "input",
) -> Figure:
    r"""Draw outputs over one input, one above the other: the mean as a line, its interval as a band.

    Where there are more outputs than are drawn, those that vary most are. For :math:`\mu \pm 2\sigma` pass these as
    the ends.

    Arguments:
        inputs: Where predictions are, shape `(m,)`, in any order.
        mean: Predictions, shape `(m, ...)`; further axes are taken as one.
        low: Lower ends of the intervals, of that shape.
        high: Upper ends, of that shape.
        observed_inputs: Shape `(n,)`.
        observed: Outputs that were given, shape `(n, ...)`, drawn as points.
        truth_inputs: Shape `(l,)`.
        truth: True outputs, shape `(l, ...)`, drawn as a thin line.
        level: The part of outputs that the intervals should hold, for the legend; by default they are said to be of
            two standard deviations.
        names: Names of the outputs.
        most: How many to draw.
        input_name: Written below.

    Raises:
        RequestError: If shapes differ, there is nothing to draw, or an interval ends below its beginning.

    Example:
        >>> t = np.linspace(0, 1, 20)
        >>> y = np.sin(t)[:, None]
        >>> figure = prediction_bands(t, y, y - 0.1, y + 0.1, observed_inputs=[0.5], observed=[[0.4]])
        >>> len(figure.axes), figure.axes[0].lines[-1].get_ydata()
        (1, array([0.4]))
    """
    x, centre = _curve("predictions", inputs, mean)
    _, lower = _curve("lower ends", inputs, low)
    _, upper = _curve("upper ends", inputs, high)
    if not len(x) or not centre.shape == lower.shape == upper.shape or (upper < lower).any():
        raise RequestError(
            f"means have shape {centre.shape}, lower ends {lower.shape}, upper ends {upper.shape}; expected one shape, "
            "at least one row, and no end below its beginning"
        )
    given = {"observed": (observed_inputs, observed), "truth": (truth_inputs, truth)}
    curves: dict[str, tuple[Floats, Floats]] = {}
    for name, (at, values) in given.items():
        if at is not None and values is not None:
            curves[name] = _curve(name, at, values)
            if curves[name][1].shape[1] != centre.shape[1]:
                raise RequestError(
                    f"{name} has {curves[name][1].shape[1]} outputs, predictions {centre.shape[1]}; expected as many"
                )
    order = np.argsort(x, kind="stable")
    x, centre, lower, upper = x[order], centre[order], lower[order], upper[order]
    chosen = np.sort(np.argsort(-centre.std(0), kind="stable")[: max(1, most)]).tolist()
    figure = Figure(figsize=(7.6, 1.25 * len(chosen) + 0.9), layout="constrained")
    for row, output in enumerate(chosen):
        ax = figure.add_subplot(len(chosen), 1, row + 1)
        ax.fill_between(x, lower[:, output], upper[:, output], color=MAIN, alpha=0.18, linewidth=0)
        if "truth" in curves:
            at, values = curves["truth"]
            rank = np.argsort(at, kind="stable")
            ax.plot(at[rank], values[rank, output], color=SOFT, linewidth=0.9, linestyle=(0, (3, 2)))
        ax.plot(x, centre[:, output], color=MAIN, linewidth=1.6)
        if "observed" in curves:
            at, values = curves["observed"]
            ax.plot(at, values[:, output], "o", color=INK, markersize=3.4, zorder=5)
        ax.set_ylabel(names[output] if names is not None else f"output {output + 1}")
        ax.tick_params(labelbottom=row == len(chosen) - 1)
        ax.margins(x=0.01)
    figure.axes[-1].set_xlabel(input_name)
    said = "± 2 standard deviations" if level is None else f"{level:.0%} interval"
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=MAIN, label="prediction"),
        Patch(color=MAIN, alpha=0.18, linewidth=0, label=said),
    ]
    if "truth" in curves:
        handles.append(Line2D([], [], color=SOFT, linewidth=0.9, linestyle=(0, (3, 2)), label="truth"))
    if "observed" in curves:
        handles.append(Line2D([], [], color=INK, marker="o", markersize=3.4, linestyle="", label="observed"))
    figure.legend(handles=handles, loc="outside upper right", ncols=4)
    return figure


def _curve(what: str, inputs: ArrayLike, values: ArrayLike) -> tuple[Floats, Floats]:
    x, y = np.asarray(inputs, np.float64).reshape(-1), np.asarray(values, np.float64)
    if y.ndim < 2 or len(y) != len(x):
        raise RequestError(
            f"{what} have {len(x)} inputs and values of shape {y.shape}; expected (m,) and (m, ...): "
            "reshape them, as y[:, None] for one output"
        )
    return x, y.reshape(len(y), -1)
