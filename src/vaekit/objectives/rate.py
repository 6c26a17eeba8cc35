r"""Other charges for the rate: some of it free, or as much as was planned."""

__all__ = ["Capacity", "FreeBits"]

from typing import Literal

import torch
from torch import Tensor

from vaekit.errors import RequestError
from vaekit.objectives.base import choice
from vaekit.objectives.elbo import ELBO, Bound, Estimator
from vaekit.schedules import Schedule


class FreeBits(ELBO):
    r"""The evidence lower bound with the first nats of rate free, so that no unit is pressed to say nothing.

    .. math::
        \text{loss} = \text{distortion} + \beta \sum_g \max\Big(\lambda, \frac1n \sum_x \text{rate}_g(x)\Big)

    where the g are units, groups of units or the whole code. The maximum is of the mean over the batch, as published:
    one example may spend more, if another spends less.

    :math:`\lambda` is in nats, for each g. From bits: `nats = bits * math.log(2)`.

    A rate estimated from draws can lie below zero by chance, where even :math:`\lambda = 0` holds it at zero; the
    closed form cannot.

    References:
        Improving variational inference with inverse autoregressive flow (Kingma et al., 2016), appendix C.8.

    Arguments:
        nats: Free nats, :math:`\lambda`, of each group: a number, or a schedule over epochs.
        per: "unit", "total", or a number of groups: as many equal ones of consecutive units. For a model of several
            layers of latent variables a layer is a unit.
        average: "batch" takes the maximum of the mean over the batch, "example" the mean of the maxima.
        beta: Weight of the rate: a number, or a schedule over epochs.
        samples: Draws of z for each example.
        estimator: "analytic" or "monte-carlo"; see `ELBO`.

    Raises:
        RequestError: If an argument is out of its range; in use, if units are asked for and the rate is of one piece,
            or there are no groups of equal size.

    Example:
        >>> parts = torch.tensor([[0.1, 3.0], [0.3, 1.0]])  # of two examples in two units
        >>> FreeBits(nats=0.5).charge(parts.sum(1), parts), FreeBits(nats=0.5, per="total").charge(parts.sum(1), None)
        (tensor(2.5000), tensor(2.2000))
    """

    nats: Tensor

    def __init__(
        self,
        nats: float | Schedule = 0.5,
        per: Literal["unit", "total"] | int = "unit",
        average: Literal["batch", "example"] = "batch",
        beta: float | Schedule = 1.0,
        samples: int = 1,
        estimator: Estimator = "analytic",
    ) -> None:
        super().__init__(beta, samples, estimator)
        self.anneal("nats", nats, "pass 0 for none that are free")
        if isinstance(per, str):
            choice("per", per, ("unit", "total"))
        elif per < 1:
            raise RequestError(f"per is {per}; expected at least 1 group of units: pass 'total' for one")
        self.per = per
        self.average = choice("average", average, ("batch", "example"))

    def charge(self, rate: Tensor, parts: Tensor | None) -> Tensor:
        """Return what the loss charges for the rate, a scalar: no group counts for less than the free nats."""
        groups = self._groups(rate, parts)
        if self.average == "batch":
            groups = groups.mean(0, keepdim=True)
        return self.beta * torch.maximum(groups, self.nats).sum(1).mean()

    def _groups(self, rate: Tensor, parts: Tensor | None) -> Tensor:
        """The rate of each group, shape `(n, groups)`."""
        if self.per == "total":
            return rate.unsqueeze(1)
        if parts is None:
            raise RequestError(
                f"free nats are asked for per={self.per!r}, but the rate of this posterior and prior is of one piece; "
                "expected both to factorise into units: pass per='total'"
            )
        if isinstance(self.per, str):
            return parts
        if parts.shape[1] % self.per:
            raise RequestError(
                f"per is {self.per}, but the code has {parts.shape[1]} units; expected groups of equal size: pass a "
                "divisor of the number of units"
            )
        groups: Tensor = parts.unflatten(1, (self.per, -1)).sum(2)
        return groups


class Capacity(Bound):
    r"""The rate held to a capacity that grows with time, as a channel that is opened bit by bit.

    .. math::
        \text{loss} = \text{distortion} + \gamma \, \Big| \frac1n \sum_x \text{rate}(x) - C(t) \Big|

    References:
        Understanding disentangling in beta-VAE (Burgess et al., 2018), equation 8.

    Arguments:
        capacity: C in nats, mostly a schedule over epochs, such as `Linear(epochs=50, end=25.0)`.
        gamma: Weight of the distance: a number, or a schedule over epochs.
        samples: Draws of z for each example.
        estimator: "analytic" or "monte-carlo"; see `ELBO`.

    Raises:
        RequestError: If an argument is out of its range.

    Example:
        >>> from vaekit.schedules import Linear
        >>> objective = Capacity(Linear(epochs=50, end=25.0), gamma=100.0)
        >>> objective.advance(10.0)
        >>> objective.weights(), objective.charge(torch.tensor([3.0, 5.0]), None)
        ({'capacity': 5.0, 'gamma': 100.0}, tensor(100.))
    """

    capacity: Tensor
    gamma: Tensor

    def __init__(
        self,
        capacity: float | Schedule,
        gamma: float | Schedule = 1000.0,
        samples: int = 1,
        estimator: Estimator = "analytic",
    ) -> None:
        super().__init__(samples, estimator)
        self.anneal("capacity", capacity, "pass Linear(epochs=50, end=25.0), say")
        self.anneal("gamma", gamma, "pass 1000")

    def charge(self, rate: Tensor, parts: Tensor | None) -> Tensor:
        """Return what the loss charges for the rate, a scalar: its distance from the capacity."""
        return self.gamma * (rate.mean() - self.capacity).abs()
