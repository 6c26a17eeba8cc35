r"""Frames of a video side by side, and as a moving picture, beside what they should be."""

__all__ = ["animate_frames", "frame_strip"]

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike, NDArray

from vaekit.errors import RequestError
from vaekit.figures.animation import save_animation
from vaekit.figures.pictures import _gap, _picture, _rgb
from vaekit.figures.style import ACCENT, INK, SOFT, styled

_UNIT = (0.0, 1.0)


@styled
def frame_strip(
    frames: ArrayLike,
    *,
    truth: ArrayLike | None = None,
    times: ArrayLike | None = None,
    observed: ArrayLike | None = None,
    columns: int = 10,
) -> Figure:
    r"""Draw frames in a row, evenly spread where there are more than fit, with the true ones below.

    Arguments:
        frames: Shape `(n, C, H, W)`, C = 1 or 3; bytes, or numbers in [0, 1], which are clipped.
        truth: Frames to draw below them, of the same shape.
        times: Seconds, shape `(n,)`, written below.
        observed: Which frames were given and not predicted, shape `(n,)`: they are framed, and their times in bold.
        columns: The most frames side by side.

    Raises:
        RequestError: If there is nothing to draw, or shapes differ.

    Example:
        >>> frames = np.zeros((30, 1, 5, 7))
        >>> figure = frame_strip(frames, truth=frames, times=np.arange(30) / 30, columns=4)
        >>> [text.get_text() for text in figure.axes[0].get_xticklabels()]
        ['0.00 s', '0.33 s', '0.63 s', '0.97 s']
    """
    shown, below = _both(frames, truth)
    n = len(shown)
    chosen = np.unique(np.rint(np.linspace(0, n - 1, min(max(1, columns), n))).astype(int))
    given = np.zeros(n, bool) if observed is None else _one_each("observed", observed, n).astype(bool)
    rows = [shown[chosen]] if below is None else [shown[chosen], below[chosen]]
    _, height, width, _ = shown.shape
    gap = _gap(shown)
    down, across = height + gap, width + gap
    canvas = np.full((len(rows) * down - gap, len(chosen) * across - gap, 3), 255, np.uint8)
    for i, row in enumerate(rows):
        for j, tile in enumerate(row):
            canvas[i * down : i * down + height, j * across : j * across + width] = tile
    figure, ax = _picture(canvas, left=0 if below is None else 76, bottom=0 if times is None else 24)
    for j, number in enumerate(chosen):
        if given[number]:
            corner = (j * across - 0.5, -0.5)
            frame = Rectangle(corner, width, height, fill=False, edgecolor=ACCENT, linewidth=2.2, clip_on=False)
            ax.add_patch(frame)
    if times is not None:
        seconds = _one_each("times", times, n)[chosen]
        ax.set_xticks(np.arange(len(chosen)) * across + (width - 1) / 2, [f"{t:.2f} s" for t in seconds])
        for label, number in zip(ax.get_xticklabels(), chosen, strict=True):
            label.set(color=INK if given[number] else SOFT, weight="bold" if given[number] else "normal")
    if below is not None:
        ax.set_yticks(np.arange(2) * down + (height - 1) / 2, ["predicted", "true"])
    return figure


def animate_frames(
    frames: ArrayLike,
    path: str | os.PathLike[str],
    *,
    fps: float = 30.0,
    truth: ArrayLike | None = None,
    height: int = 256,
) -> Path:
    r"""Write frames as a `.gif` or `.mp4`, enlarged by a whole number, and return the path.

    Arguments:
        frames: Shape `(n, C, H, W)`, C = 1 or 3; bytes, or numbers in [0, 1], which are clipped.
        path: The file.
        fps: Frames a second.
        truth: Frames to show to the right of them, of the same shape.
        height: Frames that are at most half as high are enlarged, to at most so many pixels.

    Raises:
        RequestError: If there is nothing to show, or shapes differ, and as
            `vaekit.figures.animation.save_animation`.

    Example:
        >>> import tempfile
        >>> frames = np.linspace(0, 1, 5 * 64).reshape(5, 1, 8, 8)
        >>> animate_frames(frames, Path(tempfile.mkdtemp()) / "a.gif", fps=5).name
        'a.gif'
    """
    shown, beside = _both(frames, truth)
    scale = max(1, height // shown.shape[1])
    gap = 0 if beside is None else _gap(shown)

    def each() -> Iterator[NDArray[np.uint8]]:
        for number, frame in enumerate(shown):
            whole = frame
            if beside is not None:
                paper = np.full((len(frame), gap, 3), 255, np.uint8)
                whole = np.concatenate([frame, paper, beside[number]], axis=1)
            yield whole.repeat(scale, axis=0).repeat(scale, axis=1)

    return save_animation(each(), path, fps=fps, back=False)


def _both(frames: ArrayLike, truth: ArrayLike | None) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Bring frames and the true ones to `(n, H, W, 3)` bytes."""
    first = _bytes("frames", frames)
    if truth is None:
        return first, None
    second = _bytes("the truth", truth)
    if first.shape != second.shape:
        raise RequestError(f"frames are {np.shape(frames)}, the truth is {np.shape(truth)}; expected the same shape")
    return first, second


def _bytes(what: str, frames: ArrayLike) -> NDArray[np.uint8]:
    x: NDArray[Any] = np.asarray(frames)
    if x.ndim != 4 or x.shape[1] not in (1, 3) or not x.size:
        raise RequestError(f"{what} have shape {x.shape}; expected (n, C, H, W) with one channel or three")
    return _rgb(x, (0.0, 255.0) if x.dtype == np.uint8 else _UNIT)


def _one_each(what: str, values: ArrayLike, n: int) -> NDArray[Any]:
    found = np.asarray(values).reshape(-1)
    if len(found) != n:
        raise RequestError(f"{what} are {len(found)} for {n} frames; expected one for each")
    return found
