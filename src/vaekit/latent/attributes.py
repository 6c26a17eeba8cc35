r"""Attributes as directions: where codes go as an attribute appears, without what other attributes do."""

__all__ = ["analogy", "attribute_vector", "move", "orthogonalise"]

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaekit.errors import RequestError
from vaekit.latent.means import Decoded, mean_data
from vaekit.models import VAE

Method = Literal["difference", "classifier"]
_LEFT = 1e-6  # of a vector's length, below which what is left after projections is rounding


def attribute_vector(
    codes: Tensor, labels: Any, method: Method = "difference", *, others: Tensor | Sequence[Tensor] | None = None
) -> Tensor:
    r"""Return the direction in which an attribute lies, in the unit of its strength, shape `(latent_dim,)`.

    What is *present or absent* has the mean difference

    .. math::
        \Delta = \bar z_{\text{present}} - \bar z_{\text{absent}}

    and what is a *quantity* y what the mean code moves by for one standard deviation of it, as linear regression of z
    on y has it, :math:`\Delta = \operatorname{Cov}(z, y) / \operatorname{sd}(y)`. The method "difference" goes along
    :math:`\Delta`. The method "classifier" goes at right angles to the boundary of a logistic regression of the
    label, or along the gradient of a linear regression of the quantity, on codes whose units were standardised,
    mapped back by undoing that: it discounts units that tell of the attribute only through others.

    With others given, the direction is made orthogonal to all of them. Then its length is set to that of
    :math:`\Delta` along it, so that strength 1 is as far as from the mean of absence to the mean of presence, or for
    a quantity as one standard deviation, and less by what belongs to the others.

    References:
        Autoencoding beyond pixels using a learned similarity metric (Larsen et al., 2016), for the mean difference;
        Interpreting the latent space of GANs for semantic face editing (Shen et al., 2020), for the classifier's
        normal and for directions orthogonal to others.

    Arguments:
        codes: Codes of examples, shape `(n, latent_dim)`.
        labels: Shape `(n,)`: booleans, or numbers with two values, the larger of which is presence; or real numbers,
            a quantity. Classes are one attribute each: pass `labels == 3`.
        method: "difference" or "classifier".
        others: Vectors to be orthogonal to, shape `(k, latent_dim)`.

    Raises:
        RequestError: If the labels do not fit, do not vary, or are classes; there is no such method; or nothing is
            left beside the others.

    Example:
        >>> codes = torch.tensor([[0.0, 0.0], [0.0, 1.0], [3.0, 0.0], [3.0, 1.0]])
        >>> attribute_vector(codes, [0, 0, 1, 1])
        tensor([3., 0.])
    """
    if method not in ("difference", "classifier"):
        raise RequestError(f"method is {method!r}; expected difference or classifier")
    values = np.asarray(labels.detach().cpu() if isinstance(labels, Tensor) else labels)
    if codes.ndim != 2 or values.shape != (len(codes),):
        raise RequestError(
            f"codes have shape {tuple(codes.shape)} and labels {values.shape}; expected (n, latent_dim) and (n,)"
        )
    z = codes.detach().cpu().double().numpy()
    binary, y = _attribute(values)
    step = z[y > 0].mean(0) - z[y <= 0].mean(0) if binary else (z - z.mean(0)).T @ y / len(y)
    direction = torch.from_numpy(step if method == "difference" else _normal(z, y, binary))
    if others is not None and len(others):
        others = others if isinstance(others, Tensor) else torch.stack(list(others))
        direction = orthogonalise(direction, others.detach().cpu().double())
    length = direction @ torch.from_numpy(step)
    if not length > 0:
        raise RequestError(
            "the attribute moves the mean of the codes nowhere along its vector; expected codes that tell of it: use "
            "a model with more units or more examples, or fewer others"
        )
    return (direction * (length / (direction @ direction))).to(codes)


def orthogonalise(vector: Tensor, others: Tensor) -> Tensor:
    r"""Return what is left of a vector once its projection on the span of others is taken away.

    .. math::
        v_\perp = v - Q Q^\top v

    where the columns of Q are an orthonormal basis of the span.

    Arguments:
        vector: Shape `(d,)`.
        others: Shape `(k, d)`; they need be neither orthogonal nor independent.

    Raises:
        RequestError: If nothing is left.

    Example:
        >>> orthogonalise(torch.tensor([1.0, 1.0]), torch.tensor([[0.0, 5.0]]))
        tensor([1., 0.])
    """
    scaled = others / others.norm(dim=1, keepdim=True).clamp_min(torch.finfo(others.dtype).tiny)
    _, spread, basis = torch.linalg.svd(scaled, full_matrices=False)
    basis = basis[spread > _LEFT]
    left = vector
    for _ in range(2):  # once more for what rounding left
        left = left - (left @ basis.T) @ basis
    if not left.norm() > _LEFT * vector.norm():
        raise RequestError(
            "nothing is left of the attribute beside the others, in whose span it lies: be orthogonal to fewer"
        )
    return left


@torch.no_grad()
def move(
    model: VAE, z: Tensor, vector: Tensor, strengths: Sequence[float] | Tensor, context: Tensor | None = None
) -> Decoded:
    r"""Decode points moved along a vector, :math:`z + s v`, at each of several strengths s.

    Arguments:
        model: A model with continuous latent variables.
        z: Latent points, shape `(n, latent_dim)`.
        vector: What `attribute_vector` returns, shape `(latent_dim,)`.
        strengths: Shape `(k,)`; 0 leaves the point where it is.
        context: What a conditional model is told of the points, shape `(n, ...)`, or `(1, ...)` for all alike.

    Returns:
        The points, shape `(n, k, latent_dim)`, and what they decode to.
    """
    s = torch.as_tensor(strengths, dtype=z.dtype, device=z.device)
    moved = z[:, None] + s[:, None] * vector.to(z)
    if context is not None and len(context) == len(z):
        context = context.repeat_interleave(len(s), 0)
    return Decoded(moved, mean_data(model, moved, context))


@torch.no_grad()
def analogy(model: VAE, a: Tensor, b: Tensor, c: Tensor, context: Tensor | None = None) -> Decoded:
    r"""Decode :math:`a - b + c`: what a has and b has not, given to c.

    References:
        Unsupervised representation learning with deep convolutional generative adversarial networks (Radford et al.,
        2016), section 6.3.2, which advises to take means over a few examples for each of the three.

    Arguments:
        model: A model with continuous latent variables.
        a: Latent points, shape `(n, latent_dim)`; those of examples are `mean_codes`.
        b: Likewise.
        c: Likewise.
        context: What a conditional model is told of the results, shape `(n, ...)`, or `(1, ...)` for all alike.
    """
    z = a - b + c
    return Decoded(z, mean_data(model, z, context))


def _attribute(values: NDArray[Any]) -> tuple[bool, NDArray[np.float64]]:
    """Whether it is present or absent, and the standardised quantity; for the former above and below 0."""
    if values.dtype.kind not in "biuf" or not np.isfinite(values.astype(np.float64)).all():
        raise RequestError("labels are not all finite numbers; expected booleans or real numbers: leave the others out")
    distinct = np.unique(values)
    if len(distinct) < 2:
        raise RequestError(
            f"all {len(values)} labels are alike; expected examples with and without the attribute: pass others"
        )
    if len(distinct) > 2 and values.dtype.kind in "iu":
        raise RequestError(
            f"labels are {len(distinct)} whole numbers, classes it seems; expected one attribute: pass labels == 3 "
            "for class 3, or floats for a quantity"
        )
    y = values.astype(np.float64)
    if len(distinct) == 2:
        return True, np.where(y == distinct[1], 1.0, -1.0)
    return False, (y - y.mean()) / y.std()


def _normal(z: NDArray[np.float64], y: NDArray[np.float64], binary: bool) -> NDArray[np.float64]:
    """The normal of a linear classifier's boundary, or a regression's gradient, as a move of the codes."""
    from sklearn.linear_model import LinearRegression, LogisticRegression

    scale = z.std(0)
    scale[scale < _LEFT * scale.max()] = np.inf  # a unit that does not move tells of nothing
    standard = (z - z.mean(0)) / scale
    fitted = LogisticRegression(max_iter=1000) if binary else LinearRegression()
    weights: NDArray[np.float64] = fitted.fit(standard, y > 0 if binary else y).coef_.reshape(-1)
    return weights * np.where(np.isinf(scale), 0.0, scale)
