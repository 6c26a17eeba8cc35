r"""The order in which training visits its rows: at random, or window by window of sequences."""

__all__ = ["Order", "Shuffled", "Windows"]

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from vaekit.errors import RequestError

if TYPE_CHECKING:  # a plan imports this, and answers `--help` without torch
    import torch
    from torch import Tensor


class Order(Protocol):
    r"""An order of all training rows, drawn anew for every epoch. Batches are cut from it, one after the other."""

    def __call__(self, rows: int, sequence: NDArray[np.int64] | None, generator: "torch.Generator") -> "Tensor":
        """Return a permutation of the row numbers, shape `(rows,)`.

        Arguments:
            rows: How many rows there are.
            sequence: Which sequence each belongs to, shape `(rows,)`; None where rows have no order.
            generator: Where random numbers come from.
        """
        ...


@dataclass(frozen=True)
class Shuffled:
    r"""Any row may follow any other.

    Example:
        >>> import torch
        >>> Shuffled()(4, None, torch.Generator().manual_seed(0)).sort().values
        tensor([0, 1, 2, 3])
    """

    def __call__(self, rows: int, sequence: NDArray[np.int64] | None, generator: "torch.Generator") -> "Tensor":
        """Return a permutation of the row numbers."""
        import torch

        return torch.randperm(rows, generator=generator)


@dataclass(frozen=True)
class Windows:
    r"""Runs of rows that follow each other in one sequence, in random order.

    Each sequence is cut into windows at a place that is drawn for every epoch, so that no two neighbours are always
    apart; what is left at its ends makes shorter windows. Every row is visited once, as in any other order, so that
    nothing else in training changes. Rows without sequences are one.

    An objective that looks at rows together, as regression does, finds neighbours in its batch. It is told the rows'
    sequences, so that where a batch happens to cut a window does not matter.

    Arguments:
        length: Rows in a window.

    Raises:
        RequestError: If the length is less than 1.

    Example:
        >>> import torch
        >>> order = Windows(3)(9, np.array([0, 0, 0, 0, 0, 0, 1, 1, 1]), torch.Generator().manual_seed(3))
        >>> order.sort().values.tolist() == list(range(9))
        True
    """

    length: int

    def __post_init__(self) -> None:
        if self.length < 1:
            raise RequestError(f"window is {self.length}; expected at least 1 row: pass --window 32, say")

    def __call__(self, rows: int, sequence: NDArray[np.int64] | None, generator: "torch.Generator") -> "Tensor":
        """Return a permutation of the row numbers."""
        import torch

        ends = [rows] if sequence is None else [*(np.flatnonzero(np.diff(sequence)) + 1).tolist(), rows]
        windows, start = [], 0
        for end in ends:
            first = start + int(torch.randint(1, self.length + 1, (1,), generator=generator))
            cuts = [start, *range(first, end, self.length), end]
            windows += [torch.arange(a, b) for a, b in pairwise(cuts)]
            start = end
        chosen = torch.randperm(len(windows), generator=generator).tolist()
        return torch.cat([windows[number] for number in chosen])
