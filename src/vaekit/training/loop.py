r"""The training loop."""

__all__ = ["Outcome", "fit"]

import contextlib
import copy
import math
import signal
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor

from vaekit.data.rows import joined
from vaekit.data.stream import batches, resident
from vaekit.errors import Diverged, Interrupted, RequestError
from vaekit.models.base import LatentVariableModel, seeded
from vaekit.plan import Plan
from vaekit.training.acceleration import compilable, compiling_pays, keep_freed_memory
from vaekit.training.adam import Optimizer
from vaekit.training.checkpoint import load_checkpoint, save_checkpoint
from vaekit.training.checks import check_fit
from vaekit.training.engine import Engine, SingleDevice
from vaekit.training.history import History
from vaekit.training.progress import Progress
from vaekit.training.step import Step, evaluate_terms

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vaekit.data import Dataset
    from vaekit.data.dataset import Split
    from vaekit.data.rows import Rows

CHECKPOINT_SECONDS = 10.0  # of training: a kill costs at most this much work, and the epoch under way
STOP_STEPS = 10  # processes that share the work agree this often on whether to stop


@dataclass
class Progressed:
    r"""Where training stands: all of the loop's state that is not a tensor, JSON-able."""

    epoch: int = 0  # epochs finished
    batch: int = 0  # batches finished in the epoch under way
    step: int = 0  # optimiser steps in all
    seconds: float = 0.0  # spent in training steps
    compile_seconds: float = 0.0  # spent on compiling the step, not counted above
    elapsed: float = 0.0  # the same, with validation and checkpoints
    best: float = -math.inf
    best_epoch: int = 0
    stopped: str = ""


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
        loop.restore(tensors, state)
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
        self.x, self.sequence = _training_rows(plan, data), _training_sequence(plan, data)
        self.batch = plan.batch_size // engine.world_size
        self.steps = len(self.x) // plan.batch_size
        self.model = plan.model.to(engine.device)
        self.at = Progressed()
        self.shuffle = torch.Generator().manual_seed(seed)
        self.epoch_start = self.shuffle.get_state()
        self.history = History(directory if engine.global_rank == 0 else None)
        self.best: dict[str, Tensor] | None = None
        self.best_unsaved = False
        self.progress = progress and engine.global_rank == 0
        self.stop = threading.Event()
        if engine.device.type == "cpu":
            keep_freed_memory()

        self.resident = resident(self.x, engine.device)
        examples = torch.tensor(np.asarray(self.x if self.resident else self.x[:2]), device=engine.device)
        context = _training_context(plan, data)
        given = None if context is None else torch.tensor(context, device=engine.device)
        step = Step(self.model, examples if self.resident else None, plan.transform, given, plan.augment)
        self.plain = step
        self.compiled = self._decide(compile)
        self.phases = self.model.phases()
        self.terms = {phase: step.term_names(phase, examples[:2]) for phase in self.phases}
        self.sums = torch.zeros(sum(map(len, self.terms.values())), device=engine.device)
        optimizers = [_optimizer(plan, phase, parameters, engine) for phase, parameters in self.phases.items()]
        forward = cast(torch.nn.Module, torch.compile(step)) if self.compiled else step
        self.step, self.optimizers = engine.setup(forward, optimizers)
        self.call: Callable[..., tuple[Tensor, Tensor]] = self.step
        self.untried = self.compiled

    def _decide(self, compile: bool | str) -> bool:
        if compile != "auto":
            return bool(compile)
        steps = self.steps * self.plan.epochs
        rows = steps * self.batch * getattr(self.model.objective, "samples", 1)
        work = 3 * rows * sum(p.numel() for p in self.model.parameters())
        return compilable(self.model) and compiling_pays(work, self.engine.device, steps)

    def run(self, on_epoch: Callable[[dict[str, float]], None] | None) -> Outcome:
        at, plan = self.at, self.plan
        begun = time.monotonic() - at.elapsed
        saved = at.seconds
        with (
            contextlib.closing(self.history),
            _stop_on_signals(self.stop),
            Progress(plan.epochs, self.steps, at.epoch, enabled=self.progress) as bar,
        ):
            if self.compiled:
                bar.say("compiling the training step: this pays for itself in a run of this length")
            if not at.step:
                self._prepare()
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

    def _prepare(self) -> None:
        """Show the model as many examples as it wants to see before its first step, the same in every process."""
        if wanted := self.model.first_look:
            with seeded(self.seed):
                rows = torch.randperm(len(self.x))[:wanted].sort().values
                stored = torch.tensor(np.asarray(self.x[rows.numpy()]), device=self.engine.device)
                self.plain.prepare(rows.to(self.engine.device), stored)

    @property
    def speed(self) -> float:
        done = (self.at.epoch * self.steps + self.at.batch) * self.plan.batch_size
        return done / self.at.seconds if self.at.seconds else 0.0

    def _train_epoch(self, bar: Progress, begun: float) -> None:
        at, plan, objective = self.at, self.plan, self.model.objective
        self.epoch_start = self.shuffle.get_state()
        clock = time.monotonic()
        order = plan.order(len(self.x), self.sequence, self.shuffle)
        with contextlib.closing(self._batches(order)) as coming:
            for number, rows in zip(range(at.batch, self.steps), coming, strict=False):
                moment = at.epoch + number / self.steps
                objective.advance(moment)
                sums = [
                    self._update(phase, optimizer, rows, plan.schedule(moment))
                    for phase, optimizer in zip(self.phases, self.optimizers, strict=True)
                ]
                self.sums += torch.cat(sums) if len(sums) > 1 else sums[0]
                at.batch, at.step = number + 1, at.step + 1
                if self.untried:  # compiling is part of the run's time, not of its speed
                    self.untried, now = False, time.monotonic()
                    at.compile_seconds, clock = at.compile_seconds + now - clock, now
                if bar.due:
                    now = time.monotonic()
                    at.seconds, clock = at.seconds + now - clock, now
                    bar.update(at.epoch, at.batch, self._means(), self.speed)
                if self._stopping():
                    at.seconds += time.monotonic() - clock
                    at.elapsed = time.monotonic() - begun
                    self.save()
                    raise Interrupted(f"stopped in epoch {at.epoch + 1} of {plan.epochs}")
        if self.engine.device.type == "cuda":
            torch.cuda.synchronize()
        at.seconds += time.monotonic() - clock

    def _batches(self, order: Tensor) -> Generator[tuple[Tensor, ...]]:
        """Yield this process's part of each batch that is still to come: row numbers, and rows that are streamed."""
        first = self.engine.global_rank * self.batch
        parts = order[: self.steps * self.plan.batch_size].view(self.steps, -1)
        mine = parts[self.at.batch :, first : first + self.batch]
        if self.resident:
            yield from ((numbers,) for numbers in mine.to(self.engine.device))
        else:
            rows = batches(self.x, mine.flatten(), self.batch, self.engine.device)
            yield from zip(mine.to(self.engine.device), rows, strict=True)

    def _update(self, phase: str, optimizer: Any, rows: tuple[Tensor, ...], share: float) -> Tensor:
        loss, sums = self._forward(rows, phase)
        self.engine.backward(loss)
        if self.plan.clip is not None:
            self.engine.clip(self.step, optimizer, self.plan.clip)
        for group in optimizer.param_groups:
            group["lr"] = share * _learning_rate(self.plan, phase)
        optimizer.step()
        # The loss of a phase has gradients for the parameters of others too, which must not be in their next step.
        (optimizer if len(self.phases) == 1 else self.model).zero_grad(set_to_none=True)
        return sums

    def _forward(self, rows: tuple[Tensor, ...], phase: str) -> tuple[Tensor, Tensor]:
        numbers, *stored = rows
        if not self.untried:
            result = self.call(numbers, phase, *stored)
        else:
            state = torch.get_rng_state()
            try:
                result = self.call(numbers, phase, *stored)
            except Exception as error:
                if not isinstance(error, torch._dynamo.exc.TorchDynamoException):
                    raise
                reason = str(error).strip().splitlines()[0]
                warnings.warn(f"the step could not be compiled ({reason}); training goes on uncompiled", stacklevel=2)
                torch.set_rng_state(state)
                self.compiled = False
                self.call = self.plain if isinstance(self.engine, SingleDevice) else _uncompiled(self.step)
                result = self.call(numbers, phase, *stored)
        return result

    def _stopping(self) -> bool:
        if self.engine.world_size == 1:
            return self.stop.is_set()
        # The signal does not reach all processes at once, and they must stop after the same step. Asking them makes
        # a GPU wait, so it is done seldom.
        return (self.at.batch % STOP_STEPS == 0 or self.at.batch == self.steps) and self._any(self.stop.is_set())

    def _any(self, flag: bool) -> bool:
        """Whether a flag is set in any process."""
        if self.engine.world_size == 1:
            return flag
        return self._total(torch.tensor([float(flag)], device=self.engine.device))[0] > 0

    def _gather(self, state: Tensor) -> Tensor:
        """Put the tensors of all processes on a new first axis."""
        own = torch.zeros((self.engine.world_size, *state.shape), device=self.engine.device)
        own[self.engine.global_rank] = state.to(own)  # bytes and single-precision numbers: exact
        return self.engine.total(own).to(state.dtype)

    def _total(self, sums: Tensor) -> list[float]:
        """Add up sums over all processes."""
        total: list[float] = self.engine.total(sums).tolist()
        return total

    def _means(self) -> dict[str, float]:
        count = self.at.batch * self.batch
        return self._named((self.sums / max(count, 1)).tolist())

    def _named(self, values: list[float]) -> dict[str, float]:
        """Name the terms of all phases; of terms of one name, those of the first phase that has it."""
        named: dict[str, float] = {}
        for name, value in zip((name for terms in self.terms.values() for name in terms), values, strict=True):
            named.setdefault(name, value)
        return named

    def _finish_epoch(self) -> dict[str, float]:
        at, plan, objective = self.at, self.plan, self.model.objective
        trained = self._named(self._total(self.sums))
        trained = {name: value / (self.steps * plan.batch_size) for name, value in trained.items()}
        at.epoch, at.batch = at.epoch + 1, 0
        self.sums = torch.zeros_like(self.sums)
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
            "learning_rate": plan.learning_rate * plan.schedule(at.epoch - 0.5 / self.steps),
            **objective.weights(),
            **{f"train_{name}": value for name, value in trained.items()},
            **{f"validation_{name}": value for name, value in validation.items()},
        }
        self._select(validation.get(objective.monitor, trained[objective.monitor]))
        self.history.append(row)
        return row

    def _validate(self) -> dict[str, float]:
        if not len(self.data.validation):
            return {}
        engine = self.engine
        terms = evaluate_terms(
            self.model,
            self.data.validation.x,
            self.plan.transform,
            self.seed,
            engine.device,
            context=self.data.validation.given if self.model.conditional else None,
            rank=engine.global_rank,
            ranks=engine.world_size,
        )
        names = next(iter(self.terms.values()))  # of the phase that trains the model itself
        sums = torch.stack([terms[name].sum() if terms else torch.zeros((), device=engine.device) for name in names])
        return {name: total / len(self.data.validation) for name, total in zip(names, self._total(sums), strict=True)}

    def _select(self, value: float) -> None:
        at, plan = self.at, self.plan
        if at.epoch <= self.model.objective.settled:
            return
        if value > at.best:
            at.best, at.best_epoch = value, at.epoch
            if plan.select == "best":
                self.best, self.best_unsaved = copy.deepcopy(self.model.state_dict()), True
        elif plan.patience is not None and at.epoch - at.best_epoch >= plan.patience:
            at.stopped = "patience"

    def save(self) -> None:
        """Write the last checkpoint, and the best one if it changed."""
        if self.directory is None:
            return
        cuda = self.engine.device.type == "cuda"
        own = {"random.torch": self._gather(torch.get_rng_state())}  # a row for each process
        if cuda:
            own["random.cuda"] = self._gather(torch.cuda.get_rng_state(self.engine.device))
        if self.at.batch:
            own["sums"] = self._gather(self.sums)
        if self.engine.global_rank == 0:
            self._write(own)
        self.engine.barrier()

    def _write(self, own: dict[str, Tensor]) -> None:
        assert self.directory is not None
        self.history.flush()
        tensors = own | {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        for number, optimizer in enumerate(self.optimizers):
            for index, entries in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer.{number}.{index}.{name}": torch.as_tensor(t) for name, t in entries.items()}
        tensors["random.shuffle"] = self.epoch_start if self.at.batch else self.shuffle.get_state()
        state = {
            "progress": asdict(self.at),
            "history": self.history.rows,
            "compiled": self.compiled,
            "precision": self.engine.state(),
        }
        folder = self.directory / "checkpoints"
        if self.best is not None and self.best_unsaved:
            best = {"epoch": self.at.best_epoch, self.model.objective.monitor: self.at.best}
            save_checkpoint(folder / "best.safetensors", {f"model.{k}": t for k, t in self.best.items()}, best)
            self.best_unsaved = False
        # After the best weights: a kill between the two leaves a last checkpoint that leads to them once more.
        save_checkpoint(folder / "last.safetensors", tensors, state)

    def restore(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Go back to a checkpoint, to the bit."""
        assert self.directory is not None
        rank, world = self.engine.global_rank, self.engine.world_size
        if len(tensors["random.torch"]) != world:
            raise RequestError(
                f"the run to resume was shared by {len(tensors['random.torch'])} processes, not by {world}: pass the "
                "same --devices"
            )
        try:
            self.model.load_state_dict(_under("model.", tensors))
        except RuntimeError as error:
            raise RequestError(f"the model is not like the one of the run to resume: {error}") from None
        for number, optimizer in enumerate(self.optimizers):
            saved = optimizer.state_dict()
            for name, tensor in _under(f"optimizer.{number}.", tensors).items():
                index, _, entry = name.partition(".")
                saved["state"].setdefault(int(index), {})[entry] = tensor
            optimizer.load_state_dict(saved)
        self.at = Progressed(**state["progress"])
        if self.at.best_epoch and self.plan.select == "best":
            self.best = _under("model.", load_checkpoint(self.directory / "checkpoints" / "best.safetensors")[0])
        if self.at.batch:  # the log tells the weights of the last step
            self.model.objective.advance(self.at.epoch + (self.at.batch - 1) / self.steps)
        if "sums" in tensors:
            self.sums = tensors["sums"][rank].to(self.engine.device)
        self.history.rows = state["history"]
        self.history.write()
        self.shuffle.set_state(tensors["random.shuffle"])
        torch.set_rng_state(tensors["random.torch"][rank].clone())  # PyTorch reads it from the start of its storage
        if "random.cuda" in tensors and self.engine.device.type == "cuda":
            torch.cuda.set_rng_state(tensors["random.cuda"][rank].clone(), self.engine.device)
        self.engine.restore(state["precision"])

    def _outcome(self) -> Outcome:
        at = self.at
        if self.plan.select == "best" and self.best is not None:
            self.model.load_state_dict(self.best)
        facts = {
            "epochs": at.epoch,
            "best_epoch": at.best_epoch if self.plan.select == "best" else at.epoch,
            "steps": at.step,
            "seconds": round(at.seconds, 2),
            "compile_seconds": round(at.compile_seconds, 2),
            "elapsed_seconds": round(at.elapsed, 2),
            "images_per_second": round(self.speed, 1),
            "compiled": self.compiled,
            "device": str(self.engine.device),
            "stopped": at.stopped or "epochs",
        }
        return Outcome(self.model.eval(), self.history.columns(), facts)


def _uncompiled(step: Callable[..., tuple[Tensor, Tensor]]) -> Callable[..., tuple[Tensor, Tensor]]:
    def call(*inputs: Any) -> tuple[Tensor, Tensor]:
        with torch.compiler.set_stance("force_eager"):
            return step(*inputs)

    return call


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def _training_splits(plan: Plan, data: "Dataset") -> "list[Split]":
    both = plan.train_on == "all" and len(data.validation)
    return [data.train, data.validation] if both else [data.train]


def _training_rows(plan: Plan, data: "Dataset") -> "Rows":
    parts = [split.x for split in _training_splits(plan, data)]
    return joined(*parts) if len(parts) > 1 else parts[0]


def _training_context(plan: Plan, data: "Dataset") -> "NDArray[Any] | None":
    given = [split.given for split in _training_splits(plan, data)] if plan.model.conditional else []
    return np.concatenate([part for part in given if part is not None]) if given else None


def _training_sequence(plan: Plan, data: "Dataset") -> "NDArray[np.int64] | None":
    numbers = [split.sequence for split in _training_splits(plan, data)]
    return None if any(part is None for part in numbers) else np.concatenate(cast(Any, numbers))


def _learning_rate(plan: Plan, phase: str) -> float:
    return float(plan.phases.get(phase, {}).get("learning_rate", plan.learning_rate))


def _optimizer(plan: Plan, phase: str, parameters: list[torch.nn.Parameter], engine: Engine) -> Optimizer:
    own = plan.phases.get(phase, {})
    return engine.optimizer(
        parameters,
        _learning_rate(plan, phase),
        betas=own.get("betas", plan.betas),
        eps=own.get("eps", plan.eps),
        weight_decay=own.get("weight_decay", plan.weight_decay),
        decoupled=plan.optimizer == "adamw",
    )


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
