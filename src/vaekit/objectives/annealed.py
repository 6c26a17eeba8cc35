r"""Weights of an objective that change with training time."""

__all__ = ["Annealed"]

import math

import torch
from torch import nn

from vaekit.errors import RequestError
from vaekit.schedules import Constant, Schedule


class Annealed(nn.Module):
    r"""An objective with named weights, each a number or a schedule over epochs; here it has none.

    Example:
        >>> from vaekit.schedules import Linear
        >>> objective = Annealed()
        >>> objective.anneal("gamma", Linear(epochs=4, end=10.0), "pass 10")
        >>> objective.advance(1.0)
        >>> objective.weights(), objective.settled
        ({'gamma': 2.5}, 4)
    """

    def __init__(self) -> None:
        super().__init__()
        self.schedules: dict[str, Schedule] = {}

    def anneal(self, name: str, weight: float | Schedule, advice: str, lowest: float = 0.0) -> None:
        r"""Add a weight, a buffer of that name.

        Arguments:
            name: Its name.
            weight: Its value, or a schedule of its values.
            advice: What to pass instead, for the error's message.
            lowest: The least it may be.

        Raises:
            RequestError: If the weight is out of its range, at the start or when it has settled.
        """
        schedule: Schedule = Constant(float(weight)) if isinstance(weight, int | float) else weight
        for value in (schedule(0.0), schedule(schedule.settled)):
            if not lowest <= value < math.inf:
                raise RequestError(f"{name} is {value}; expected a finite weight of at least {lowest:g}: {advice}")
        self.schedules[name] = schedule
        # A tensor, so that a compiled step sees one program whatever the weight.
        self.register_buffer(name, torch.tensor(schedule(0.0)), persistent=False)

    @property
    def settled(self) -> float:
        """The epoch from which all weights are constant."""
        return max((schedule.settled for schedule in self.schedules.values()), default=0.0)

    def advance(self, epoch: float) -> None:
        """Set the weights for a time in epochs."""
        for name, schedule in self.schedules.items():
            if not isinstance(schedule, Constant):
                self.get_buffer(name).fill_(schedule(epoch))

    def weights(self) -> dict[str, float]:
        """Present values of the weights."""
        return {name: float(self.get_buffer(name)) for name in self.schedules}
