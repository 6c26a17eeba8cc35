r"""Plots of numbers: learning curves, latent space, rates of the units, the bound against its samples."""

__all__ = ["loss_curves", "latent_scatter", "unit_rates", "bound_curve"]

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Patch
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

from vaekit.errors import RequestError
from vaekit.figures.style import ACCENT, COLOURS, FAINT, MAIN, SOFT, styled

_OFF = "#a9b0bb"
_OFFSET: dict[str, Any] = {"textcoords": "offset points"}
_MARKERS = "o^sDPX"  # a second cue once the ten colours are used up


@styled
def loss_curves(history: Mapping[str, Sequence[Any]], *, best_epoch: int | None = None) -> Figure:
    r"""Draw the learning curves: :math:`-\mathrm{ELBO}` at the left, rate and distortion at the right, in nats.

    The two parts have an axis each, because a rate of 25 nats is a flat line beside a distortion of 1000. From
    twenty epochs on the vertical axis leaves out the first twentieth, which would squeeze the rest into a line.

    Arguments:
        history: Columns of `history.csv`, all of one length: `epoch` (default 1, 2, ...) and `train_elbo`,
            `validation_elbo`, `train_rate`, ... in nats per example. Missing columns and empty cells are left
            out; without a bound, `train_loss` and `validation_loss` are drawn.
        best_epoch: The epoch to mark; by default the one with the highest validation bound.

    Raises:
        RequestError: If there is no bound and no loss to draw.

    Example:
        >>> figure = loss_curves({"train_elbo": [-150.0, -120.0], "validation_elbo": [-130.0, -121.0]})
        >>> figure.axes[0].get_title(loc="left")
        '−ELBO'
    """
    elbo = [_series(history, f"{split}_elbo") for split in ("train", "validation")]
    loss = [_series(history, f"{split}_loss") for split in ("train", "validation")]
    bounded = any(_any_finite(c) for c in elbo)
    panels = [("−ELBO", [-c for c in elbo]) if bounded else ("loss", loss)]
    for name, title in (("rate", "rate: KL(q(z|x) ‖ p(z))"), ("distortion", "distortion: −E log p(x|z)")):
        panels.append((title, [_series(history, f"{split}_{name}") for split in ("train", "validation")]))
    if not any(_any_finite(c) for c in panels[0][1]):
        given = ", ".join(history) or "no column"
        raise RequestError(f"the history has {given}; expected train_elbo or train_loss with at least one number")
    panels = [panel for panel in panels if any(_any_finite(c) for c in panel[1])]
    length = max(len(c) for _, curves in panels for c in curves)
    epochs = _series(history, "epoch")
    epochs = epochs if len(epochs) == length else np.arange(1.0, length + 1)
    selection = panels[0][1][1]
    if best_epoch is None and _any_finite(selection):
        best_epoch = int(epochs[np.nanargmin(selection)])

    figure = Figure(figsize=(8.4, 3.7) if len(panels) > 1 else (5.2, 3.7), layout="constrained")
    grid = figure.add_gridspec(max(1, len(panels) - 1), 2 if len(panels) > 1 else 1)
    axes = [figure.add_subplot(grid[:, 0])]
    axes += [figure.add_subplot(grid[row, 1], sharex=axes[0]) for row in range(len(panels) - 1)]
    for ax, (title, curves) in zip(axes, panels, strict=True):
        for values, colour, label in zip(curves, (SOFT, MAIN), ("train", "validation"), strict=True):
            known = np.isfinite(values)
            if known.any():
                dot = "o" if known.sum() < 3 else ""
                line: dict[str, Any] = {"color": colour, "marker": dot, "markersize": 4, "label": label}
                ax.plot(epochs[: len(values)][known], values[known], **line)
        late = np.concatenate([c[math.ceil(len(c) / 20) if len(c) >= 20 else 0 :] for c in curves])
        every = np.concatenate(curves)
        if _any_finite(late) and np.nanmax(late) < np.nanmax(every):
            low, high = np.nanmin(every), np.nanmax(late)
            ax.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
        ax.set_title(title)
        ax.set_ylabel("nats per example" if bounded or ax is not axes[0] else "loss")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        if best_epoch is not None:
            ax.axvline(best_epoch, color=ACCENT, linewidth=0.9, linestyle=(0, (3, 2)), zorder=1)
        if ax in (axes[0], axes[-1]):
            ax.set_xlabel("epoch")
        else:
            ax.tick_params(labelbottom=False)
    if length == 1:
        axes[0].set_xlim(epochs[0] - 1, epochs[0] + 1)
    if best_epoch is not None:
        at = np.flatnonzero(epochs[: len(selection)] == best_epoch)
        if at.size and math.isfinite(selection[at[0]]):
            label = f"best epoch, {best_epoch}: {_number(selection[at[0]])}"
            axes[0].plot(best_epoch, selection[at[0]], "o", color=ACCENT, markersize=6, zorder=5, label=label)
    axes[0].legend(loc="upper right")
    return figure


@styled
def latent_scatter(
    z: ArrayLike,
    labels: ArrayLike | None = None,
    label_names: Sequence[str] | None = None,
    *,
    axes: tuple[str, str] = ("z1", "z2"),
    circles: bool = True,
    prior: ArrayLike | None = None,
) -> Figure:
    r"""Draw points of a two-dimensional latent space, coloured by label, with equal units on both axes.

    Whole-number labels are classes with a legend (and a name at each class's median while there are at most
    twelve); fractional ones, or more than sixty classes, get a colour bar. Negative classes are "unlabelled".

    Arguments:
        z: Shape `(n, 2)`. More dimensions are the caller's to project, say on principal axes.
        labels: Shape `(n,)`.
        label_names: `label_names[c]` is the name of class `c`; by default its number.
        axes: What the two axes are.
        circles: Whether to draw one, two and three standard deviations of a standard normal prior.
        prior: Draws of another prior, shape `(m, 2)`, to show faintly under the points, in the place of circles.

    Raises:
        RequestError: If `z` or `prior` is not `(n, 2)`, or `labels` has another length.

    Example:
        >>> figure = latent_scatter(np.zeros((4, 2)), [0, 1, 1, 0], ["cat", "dog"])
        >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
        ['cat', 'dog']
    """
    points = np.asarray(z, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points):
        raise RequestError(f"z has shape {points.shape}; expected (n, 2): project it first, say on principal axes")
    values = None if labels is None else np.asarray(labels)
    if values is not None and values.shape != (len(points),):
        raise RequestError(f"labels have shape {values.shape}; expected one label a point, ({len(points)},)")
    drawn = np.empty((0, 2)) if prior is None else np.asarray(prior, dtype=np.float64)
    if drawn.ndim != 2 or drawn.shape[1] != 2:
        raise RequestError(f"prior has shape {drawn.shape}; expected draws of shape (m, 2): sample it in the plane")
    circles = circles and prior is None
    # In a fixed random order, so that no class is drawn over all the others.
    order = np.random.default_rng(0).permutation(np.flatnonzero(np.isfinite(points).all(1)))
    points, values = points[order], values if values is None else values[order]
    figure = Figure(figsize=(6.6, 5.6), layout="constrained")
    ax = figure.add_subplot()
    dots: dict[str, Any] = {"s": float(np.clip(9000 / max(len(points), 1), 3.5, 26)), "linewidths": 0, "alpha": 0.8}
    if len(drawn):
        ax.scatter(drawn[:, 0], drawn[:, 1], s=9, color=_OFF, linewidths=0, alpha=0.3, zorder=0.5)
    if values is None:
        ax.scatter(points[:, 0], points[:, 1], color=MAIN, **dots)
    elif len(classes := np.unique(values)) > 60 or (classes != np.floor(classes)).any():
        cloud = ax.scatter(points[:, 0], points[:, 1], c=values.astype(np.float64), cmap="viridis", **dots)
        bar = figure.colorbar(cloud, ax=ax, shrink=0.7, aspect=28)
        bar.outline.set_visible(False)
    else:
        _draw_classes(ax, points, values, classes, label_names, dots)
    if circles:
        for radius in (1, 2, 3):
            ax.add_patch(Circle((0, 0), radius, fill=False, color=SOFT, alpha=0.45, linewidth=0.8, zorder=3))
            halo = [withStroke(linewidth=2, foreground="white")]
            where = radius * math.sqrt(0.5)
            ax.text(where, where, f"{radius}σ", color=SOFT, fontsize=7, path_effects=halo, clip_on=True, zorder=4)
        reach = max(3.3, 1.06 * float(np.quantile(np.abs(points), 0.9995)) if len(points) else 0.0)
        ax.set(xlim=(-reach, reach), ylim=(-reach, reach))
    ax.set_aspect("equal", adjustable="box" if circles else "datalim")
    ax.grid(False)
    ax.set(xlabel=axes[0], ylabel=axes[1])
    return figure


@styled
def unit_rates(rates: ArrayLike, active: ArrayLike) -> Figure:
    r"""Draw the rate of each latent unit, :math:`E_x\,\mathrm{KL}(q(z_i|x) \,\|\, p(z_i))` in nats, largest first.

    Arguments:
        rates: Shape `(d,)`.
        active: Shape `(d,)`, true where the unit carries information about x, for instance
            :math:`\mathrm{Var}_x(E_q[z_i]) > 0.01` ("Importance Weighted Autoencoders", Burda et al., 2016).

    Raises:
        RequestError: If the two are not vectors of one length.

    Example:
        >>> [float(bar.get_height()) for bar in unit_rates([0.0, 3.0, 1.0], [False, True, True]).axes[0].patches]
        [3.0, 1.0, 0.0]
    """
    rates, active = np.asarray(rates, dtype=np.float64), np.asarray(active, dtype=bool)
    if rates.ndim != 1 or rates.shape != active.shape or not rates.size:
        raise RequestError(f"rates are {rates.shape}, active is {active.shape}; expected two vectors of one length")
    order = np.argsort(-rates, kind="stable")
    few = len(rates) <= 40
    figure = Figure(figsize=(8.4 if len(rates) > 12 else 5.2, 2.9), layout="constrained")
    ax = figure.add_subplot()
    colours = [MAIN if on else _OFF for on in active[order]]
    at = np.arange(1, len(rates) + 1)
    # Edges, so that a unit without rate is still a grey line on the base, where the axis would hide it.
    ax.bar(
        at,
        rates[order],
        color=colours,
        edgecolor=colours,
        linewidth=1.5 if few else 1,
        width=0.76 if few else 1,
        clip_on=False,
    )
    ax.spines["bottom"].set_visible(False)
    ax.tick_params(bottom=False)
    if few:
        ax.set_xticks(at, [str(unit) for unit in order], fontsize=7)
    ax.set_xlabel("latent unit, sorted by rate" if few else "latent units, sorted by rate")
    ax.set_ylabel("rate (nats)")
    ax.set_xlim(0.4, max(len(rates), 4) + 0.6)
    on = int(active.sum())
    handles = [Patch(color=MAIN, label=f"active: {on}"), Patch(color=_OFF, label=f"inactive: {len(rates) - on}")]
    ax.legend(handles=handles, loc="upper right", handlelength=0.9, handleheight=0.9)
    return figure


@styled
def bound_curve(samples: ArrayLike, values: ArrayLike, errors: ArrayLike | None = None) -> Figure:
    r"""Draw the importance-weighted bound :math:`\mathcal{L}_k \le \log p(x)`, in nats, rising with k.

    Arguments:
        samples: The numbers of importance samples k, shape `(m,)`, positive, in any order.
        values: The bound at each k, mean over the test set, shape `(m,)`.
        errors: Its standard errors, shape `(m,)`, drawn as a band of one on either side.

    Raises:
        RequestError: If the lengths differ or a k is not positive.

    Example:
        >>> bound_curve([1, 10], [-90.0, -88.0], [0.1, 0.1]).axes[0].get_xscale()
        'log'
    """
    k, bound = np.asarray(samples, dtype=np.float64), np.asarray(values, dtype=np.float64)
    spread = np.zeros_like(bound) if errors is None else np.asarray(errors, dtype=np.float64)
    if k.ndim != 1 or not (k.shape == bound.shape == spread.shape) or not k.size or (k <= 0).any():
        shapes = f"{k.shape}, {bound.shape} and {spread.shape}"
        raise RequestError(f"samples, values and errors are {shapes}; expected one length, and every k positive")
    order = np.argsort(k)
    k, bound, spread = k[order], bound[order], spread[order]
    figure = Figure(figsize=(5.8, 3.3), layout="constrained")
    ax = figure.add_subplot()
    if errors is not None:
        ax.fill_between(k, bound - spread, bound + spread, color=MAIN, alpha=0.16, linewidth=0)
        ax.errorbar(k, bound, spread, fmt="none", ecolor=MAIN, elinewidth=1.2)
    ax.plot(k, bound, "o-", color=MAIN, markersize=4.5)
    ax.set_xscale("log")
    ax.set_xlim(k[0] / 1.35, k[-1] * 1.35)
    ax.margins(y=0.16)
    ax.xaxis.set_major_locator(FixedLocator(_apart(k).tolist()))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    ax.annotate(_number(bound[-1]), (k[-1], bound[-1] + spread[-1]), (0, 5), ha="center", **_OFFSET)
    if len(k) > 1:
        ax.annotate(_number(bound[0]), (k[0], bound[0] - spread[0]), (6, -2), ha="left", va="top", **_OFFSET)
    ax.set_xlabel("importance samples k (log scale)")
    ax.set_ylabel("bound on log p(x) (nats)")
    return figure


def _series(history: Mapping[str, Sequence[Any]], column: str) -> NDArray[np.float64]:
    return np.array([np.nan if v in (None, "") else float(v) for v in history.get(column, ())], dtype=np.float64)


def _any_finite(values: NDArray[np.float64]) -> bool:
    return bool(np.isfinite(values).any())


def _number(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _apart(k: NDArray[np.float64]) -> NDArray[np.float64]:
    # Ticks closer than a tenth of the axis would print over one another; the last one matters most.
    kept, room = [k[-1]], 0.1 * math.log(k[-1] / k[0] * 1.35**2)
    for value in k[-2::-1]:
        if math.log(kept[-1] / value) >= room:
            kept.append(value)
    return np.array(kept[::-1])


def _draw_classes(
    ax: Axes,
    z: NDArray[Any],
    labels: NDArray[Any],
    classes: NDArray[Any],
    names: Sequence[str] | None,
    dots: dict[str, Any],
) -> None:
    def name(c: Any) -> str:
        return "unlabelled" if c < 0 else str(names[int(c)]) if names and c < len(names) else str(int(c))

    colour = {c: FAINT if c < 0 else COLOURS[int(c) % 10] for c in classes}
    marker = {c: _MARKERS[max(0, int(c)) // 10 % len(_MARKERS)] for c in classes}
    for shape in sorted(set(marker.values()), key=_MARKERS.index):
        some = np.isin(labels, [c for c in classes if marker[c] == shape])
        ax.scatter(z[some, 0], z[some, 1], c=[colour[c] for c in labels[some]], marker=shape, **dots)
    handles = [
        Line2D([], [], marker=marker[c], color=colour[c], linestyle="", markersize=5.5, label=name(c)) for c in classes
    ]
    ax.legend(handles=handles, loc="center left", bbox_to_anchor=(1.01, 0.5), ncols=math.ceil(len(classes) / 20))
    for c in classes if len(classes) <= 12 else ():
        middle = np.median(z[labels == c], axis=0)
        halo = [withStroke(linewidth=3, foreground="white")]
        ax.text(middle[0], middle[1], name(c), ha="center", va="center", weight="bold", path_effects=halo, zorder=6)
