r"""A dataset: arrays as stored, in train, validation and test splits, with what is needed to read them."""

__all__ = ["Dataset", "Split", "assemble", "from_arrays"]

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vaekit.data.rows import Rows, blocks, spread, take
from vaekit.data.stored import numbered, stored
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


def from_arrays(
    x: Any,
    labels: Any = None,
    *,
    context: Any = None,
    sequence: Any = None,
    name: str = "arrays",
    seed: int = 0,
    validation: float = 0.1,
    test: float = 0.1,
) -> Dataset:
    r"""Make a dataset of an array, split at random, or where there are sequences by their ends.

    Bytes and bits stay as they are: uint8 has 256 levels, or 2 if no value is above 1, and bool has 2. Everything
    else becomes float32. Bytes or bits of shape `(n, H, W)` are images of one channel; an array of shape
    `(n, H, W, C)` with 1, 3 or 4 channels is turned to `(n, C, H, W)`.

    Arguments:
        x: Examples, of shape `(n, ...)`. A memory map (`numpy.load(path, mmap_mode="r")`) that does not fit in memory
            is read as needed.
        labels: Class numbers or class names, of shape `(n,)`.
        context: What a conditional model is told of each example, numbers of shape `(n, ...)`.
        sequence: Which sequence each example belongs to, whole numbers of shape `(n,)`: those of one stand together,
            in the order of time. Every sequence is then cut in time: its end is the test, what comes before that
            validates, and what comes first trains. Neighbours in time are almost the same, and would be on both
            sides of a split at random.
        name: What to call the dataset.
        seed: Seed of the split. One seed, one split, in every version of NumPy.
        validation: Part of the examples (of each sequence) to validate on, in [0, 1), or their number.
        test: Part of the examples (of each sequence) to test on, in [0, 1), or their number.

    Raises:
        RequestError: If `x` is empty, has fewer than two axes, is not made of numbers, or holds NaN, infinity or a
            number that float32 cannot hold; if the labels do not fit; if no example is left to train on.

    Example:
        >>> data = from_arrays(np.linspace(0, 1, 60).reshape(20, 3), labels=["a", "b"] * 10)
        >>> len(data.train), len(data.validation), len(data.test), data.label_names
        (16, 2, 2, ('a', 'b'))
    """
    return assemble(
        {"train": (x, labels)},
        contexts={} if context is None else {"train": context},
        sequences={} if sequence is None else {"train": sequence},
        name=name,
        seed=seed,
        validation=validation,
        test=test,
    )


def assemble(
    parts: Mapping[str, tuple[Any, Any]],
    *,
    contexts: Mapping[str, Any] | None = None,
    sequences: Mapping[str, Any] | None = None,
    name: str,
    seed: int = 0,
    validation: float = 0.1,
    test: float = 0.1,
    note: str = "",
) -> Dataset:
    r"""Make a dataset of the splits there are, and draw those there are not from train.

    Arguments:
        parts: Examples and labels (or None) under "train" and, if they exist, "validation" and "test".
        contexts: What a conditional model is told of the examples, for the same splits, where there is anything.
        sequences: Which sequence each example belongs to, for the same splits, where there are any.
        name: What to call the dataset.
        seed: Seed of the draw.
        validation: Part or number of the train examples to draw for validation, if it is missing.
        test: Part or number of the train examples to draw for the test, if it is missing.
        note: Put before the note on how the splits were made.

    Raises:
        RequestError: As `from_arrays`, and if the splits differ in shape.

    Example:
        >>> data = assemble({"train": (np.zeros((9, 2)), None), "test": (np.ones((5, 2)), None)}, name="two")
        >>> len(data.train), len(data.validation), len(data.test)
        (8, 1, 5)
    """
    words = {part: "x" if len(parts) == 1 else part for part in parts}
    arrays, levels = stored({words[part]: x for part, (x, _) in parts.items()})
    numbers, label_names = numbered({words[part]: y for part, (_, y) in parts.items()})
    given = _contexts(contexts or {}, parts)
    runs = _sequences(sequences or {}, parts)
    splits = {part: Split(arrays[word], numbers[word], given.get(part), runs.get(part)) for part, word in words.items()}

    wanted = {part: size for part, size in (("validation", validation), ("test", test)) if part not in parts}
    made = "splits as given"
    if wanted:
        cut = splits["train"].sequence is not None
        splits |= _cut(splits["train"], wanted) if cut else _draw(splits["train"], wanted, seed)
        made = (
            f"{' and '.join(wanted)} cut from the end of every training sequence"
            if cut and any(wanted.values())
            else "all in train"
            if cut
            else f"{' and '.join(wanted)} drawn at random from the training examples with seed {seed}"
        )
    return Dataset(
        name=name,
        train=splits["train"],
        validation=splits["validation"],
        test=splits["test"],
        levels=levels,
        label_names=label_names,
        suggested="bernoulli" if levels == 2 else "gaussian",
        note=f"{note}; {made}" if note else made,
    )


def _draw(whole: Split, wanted: Mapping[str, float], seed: int) -> dict[str, Split]:
    """Cut `wanted` out of `whole`, and name what is left train."""
    if not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise RequestError(f"seed is {seed!r}; expected an integer from 0 to 2^32 - 1: pass seed=0")
    n = len(whole)
    counts = {part: _count(part, size, n) for part, size in wanted.items()}
    left = n - sum(counts.values())
    if left < 1:
        asked = " and ".join(f"{count} for {part}" for part, count in counts.items())
        raise RequestError(
            f"there are {n} examples, and {asked} leave none to train on; expected at least {n - left + 1}: "
            "give more examples or ask for smaller splits"
        )
    # The stream of RandomState is frozen by NumPy's policy, that of default_rng is not: a split must outlive both.
    order = np.random.RandomState(seed).permutation(n)
    bounds = np.cumsum([left, *counts.values()])[:-1]
    drawn = dict(zip(("train", *counts), np.split(order, bounds), strict=True))
    return {part: whole.take(rows) for part, rows in drawn.items()}


def _cut(whole: Split, wanted: Mapping[str, float]) -> dict[str, Split]:
    """Cut `wanted` off the end of every sequence that is long enough, and name what comes first train."""
    parts: dict[str, list[NDArray[np.int64]]] = {part: [] for part in ("train", *wanted)}
    for span in whole.spans.values():
        rows = np.arange(span.start, span.stop)
        counts = {part: _count(part, size, len(rows)) for part, size in wanted.items()}
        left = len(rows) - sum(counts.values())
        bounds = np.cumsum([left, *counts.values()])[:-1] if left > 0 else [len(rows)] * len(counts)
        for part, chosen in zip(parts, np.split(rows, bounds), strict=True):
            parts[part].append(chosen)
    for part, size in wanted.items():
        if size and not any(len(chosen) for chosen in parts[part]):
            longest = max((span.stop - span.start for span in whole.spans.values()), default=0)
            raise RequestError(
                f"{part} is {size}, and no sequence is long enough to have its end cut off and leave rows to train "
                f"on, the longest having {longest}; expected longer ones: ask for less, or pass {part}=0"
            )
    return {part: whole.take(np.concatenate(chosen)) for part, chosen in parts.items()}


def _sequences(sequences: Mapping[str, Any], parts: Mapping[str, Any]) -> dict[str, NDArray[np.int64]]:
    """Check and convert which sequences the examples belong to."""
    if sequences and sequences.keys() != parts.keys():
        raise RequestError(
            f"there are sequences for {', '.join(sequences)}; expected them for {', '.join(parts)}, like the "
            "examples: give every split its own, or none"
        )
    found = {part: np.asarray(sequence) for part, sequence in sequences.items()}
    for part, array in found.items():
        if array.dtype.kind not in "iu":
            raise RequestError(
                f"the sequences of {part} are {array.dtype}; expected a whole number for each example: "
                "number the sequences 0, 1, 2, ..."
            )
    return {part: array.astype(np.int64) for part, array in found.items()}


def _contexts(contexts: Mapping[str, Any], parts: Mapping[str, Any]) -> dict[str, NDArray[np.float32]]:
    """Check and convert what is known of the examples."""
    if contexts and contexts.keys() != parts.keys():
        raise RequestError(
            f"there are contexts for {', '.join(contexts)}; expected them for {', '.join(parts)}, like the examples: "
            "give every split its own, or none"
        )
    found = {}
    for part, context in contexts.items():
        try:
            array = np.asarray(context).astype(np.float32)
        except (TypeError, ValueError):
            raise RequestError(f"the context of {part} is not made of numbers: pass labels for classes") from None
        if not np.isfinite(array).all():
            raise RequestError(f"the context of {part} holds NaN or infinity; expected finite numbers: repair it")
        found[part] = array
    if len({array.shape[1:] for array in found.values()}) > 1:
        shapes = ", ".join(f"{array.shape[1:]} in {part}" for part, array in found.items())
        raise RequestError(f"contexts have the shapes {shapes}; expected one shape: give all splits the same")
    return found


def _nbytes(x: Rows) -> int:
    return math.prod(x.shape) * x.dtype.itemsize


def _count(part: str, size: float, n: int) -> int:
    if isinstance(size, float) and 0 <= size < 1:
        # A part that was asked for is never empty, however few examples there are.
        return max(1, round(n * size)) if size else 0
    if isinstance(size, int) and not isinstance(size, bool) and size >= 0:
        return size
    raise RequestError(
        f"{part} is {size!r}; expected a part from 0 to below 1, or a number of examples: pass {part}=0.1"
    )
