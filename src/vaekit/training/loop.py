r"""The training loop."""

__all__ = ["Outcome", "fit"]

import contextlib
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from vaekit.errors import Diverged, Interrupted
from vaekit.models.base import LatentVariableModel, seeded
from vaekit.plan import Plan
from vaekit.training.acceleration import keep_freed_memory
from vaekit.training.checkpoint import load_checkpoint
from vaekit.training.checks import check_fit
from vaekit.training.engine import Engine, SingleDevice
from vaekit.training.feed import Feed
from vaekit.training.history import History
from vaekit.training.progress import Progress
from vaekit.training.state import State
from vaekit.training.step import evaluate_terms
from vaekit.training.update import Update

if TYPE_CHECKING:
    from vaekit.data import Dataset

CHECKPOINT_SECONDS = 10.0  # of training: a kill costs at most this much work, and the epoch under way
STOP_STEPS = 10  # processes that share the work agree this often on whether to stop


@dataclass(frozen=True)
class Outcome:
    r"""What training gives: the model with its selected weights, the log, and facts about the run."""

    model: LatentVariableModel
    history: dict[str, list[float]]
    facts: dict[str, Any]


def fit(
    plan: Plan,
    data: "Dataset",
    *,
    directory: Path | None = None,
    seed: int = 0,
    engine: Engine | None = None,
    compile: bool | str = "auto",
    resume: bool = False,
    progress: bool = True,
    on_epoch: Callable[[dict[str, float]], None] | None = None,
    checked: bool = False,
) -> Outcome:
    r"""Train a plan's model on a data set.

    The same plan, data, seed, machine and software give the same weights to the bit, also when the run was stopped,
    or killed, and resumed in between.

    Arguments:
        plan: The model and how to train it.
        data: What to train on.
        directory: Where checkpoints and the log go; None keeps everything in memory.
        seed: Of every random draw.
        engine: Where it runs; by default the best single device, in full precision.
        compile: Compile the step: True, False, or "auto" to do so when it is expected to pay.
        resume: Go on from `directory`'s last checkpoint.
        progress: Show a progress bar.
        on_epoch: Called with each new row of the log.
        checked: The data were checked against the plan already, by `check_fit`.

    Raises:
        RequestError: If the data do not fit the plan, or there is nothing to resume.
        Diverged: If the loss becomes infinite or NaN.
        Interrupted: If the process was asked to stop (Ctrl-C or SIGTERM), after everything was saved.
    """
    engine = engine or SingleDevice()
    if not checked:
        check_fit(plan, data, engine.world_size, seed)
    with seeded(seed + engine.global_rank):
        if not resume or directory is None:
            return _Loop(plan, data, directory, seed, engine, compile, progress).run(on_epoch)
        tensors, state = load_checkpoint(directory / "checkpoints" / "last.safetensors")
        # Compiled and plain steps round differently: a run goes on as it began.
        loop = _Loop(plan, data, directory, seed, engine, state["compiled"], progress)
        loop.restore(directory, tensors, state)
        return loop.run(on_epoch)


class _Loop:
    def __init__(
        self,
        plan: Plan,
        data: "Dataset",
        directory: Path | None,
        seed: int,
        engine: Engine,
        compile: bool | str,
        progress: bool,
    ) -> None:
        self.plan, self.data, self.directory, self.seed, self.engine = plan, data, directory, seed, engine
        if engine.device.type == "cpu":
            keep_freed_memory()
        self.model = plan.model.to(engine.device)
        self.feed = Feed(plan, data, engine)
        self.update = Update(plan, self.feed, engine, compile)
        terms = sum(map(len, self.update.terms.values()))
        self.state = State(self.model, self.update.optimizers, engine, seed, terms)
        self.history = History(directory if engine.global_rank == 0 else None)
        self.progress = progress and engine.global_rank == 0
        self.stop = threading.Event()

    def run(self, on_epoch: Callable[[dict[str, float]], None] | None) -> Outcome:
        at, plan = self.state.at, self.plan
        begun = time.monotonic() - at.elapsed
        saved = at.seconds
        with (
            contextlib.closing(self.history),
            _stop_on_signals(self.stop),
            Progress(plan.epochs, self.feed.steps, at.epoch, enabled=self.progress) as bar,
        ):
            if self.update.compiled:
                bar.say("compiling the training step: this pays for itself in a run of this length")
            if not at.step and self.model.first_look:
                with seeded(self.seed):  # the same in every process
                    self.update.plain.prepare(*self.feed.some(self.model.first_look))
            while at.epoch < plan.epochs and not at.stopped:
                self._train_epoch(bar, begun)
                row = self._finish_epoch()
                at.elapsed = time.monotonic() - begun
                bar.epoch(at.epoch, {name.removeprefix("train_"): v for name, v in row.items()}, self.speed)
                if on_epoch is not None:
                    on_epoch(row)
                last = at.epoch == plan.epochs or bool(at.stopped)
                if self._any(last or at.seconds - saved > CHECKPOINT_SECONDS):
                    self.save()
                    saved = at.seconds
            if self._any(self.stop.is_set()):
                raise Interrupted("stopped after the last epoch, before the evaluation")
        return self._outcome()

    @property
    def speed(self) -> float:
        at = self.state.at
        done = (at.epoch * self.feed.steps + at.batch) * self.plan.batch_size
        return done / at.seconds if at.seconds else 0.0

    def _train_epoch(self, bar: Progress, begun: float) -> None:
        state, at, steps = self.state, self.state.at, self.feed.steps
        state.epoch_start = state.shuffle.get_state()
        clock = time.monotonic()
        with contextlib.closing(self.feed.batches(self.feed.order(state.shuffle), at.batch)) as coming:
            for number, rows in zip(range(at.batch, steps), coming, strict=False):
                moment, first = at.epoch + number / steps, self.update.untried
                self.model.objective.advance(moment)
                state.sums += self.update(rows, self.plan.schedule(moment))
                at.batch, at.step = number + 1, at.step + 1
                if first:  # compiling is part of the run's time, not of its speed
                    now = time.monotonic()
                    at.compile_seconds, clock = at.compile_seconds + now - clock, now
                if bar.due:
                    now = time.monotonic()
                    at.seconds, clock = at.seconds + now - clock, now
                    bar.update(at.epoch, at.batch, self._means(), self.speed)
                if self._stopping():
                    at.seconds += time.monotonic() - clock
                    at.elapsed = time.monotonic() - begun
                    self.save()
                    raise Interrupted(f"stopped in epoch {at.epoch + 1} of {self.plan.epochs}")
        if self.engine.device.type == "cuda":
            torch.cuda.synchronize()
        at.seconds += time.monotonic() - clock

    def _stopping(self) -> bool:
        if self.engine.world_size == 1:
            return self.stop.is_set()
        # The signal does not reach all processes at once, and they must stop after the same step. Asking them makes
        # a GPU wait, so it is done seldom.
        batch = self.state.at.batch
        return (batch % STOP_STEPS == 0 or batch == self.feed.steps) and self._any(self.stop.is_set())

    def _any(self, flag: bool) -> bool:
        """Whether a flag is set in any process."""
        if self.engine.world_size == 1:
            return flag
        return self._total(torch.tensor([float(flag)], device=self.engine.device))[0] > 0

    def _total(self, sums: torch.Tensor) -> list[float]:
        """Add up sums over all processes."""
        total: list[float] = self.engine.total(sums).tolist()
        return total

    def _means(self) -> dict[str, float]:
        count = self.state.at.batch * self.feed.batch
        return self.update.named((self.state.sums / max(count, 1)).tolist())

    def _finish_epoch(self) -> dict[str, float]:
        state, at, plan, objective = self.state, self.state.at, self.plan, self.model.objective
        trained = self.update.named(self._total(state.sums))
        trained = {name: value / (self.feed.steps * plan.batch_size) for name, value in trained.items()}
        at.epoch, at.batch = at.epoch + 1, 0
        state.sums = torch.zeros_like(state.sums)
        validation = self._validate()
        if not all(math.isfinite(value) for value in (*trained.values(), *validation.values())):
            raise Diverged(
                f"the loss is no longer finite after epoch {at.epoch} with learning rate {plan.learning_rate:g}; "
                "expected it to fall: lower --learning-rate, or limit the gradient with --clip 1"
            )
        row: dict[str, float] = {
            "epoch": at.epoch,
            "step": at.step,
            "seconds": round(at.seconds, 3),
            "learning_rate": plan.learning_rate * plan.schedule(at.epoch - 0.5 / self.feed.steps),
            **objective.weights(),
            **{f"train_{name}": value for name, value in trained.items()},
            **{f"validation_{name}": value for name, value in validation.items()},
        }
        self._select(validation.get(objective.monitor, trained[objective.monitor]))
        self.history.append(row)
        return row

    def _validate(self) -> dict[str, float]:
        held = self.data.validation
        if not len(held):
            return {}
        engine = self.engine
        terms = evaluate_terms(
            self.model,
            held.x,
            self.plan.transform,
            self.seed,
            engine.device,
            context=held.given if self.model.conditional else None,
            rank=engine.global_rank,
            ranks=engine.world_size,
        )
        names = next(iter(self.update.terms.values()))  # of the phase that trains the model itself
        sums = torch.stack([terms[name].sum() if terms else torch.zeros((), device=engine.device) for name in names])
        return {name: total / len(held) for name, total in zip(names, self._total(sums), strict=True)}

    def _select(self, value: float) -> None:
        at, plan = self.state.at, self.plan
        if at.epoch <= self.model.objective.settled:
            return
        if value > at.best:
            at.best, at.best_epoch = value, at.epoch
            if plan.select == "best":
                self.state.keep_best()
        elif plan.patience is not None and at.epoch - at.best_epoch >= plan.patience:
            at.stopped = "patience"

    def save(self) -> None:
        """Write the log, the last checkpoint, and the best one if it changed."""
        if self.directory is not None:
            self.history.flush()
            self.state.save(self.directory, history=self.history.rows, compiled=self.update.compiled)

    def restore(self, directory: Path, tensors: dict[str, torch.Tensor], state: dict[str, Any]) -> None:
        """Go back to a checkpoint, to the bit."""
        self.state.restore(directory, tensors, state, best=self.plan.select == "best")
        at = self.state.at
        if at.batch:  # the log tells the weights of the last step
            self.model.objective.advance(at.epoch + (at.batch - 1) / self.feed.steps)
        self.history.rows = state["history"]
        self.history.write()

    def _outcome(self) -> Outcome:
        at, best = self.state.at, self.state.best
        if self.plan.select == "best" and best is not None:
            self.model.load_state_dict(best)
        facts = {
            "epochs": at.epoch,
            "best_epoch": at.best_epoch if self.plan.select == "best" else at.epoch,
            "steps": at.step,
            "seconds": round(at.seconds, 2),
            "compile_seconds": round(at.compile_seconds, 2),
            "elapsed_seconds": round(at.elapsed, 2),
            "images_per_second": round(self.speed, 1),
            "compiled": self.update.compiled,
            "device": str(self.engine.device),
            "stopped": at.stopped or "epochs",
        }
        return Outcome(self.model.eval(), self.history.columns(), facts)


@contextmanager
def _stop_on_signals(stop: threading.Event) -> Iterator[None]:
    """Turn the first Ctrl-C or SIGTERM into a request to stop after the step under way; a second one interrupts."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
