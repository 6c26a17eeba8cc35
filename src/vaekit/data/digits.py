r"""Handwritten digits of 8 by 8 pixels, which come with scikit-learn: small enough to try things out in seconds."""

__all__ = ["load_digits"]

import importlib.util
from pathlib import Path

import numpy as np

from vaekit.data.dataset import Dataset, Split


def _file() -> Path:
    """Return scikit-learn's file, found without importing scikit-learn, which takes a second."""
    package = importlib.util.find_spec("sklearn")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"


def load_digits() -> Dataset:
    r"""Load the 1,797 digits of scikit-learn, with 17 levels of grey, 8 by 8.

    x is uint8 of shape `(n, 1, 8, 8)` with values from 0 to 16. The split is fixed, and stratified: of every digit,
    a tenth validates, a fifth tests, and the rest trains.

    References:
        Optical recognition of handwritten digits (Alpaydin and Kaynak, 1998).

    Example:
        >>> load_digits()
        <Dataset 'digits': 1,259 train, 179 validation and 359 test examples of shape (1, 8, 8), 17 levels>
    """
    table = np.loadtxt(_file(), delimiter=",", dtype=np.uint8)
    x, labels = table[:, :-1].reshape(-1, 1, 8, 8), table[:, -1].astype(np.int64)
    random = np.random.RandomState(0)
    parts: tuple[list[int], ...] = ([], [], [])
    for digit in range(10):
        rows = random.permutation(np.flatnonzero(labels == digit))
        tenth, fifth = round(len(rows) / 10), round(len(rows) / 5)
        for part, chosen in zip(parts, np.split(rows, [len(rows) - tenth - fifth, len(rows) - fifth]), strict=True):
            part.extend(chosen.tolist())
    # Back in the order of the source, in which the digits are mixed.
    train, validation, test = (Split(x[sorted(rows)], labels[sorted(rows)]) for rows in parts)
    return Dataset(
        name="digits",
        train=train,
        validation=validation,
        test=test,
        levels=17,
        label_names=tuple("0123456789"),
        suggested="bernoulli",
        source="Optical recognition of handwritten digits (E. Alpaydin, C. Kaynak), UCI, CC BY 4.0, by scikit-learn",
        note="fixed split, stratified by digit: 70 % train, 10 % validation, 20 % test",
    )
