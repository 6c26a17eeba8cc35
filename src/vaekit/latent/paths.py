r"""Paths through latent space: straight, or along the spheres on which a Gaussian prior has its mass."""

__all__ = ["interpolate", "linear_path", "spherical_path"]

from itertools import pairwise
from typing import cast

import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from vaekit.errors import RequestError
from vaekit.latent.means import Decoded, mean_codes, mean_data
from vaekit.models import VAE


def linear_path(points: Tensor, steps: int) -> Tensor:
    r"""Return the straight path from each point to the next, evenly spaced.

    .. math::
        z(t) = (1 - t) \, a + t \, b

    Arguments:
        points: The m points to pass, shape `(m, ...)`.
        steps: Points on each leg, both its ends among them.

    Returns:
        Shape `((m - 1) * (steps - 1) + 1, ...)`: where two legs meet there is one point. The points passed are exact.

    Raises:
        RequestError: If there are fewer than two points, or two steps.

    Example:
        >>> linear_path(torch.tensor([[0.0], [1.0], [0.0]]), 3).flatten()
        tensor([0.0000, 0.5000, 1.0000, 0.5000, 0.0000])
    """
    _check(points, steps)
    t = torch.linspace(0, 1, steps, dtype=torch.float64, device=points.device)[:-1].to(points)
    t = t.view(-1, *(1 for _ in points.shape[1:]))
    legs = [(1 - t) * a + t * b for a, b in pairwise(points)]
    return torch.cat([*legs, points[-1:]])


def spherical_path(points: Tensor, steps: int) -> Tensor:
    r"""Return the path that turns from each point to the next at a steady rate, while its norm changes steadily.

    .. math::
        z(t) = \big( (1 - t) \lVert a \rVert + t \lVert b \rVert \big)
        \big( \cos(t \omega) \, \hat a + \sin(t \omega) \, \hat w \big)

    with :math:`\omega` the angle between a and b, and :math:`\hat w` the unit vector orthogonal to a in their plane.
    Draws from :math:`\mathcal N(0, I)` in d dimensions have norms near :math:`\sqrt d`; a straight path between two of
    them dips to :math:`\sqrt{d / 2}`, where the decoder was hardly ever trained. The formula that weighs a and b
    by sines is the same where the norms are equal; where they differ it does not keep the norm between them.

    Points on one ray give a straight path. Between opposite points there are many ways round: the one taken bends
    towards the axis along which the points are smallest, the first such, so that both directions take the same way.

    References:
        Animating rotation with quaternion curves (Shoemake, 1985);
        Sampling generative networks (White, 2016), for latent spaces.

    Arguments:
        points: The m points to pass, shape `(m, d)`.
        steps: Points on each leg, both its ends among them.

    Returns:
        Shape `((m - 1) * (steps - 1) + 1, d)`. The points passed are exact.

    Raises:
        RequestError: If there are fewer than two points, or two steps.

    Example:
        >>> spherical_path(torch.tensor([[2.0, 0.0], [0.0, 2.0]]), 3)[1]  # halfway round, and as far out
        tensor([1.4142, 1.4142])
    """
    _check(points, steps)
    t = torch.linspace(0, 1, steps, dtype=torch.float64, device=points.device)[1:-1, None]
    path = [points[:1]]
    for a, b in pairwise(points):
        path += [_turn(a.double(), b.double(), t).to(points), b[None]]
    return torch.cat(path)


def _turn(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    long, wide = a.norm(), b.norm()
    # The origin has no direction: from there, or to there, go straight.
    u = a / long if long > 0 else b / wide if wide > 0 else a
    v = b / wide if wide > 0 else u
    angle = 2 * torch.atan2((u - v).norm(), (u + v).norm())  # unlike the arc cosine, exact for small angles
    across = v - (v @ u) * u
    if across.norm() < 1e-12 and angle > 1:  # opposite
        axis = torch.zeros_like(u)
        axis[u.abs().argmin()] = 1.0
        across = axis - (axis @ u) * u
    across = across / across.norm().clamp_min(torch.finfo(across.dtype).tiny)
    return cast(Tensor, ((1 - t) * long + t * wide) * ((t * angle).cos() * u + (t * angle).sin() * across))


def interpolate(
    model: VAE,
    points: Tensor,
    steps: int = 10,
    *,
    spherical: bool = False,
    encoded: bool = False,
    context: Tensor | None = None,
) -> Decoded:
    r"""Decode a path through latent space, past several examples or latent points.

    A spherical path is taken in the space where the prior is N(0, I), :math:`(z - \mu) / \sigma`; the prior has to be
    a Gaussian with independent units.

    What a conditional model is told changes along the path with the points: numbers linearly, and class numbers
    halfway. So both ends are what the model makes of their points.

    References:
        Auto-Encoding Variational Bayes (Kingma and Welling, 2014); Sampling generative networks (White, 2016).

    Arguments:
        model: A model with continuous latent variables.
        points: The m examples to pass, shape `(m, *data_shape)`, or with `encoded` latent points, `(m, latent_dim)`.
        steps: Points on each leg, both its ends among them.
        spherical: Turn about the prior's mean, instead of going straight.
        encoded: Whether the points are latent points.
        context: What a conditional model is told of the points, shape `(m, ...)`, or `(1, ...)` for all alike.

    Returns:
        The `(m - 1) * (steps - 1) + 1` latent points of the path, and what they decode to.

    Raises:
        RequestError: If there are fewer than two points or steps, the model has no continuous latent variables, or
            the path is to be spherical and the prior is no such Gaussian.

    Example:
        >>> from vaekit.distributions import Conditional, DiagonalGaussian, Gaussian, StandardNormal
        >>> encoder = Conditional(torch.nn.Linear(3, 4), DiagonalGaussian(2))
        >>> decoder = Conditional(torch.nn.Linear(2, 3), Gaussian((3,)))
        >>> z, x = interpolate(VAE(encoder, decoder, StandardNormal(2)), torch.randn(2, 3), steps=5)
        >>> z.shape, x.shape
        (torch.Size([5, 2]), torch.Size([5, 3]))
    """
    _check(points, steps)
    z = points if encoded else mean_codes(model, points, context)
    if context is not None and len(context) == 1:
        context = context.expand(len(z), *context.shape[1:])
    path = _spherical(model, z, steps, context) if spherical else linear_path(z, steps)
    return Decoded(path, mean_data(model, path, _along(context, steps)))


@torch.no_grad()
def _spherical(model: VAE, z: Tensor, steps: int, context: Tensor | None) -> Tensor:
    prior = model.latent(None if context is None else context[:1])
    base = prior.base_dist if isinstance(prior, Independent) else None
    if not isinstance(base, Normal) or (context is not None and not _one_prior(model, context)):
        raise RequestError(
            f"a spherical path needs one Gaussian prior with independent units; the model's is {type(prior).__name__}: "
            "take the linear path"
        )
    loc, scale = base.loc.reshape(-1), base.scale.reshape(-1)
    path = spherical_path((z - loc) / scale, steps) * scale + loc
    path[:: steps - 1] = z  # exact, whatever the rounding there and back
    return path


def _one_prior(model: VAE, context: Tensor) -> bool:
    prior = model.latent(context)
    return not prior.batch_shape or all(bool((m == m[0]).all()) for m in (prior.mean, prior.stddev))


def _along(context: Tensor | None, steps: int) -> Tensor | None:
    """What is told at each point of a path."""
    if context is None:
        return None
    if context.is_floating_point():
        return linear_path(context, steps)
    nearest = linear_path(torch.arange(len(context), dtype=torch.float64), steps)
    return context[(nearest - 1e-9).round().long().clamp_min(0)]  # the middle still belongs to where it came from


def _check(points: Tensor, steps: int) -> None:
    if len(points) < 2:
        raise RequestError(f"there are {len(points)} points; expected at least 2, a start and an end: pass more")
    if steps < 2:
        raise RequestError(f"steps is {steps}; expected at least 2, both ends of a leg: pass --steps 12, say")
