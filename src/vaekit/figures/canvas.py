r"""Images that come to be step by step, with the window that each step is drawn through."""

__all__ = ["boxed", "evenly"]

import numpy as np
from matplotlib.colors import to_rgb
from numpy.typing import ArrayLike, NDArray

from vaekit.errors import RequestError
from vaekit.figures.style import ACCENT

_SIDE = 112  # screen pixels of a tile, at least, where a box is drawn


def boxed(images: ArrayLike, boxes: ArrayLike | None) -> NDArray[np.float64]:
    r"""Return images in colour, magnified so that a line is thin beside a pixel, with a box drawn in each.

    The box goes from filter to filter, and its line is as thick as a filter is wide, up to a tenth of the picture:
    a thin one is a window that sees sharply.

    Arguments:
        images: Shape `(..., channels, height, width)`, in [0, 1]; what is outside is cut off.
        boxes: Shape `(..., 5)`: left, top, right, bottom and the filters' width, in pixels from 1; None to draw none.

    Returns:
        Shape `(..., 3, scale * height, scale * width)`.

    Raises:
        RequestError: If there is not one box for each image.

    Example:
        >>> boxed(np.zeros((2, 1, 4, 4)), np.array([[1, 1, 4, 4, 0.1]] * 2)).shape
        (2, 3, 112, 112)
    """
    x = np.clip(np.asarray(images, dtype=np.float64), 0, 1)
    if x.ndim < 3 or (boxes is not None and np.shape(boxes) != (*x.shape[:-3], 5)):
        raise RequestError(
            f"images have shape {x.shape} and boxes {np.shape(boxes) if boxes is not None else None}; expected "
            "(..., channels, height, width) and (..., 5)"
        )
    colour = x if x.shape[-3] == 3 else x.mean(-3, keepdims=True).repeat(3, -3)
    scale = max(1, -(-_SIDE // max(x.shape[-2:])))
    large = colour.repeat(scale, -2).repeat(scale, -1)
    if boxes is None:
        return large
    flat = large.reshape(-1, *large.shape[-3:])
    for image, box in zip(flat, np.asarray(boxes, dtype=np.float64).reshape(-1, 5), strict=True):
        image[:, _outline(image.shape[1:], box, scale)] = np.array(to_rgb(ACCENT))[:, None]
    return flat.reshape(large.shape)


def _outline(shape: tuple[int, ...], box: NDArray[np.float64], scale: int) -> NDArray[np.bool_]:
    """Where the line of a box is: half inside it and half outside."""
    thick = float(np.clip(scale * box[4] / 2, 1, max(shape) / 10)) / 2
    left, top, right, bottom = np.clip(scale * (box[:4] - 0.5), -1e6, 1e6)  # pixel 1 has its middle at a half
    down, across = (np.arange(size)[..., None] + 0.5 for size in shape)
    across = across.T

    def within(grow: float) -> NDArray[np.bool_]:
        rows = (down > top - grow) & (down < bottom + grow)
        inside: NDArray[np.bool_] = rows & (across > left - grow) & (across < right + grow)
        return inside

    return within(thick) & ~within(-thick)


def evenly(steps: int, most: int) -> NDArray[np.int64]:
    r"""Return the numbers of at most so many steps, evenly spaced, the last one among them.

    Example:
        >>> evenly(10, 4).tolist(), evenly(3, 4).tolist()
        ([0, 3, 6, 9], [0, 1, 2])
    """
    return np.unique(np.linspace(0, steps - 1, min(steps, most)).round().astype(np.int64))
