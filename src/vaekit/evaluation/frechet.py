r"""The Fréchet distance between Gaussians fitted to two samples of features."""

__all__ = ["Moments", "extrapolated_frechet_distance", "frechet_distance", "gaussian_frechet_distance"]

import math
from typing import NamedTuple

import torch
from torch import Tensor

from vaekit.errors import RequestError

RECOMMENDED = 10  # examples a dimension: below it, the bias is of the size of the distances people compare
_PARTS = (1, 2, 4)  # that samples are divided into
EXTRAPOLATED = 8  # examples a dimension to extrapolate from: a quarter of them has two


class Moments(NamedTuple):
    r"""Mean, shape `(d,)`, and a factor of the covariance, shape `(d, r)`, :math:`\Sigma = L L^\top`, in float64."""

    mean: Tensor
    factor: Tensor

    @staticmethod
    def of(x: Tensor) -> "Moments":
        r"""Return the mean and the unbiased covariance of examples, shape `(n, d)`.

        Raises:
            RequestError: If there are not at least d + 1 examples, so that the covariance is singular.
        """
        n, d = x.shape
        if n <= d:
            raise RequestError(
                f"there are {n:,} examples for a covariance of {d} features; expected at least {d + 1:,}, and better "
                f"{RECOMMENDED * d:,}: give more examples, or features of fewer dimensions"
            )
        x = x.double()
        mean = x.mean(0)
        centred = x - mean
        return Moments(mean, covariance_factor(centred.T @ centred / (n - 1)))


def covariance_factor(covariance: Tensor) -> Tensor:
    r"""Return L with :math:`L L^\top = \Sigma`, shape `(d, d)`, of a positive semi-definite matrix.

    Its columns are orthogonal: eigenvectors, times the roots of their eigenvalues.

    Raises:
        RequestError: If the matrix is not symmetric, or has an eigenvalue below zero by more than rounding.
    """
    covariance = covariance.double()
    if not torch.allclose(covariance, covariance.T, rtol=1e-6, atol=1e-9 * covariance.abs().max().item()):
        raise RequestError("the covariance is not symmetric; expected a covariance matrix: give x.T.cov(), say")
    values, vectors = torch.linalg.eigh(covariance)
    if values[0] < -1e-6 * values.abs().max():
        raise RequestError(
            f"the covariance has the eigenvalue {values[0].item():.3g}; expected none below 0: give x.T.cov(), say"
        )
    # What rounding makes of an eigenvalue of 0 has a root that is far from 0.
    noise = len(values) * torch.finfo(values.dtype).eps * values.abs().max()
    factor: Tensor = vectors * torch.where(values > noise, values, 0).sqrt()
    return factor


def gaussian_frechet_distance(mean_p: Tensor, covariance_p: Tensor, mean_q: Tensor, covariance_q: Tensor) -> float:
    r"""Return the Fréchet distance of two Gaussians, the square of their 2-Wasserstein distance.

    .. math::
        \lVert \mu_p - \mu_q \rVert^2
        + \operatorname{tr}\left(\Sigma_p + \Sigma_q - 2 (\Sigma_p^{1/2} \Sigma_q \Sigma_p^{1/2})^{1/2}\right)

    The trace of the root is the sum of the singular values of :math:`\Sigma_p^{1/2} \Sigma_q^{1/2}`, which loses
    nothing to rounding where covariances are singular, and is never complex, unlike the root of
    :math:`\Sigma_p \Sigma_q`.

    References:
        The Fréchet distance between multivariate normal distributions (Dowson and Landau, 1982).

    Arguments:
        mean_p: Mean, shape `(d,)`.
        covariance_p: Covariance, shape `(d, d)`.
        mean_q: Mean, shape `(d,)`.
        covariance_q: Covariance, shape `(d, d)`.

    Raises:
        RequestError: If a covariance is not symmetric or has negative eigenvalues.

    Example:
        >>> zero, eye = torch.zeros(2), torch.eye(2)
        >>> round(gaussian_frechet_distance(zero, eye, torch.tensor([3.0, 4.0]), 4 * eye), 6)  # 25 + 2 (2 - 1)^2
        27.0
    """
    p = Moments(mean_p.double(), covariance_factor(covariance_p))
    q = Moments(mean_q.double(), covariance_factor(covariance_q))
    return _distance(p, q)


def _distance(p: Moments, q: Moments) -> float:
    overlap = torch.linalg.svdvals(p.factor.T @ q.factor).sum()
    spread = p.factor.square().sum() + q.factor.square().sum() - 2 * overlap
    # Both are at least 0; rounding may leave the second just below.
    distance: float = ((p.mean - q.mean).square().sum() + spread.clamp(min=0)).item()
    return distance


@torch.no_grad()
def frechet_distance(x: Tensor, y: Tensor) -> tuple[float, float]:
    r"""Return the Fréchet distance between Gaussians fitted to two samples, and its standard error.

    Covariances are unbiased and everything is float64. The standard error is the infinitesimal jackknife: how the
    distance changes with the weight of each example has a closed form,

    .. math::
        \psi(x) = \lVert x - \mu_p \rVert^2 + 2 (\mu_p - \mu_q)^\top (x - \mu_p) - (x - \mu_p)^\top T (x - \mu_p)
                  + \text{const}, \qquad \mathrm{se}^2 = \frac{\operatorname{Var} \psi(x)}{n}
                  + \frac{\operatorname{Var} \psi(y)}{m},

    where T is the linear map that carries :math:`\mathcal N(0, \Sigma_p)` to :math:`\mathcal N(0, \Sigma_q)`.

    The estimate is biased upwards by about a constant over the number of examples, even for two samples of one
    distribution: compare numbers of equal counts only, and read them beside that of real against real. The standard
    error does not hold the bias. For two samples of one distribution, where the distance is all bias, it is too large.

    References:
        GANs trained by a two time-scale update rule converge to a local Nash equilibrium (Heusel et al., 2017).
        Demystifying MMD GANs (Bińkowski et al., 2018), on the bias.

    Arguments:
        x: Features, shape `(n, d)`.
        y: Features, shape `(m, d)`.

    Raises:
        RequestError: If a sample has not more examples than features, or the two differ in their number of features.

    Example:
        >>> x = torch.randn(2000, 4, generator=torch.Generator().manual_seed(0))
        >>> value, error = frechet_distance(x, x + 1)
        >>> round(value, 6)
        4.0
        >>> frechet_distance(x[:4], x)
        Traceback (most recent call last):
            ...
        vaekit.errors.RequestError: there are 4 examples for a covariance of 4 features; expected at least 5, and better 40: give more examples, or features of fewer dimensions
    """  # noqa: E501
    check_features(x, y)
    value, of_x, of_y = _influences(x, y)
    return value, _error(of_x, of_y)


def _influences(x: Tensor, y: Tensor) -> tuple[float, Tensor, Tensor]:
    """Return the distance, and how it changes with the weight of each example: shapes `(n,)` and `(m,)`, means 0."""
    p, q = Moments.of(x), Moments.of(y)
    u, overlap, vt = torch.linalg.svd(p.factor.T @ q.factor)
    influences = []
    for sample, here, there, axes in ((x, p, q, u.T), (y, q, p, vt)):
        centred = sample.double() - here.mean
        scale = here.factor.square().sum(0)  # eigenvalues, as the columns are orthogonal
        # A direction without variance has nothing to carry; a pseudo-inverse leaves it out.
        inverse = torch.where(scale > scale.max() * 1e-14, 1 / scale, 0)
        carried = (centred @ ((here.factor * inverse) @ axes.T)).square() @ overlap
        influence = centred.square().sum(1) + 2 * centred @ (here.mean - there.mean) - carried
        influences.append(influence - influence.mean())
    return _distance(p, q), influences[0], influences[1]


def _error(*influences: Tensor) -> float:
    """Return the standard error of a number from the influences of the examples of each sample."""
    return math.sqrt(sum(influence.var().item() / len(influence) for influence in influences))


@torch.no_grad()
def extrapolated_frechet_distance(x: Tensor, y: Tensor, *, seed: int = 0) -> tuple[float, float]:
    r"""Return the Fréchet distance that infinitely many examples would have, by extrapolation, and its standard error.

    The bias of the distance falls as one over the number of examples. Here it is estimated at n, n/2 and n/4
    examples of each sample, as the mean over disjoint parts so that all examples serve each, and a straight line
    in 1/n is followed to 0. The result can be below 0 where the distance is near 0. Its standard error is the
    infinitesimal jackknife of the whole sum of distances, and does not hold what the straight line leaves of the bias.

    References:
        Effectively unbiased FID and Inception Score and where to find them (Chong and Forsyth, 2020), who draw parts
        of 15 sizes at random and vary the generated sample alone.

    Arguments:
        x: Features, shape `(n, d)`.
        y: Features, shape `(m, d)`.
        seed: Of the division into parts.

    Raises:
        RequestError: If there are fewer than 8 d + 8 examples, so that a quarter of them gives a poor covariance.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> x, y = torch.randn(2, 1000, 8, generator=g)
        >>> plain, extrapolated = frechet_distance(x, y)[0], extrapolated_frechet_distance(x, y)[0]
        >>> plain > 0.04, abs(extrapolated) < 0.02
        (True, True)
    """
    check_features(x, y)
    n, d = min(len(x), len(y)), x.shape[1]
    if n < EXTRAPOLATED * (d + 1):
        raise RequestError(
            f"there are {n:,} examples of {d} features to extrapolate from; expected at least "
            f"{EXTRAPOLATED * (d + 1):,}: give more examples"
        )
    generator = torch.Generator().manual_seed(seed)
    x, y = (sample[torch.randperm(len(sample), generator=generator)] for sample in (x, y))
    at = torch.tensor(_PARTS, dtype=torch.float64)
    # The value at 0 of the least-squares line through points at `at`, as weights of their heights.
    weights = 1 / len(at) - at.mean() * (at - at.mean()) / (at - at.mean()).square().sum()
    value, of_x, of_y = 0.0, torch.zeros(len(x), dtype=torch.float64), torch.zeros(len(y), dtype=torch.float64)
    for weight, parts in zip(weights.tolist(), _PARTS, strict=True):
        pairs = zip(x.tensor_split(parts), y.tensor_split(parts), strict=True)
        distances, on_x, on_y = zip(*(_influences(a, b) for a, b in pairs), strict=True)
        value += weight * sum(distances) / parts
        of_x += weight * torch.cat(on_x)
        of_y += weight * torch.cat(on_y)
    return value, _error(of_x, of_y)


def check_features(x: Tensor, y: Tensor) -> None:
    r"""Raise a `RequestError` unless two samples have features of one number, all finite."""
    for sample in (x, y):
        if sample.ndim != 2:
            raise RequestError(
                f"features have shape {tuple(sample.shape)}; expected (examples, features): flatten them"
            )
        if not torch.isfinite(sample).all():
            raise RequestError("features hold NaN or infinity; expected finite numbers: look at the images")
    if x.shape[1] != y.shape[1]:
        raise RequestError(
            f"the two samples have {x.shape[1]} and {y.shape[1]} features; expected one number: "
            "take both from one feature net"
        )
