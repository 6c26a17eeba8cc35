r"""What can be measured of a stroke on its image: how thick it is, how slanted, how wide."""

__all__ = ["MEASURES", "slant", "thickness", "width"]

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vaekit.errors import RequestError

_FINER = 4  # subpixels on a side of a pixel


def thickness(images: ArrayLike) -> NDArray[np.float64]:
    r"""Return the mean thickness of the strokes, in pixels, shape `(n,)`; NaN where there is no ink.

    It is twice the mean distance from the middle line to the edge. The image is magnified four times and cut at half
    of its largest value, distances to the paper are exact, and the middle line is where they are at least as large as
    at the eight neighbours.

    References:
        Morpho-MNIST: quantitative assessment and diagnostics for representation learning (Castro et al., 2019),
        section 2.2, for thickness from distances along a skeleton.

    Arguments:
        images: Ink on paper of 0, shape `(n, C, H, W)` or `(n, H, W)`.

    Raises:
        RequestError: If the shape is another.

    Example:
        >>> line = np.zeros((1, 20, 20))
        >>> line[:, 3:17, 8:12] = 1
        >>> bool(abs(thickness(line)[0] - 4) < 0.25)
        True
    """
    from scipy.ndimage import distance_transform_edt, maximum_filter

    ink = _ink(images)
    result = np.full(len(ink), np.nan)
    for i, image in enumerate(ink):
        if image.max() <= 0:
            continue
        rows, columns = (np.flatnonzero(image.max(axis)) for axis in (1, 0))
        cut = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        fine = _magnified(cut.shape[0]) @ np.pad(cut, 1) @ _magnified(cut.shape[1]).T  # paper around it
        inside = distance_transform_edt(fine > image.max() / 2)
        ridge = inside[(inside > 0) & (inside >= maximum_filter(inside, 3))]
        # Distances run between the middles of pixels: the edge is 1/2 nearer than paper, and the middle line lies on a
        # pixel's middle where the thickness is odd, 1/2 beyond it where it is even. Neither is known: take 1/4.
        result[i] = 2 * (ridge.mean() - 0.25) / _FINER
    return result


def slant(images: ArrayLike) -> NDArray[np.float64]:
    r"""Return the slant of the strokes, in degrees from upright, to the right positive, shape `(n,)`.

    .. math::
        \tan \alpha = \frac{\operatorname{Cov}(\text{right}, \text{up})}{\operatorname{Var}(\text{up})}

    with the ink as weights: shearing the image by it makes right and up uncorrelated. NaN where there is no ink, or
    all of it on one line across.

    References:
        Gradient-based learning applied to document recognition (LeCun et al., 1998), for slant from moments of
        inertia.

    Arguments:
        images: Ink on paper of 0, shape `(n, C, H, W)` or `(n, H, W)`.

    Raises:
        RequestError: If the shape is another.

    Example:
        >>> slant(np.eye(9)[None, ::-1])  # from bottom left to top right
        array([45.])
    """
    _, covariance, up = _moments(_ink(images))
    with np.errstate(invalid="ignore", divide="ignore"):
        angle: NDArray[np.float64] = np.degrees(np.arctan(np.where(up > 0, covariance / up, np.nan)))
    return angle


def width(images: ArrayLike) -> NDArray[np.float64]:
    r"""Return the width once the slant is taken away, in pixels, shape `(n,)`; NaN where there is no slant.

    It is that of the upright bar with the same variance across,
    :math:`\sqrt{12 (\operatorname{Var}(\text{right}) - \operatorname{Cov}^2 / \operatorname{Var}(\text{up})) + 1}`,
    where the 1 is for the width of a pixel.

    Arguments:
        images: Ink on paper of 0, shape `(n, C, H, W)` or `(n, H, W)`.

    Raises:
        RequestError: If the shape is another.

    Example:
        >>> bar = np.zeros((1, 9, 9))
        >>> bar[:, 2:7, 3:6] = 1
        >>> width(bar)
        array([3.])
    """
    right, covariance, up = _moments(_ink(images))
    with np.errstate(invalid="ignore", divide="ignore"):
        left = right - np.where(up > 0, covariance**2 / up, np.nan)
        across: NDArray[np.float64] = np.sqrt(12 * np.maximum(left, 0) + 1)
    return across


MEASURES: dict[str, Callable[[ArrayLike], NDArray[np.float64]]] = {
    "thickness": thickness,
    "slant": slant,
    "width": width,
}


@functools.cache
def _magnified(n: int) -> NDArray[np.float64]:
    """Linear interpolation of n pixels and one of paper at each end, as a matrix."""
    at = np.clip((np.arange((n + 2) * _FINER) + 0.5) / _FINER - 0.5, 0, n + 1)
    low = np.minimum(at.astype(np.int64), n)
    matrix = np.zeros((len(at), n + 2))
    matrix[np.arange(len(at)), low] = low + 1 - at
    matrix[np.arange(len(at)), low + 1] = at - low
    return matrix


def _ink(images: ArrayLike) -> NDArray[np.float64]:
    x = np.asarray(images, dtype=np.float64)
    if x.ndim == 4:
        x = x.mean(1)
    if x.ndim != 3:
        raise RequestError(f"images have shape {np.shape(images)}; expected (n, C, H, W) or (n, H, W): pass images")
    return np.maximum(x, 0.0)


def _moments(ink: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Variance to the right, covariance, and variance upwards, of the ink of each image."""
    height, wide = ink.shape[1:]
    total = ink.sum((1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        weights = ink / total[:, None, None]
    right, up = np.arange(wide, dtype=np.float64), np.arange(height, dtype=np.float64)[::-1]
    across, down = weights.sum(1), weights.sum(2)
    dx, dy = right - (across @ right)[:, None], up - (down @ up)[:, None]
    covariance = np.einsum("nij,ni,nj->n", weights, dy, dx)
    return (across * dx**2).sum(1), covariance, (down * dy**2).sum(1)
