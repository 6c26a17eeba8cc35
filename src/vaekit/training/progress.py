r"""The progress bar of a training run."""

__all__ = ["Progress"]

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

REFRESH_SECONDS = 0.2
LINE_SECONDS = 5.0


class Progress:
    r"""Shows epochs, the bound, rate, distortion and speed while a model trains.

    On a terminal it is one line that changes. Elsewhere, in a log file say, it prints a line for an epoch, at most
    one every few seconds.

    Arguments:
        epochs: Number of epochs.
        steps: Steps in an epoch.
        start: Epochs done before.
        enabled: False shows nothing.
    """

    def __init__(self, epochs: int, steps: int, start: int = 0, *, enabled: bool = True) -> None:
        self._console = Console(stderr=True)
        self._live = enabled and self._console.is_terminal
        self._lines = enabled and not self._live
        self._epochs, self._steps, self._last = epochs, steps, 0.0
        self._bar = Bar(
            TextColumn("epoch"),
            MofNCompleteColumn(),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[terms]}"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._live,
            auto_refresh=False,
        )
        self._task = self._bar.add_task("train", total=epochs, completed=start, terms="")

    def __enter__(self) -> Self:
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the last state of the bar on the screen."""
        self._bar.stop()

    @property
    def due(self) -> bool:
        """Whether it is time to show new numbers; reading them makes a GPU wait, so it is done seldom."""
        return self._live and time.monotonic() - self._last > REFRESH_SECONDS

    def update(self, epoch: int, step: int, terms: dict[str, float], speed: float) -> None:
        """Show the running means of an epoch under way."""
        self._last = time.monotonic()
        text = _describe(terms, speed)
        self._bar.update(self._task, completed=epoch + step // self._steps, terms=text, refresh=True)

    def epoch(self, epoch: int, terms: dict[str, float], speed: float) -> None:
        """Show the numbers of a finished epoch."""
        if self._live:
            self.update(epoch, 0, terms, speed)
        elif self._lines and (epoch in (1, self._epochs) or time.monotonic() - self._last > LINE_SECONDS):
            self._last = time.monotonic()
            self._console.print(
                f"epoch {epoch}/{self._epochs}  {_describe(terms, speed)}", highlight=False, soft_wrap=True
            )

    def say(self, message: str) -> None:
        """Print a line above the bar."""
        if self._live or self._lines:
            self._console.print(message, highlight=False, soft_wrap=True)


def _describe(terms: dict[str, float], speed: float) -> str:
    shown = ("bound", "elbo", "rate", "distortion", "validation_elbo", "validation_bound")
    labels = {"elbo": "ELBO", "validation_elbo": "validation ELBO", "validation_bound": "validation bound"}
    numbers = [f"{labels.get(name, name)} {terms[name]:.2f}" for name in shown if name in terms]
    return "  ".join([*numbers, f"{speed:,.0f} images/s"])
