r"""Chains that are led along a path, with step sizes that others found for them, and weighed."""

__all__ = ["Advance", "Annealed", "Annealing", "Ladder", "Meter", "lead"]

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, get_args

import torch
from torch import Tensor

from vaekit.errors import RequestError
from vaekit.evaluation.geometric_path import GeometricPath, Start, temperature_ladder
from vaekit.evaluation.hamiltonian import adapted, transition
from vaekit.models import VAE

PILOTS = 2
WARM_UP = 30  # transitions of the pilots before they set out, to find the order of magnitude
# Follows the best step size, which can fall by a tenth from one temperature to the next, with little delay. The noise
# that this leaves, some 15 %, is no loss: trajectories of one length could close on themselves.
GAIN = 0.8

Advance = Callable[[int], object]


class Annealed(NamedTuple):
    r"""What annealing found of each example.

    Attributes:
        log_weights: In nats, shape `(chains, n)`. The mean of their exponentials is an unbiased estimate of p(x).
        acceptance: Share of transitions that were accepted, shape `(n,)`; NaN where there were none.
    """

    log_weights: Tensor
    acceptance: Tensor

    @property
    def log_prob(self) -> Tensor:
        r"""The estimate of :math:`\log p(x)`, in nats, shape `(n,)`."""
        return self.log_weights.logsumexp(0) - math.log(len(self.log_weights))


@dataclass(frozen=True)
class Ladder:
    r"""Places on a path, from one end to the other, and a step size at each place between, shape `(n,)`."""

    betas: list[float]
    sizes: list[Tensor]

    def reversed(self) -> "Ladder":
        """Return the same ladder, to be gone the other way."""
        return Ladder(self.betas[::-1], self.sizes[::-1])


class Meter:
    r"""Turns work done into whole examples done.

    Arguments:
        advance: Called with numbers of examples that add up to `examples`.
        examples: How many there are.
        work: What they take in all, in any unit.

    Example:
        >>> told = []
        >>> meter = Meter(told.append, examples=2, work=4)
        >>> for _ in range(3):
        ...     meter(1)
        >>> meter.finish()
        >>> told
        [1, 1]
    """

    def __init__(self, advance: Advance | None, examples: int, work: int) -> None:
        self.advance, self.examples, self.work = advance, examples, work
        self.done = self.told = 0

    def __call__(self, work: int) -> None:
        """Count work that was done."""
        self.done += work
        self._tell(min(self.examples, self.examples * self.done // self.work))

    def finish(self) -> None:
        """Tell of what was not told, at the end."""
        self._tell(self.examples)

    def _tell(self, examples: int) -> None:
        if self.advance is not None and examples > self.told:
            self.advance(examples - self.told)
            self.told = examples


@dataclass(frozen=True)
class Annealing:
    r"""How chains are annealed.

    Arguments:
        chains: How many for each example.
        temperatures: Steps from the start to the posterior.
        steps: Leapfrog steps of a transition.
        start: "posterior" or "prior".

    Raises:
        RequestError: If a number is too small, or there is no such start.
    """

    chains: int
    temperatures: int
    steps: int
    start: Start

    def __post_init__(self) -> None:
        for name, least in (("chains", 1), ("temperatures", 1), ("steps", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise RequestError(
                    f"{name} is {value!r}; expected an integer from {least} up: leave it out for the default"
                )
        if self.start not in get_args(Start):
            raise RequestError(f'start is {self.start!r}; expected "posterior" or "prior": pass one of them')

    @property
    def tuning(self) -> int:
        """Transitions of an example's pilots."""
        return PILOTS * (WARM_UP + self.temperatures)

    @property
    def annealing(self) -> int:
        """Transitions of an example's chains, in one direction."""
        return self.chains * self.temperatures

    def tuned(self, model: VAE, x: Tensor, context: Tensor | None, meter: Meter) -> Ladder:
        """Send the pilots along the path, and return it with the step sizes that they found."""
        betas = temperature_ladder(self.temperatures)
        between = betas[1:-1] if self.steps else []
        sizes: list[Tensor] = []
        if between:
            path = GeometricPath(model, x, context, self.start, PILOTS)
            point, scale = path(path.draw()), path.scale()
            size = point.rest.new_full((len(x),), 0.5)
            for beta in [between[0]] * WARM_UP + between:
                sizes.append(size)
                point, acceptance = transition(path, point, beta, _wide(size, point.z) * scale, self.steps)
                size = adapted(size, acceptance.mean(0), GAIN)
                meter(PILOTS)
        return Ladder(betas, sizes[-len(between) :])


def lead(path: GeometricPath, z: Tensor, ladder: Ladder, steps: int, meter: Meter) -> Annealed:
    r"""Lead chains along the ladder of a path, and weigh them.

    .. math::
        \log w = \sum_{t=1}^T (\beta_t - \beta_{t-1}) \, \text{rest}(z_{t-1})

    Between two weighings, z takes a transition that leaves the density at the place reached invariant. The same
    holds for a ladder from 1 down to 0 and chains that start at draws from the posterior.

    Arguments:
        path: The path.
        z: Where the chains begin, shape `(chains, n, *event)`.
        ladder: The places and the step sizes.
        steps: Leapfrog steps of a transition.
        meter: Told of each transition.
    """
    point, scale = path(z), path.scale()
    weights = torch.zeros_like(point.rest)
    accepted: list[Tensor] = []
    betas = ladder.betas
    for place in range(1, len(betas)):
        weights = weights + (betas[place] - betas[place - 1]) * point.rest
        if place <= len(ladder.sizes):
            size = _wide(ladder.sizes[place - 1], z) * scale
            point, acceptance = transition(path, point, betas[place], size, steps)
            accepted.append(acceptance.mean(0))
        meter(path.chains)
    return Annealed(weights, torch.stack(accepted).mean(0) if accepted else torch.full_like(weights[0], torch.nan))


def _wide(size: Tensor, z: Tensor) -> Tensor:
    """Give a number for each example the axes of z, shape `(chains, n, *event)`."""
    return size.view(-1, *[1] * (z.dim() - 2))
