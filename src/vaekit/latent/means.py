r"""Between data and codes, deterministically: the mean of q(z|x), and the mean of p(x|z)."""

__all__ = ["Decoded", "mean_codes", "mean_data", "vector_prior"]

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaekit.errors import RequestError
from vaekit.evaluation.posterior import evaluating
from vaekit.models import VAE
from vaekit.models.base import ROWS


class Decoded(NamedTuple):
    r"""Latent points, shape `(..., latent_dim)`, and the means of p(x|z) there, shape `(..., *data_shape)`."""

    z: Tensor
    x: Tensor


@torch.no_grad()
def mean_codes(model: VAE, x: Tensor, context: Tensor | None = None) -> Tensor:
    r"""Return the code of each example, the mean of its posterior, shape `(n, latent_dim)`.

    .. math::
        z_i = \mathbb E_{q(z \mid x_i, c_i)}[z]

    Arguments:
        model: A model with continuous latent variables.
        x: Examples, shape `(n, *data_shape)`.
        context: What a conditional model is told of them, shape `(n, ...)`, or `(1, ...)` for all alike.

    Raises:
        RequestError: If the model has no continuous latent space with one vector an example, or its posterior no mean.

    Example:
        >>> from vaekit.distributions import Conditional, DiagonalGaussian, Gaussian, StandardNormal
        >>> encoder = Conditional(torch.nn.Linear(3, 4), DiagonalGaussian(2))
        >>> decoder = Conditional(torch.nn.Linear(2, 3), Gaussian((3,)))
        >>> model = VAE(encoder, decoder, StandardNormal(2))
        >>> mean_codes(model, torch.zeros(5, 3)).shape
        torch.Size([5, 2])
    """
    if not hasattr(model, "encode"):
        raise _no_vector(model)
    given = _row_each(context, len(x))
    with evaluating(model):
        parts = [
            _mean(model, model.encode(x[start : start + ROWS], None if given is None else given[start : start + ROWS]))
            for start in range(0, max(len(x), 1), ROWS)
        ]
    return torch.cat(parts)


@torch.no_grad()
def mean_data(model: VAE, z: Tensor, context: Tensor | None = None) -> Tensor:
    r"""Return the mean of p(x|z) for latent points of shape `(..., latent_dim)`, shape `(..., *data_shape)`.

    Arguments:
        model: A model with continuous latent variables.
        z: Latent points.
        context: What a conditional model is told, shape `(*z.shape[:-1], ...)` flattened to one row a point, or
            `(1, ...)` for all alike.

    Raises:
        RequestError: If the points do not fit the model.
    """
    points = z.flatten(0, -2)
    given = _row_each(context, len(points))
    with evaluating(model):
        parts = [
            model.decode(rows, None if given is None else given[start : start + ROWS]).mean
            for start, rows in zip(range(0, max(len(points), 1), ROWS), points.split(ROWS), strict=True)
        ]
    return cast(Tensor, torch.cat(parts).unflatten(0, z.shape[:-1]))


def vector_prior(model: VAE, context: Tensor | None = None) -> Distribution:
    r"""Return the prior of a model whose z is one vector of real numbers, which is what can be moved about in.

    Arguments:
        model: A model.
        context: What a conditional model is told, shape `(n, ...)`.

    Raises:
        RequestError: If its latents are something else, such as the grid of codes of a VQ-VAE.
    """
    if not hasattr(model, "latent"):
        raise _no_vector(model)
    prior = model.latent(context)
    if not _is_of_vectors(prior):
        raise _no_vector(model)
    return prior


def _mean(model: VAE, q: Distribution) -> Tensor:
    if not _is_of_vectors(q):
        raise _no_vector(model)
    try:
        mean = q.mean
    except NotImplementedError:  # as of a flow
        raise RequestError(
            f"the posterior ({type(q).__name__}) has no mean in closed form, and so no deterministic code; "
            "expected one that has: train a model with another posterior, such as gaussian"
        ) from None
    if not mean.is_floating_point():
        raise _no_vector(model)
    return mean


def _no_vector(model: Any) -> RequestError:
    return RequestError(
        f"the model ({type(model).__name__}) has no continuous latent vector to move; expected one vector of real "
        "numbers an example, as of the recipes vae or beta-vae: look at this one with `vaekit reconstruct` and "
        "`vaekit sample`"
    )


def _is_of_vectors(distribution: Distribution) -> bool:
    """Whether draws are vectors of real numbers."""
    if len(distribution.event_shape) != 1:
        return False
    try:
        return not getattr(distribution.support, "is_discrete", False)
    except NotImplementedError:
        return True


def _row_each(context: Tensor | None, n: int) -> Tensor | None:
    """One row of context for each of n points."""
    if context is None or len(context) == n:
        return context
    if len(context) != 1:
        raise RequestError(
            f"context has {len(context)} rows for {n} latent points; expected one for each, or one for all: "
            "repeat its rows"
        )
    return context.expand(n, *context.shape[1:])
