r"""The maximum mean discrepancy of two samples of codes."""

__all__ = ["Kernel", "kernel_matrix", "maximum_mean_discrepancy"]

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from vaekit.errors import RequestError, nearest

Kernel = Literal["rbf", "imq"]

_SCALES: dict[str, tuple[float, ...]] = {"rbf": (1.0,), "imq": (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)}


def maximum_mean_discrepancy(
    x: Tensor,
    y: Tensor,
    kernel: Kernel = "imq",
    scales: Sequence[float] | None = None,
    *,
    unbiased: bool = True,
) -> Tensor:
    r"""Return the squared maximum mean discrepancy of two samples, shape `(...)`.

    .. math::
        \mathrm{MMD}^2 = \mathbb E\, k(x, x') + \mathbb E\, k(y, y') - 2\, \mathbb E\, k(x, y)

    with a sum of kernels of several scales s of the squared distance, in units of :math:`2d`, which is its mean
    between two draws of :math:`\mathcal N(0, I_d)`:

    .. math::
        r = \frac{\lVert x - y \rVert^2}{2 d}, \qquad
        k_\text{rbf} = \sum_s e^{-r / s}, \qquad k_\text{imq} = \sum_s \frac{s}{s + r}

    The unbiased estimate leaves out each point's kernel with itself and divides by the number of pairs (a
    U-statistic): its mean is the discrepancy at any sample size, and it may be negative. The biased one is that of the
    samples themselves, the sum over all pairs (a V-statistic): never negative, positive for two samples of one
    distribution, and the same when every point is listed twice. To train, take the unbiased one, whose gradient has no
    bias either. In both, the pairs between the samples are all there.

    References:
        A kernel two-sample test (Gretton et al., 2012), lemma 6 and equation 5.
        Wasserstein auto-encoders (Tolstikhin et al., 2018), for the inverse multiquadric and its constant
        :math:`2 d \sigma^2`; the default scales are those of its published code.

    Arguments:
        x: Points, shape `(..., n, d)`.
        y: Points, shape `(..., m, d)`.
        kernel: "rbf", the Gaussian kernel, which is blind to what is far off; or "imq", the inverse multiquadric,
            whose tails are heavy.
        scales: The s above; by default 1 for "rbf", and 0.1, 0.2, 0.5, 1, 2, 5, 10 for "imq".
        unbiased: Which estimate.

    Raises:
        RequestError: If the kernel is unknown, a scale is not positive, the two samples differ in their dimension, or
            a sample has no pair and the estimate is the unbiased one.

    Example:
        >>> z = torch.randn(1000, 2, generator=torch.Generator().manual_seed(0))
        >>> near, far = (maximum_mean_discrepancy(z[:500] + shift, z[500:]).item() for shift in (0.0, 3.0))
        >>> abs(near) < 0.02, far > 1
        (True, True)
    """
    n, m = x.shape[-2], y.shape[-2]
    if unbiased and min(n, m) < 2:
        raise RequestError(f"there are {n} and {m} points; expected at least 2 of each: pass unbiased=False, or more")
    return (
        _own_mean(x, kernel, scales, unbiased)
        + _own_mean(y, kernel, scales, unbiased)
        - 2 * kernel_matrix(x, y, kernel, scales).mean((-2, -1))
    )


def kernel_matrix(x: Tensor, y: Tensor, kernel: Kernel = "imq", scales: Sequence[float] | None = None) -> Tensor:
    r"""Return the kernel of all pairs, shape `(..., n, m)`, of `maximum_mean_discrepancy`.

    Arguments:
        x: Points, shape `(..., n, d)`.
        y: Points, shape `(..., m, d)`.
        kernel: "rbf" or "imq".
        scales: The scales.

    Raises:
        RequestError: If the kernel is unknown, a scale is not positive, or the two differ in their dimension.

    Example:
        >>> kernel_matrix(torch.zeros(1, 1), torch.tensor([[0.0], [2.0]]), scales=(1.0,))  # s / (s + 4 / 2)
        tensor([[1.0000, 0.3333]])
    """
    if kernel not in _SCALES:
        hint = nearest(kernel, _SCALES)
        raise RequestError(f"unknown kernel {kernel!r}; expected 'rbf' or 'imq'.{hint}")
    scales = _SCALES[kernel] if scales is None else tuple(scales)
    if not scales or min(scales) <= 0:
        raise RequestError(f"scales are {scales}; expected positive numbers: pass (1.0,), say")
    if x.shape[-1] != y.shape[-1]:
        raise RequestError(
            f"points have {x.shape[-1]} and {y.shape[-1]} dimensions; expected as many: compare like codes"
        )
    distances = torch.cdist(x, y).square() / (2 * x.shape[-1])
    if kernel == "rbf":
        return torch.stack([torch.exp(-distances / scale) for scale in scales]).sum(0)
    return torch.stack([scale / (scale + distances) for scale in scales]).sum(0)


def _own_mean(x: Tensor, kernel: Kernel, scales: Sequence[float] | None, unbiased: bool) -> Tensor:
    """The mean of the kernel over the pairs of one sample, each point with itself counted only where that is biased."""
    n, values = x.shape[-2], kernel_matrix(x, x, kernel, scales)
    if not unbiased:
        return values.mean((-2, -1))
    apart = values - torch.diag_embed(values.diagonal(dim1=-2, dim2=-1))
    return apart.sum((-2, -1)) / (n * (n - 1))
