r"""Where a training stands: all that it takes to go on as if it had never stopped."""

__all__ = ["Progressed", "State"]

import copy
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vaekit.errors import RequestError
from vaekit.models.base import LatentVariableModel
from vaekit.training.adam import Optimizer
from vaekit.training.checkpoint import load_checkpoint, save_checkpoint
from vaekit.training.engine import Engine


@dataclass
class Progressed:
    r"""All of a training's state that is not a tensor, JSON-able."""

    epoch: int = 0  # epochs finished
    batch: int = 0  # batches finished in the epoch under way
    step: int = 0  # optimiser steps in all
    seconds: float = 0.0  # spent in training steps
    compile_seconds: float = 0.0  # spent on compiling the step, not counted above
    elapsed: float = 0.0  # the same, with validation and checkpoints
    best: float = -math.inf
    best_epoch: int = 0
    stopped: str = ""


class State:
    r"""Weights, optimisers, random states, sums of the epoch under way and the best weights so far.

    Arguments:
        model: The model.
        optimizers: Its optimisers.
        engine: The processes that share the work, each of which has random states and sums of its own.
        seed: Of the order of rows.
        terms: How many terms are summed up over an epoch.
    """

    def __init__(
        self, model: LatentVariableModel, optimizers: list[Optimizer], engine: Engine, seed: int, terms: int
    ) -> None:
        self.model, self.optimizers, self.engine = model, optimizers, engine
        self.at = Progressed()
        self.sums = torch.zeros(terms, device=engine.device)
        self.shuffle = torch.Generator().manual_seed(seed)
        self.epoch_start = self.shuffle.get_state()
        self.best: dict[str, Tensor] | None = None
        self._best_unsaved = False

    def keep_best(self) -> None:
        """Keep the present weights as the best."""
        self.best, self._best_unsaved = copy.deepcopy(self.model.state_dict()), True

    def save(self, directory: Path, **facts: Any) -> None:
        r"""Write the last checkpoint, and the best one if it changed.

        Arguments:
            directory: The run's.
            facts: What else `restore` is to find: JSON-able.
        """
        own = {"random.torch": self._gather(torch.get_rng_state())}  # a row for each process
        if self.engine.device.type == "cuda":
            own["random.cuda"] = self._gather(torch.cuda.get_rng_state(self.engine.device))
        if self.at.batch:
            own["sums"] = self._gather(self.sums)
        if self.engine.global_rank == 0:
            self._write(directory / "checkpoints", own, facts)
        self.engine.barrier()

    def restore(self, directory: Path, tensors: dict[str, Tensor], state: dict[str, Any], *, best: bool) -> None:
        r"""Go back to a checkpoint, to the bit.

        Arguments:
            directory: The run's.
            tensors: Those of its last checkpoint.
            state: What else was in it.
            best: Whether the best weights are wanted too.

        Raises:
            RequestError: If it is of another model, or of another number of processes.
        """
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
        if self.at.best_epoch and best:
            self.best = _under("model.", load_checkpoint(directory / "checkpoints" / "best.safetensors")[0])
        if "sums" in tensors:
            self.sums = tensors["sums"][rank].to(self.engine.device)
        self.shuffle.set_state(tensors["random.shuffle"])
        torch.set_rng_state(tensors["random.torch"][rank].clone())  # PyTorch reads it from the start of its storage
        if "random.cuda" in tensors and self.engine.device.type == "cuda":
            torch.cuda.set_rng_state(tensors["random.cuda"][rank].clone(), self.engine.device)
        self.engine.restore(state["precision"])

    def _write(self, folder: Path, own: dict[str, Tensor], facts: dict[str, Any]) -> None:
        tensors = own | {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        for number, optimizer in enumerate(self.optimizers):
            for index, entries in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer.{number}.{index}.{name}": torch.as_tensor(t) for name, t in entries.items()}
        tensors["random.shuffle"] = self.epoch_start if self.at.batch else self.shuffle.get_state()
        state = {"progress": asdict(self.at), "precision": self.engine.state(), **facts}
        if self.best is not None and self._best_unsaved:
            best = {"epoch": self.at.best_epoch, self.model.objective.monitor: self.at.best}
            save_checkpoint(folder / "best.safetensors", {f"model.{k}": t for k, t in self.best.items()}, best)
            self._best_unsaved = False
        # After the best weights: a kill between the two leaves a last checkpoint that leads to them once more.
        save_checkpoint(folder / "last.safetensors", tensors, state)

    def _gather(self, state: Tensor) -> Tensor:
        """Put the tensors of all processes on a new first axis."""
        own = torch.zeros((self.engine.world_size, *state.shape), device=self.engine.device)
        own[self.engine.global_rank] = state.to(own)  # bytes and single-precision numbers: exact
        return self.engine.total(own).to(state.dtype)


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
