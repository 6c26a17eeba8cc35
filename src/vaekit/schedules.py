r"""Functions of training time: the weight of the rate, and the learning rate's multiplier."""

__all__ = ["Constant", "Cosine", "Cyclical", "Exponential", "Ladder", "Linear", "Schedule", "Switch"]

import math
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

from vaekit.errors import RequestError


class Schedule(Protocol):
    r"""A pure function of time, counted in epochs and fractions of them, so that resuming needs no state."""

    @property
    def settled(self) -> float:
        """The epoch from which the value no longer changes; model selection starts there."""
        ...

    def __call__(self, epoch: float) -> float:
        """Return the value at a time."""
        ...


def _positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise RequestError(f"{name} is {value}; expected a finite number above 0: pass a positive {name}")


@dataclass(frozen=True)
class Constant:
    r"""The same value throughout.

    Example:
        >>> Constant(4.0)(17.5)
        4.0
    """

    value: float = 1.0
    settled: float = 0.0

    def __call__(self, epoch: float) -> float:
        """Return the value."""
        return self.value


@dataclass(frozen=True)
class Linear:
    r"""A straight line from `start` to `end` over the first `epochs`, then `end`: the usual KL warm-up.

    References:
        Ladder variational autoencoders (Sønderby et al., 2016).

    Example:
        >>> beta = Linear(epochs=10)
        >>> beta(0), beta(5), beta(20)
        (0.0, 0.5, 1.0)
    """

    epochs: float
    start: float = 0.0
    end: float = 1.0

    def __post_init__(self) -> None:
        _positive("warm-up", self.epochs)

    @property
    def settled(self) -> float:
        """The end of the line."""
        return self.epochs

    def __call__(self, epoch: float) -> float:
        """Return the value at a time."""
        return self.start + (self.end - self.start) * min(epoch / self.epochs, 1.0)


@dataclass(frozen=True)
class Switch:
    r"""One value until an epoch, and another from then on: a term that joins when the others have done their work.

    Arguments:
        epoch: When.
        before: The value until then.
        after: The value from then on.

    Example:
        >>> weight = Switch(10)
        >>> weight(9.9), weight(10)
        (0.0, 1.0)
    """

    epoch: float
    before: float = 0.0
    after: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.epoch < math.inf:
            raise RequestError(f"epoch is {self.epoch}; expected a finite time, 0 or later: pass 0 for the start")

    @property
    def settled(self) -> float:
        """When it changes."""
        return self.epoch

    def __call__(self, epoch: float) -> float:
        """Return the value at a time."""
        return self.after if epoch >= self.epoch else self.before


@dataclass(frozen=True)
class Cyclical:
    r"""The line climbed again and again: each of `cycles` periods rises for its share `ramp`, then holds `end`.

    After the last cycle the value stays at `end`.

    References:
        Cyclical annealing schedule: a simple approach to mitigating KL vanishing (Fu et al., 2019).

    Example:
        >>> beta = Cyclical(period=10, cycles=2)
        >>> beta(2.5), beta(7), beta(12.5), beta(30)
        (0.5, 1.0, 0.5, 1.0)
    """

    period: float
    cycles: int = 4
    ramp: float = 0.5
    start: float = 0.0
    end: float = 1.0

    def __post_init__(self) -> None:
        _positive("period", self.period)
        _positive("cycles", self.cycles)
        if not 0 < self.ramp <= 1:
            raise RequestError(f"ramp is {self.ramp}; expected a share of the period: pass a number above 0, at most 1")

    @property
    def settled(self) -> float:
        """The top of the last ramp."""
        return self.period * (self.cycles - 1 + self.ramp)

    def __call__(self, epoch: float) -> float:
        """Return the value at a time."""
        if epoch >= self.settled:
            return self.end
        phase = epoch / self.period % 1.0
        return self.start + (self.end - self.start) * min(phase / self.ramp, 1.0)


@dataclass(frozen=True)
class Cosine:
    r"""Half a cosine from 1 down to `floor` over `epochs`, after a linear rise over the first `warmup` of them.

    References:
        SGDR: stochastic gradient descent with warm restarts (Loshchilov and Hutter, 2017), without the restarts.

    Example:
        >>> rate = Cosine(epochs=10)
        >>> rate(0), round(rate(5), 3), rate(10)
        (1.0, 0.5, 0.0)
    """

    epochs: float
    floor: float = 0.0
    warmup: float = 0.0

    def __post_init__(self) -> None:
        _positive("epochs", self.epochs)
        if not 0 <= self.floor <= 1:
            raise RequestError(f"floor is {self.floor}; expected a share of the peak: pass a number from 0 to 1")
        if not 0 <= self.warmup < self.epochs:
            raise RequestError(
                f"warmup is {self.warmup} of {self.epochs} epochs; expected at least 0 and less than all of them: "
                "pass a shorter one"
            )

    @property
    def settled(self) -> float:
        """The end of the descent."""
        return self.epochs

    def __call__(self, epoch: float) -> float:
        """Return the value at a time."""
        rise = min(epoch / self.warmup, 1.0) if self.warmup else 1.0
        share = min(max(epoch - self.warmup, 0.0) / (self.epochs - self.warmup), 1.0)
        return rise * (self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * share)))


@dataclass(frozen=True)
class Exponential:
    r"""From `start` towards `end`, of which a share of 1/e is left to go after every `epochs`.

    .. math::
        v(t) = \text{end} + (\text{start} - \text{end}) \, e^{-t / \text{epochs}}

    It never gets there, and says that it has settled from the start: what is trained is always something else than
    what it ends in, and no epoch is the first whose weights may be chosen.

    Example:
        >>> rate = Exponential(epochs=10, start=1.0, end=0.5)
        >>> rate(0), round(rate(10), 3), round(rate(100), 3)
        (1.0, 0.684, 0.5)
    """

    epochs: float
    start: float = 0.0
    end: float = 1.0
    settled: float = 0.0

    def __post_init__(self) -> None:
        _positive("epochs", self.epochs)

    def __call__(self, epoch: float) -> float:
        """Return the value at a time."""
        return self.end + (self.start - self.end) * math.exp(-epoch / self.epochs)


@dataclass(frozen=True)
class Ladder:
    r"""Steps of growing length: stage :math:`i` of `stages` takes a share :math:`3^i` of `epochs`.

    The rungs go from 1 down to 0.1 by equal factors, :math:`10^{-i/7}` for the eight stages of the paper.

    With eight stages and 3280 epochs stage :math:`i` takes :math:`3^i` epochs, as published; fewer epochs shorten
    every stage by the same factor.

    References:
        Importance weighted autoencoders (Burda, Grosse and Salakhutdinov, 2016), section 5.

    Example:
        >>> rate = Ladder(epochs=3280)
        >>> rate(0.5), round(rate(1), 4), round(rate(3279), 4)
        (1.0, 0.7197, 0.1)
    """

    epochs: float
    stages: int = 8

    def __post_init__(self) -> None:
        _positive("epochs", self.epochs)
        _positive("stages", self.stages)

    @property
    def _ends(self) -> list[float]:
        total = (3**self.stages - 1) // 2
        return [end * self.epochs / total for end in accumulate(3**i for i in range(self.stages))]

    @property
    def settled(self) -> float:
        """The start of the last stage."""
        return self._ends[-2] if self.stages > 1 else 0.0

    def __call__(self, epoch: float) -> float:
        """Return the value at a time."""
        stage = min(bisect_right(self._ends, epoch), self.stages - 1)
        return float(10 ** (-stage / max(self.stages - 1, 1)))
