r"""From arrays to a dataset: splits that are given, drawn or cut, and what belongs to each of their rows."""

__all__ = ["assemble", "from_arrays"]

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.data.dataset import Dataset, Split
from vaekit.data.stored import numbered, stored
from vaekit.errors import RequestError


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


def _count(part: str, size: float, n: int) -> int:
    if isinstance(size, float) and 0 <= size < 1:
        # A part that was asked for is never empty, however few examples there are.
        return max(1, round(n * size)) if size else 0
    if isinstance(size, int) and not isinstance(size, bool) and size >= 0:
        return size
    raise RequestError(
        f"{part} is {size!r}; expected a part from 0 to below 1, or a number of examples: pass {part}=0.1"
    )
