r"""Stick figures: poses side by side, and as a moving picture, seen by a camera that stands still."""

__all__ = ["animate_poses", "pose_strip", "pose_tiles"]

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from vaekit.errors import RequestError
from vaekit.figures.animation import save_animation
from vaekit.figures.style import ACCENT, FAINT, INK, MAIN, SOFT, styled

Floats = NDArray[np.float64]
Bones = Sequence[tuple[int, int]]

_SHADE = "#a9b0bb"
_ROOM = 0.08  # of the figure's size, around it
_SIDES = (("left", ACCENT), ("right", MAIN))


@dataclass(frozen=True, eq=False)
class _Scene:
    """Lines on the screen: bones of shape `(n, B, 2, 2)`, those of the truth, and the ground, `(G, 2, 2)`."""

    bones: Floats
    truth: Floats | None
    ground: Floats
    colours: list[str]
    low: Floats
    high: Floats


@styled
def pose_strip(
    joints: ArrayLike,
    bones: Bones,
    *,
    truth: ArrayLike | None = None,
    times: ArrayLike | None = None,
    observed: ArrayLike | None = None,
    names: Sequence[str] | None = None,
    columns: int = 8,
    up: str = "y",
    azimuth: float = 60.0,
    elevation: float = 12.0,
) -> Figure:
    r"""Draw poses side by side as stick figures, all from one side, at one scale and on one ground.

    Arguments:
        joints: Places of the joints, shape `(n, J, 3)`.
        bones: Pairs of joints, as `data.poses.skeleton.bones`.
        truth: Places to draw behind them in grey, shape `(n, J, 3)`.
        times: Seconds, shape `(n,)`, written below.
        observed: Which poses were given and not predicted, shape `(n,)`: their times are in bold.
        names: Names of the joints: bones that end in "left" or "right" joints have colours of their own.
        columns: The most poses side by side.
        up: The axis that points up: "x", "y" or "z".
        azimuth: From where it is seen, in degrees about that axis.
        elevation: And in degrees above the ground.

    Raises:
        RequestError: If there is nothing to draw, shapes differ, or an option is not understood.

    Example:
        >>> joints = np.zeros((3, 2, 3)) + [[[0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]]
        >>> len(pose_strip(joints, [(0, 1)], times=[0.0, 0.1, 0.2]).axes)
        3
    """
    scene = _scene(joints, bones, truth, names, up, azimuth, elevation)
    n = len(scene.bones)
    seconds = None if times is None else _one_each("times", times, n)
    given = np.zeros(n, bool) if observed is None else _one_each("observed", observed, n).astype(bool)
    wide = min(max(1, columns), n)
    rows = math.ceil(n / wide)
    width, height = scene.high - scene.low
    side = min(1.9, 11.0 / wide)
    tall = side * height / width
    if tall > 3.2:
        side, tall = side * 3.2 / tall, 3.2
    figure = Figure(figsize=(max(2.0, side * wide), (tall + (0.28 if seconds is not None else 0.06)) * rows))
    figure.set_layout_engine("constrained", w_pad=0, h_pad=0.02, wspace=0, hspace=0)
    for number in range(n):
        ax = figure.add_subplot(rows, wide, number + 1)
        _draw(ax, scene, number)
        if seconds is not None:
            weight = "bold" if given[number] else "normal"
            ax.text(
                0.5, -0.02, f"{seconds[number]:.2f} s",
                transform=ax.transAxes, ha="center", va="top", fontsize=8,
                color=INK if given[number] else SOFT, weight=weight,
            )  # fmt: skip
    return figure


@styled
def animate_poses(
    joints: ArrayLike,
    bones: Bones,
    path: str | os.PathLike[str],
    *,
    fps: float = 30.0,
    truth: ArrayLike | None = None,
    times: ArrayLike | None = None,
    observed: ArrayLike | None = None,
    names: Sequence[str] | None = None,
    up: str = "y",
    azimuth: float = 60.0,
    elevation: float = 12.0,
    height: int = 360,
) -> Path:
    r"""Write poses as a moving stick figure, `.gif` or `.mp4`, and return the path.

    Arguments:
        joints: As in `pose_strip`, and so are `bones`, `truth`, `names`, `up`, `azimuth` and `elevation`.
        bones: Pairs of joints.
        path: The file.
        fps: Frames a second.
        truth: Places to draw behind them in grey, shape `(n, J, 3)`.
        times: Seconds, shape `(n,)`, written in the corner.
        observed: Which poses were given and not predicted, shape `(n,)`: said in the corner.
        names: Names of the joints.
        up: The axis that points up.
        azimuth: From where it is seen, in degrees.
        elevation: And in degrees above the ground.
        height: Of the picture in pixels; at least 64.

    Raises:
        RequestError: As `pose_strip` and `vaekit.figures.animation.save_animation`.

    Example:
        >>> import tempfile
        >>> joints = np.zeros((3, 2, 3)) + [[[0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]]
        >>> animate_poses(joints, [(0, 1)], Path(tempfile.mkdtemp()) / "a.gif", height=64).stat().st_size > 100
        True
    """
    if not isinstance(height, int) or height < 64:
        raise RequestError(f"height is {height!r}; expected pixels, at least 64: pass height=360")
    scene = _scene(joints, bones, truth, names, up, azimuth, elevation)
    n = len(scene.bones)
    seconds = None if times is None else _one_each("times", times, n)
    given = None if observed is None else _one_each("observed", observed, n).astype(bool)
    frames = _frames(scene, _across(scene, height), height, seconds, given)
    return save_animation(frames, path, fps=fps, back=False)


@styled
def pose_tiles(
    joints: ArrayLike, bones: Bones, *, names: Sequence[str] | None = None, up: str = "y", height: int = 128
) -> Floats:
    r"""Draw each pose as a small picture, colours in [0, 1], shape `(n, 3, height, width)`, as `pose_strip` sees them.

    Arguments:
        joints: As in `pose_strip`, and so are `bones`, `names` and `up`.
        bones: Pairs of joints.
        names: Names of the joints.
        up: The axis that points up.
        height: Of a picture in pixels; at least 64.

    Raises:
        RequestError: As `pose_strip`.

    Example:
        >>> joints = np.zeros((3, 2, 3)) + [[[0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]]
        >>> pose_tiles(joints, [(0, 1)]).shape[:3]
        (3, 3, 128)
    """
    scene = _scene(joints, bones, None, names, up, 60.0, 12.0)
    frames = _frames(scene, _across(scene, height), height, None, None)
    return np.stack([np.moveaxis(frame, -1, 0) for frame in frames]) / 255.0


def _across(scene: _Scene, height: int) -> int:
    """The width of a picture in pixels, from its height."""
    across, tall = scene.high - scene.low
    return int(np.clip(round(height * across / tall), height // 2, 3 * height))


def _frames(
    scene: _Scene, width: int, height: int, seconds: NDArray[Any] | None, given: NDArray[np.bool_] | None
) -> Iterator[NDArray[np.uint8]]:
    """Draw the frames in one figure, whose lines move."""
    figure = Figure(figsize=(width / 100, height / 100), dpi=100)
    canvas = FigureCanvasAgg(figure)
    ax = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    lines, behind = _draw(ax, scene, 0)
    corner = ax.text(0.02, 0.98, "", transform=ax.transAxes, va="top", fontsize=8, color=SOFT)
    for number in range(len(scene.bones)):
        lines.set_segments(list(scene.bones[number]))
        if behind is not None and scene.truth is not None:
            behind.set_segments(list(scene.truth[number]))
        said = [] if seconds is None else [f"{seconds[number]:.2f} s"]
        if given is not None:
            said.append("observed" if given[number] else "predicted")
        corner.set_text(", ".join(said))
        yield _pixels(canvas)


def _pixels(canvas: Any) -> NDArray[np.uint8]:
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _draw(ax: Axes, scene: _Scene, number: int) -> tuple[LineCollection, LineCollection | None]:
    """Draw one pose on its ground; return its lines and those of the truth."""
    ax.add_collection(LineCollection(list(scene.ground), colors=FAINT, linewidths=0.6, zorder=1))
    round_ends: dict[str, Any] = {"capstyle": "round", "joinstyle": "round"}
    behind = None
    if scene.truth is not None:
        behind = LineCollection(list(scene.truth[number]), colors=_SHADE, linewidths=3.2, zorder=2, **round_ends)
        ax.add_collection(behind)
    lines = LineCollection(list(scene.bones[number]), colors=scene.colours, linewidths=1.8, zorder=3, **round_ends)
    ax.add_collection(lines)
    ax.set(xlim=(scene.low[0], scene.high[0]), ylim=(scene.low[1], scene.high[1]), aspect="equal")
    ax.axis("off")
    return lines, behind


def _scene(
    joints: ArrayLike,
    bones: Bones,
    truth: ArrayLike | None,
    names: Sequence[str] | None,
    up: str,
    azimuth: float,
    elevation: float,
) -> _Scene:
    """Project the joints and the ground below them to the screen."""
    places = np.asarray(joints, np.float64)
    if places.ndim != 3 or places.shape[2] != 3 or not len(places):
        raise RequestError(f"joints have shape {places.shape}; expected (n, J, 3): pass data.poses.joints(rows)")
    pairs = np.asarray(bones, np.int64).reshape(-1, 2)
    if not len(pairs) or pairs.min() < 0 or pairs.max() >= places.shape[1]:
        raise RequestError(
            f"bones are {pairs.tolist()} of {places.shape[1]} joints; expected pairs of numbers from 0 to "
            f"{places.shape[1] - 1}: pass data.poses.skeleton.bones"
        )
    if up not in ("x", "y", "z"):
        raise RequestError(f"up is {up!r}; expected x, y or z: pass up=y")
    other = None if truth is None else np.asarray(truth, np.float64)
    if other is not None and other.shape != places.shape:
        raise RequestError(f"the truth has shape {other.shape}; expected {places.shape}, as the joints")
    every = places if other is None else np.concatenate([places, other])
    if not np.isfinite(every).all():
        raise RequestError("joints hold NaN or infinity; expected finite places: leave those frames out")
    order = [("xyz".index(up) + step) % 3 for step in (1, 2, 3)]  # the axis that points up comes last
    floor = every[..., order].reshape(-1, 3)
    low, high = floor.min(0), floor.max(0)
    size = float((high - low).max()) or 1.0
    ground = _ground(low - _ROOM * size, high + _ROOM * size, low[2], size)

    turn, tilt = math.radians(azimuth), math.radians(elevation)
    right = np.array([-math.sin(turn), math.cos(turn), 0.0])
    away = np.array([-math.cos(turn), -math.sin(turn), 0.0])
    over = math.sin(tilt) * away + math.cos(tilt) * np.array([0.0, 0.0, 1.0])
    screen = np.stack([right, over], axis=1)

    def seen(points: Floats) -> Floats:
        return np.asarray(points[:, pairs][..., order] @ screen)

    on_screen = np.concatenate([(floor @ screen), (ground @ screen).reshape(-1, 2)])
    return _Scene(
        bones=seen(places),
        truth=None if other is None else seen(other),
        ground=ground @ screen,
        colours=_colours(pairs, names),
        low=on_screen.min(0) - 0.02 * size,
        high=on_screen.max(0) + 0.02 * size,
    )


def _ground(low: Floats, high: Floats, height: float, size: float) -> Floats:
    """Lines of a square lattice below the figure, shape `(G, 2, 3)`."""
    step = size / 5
    lines = []
    for axis in (0, 1):
        count = max(2, round((high[axis] - low[axis]) / step) + 1)
        for at in np.linspace(low[axis], high[axis], count):
            ends = np.full((2, 3), height)
            ends[:, axis] = at
            ends[:, 1 - axis] = low[1 - axis], high[1 - axis]
            lines.append(ends)
    return np.array(lines)


def _colours(pairs: NDArray[np.int64], names: Sequence[str] | None) -> list[str]:
    if names is None:
        return [INK] * len(pairs)
    found = []
    for _, joint in pairs:
        name = names[joint].lower()
        found.append(next((colour for side, colour in _SIDES if name.startswith(side)), INK))
    return found


def _one_each(what: str, values: ArrayLike, n: int) -> NDArray[Any]:
    found = np.asarray(values).reshape(-1)
    if len(found) != n:
        raise RequestError(f"{what} are {len(found)} for {n} poses; expected one for each")
    return found
