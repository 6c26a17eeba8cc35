r"""The surface that a plane of the latent space decodes to: of two units, or of two principal directions."""

__all__ = ["PrincipalDirections", "manifold_grid", "principal_directions", "principal_grid"]

from dataclasses import dataclass

import torch
from torch import Tensor

from vaekit.errors import RequestError
from vaekit.latent.means import mean_data, vector_prior
from vaekit.latent.quantiles import medians, prior_quantiles
from vaekit.latent.traversal import check_units
from vaekit.models import VAE


@torch.no_grad()
def manifold_grid(
    model: VAE,
    n: int = 20,
    *,
    units: tuple[int, int] = (0, 1),
    at: Tensor | None = None,
    context: Tensor | None = None,
) -> tuple[Tensor, list[float]]:
    r"""Decode an n by n grid over two units, spaced evenly in the prior's probability; the other units stay.

    Grid lines lie at the quantiles of n evenly spaced u, for N(0, I) at :math:`\Phi^{-1}(u)`, so that each cell
    holds as much of the prior.

    References:
        Auto-Encoding Variational Bayes (Kingma and Welling, 2014), appendix A.

    Arguments:
        model: A model with continuous latent variables, at least two.
        n: Cells on a side.
        units: Which unit runs across, and which up.
        at: Where the others stay, shape `(latent_dim,)`; by default at the medians of the prior.
        context: What a conditional model is told, shape `(1, ...)`.

    Returns:
        Means of p(x|z), shape `(n, n, *data_shape)`, the first axis running over the second unit from top, high, to
        bottom, low, the second over the first unit from left, low, to right, high; and the probabilities u, from low
        to high.

    Raises:
        RequestError: If z is no vector, there are no two such units, or `n` is less than 1.
    """
    u = _even(n)
    prior = vector_prior(model, context)
    values = prior_quantiles(prior, u)
    check_units(units, len(values))
    if units[0] == units[1]:
        raise RequestError(f"both units are {units[0]}; expected two different ones: pass --units 0,1, say")
    z = (medians(prior) if at is None else at.to(values)).repeat(n, n, 1)
    z[:, :, units[0]] = values[units[0]]
    z[:, :, units[1]] = values[units[1]].flip(0)[:, None]
    return mean_data(model, z, context), u.tolist()


@dataclass(frozen=True)
class PrincipalDirections:
    r"""Where codes lie and how they spread: directions of unit length, by falling standard deviation.

    Arguments:
        mean: Mean of the codes, shape `(latent_dim,)`.
        directions: Shape `(k, latent_dim)`.
        scale: Standard deviation of the codes along each, shape `(k,)`.
    """

    mean: Tensor
    directions: Tensor
    scale: Tensor

    def project(self, z: Tensor) -> Tensor:
        """Return the coordinates of latent points along the directions, shape `(..., k)`."""
        return (z - self.mean) @ self.directions.T


def principal_directions(codes: Tensor) -> PrincipalDirections:
    r"""Return the principal directions of codes, those of the aggregate posterior's means.

    Of the means, and not of draws: to these an unused unit adds the prior's variance, more than a used one may have.
    A direction has no sign of its own: its largest entry is made positive, so that it is the same each time.

    Arguments:
        codes: Posterior means, shape `(n, latent_dim)`.

    Raises:
        RequestError: If there are fewer than two codes.

    Example:
        >>> principal_directions(torch.tensor([[0.0, 1.0], [2.0, 1.0], [4.0, 1.0]])).directions[0]
        tensor([1., 0.])
    """
    if codes.ndim != 2 or len(codes) < 2:
        raise RequestError(f"codes have shape {tuple(codes.shape)}; expected (n, latent_dim), at least 2 of them")
    mean = codes.double().mean(0)
    _, spread, directions = torch.linalg.svd(codes.double() - mean, full_matrices=False)
    largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
    directions = directions * torch.where(largest < 0, -1.0, 1.0)
    return PrincipalDirections(mean.to(codes), directions.to(codes), (spread / (len(codes) - 1) ** 0.5).to(codes))


@torch.no_grad()
def principal_grid(
    model: VAE,
    principal: PrincipalDirections,
    n: int = 20,
    *,
    pair: tuple[int, int] = (0, 1),
    context: Tensor | None = None,
) -> tuple[Tensor, list[float]]:
    r"""Decode an n by n grid over two principal directions of the codes, through their mean.

    .. math::
        z = \bar z + \sigma_1 \Phi^{-1}(u_1) \, v_1 + \sigma_2 \Phi^{-1}(u_2) \, v_2

    Arguments:
        model: A model with continuous latent variables, at least two.
        principal: What `principal_directions` returns for the codes of data.
        n: Cells on a side.
        pair: Which direction runs across, and which up.
        context: What a conditional model is told, shape `(1, ...)`.

    Returns:
        As `manifold_grid`.

    Raises:
        RequestError: If there are no two such directions, or `n` is less than 1.
    """
    u = _even(n)
    check_units(pair, len(principal.directions))
    if pair[0] == pair[1]:
        raise RequestError(f"both directions are {pair[0]}; expected two different ones: pass (0, 1), say")
    across, up = (principal.scale[i] * torch.special.ndtri(u).to(principal.scale) for i in pair)
    first, second = (principal.directions[i] for i in pair)
    z = principal.mean + across[None, :, None] * first + up.flip(0)[:, None, None] * second
    return mean_data(model, z, context), u.tolist()


def _even(n: int) -> Tensor:
    if n < 1:
        raise RequestError(f"n is {n}; expected at least 1 cell on a side: pass --n 20, say")
    return (torch.arange(n, dtype=torch.float64) + 0.5) / n
