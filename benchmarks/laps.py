r"""The stopwatch that every contestant calls at the end of every epoch."""

__all__ = ["Laps"]

import time
from collections.abc import Callable


def _go() -> None:
    """Do not wait: the next epoch starts at once."""


class Laps:
    r"""Times whole epochs, and holds the contestant between them so that only one contestant works at a time.

    A contestant trains for `laps.epochs` epochs and calls `laps()` at the end of each, or hands it to its trainer as
    a callback (any arguments are ignored). A lap runs from when one call returns to when the next one is made, so it
    holds everything that a trainer does once an epoch: shuffling, the progress bar, logging, keeping the best model.
    The first `warmup` epochs, with compilation in them, are run and not counted.

    Arguments:
        rounds: Epochs to time.
        warmup: Epochs before them.
        wait: Called between epochs; it returns when the next epoch may start.
        report: Called with the seconds of each timed epoch.
    """

    def __init__(
        self,
        rounds: int,
        warmup: int = 2,
        wait: Callable[[], None] = _go,
        report: Callable[[float], None] | None = None,
    ) -> None:
        self.rounds, self.warmup = rounds, warmup
        self.seconds: list[float] = []
        self._wait, self._report = wait, report
        self._ended = 0
        self._start = time.perf_counter()

    @property
    def epochs(self) -> int:
        """Epochs to train for: the warm-up and the timed ones."""
        return self.warmup + self.rounds

    def __call__(self, *_: object, **__: object) -> None:
        """Note that an epoch has ended; return when the next one may start."""
        seconds = time.perf_counter() - self._start
        self._ended += 1
        if self._ended > self.warmup:
            self.seconds.append(seconds)
            if self._report is not None:
                self._report(seconds)
        if self.warmup <= self._ended < self.epochs:
            self._wait()
        self._start = time.perf_counter()
