r"""Models side by side, a column each: their codes, their samples, their interpolations."""

__all__ = ["Column", "columns"]

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from numpy.typing import ArrayLike, NDArray

from vaekit.errors import RequestError
from vaekit.figures.pictures import _batch, _extent, _gap, _mosaic, _rgb, _within
from vaekit.figures.style import COLOURS, INK, MAIN, styled

_HEADINGS = ("codes", "samples from the prior", "interpolations")


@dataclass(frozen=True, eq=False)
class Column:
    r"""One model.

    Arguments:
        title: What it is.
        codes: Shape `(n, 2)`.
        labels: Classes of the examples, shape `(n,)`, or None.
        samples: Shape `(m, *data_shape)`.
        paths: Shape `(k, steps, *data_shape)`.
    """

    title: str
    codes: ArrayLike
    labels: ArrayLike | None
    samples: ArrayLike
    paths: ArrayLike


@styled
def columns(models: Sequence[Column], *, label_names: Sequence[str] | None = None, title: str = "") -> Figure:
    r"""Draw models side by side: codes, coloured by class and each to its own scale, samples, and interpolations.

    A circle has one standard deviation of a standard normal prior: how far out, in a model's own scale, samples come
    from.

    Arguments:
        models: At least one.
        label_names: Names of the classes.
        title: Above all.

    Raises:
        RequestError: If there is no model, or codes are not of two units.

    Example:
        >>> x = np.zeros((4, 1, 5, 5))
        >>> one = Column("one", np.zeros((3, 2)), [0, 1, 1], x, x.reshape(2, 2, 1, 5, 5))
        >>> [ax.get_title(loc="left") for ax in columns([one, one]).axes][:2]
        ['one', 'one']
    """
    if not models:
        raise RequestError("there are no models to draw; expected at least 1")
    figure = Figure(figsize=(3.4 * len(models), 8.9), layout="constrained")
    axes = figure.subplots(3, len(models), squeeze=False, gridspec_kw={"height_ratios": (3.2, 3.0, 1.5)})
    limits = _shared_limits(models)
    for j, model in enumerate(models):
        _scatter(axes[0, j], model)
        axes[0, j].set_title(model.title)
        samples, paths = _batch(model.samples), np.asarray(model.paths)
        _examples(axes[1, j], samples, math.ceil(math.sqrt(len(samples))), limits)
        _examples(axes[2, j], _batch(paths.reshape(-1, *paths.shape[2:])), paths.shape[1], limits)
    for row, heading in zip(axes, _HEADINGS, strict=True):
        row[0].set_ylabel(heading, color=INK, weight="bold")
    _legend(figure, models, label_names)
    if title:
        figure.suptitle(title, x=0.01, ha="left", weight="bold", fontsize=10)
    return figure


def _shared_limits(models: Sequence[Column]) -> tuple[float, float]:
    every = [_batch(model.samples) for model in models]
    return (0.0, 1.0) if all(_within(x, 0.25) for x in every) else _extent(*every)


def _scatter(ax: Axes, model: Column) -> None:
    z = np.asarray(model.codes, dtype=np.float64)
    if z.ndim != 2 or z.shape[1] != 2:
        raise RequestError(f"codes have shape {z.shape}; expected (n, 2), codes of two units")
    colours: Any = MAIN if model.labels is None else [COLOURS[int(c) % 10] for c in np.asarray(model.labels)]
    ax.scatter(z[:, 0], z[:, 1], c=colours, s=float(np.clip(6000 / max(len(z), 1), 2, 24)), linewidths=0, alpha=0.8)
    ax.add_patch(Circle((0, 0), 1, fill=False, color=INK, linewidth=1.2, zorder=3))
    reach = max(3.3, 1.06 * float(np.quantile(np.abs(z), 0.999)))
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    ax.grid(False)


def _examples(ax: Axes, x: NDArray[Any], wide: int, limits: tuple[float, float]) -> None:
    if x.ndim == 4:
        tiles = _rgb(x, limits)
        ax.imshow(_mosaic(tiles, wide, _gap(tiles)), interpolation="antialiased")
        ax.set(xticks=[], yticks=[], frame_on=False)
    elif x.shape[1] <= 3:
        ax.scatter(x[:, 0], x[:, -1], s=8, color=MAIN, linewidths=0)
    else:
        ax.plot(np.arange(1, x.shape[1] + 1), x.T, color=MAIN, linewidth=0.6, alpha=0.4)
    ax.grid(False)


def _legend(figure: Figure, models: Sequence[Column], names: Sequence[str] | None) -> None:
    labels = next((np.asarray(model.labels) for model in models if model.labels is not None), None)
    if labels is None or len(classes := np.unique(labels)) > 12:
        return
    from matplotlib.lines import Line2D

    circle = Line2D([], [], marker="o", linestyle="", markersize=8, markerfacecolor="none", color=INK,
                    label="one deviation of the prior")  # fmt: skip
    handles = [
        Line2D([], [], marker="o", linestyle="", markersize=5, color=COLOURS[int(c) % 10],
               label=names[int(c)] if names else str(int(c)))
        for c in classes
    ]  # fmt: skip
    figure.legend(handles=[*handles, circle], loc="outside lower center", ncols=len(classes) + 1)
