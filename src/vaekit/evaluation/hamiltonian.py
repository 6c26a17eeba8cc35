r"""Hamiltonian Monte Carlo along a path between two densities, many examples and chains at once."""

__all__ = ["TARGET_ACCEPTANCE", "Density", "Point", "adapted", "leapfrog", "transition"]

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

TARGET_ACCEPTANCE = 0.65  # where the work for an independent draw is least: Neal (2011), section 5.4.4


class Point(NamedTuple):
    r"""A place z on the path :math:`\log f_\beta(z) = \text{start}(z) + \beta \, \text{rest}(z)`, for every chain.

    Both terms and their gradients are kept, so that they serve at the next :math:`\beta` without the network.

    Attributes:
        z: Shape `(chains, n, *event)`.
        start: Log density of the start, in nats, shape `(chains, n)`.
        rest: What the end's log density has more, shape `(chains, n)`.
        start_gradient: Of the shape of z.
        rest_gradient: Of the shape of z.
    """

    z: Tensor
    start: Tensor
    rest: Tensor
    start_gradient: Tensor
    rest_gradient: Tensor

    def log_density(self, beta: float) -> Tensor:
        r"""Return :math:`\log f_\beta(z)`, not normalised, shape `(chains, n)`."""
        return self.start + beta * self.rest

    def gradient(self, beta: float) -> Tensor:
        r"""Return :math:`\nabla_z \log f_\beta(z)`, of the shape of z."""
        return self.start_gradient + beta * self.rest_gradient


Density = Callable[[Tensor], Point]


def leapfrog(
    density: Density, point: Point, momentum: Tensor, beta: float, size: Tensor, steps: int
) -> tuple[Point, Tensor]:
    r"""Follow Hamiltonian dynamics from a point and a momentum, by the leapfrog rule.

    .. math::
        r \leftarrow r + \tfrac{\epsilon}{2} \nabla \log f_\beta(z), \qquad
        z \leftarrow z + \epsilon r, \qquad
        r \leftarrow r + \tfrac{\epsilon}{2} \nabla \log f_\beta(z)

    The map is reversible (the same steps from :math:`(z', -r')` lead back) and keeps volume, whatever the step size;
    the energy :math:`\tfrac12 |r|^2 - \log f_\beta(z)` is kept up to :math:`O(\epsilon^2)`.

    References:
        MCMC using Hamiltonian dynamics (Neal, 2011), section 5.2.3.

    Arguments:
        density: The path.
        point: Where to begin.
        momentum: Of the shape of z.
        beta: Place on the path.
        size: Step size, broadcast against z: one for each example, or for each of its coordinates.
        steps: Number of steps; each evaluates the gradient once.

    Returns:
        The point reached and its momentum.
    """
    for _ in range(steps):
        momentum = momentum + 0.5 * size * point.gradient(beta)
        point = density(point.z + size * momentum)
        momentum = momentum + 0.5 * size * point.gradient(beta)
    return point, momentum


def transition(density: Density, point: Point, beta: float, size: Tensor, steps: int) -> tuple[Point, Tensor]:
    r"""Move every chain once, such that :math:`f_\beta` is left invariant.

    A momentum is drawn, the dynamics are followed, and the new place is taken with probability
    :math:`\min(1, e^{-\Delta H})`. A trajectory that runs off to where the density is no number is not.

    References:
        MCMC using Hamiltonian dynamics (Neal, 2011), section 5.3.2.

    Arguments:
        density: The path.
        point: Where the chains are.
        beta: Place on the path.
        size: Step size, as for `leapfrog`.
        steps: Number of leapfrog steps.

    Returns:
        Where the chains are now, and the probabilities of acceptance, shape `(chains, n)`.
    """
    begun = torch.randn_like(point.z)
    proposed, ended = leapfrog(density, point, begun, beta, size, steps)
    kinetic = (begun.square() - ended.square()).flatten(2).sum(2) / 2
    change = proposed.log_density(beta) - point.log_density(beta) + kinetic
    acceptance = change.clamp(max=0).exp().nan_to_num(nan=0.0)
    accepted = torch.rand_like(acceptance) < acceptance
    wide = accepted.view(*accepted.shape, *[1] * (point.z.dim() - 2))
    return Point(
        torch.where(wide, proposed.z, point.z),
        torch.where(accepted, proposed.start, point.start),
        torch.where(accepted, proposed.rest, point.rest),
        torch.where(wide, proposed.start_gradient, point.start_gradient),
        torch.where(wide, proposed.rest_gradient, point.rest_gradient),
    ), acceptance


def adapted(size: Tensor, acceptance: Tensor, gain: float) -> Tensor:
    r"""Return the step size after seeing how often chains moved, :math:`\log \epsilon + g (a - 0.65)`.

    Example:
        >>> import math
        >>> adapted(torch.ones(2), torch.tensor([0.65, 0.0]), gain=math.log(2) / 0.65)
        tensor([1.0000, 0.5000])
    """
    return size * ((acceptance - TARGET_ACCEPTANCE) * gain).exp()
