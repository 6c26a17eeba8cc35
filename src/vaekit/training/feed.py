r"""What a training goes through: rows in an order, batch by batch, kept on the device or streamed to it."""

__all__ = ["Feed"]

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor

from vaekit.data.rows import joined
from vaekit.data.stream import batches, resident
from vaekit.plan import Plan
from vaekit.training.engine import Engine

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vaekit.data import Dataset
    from vaekit.data.dataset import Split
    from vaekit.data.rows import Rows


class Feed:
    r"""The rows of one process, of those that share the work.

    Arguments:
        plan: The batch size, the order of rows, and whether the validation split is trained on too.
        data: Its splits.
        engine: The device, and which process this is.
    """

    def __init__(self, plan: Plan, data: "Dataset", engine: Engine) -> None:
        self.plan, self.engine = plan, engine
        self.x, self.sequence = _rows(plan, data), _sequence(plan, data)
        self.batch = plan.batch_size // engine.world_size
        self.steps = len(self.x) // plan.batch_size
        resides = resident(self.x, engine.device)
        self.examples = torch.tensor(np.asarray(self.x if resides else self.x[:2]), device=engine.device)
        self.resident = self.examples if resides else None
        context = _context(plan, data)
        self.given = None if context is None else torch.tensor(context, device=engine.device)

    def order(self, shuffle: torch.Generator) -> Tensor:
        """Return the numbers of all rows in an epoch's order."""
        return self.plan.order(len(self.x), self.sequence, shuffle)

    def batches(self, order: Tensor, done: int) -> Generator[tuple[Tensor, ...]]:
        """Yield this process's part of each batch after the first ones: row numbers, and rows that are streamed."""
        first = self.engine.global_rank * self.batch
        parts = order[: self.steps * self.plan.batch_size].view(self.steps, -1)
        mine = parts[done:, first : first + self.batch]
        numbers = mine.to(self.engine.device)
        if self.resident is not None:
            yield from ((rows,) for rows in numbers)
        else:
            yield from zip(numbers, batches(self.x, mine.flatten(), self.batch, self.engine.device), strict=True)

    def some(self, wanted: int) -> tuple[Tensor, Tensor]:
        """Draw row numbers, and return them and these rows as stored."""
        rows = torch.randperm(len(self.x))[:wanted].sort().values
        stored = torch.tensor(np.asarray(self.x[rows.numpy()]), device=self.engine.device)
        return rows.to(self.engine.device), stored


def _splits(plan: Plan, data: "Dataset") -> "list[Split]":
    both = plan.train_on == "all" and len(data.validation)
    return [data.train, data.validation] if both else [data.train]


def _rows(plan: Plan, data: "Dataset") -> "Rows":
    parts = [split.x for split in _splits(plan, data)]
    return joined(*parts) if len(parts) > 1 else parts[0]


def _context(plan: Plan, data: "Dataset") -> "NDArray[Any] | None":
    given = [split.given for split in _splits(plan, data)] if plan.model.conditional else []
    return np.concatenate([part for part in given if part is not None]) if given else None


def _sequence(plan: Plan, data: "Dataset") -> "NDArray[np.int64] | None":
    numbers = [split.sequence for split in _splits(plan, data)]
    return None if any(part is None for part in numbers) else np.concatenate(cast(Any, numbers))
