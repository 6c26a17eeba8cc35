r"""Sequences put one after the other: what motion, video and pairs have in common."""

__all__ = ["sequential"]

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from vaekit.data.assembly import assemble
from vaekit.data.dataset import Dataset
from vaekit.data.rows import Rows


def sequential(
    x: Rows,
    contexts: Sequence[ArrayLike],
    names: Sequence[str],
    *,
    name: str,
    note: str = "",
    validation: float = 0.1,
    test: float = 0.1,
) -> Dataset:
    r"""Make a dataset of sequences that stand one after the other, and cut validation and test off their ends.

    Where there are several, the label of a row is its sequence: it colours a latent space.

    Arguments:
        x: The rows of all, of shape `(n, ...)`.
        contexts: Where each row of each sequence stands, such as its time in seconds: shape `(m, d)`.
        names: Names of the sequences.
        name: What to call the dataset.
        note: Put before the note on how the splits were made.
        validation: Part or number of the rows of each sequence to validate on.
        test: Part or number of the rows of each sequence to test on.

    Raises:
        RequestError: As `vaekit.data.from_arrays`.

    Example:
        >>> times = [np.arange(10)[:, None] / 30, np.arange(20)[:, None] / 30]
        >>> data = sequential(np.zeros((30, 2)), times, ["a", "b"], name="two")
        >>> data.train.spans, len(data.test)
        ({0: slice(0, 8, None), 1: slice(8, 24, None)}, 3)
    """
    given = [np.asarray(context, np.float32) for context in contexts]
    sequence = np.repeat(np.arange(len(given)), [len(context) for context in given])
    several = len(given) > 1
    data = assemble(
        {"train": (x, sequence if several else None)},
        contexts={"train": np.concatenate(given)},
        sequences={"train": sequence},
        name=name,
        note=note,
        validation=validation,
        test=test,
    )
    return replace(data, label_names=tuple(names)) if several else data
