r"""Rotations as unit quaternions (w, x, y, z): products, matrices, and signs that do not jump."""

__all__ = ["about", "continuous", "from_six", "matrices", "multiply", "normalised", "six"]

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def normalised(q: ArrayLike) -> Floats:
    r"""Return quaternions of any length but 0 as unit quaternions.

    Arguments:
        q: Shape `(..., 4)`.

    Example:
        >>> normalised([2.0, 0.0, 0.0, 0.0])
        array([1., 0., 0., 0.])
    """
    q = np.asarray(q, np.float64)
    return np.asarray(q / np.maximum(np.linalg.norm(q, axis=-1, keepdims=True), 1e-12))


def about(axis: ArrayLike, angle: ArrayLike) -> Floats:
    r"""Return the rotation by an angle about a unit axis, :math:`(\cos\tfrac{\theta}{2}, \sin\tfrac{\theta}{2}\, a)`.

    Arguments:
        axis: Shape `(..., 3)`, of length 1.
        angle: In radians, shape `(...)`.

    Example:
        >>> about([0.0, 0.0, 1.0], np.pi).round(9)
        array([0., 0., 0., 1.])
    """
    half = np.asarray(angle, np.float64)[..., None] / 2
    axes = np.broadcast_to(np.asarray(axis, np.float64), (*half.shape[:-1], 3))
    return np.concatenate([np.cos(half), np.sin(half) * axes], axis=-1)


def multiply(p: ArrayLike, q: ArrayLike) -> Floats:
    r"""Return the product pq: the rotation q followed by the rotation p, both seen from outside.

    Arguments:
        p: Shape `(..., 4)`.
        q: Shape `(..., 4)`.

    Example:
        >>> multiply([0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0])  # i j = k
        array([0., 0., 0., 1.])
    """
    p, q = np.asarray(p, np.float64), np.asarray(q, np.float64)
    w = p[..., :1] * q[..., :1] - (p[..., 1:] * q[..., 1:]).sum(-1, keepdims=True)
    v = p[..., :1] * q[..., 1:] + q[..., :1] * p[..., 1:] + np.cross(p[..., 1:], q[..., 1:])
    return np.concatenate([w, v], axis=-1)


def matrices(q: ArrayLike) -> Floats:
    r"""Return the rotation matrices of quaternions, which need not be of length 1.

    .. math::
        R = I + 2 w [v]_\times + 2 [v]_\times^2, \qquad q = (w, v)

    Arguments:
        q: Shape `(..., 4)`.

    Returns:
        Shape `(..., 3, 3)`; column vectors are rotated from the left.

    Example:
        >>> matrices(about([0.0, 0.0, 1.0], np.pi / 2)).round(3) @ [1.0, 0.0, 0.0]
        array([0., 1., 0.])
    """
    q = normalised(q)
    w, (x, y, z) = q[..., 0], np.moveaxis(q[..., 1:], -1, 0)
    zero = np.zeros_like(w)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*q.shape[:-1], 3, 3)
    return np.asarray(np.eye(3) + 2 * w[..., None, None] * cross + 2 * cross @ cross)


def continuous(q: ArrayLike) -> Floats:
    r"""Choose of each pair q and -q, which are the same rotation, the one closer to the frame before.

    So that a slow turn is a slow path of numbers. The first frame has :math:`w \ge 0`.

    Arguments:
        q: Frames first, shape `(n, ..., 4)`.

    Example:
        >>> continuous([[-1.0, 0.0, 0.0, 0.0], [-0.9, 0.1, 0.0, 0.0]])[1, :2]
        array([ 0.9, -0.1])
    """
    q = np.array(q, np.float64)
    if not len(q):
        return q
    first = np.where(q[:1, ..., :1] < 0, -1.0, 1.0)
    turned = np.where((q[1:] * q[:-1]).sum(-1, keepdims=True) < 0, -1.0, 1.0)
    return np.asarray(q * np.cumprod(np.concatenate([first, turned]), axis=0))


def six(q: ArrayLike) -> Floats:
    r"""Return the first two columns of the rotation matrices: six numbers that follow every rotation without a jump.

    References:
        On the continuity of rotation representations in neural networks (Zhou et al., 2019).

    Arguments:
        q: Shape `(..., 4)`.

    Returns:
        Shape `(..., 6)`, the first column and then the second.

    Example:
        >>> six([1.0, 0.0, 0.0, 0.0])
        array([1., 0., 0., 0., 1., 0.])
    """
    found = np.swapaxes(matrices(q)[..., :2], -1, -2)
    return found.reshape(*found.shape[:-2], 6)


def from_six(x: ArrayLike) -> Floats:
    r"""Return the rotation matrices of six numbers each, by Gram and Schmidt: any numbers but degenerate ones do.

    Arguments:
        x: Shape `(..., 6)`.

    Returns:
        Shape `(..., 3, 3)`.

    Example:
        >>> from_six([2.0, 0.0, 0.0, 1.0, 3.0, 0.0])
        array([[1., 0., 0.],
               [0., 1., 0.],
               [0., 0., 1.]])
    """
    x = np.asarray(x, np.float64)
    first = normalised(x[..., :3])
    second = x[..., 3:] - (first * x[..., 3:]).sum(-1, keepdims=True) * first
    second = normalised(second)
    return np.stack([first, second, np.cross(first, second)], axis=-1)
