r"""The map: codes of any number of units laid out on a plane, and where there is one, the way back."""

__all__ = ["METHODS", "Projection", "project"]

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from vaekit.errors import RequestError, nearest
from vaekit.latent import principal_directions

Method = Literal["auto", "units", "pca", "umap"]
METHODS: tuple[str, ...] = get_args(Method)

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Projection:
    r"""Places of codes on the plane.

    A linear map has axes, and a place (a, b) on it is the latent point

    .. math::
        z = m + a\, u_1 + b\, u_2

    Arguments:
        method: "units", "pca" or "umap".
        points: Places, shape `(n, 2)`.
        mean: m, shape `(d,)`.
        axes: The rows u, orthonormal, shape `(2, d)`; None where a place is no latent point.
        explained: The part of the codes' variance that lies in the plane; None where that means nothing.
    """

    method: str
    points: Array
    mean: Array
    axes: Array | None
    explained: float | None = None


def project(codes: Array, method: str = "auto", seed: int = 0) -> Projection:
    r"""Lay codes out on a plane.

    Arguments:
        codes: Codes, shape `(n, d)`.
        method: "units": the first two units as they are; "pca": the plane of the largest variance; "umap": neighbours
            stay neighbours; "auto": units of up to two, and else pca, on which every place can be decoded.
        seed: Of what is random in it.

    References:
        UMAP: Uniform manifold approximation and projection for dimension reduction (McInnes et al., 2018).

    Raises:
        RequestError: If there is no such method, or umap-learn is not installed.

    Example:
        >>> codes = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
        >>> found = project(codes)
        >>> found.method, found.points.shape, found.axes.shape
        ('pca', (50, 2), (2, 3))
    """
    if method not in METHODS:
        raise RequestError(
            f"the map is {method!r}; expected one of {', '.join(METHODS)}: pass one.{nearest(method, METHODS)}"
        )
    if method == "auto":
        method = "units" if codes.shape[1] <= 2 else "pca"
    return {"units": _units, "pca": _pca, "umap": _umap}[method](codes, seed)


def _units(codes: Array, seed: int) -> Projection:
    n, d = codes.shape
    axes = np.eye(2, d, dtype=np.float32)
    points = codes @ axes.T
    if d == 1:  # a line would hide how many lie where
        points[:, 1] = np.random.default_rng(seed).uniform(-1, 1, n)
    return Projection("units", points, np.zeros(d, np.float32), axes, 1.0 if d <= 2 else None)


def _pca(codes: Array, seed: int) -> Projection:
    found = principal_directions(torch.from_numpy(codes))
    variances = found.scale.double() ** 2
    axes = found.directions[:2].numpy()
    axes = np.pad(axes, ((0, 2 - len(axes)), (0, 0)))
    mean = found.mean.numpy()
    explained = float(variances[:2].sum() / variances.sum().clamp_min(1e-12))
    return Projection("pca", (codes - mean) @ axes.T, mean, axes, explained)


def _umap(codes: Array, seed: int) -> Projection:
    try:
        from umap import UMAP
    except ImportError:
        raise RequestError(
            'the map umap needs umap-learn: install it with `pip install "vaekit[umap]"`, or pass --map pca'
        ) from None
    import warnings

    if len(codes) < 4:
        raise RequestError(f"there are {len(codes)} codes; expected at least 4 for umap: pass --map pca")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a seed makes it run on one thread
        points = UMAP(n_neighbors=min(15, len(codes) - 1), min_dist=0.1, random_state=seed).fit_transform(codes)
    points = points - points.mean(0)
    return Projection("umap", points.astype(np.float32), codes.mean(0), None)
