r"""A dataset: arrays as stored, in train, validation and test splits, with what is needed to read them."""

__all__ = ["Dataset", "Split"]

import hashlib
import math
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vaekit.data.rows import Rows, blocks, spread, take
from vaekit.errors import RequestError

if TYPE_CHECKING:
    from vaekit.data.poses import Poses

_READ_WHOLE = 2**30  # bytes that are hashed one by one
_SAMPLED = 1000  # rows of a split that are hashed where there are more


@dataclass(frozen=True, eq=False)
class Split:
    r"""Examples and, where there are any, their labels and what else is known of them.

    Arguments:
        x: Examples as stored, of shape `(n, *shape)`: an array, or rows that are read when they are asked for.
        labels: Class numbers, int64 of shape `(n,)`, or None.
        context: What a conditional model is told of each example, float32 of shape `(n, ...)`, such as a vector of
            attributes or an image; None where that is the label, or nothing. In sequences it is where a row stands:
            its time in seconds, or the pose it was taken in.
        sequence: Which sequence each row belongs to, int64 of shape `(n,)`: the rows of one stand together, in the
            order of time; None where rows have no order. The same number in two splits is the same sequence.

    Raises:
        RequestError: If `x` has fewer than two axes, there are not as many labels, contexts or sequence numbers as
            examples, or the rows of a sequence do not stand together.

    Example:
        >>> len(Split(np.zeros((5, 2), np.float32)))
        5
    """

    x: Rows
    labels: NDArray[np.int64] | None = None
    context: NDArray[np.float32] | None = None
    sequence: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        if self.x.ndim < 2:
            raise RequestError(
                f"x has shape {self.x.shape}; expected one example a row, (n, ...): "
                "reshape it, as x[:, None] for one number an example"
            )
        if self.labels is not None and self.labels.shape != (len(self.x),):
            raise RequestError(
                f"labels have shape {self.labels.shape}; expected ({len(self.x)},), one for each example of x: "
                "pass as many labels as examples"
            )
        if self.context is not None and (self.context.ndim < 2 or len(self.context) != len(self.x)):
            raise RequestError(
                f"context has shape {self.context.shape}; expected ({len(self.x)}, ...), one row for each example of "
                "x: reshape it, as c[:, None] for one number an example"
            )
        if self.sequence is not None:
            if self.sequence.shape != (len(self.x),):
                raise RequestError(
                    f"sequence has shape {self.sequence.shape}; expected ({len(self.x)},), a number for each example "
                    "of x: pass as many numbers as examples"
                )
            starts = np.flatnonzero(np.diff(self.sequence)) + 1
            if len(np.unique(self.sequence)) < len(starts) + (len(self.sequence) > 0):
                raise RequestError(
                    "the rows of a sequence are apart; expected them to stand together, in the order of time: "
                    "sort the rows by sequence first"
                )

    @property
    def given(self) -> NDArray[Any] | None:
        """What a conditional model is told of each example: its context, or else its label.

        In sequences a context that is a vector comes after the number of its sequence, so that models of regression
        know which rows belong together.
        """
        if self.context is None:
            return self.labels
        if self.sequence is None or self.context.ndim > 2:
            return self.context
        return np.column_stack([self.sequence.astype(np.float32), self.context])

    @property
    def spans(self) -> dict[int, slice]:
        """Where each sequence lies, by its number, in the order of the rows: nothing where rows have no order."""
        if self.sequence is None or not len(self.sequence):
            return {}
        bounds = [0, *(np.flatnonzero(np.diff(self.sequence)) + 1).tolist(), len(self.sequence)]
        return {int(self.sequence[start]): slice(start, stop) for start, stop in pairwise(bounds)}

    def take(self, rows: ArrayLike) -> "Split":
        r"""Return some rows, by number, with what is known of each.

        Arguments:
            rows: Row numbers, shape `(m,)`; those of a sequence must stay together.

        Example:
            >>> split = Split(np.arange(6.0)[:, None], sequence=np.array([0, 0, 0, 1, 1, 1]))
            >>> split.take([1, 2, 5]).spans
            {0: slice(0, 2, None), 1: slice(2, 3, None)}
        """
        chosen = np.asarray(rows, np.int64)
        return Split(take(self.x, chosen), *(None if p is None else p[chosen] for p in self._known))

    @property
    def _known(self) -> tuple[NDArray[Any] | None, ...]:
        return self.labels, self.context, self.sequence

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    r"""Three splits of examples of one shape, with what is needed to read them and to find them again.

    Nothing here is scaled or made random: that is for a transform, on the device (`vaekit.data.transforms`).

    Arguments:
        name: What to call it.
        train: Examples to train on.
        validation: Examples to choose a model by.
        test: Examples to report on.
        levels: Number of values an entry can take. 256: bytes from 0 to 255. 2: bits, stored as 0 and 1 in uint8.
            None: real numbers, stored in float32.
        label_names: Names of the classes, in the order of the class numbers.
        suggested: The likelihood that suits.
        source: Attribution and citation, in one line.
        note: How the splits were made, what was skipped.
        reference: The name or path that loads the data again.
        options: The options that load the data again; they can be written as JSON.
        poses: How a row is a pose, where it is one: what turns rows into the places of joints.
        columns: Names of the entries of a vector, where they have any.

    Raises:
        RequestError: If the splits differ in shape, or the stored type does not match `levels`.

    Example:
        >>> from vaekit.data import from_arrays
        >>> data = from_arrays(np.zeros((100, 8, 8), np.uint8), name="blank")
        >>> data
        <Dataset 'blank': 80 train, 10 validation and 10 test examples of shape (1, 8, 8), 2 levels>
        >>> data.shape
        (1, 8, 8)
    """

    name: str
    train: Split
    validation: Split
    test: Split
    levels: int | None
    label_names: tuple[str, ...] | None = None
    suggested: str = "gaussian"
    source: str = ""
    note: str = ""
    reference: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    poses: "Poses | None" = None
    columns: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        dtype = np.dtype(np.float32 if self.levels is None else np.uint8)
        for name, split in self.splits.items():
            if split.x.shape[1:] != self.shape:
                raise RequestError(
                    f"{name} has examples of shape {split.x.shape[1:]}; expected {self.shape}, as in train: "
                    "give all splits one shape"
                )
            if split.x.dtype != dtype:
                raise RequestError(
                    f"{name} is stored as {split.x.dtype}; expected {dtype} for levels={self.levels}: "
                    "build the dataset with vaekit.data.from_arrays, which converts"
                )

    @property
    def splits(self) -> dict[str, Split]:
        """The splits by name: train, validation, test."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one example: `(C, H, W)` for images, `(D,)` for vectors."""
        return tuple(self.train.x.shape[1:])

    @property
    def classes(self) -> int | None:
        """How many classes the labels tell apart; None where there are no labels."""
        if self.label_names is not None:
            return len(self.label_names)
        return None if self.train.labels is None else int(self.train.labels.max(initial=-1)) + 1

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal, of the bytes, shapes and types of all splits and their labels.

        Of examples that take more than 1 GiB, 1,000 rows are read of each split, spread evenly, whether they are in
        memory or not: a change of shape, order or labels is always noticed, that of single rows may not be.
        """
        digest = hashlib.sha256()
        whole = sum(_nbytes(split.x) for split in self.splits.values()) <= _READ_WHOLE
        for name, split in self.splits.items():
            for part, rows in (
                ("x", split.x),
                ("labels", split.labels),
                ("context", split.context),
                ("sequence", split.sequence),
            ):
                if rows is not None:
                    digest.update(f"{name}.{part} {rows.dtype.str} {tuple(rows.shape)};".encode())
                    seen = rows if whole or part != "x" else rows[spread(len(rows), _SAMPLED)]
                    for _, block in blocks(seen):
                        digest.update(np.ascontiguousarray(block).data if block.size else b"")
        return digest.hexdigest()

    def __repr__(self) -> str:
        kind = "real numbers" if self.levels is None else f"{self.levels} levels"
        return (
            f"<Dataset {self.name!r}: {len(self.train):,} train, {len(self.validation):,} validation and "
            f"{len(self.test):,} test examples of shape {self.shape}, {kind}>"
        )


def _nbytes(x: Rows) -> int:
    return math.prod(x.shape) * x.dtype.itemsize
