r"""MNIST and its static binarisation, from the files that come with the package."""

__all__ = ["load_mnist", "load_static_mnist"]

import gzip
import io
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.data.dataset import Dataset, Split
from vaekit.data.shipped import read_shipped

_DIGITS = tuple("0123456789")


def load_mnist() -> Dataset:
    r"""MNIST: 70,000 handwritten digits, grey, 28 by 28.

    Train is the first 50,000 of the 60,000 training images, validation the last 10,000, test the 10,000 test images.
    x is uint8 of shape `(n, 1, 28, 28)` with 256 levels, and the labels are the digits.

    References:
        Gradient-based learning applied to document recognition (LeCun, Bottou, Bengio and Haffner, 1998).

    Raises:
        RequestError: If a file of the package is missing or damaged.

    Example:
        >>> load_mnist()
        <Dataset 'mnist': 50,000 train, 10,000 validation and 10,000 test examples of shape (1, 28, 28), 256 levels>
    """
    x, labels = _idx("train-images-idx3-ubyte.gz")[:, None], _idx("train-labels-idx1-ubyte.gz").astype(np.int64)
    test = _idx("t10k-images-idx3-ubyte.gz")[:, None]
    return Dataset(
        name="mnist",
        train=Split(x[:50_000], labels[:50_000]),
        validation=Split(x[50_000:], labels[50_000:]),
        test=Split(test, _idx("t10k-labels-idx1-ubyte.gz").astype(np.int64)),
        levels=256,
        label_names=_DIGITS,
        suggested="bernoulli",
        source="MNIST (Yann LeCun, Corinna Cortes, Christopher J.C. Burges), CC BY-SA 3.0",
        note="train: the first 50,000 of the 60,000 training images; validation: the last 10,000; test: the test set",
    )


def load_static_mnist() -> Dataset:
    r"""Larochelle's static binarisation of MNIST: one fixed draw of bits from the grey levels.

    The splits are those of the files: 50,000, 10,000 and 10,000. x is uint8 of shape `(n, 1, 28, 28)` with 2
    levels. Train and validation are a shuffle of the 60,000 MNIST training images, whose labels were not kept: they
    cannot be told exactly from the bits, and are None. **Test is ordered by digit**, and within a digit as in MNIST,
    so its labels are known; so draw a subset of it at random, and never take its head.

    References:
        On the quantitative analysis of deep belief networks (Salakhutdinov and Murray, 2008);
        The neural autoregressive distribution estimator (Larochelle and Murray, 2011).

    Raises:
        RequestError: If a file of the package is missing or damaged.

    Example:
        >>> load_static_mnist().test.labels[[0, -1]]
        array([0, 9])
    """
    with np.load(io.BytesIO(read_shipped("binarized_mnist.npz")), allow_pickle=False) as packed:
        bits = {name: np.unpackbits(packed[name], axis=1) for name in ("train", "valid", "test")}
    x = {name: rows[:, :784].reshape(-1, 1, 28, 28) for name, rows in bits.items()}
    return Dataset(
        name="mnist-static",
        train=Split(x["train"]),
        validation=Split(x["valid"]),
        test=Split(x["test"], np.sort(_idx("t10k-labels-idx1-ubyte.gz")).astype(np.int64)),
        levels=2,
        label_names=_DIGITS,
        suggested="bernoulli",
        source="Static binarisation by Hugo Larochelle of MNIST (LeCun, Cortes, Burges), CC BY-SA 3.0",
        note="splits as published; test is ordered by digit; only test has labels",
    )


def _idx(name: str) -> NDArray[Any]:
    """Read a gzip IDX file of bytes: two zeros, the type 8, the number of axes, their lengths, the values."""
    content = gzip.decompress(read_shipped(name))
    axes = content[3]
    shape = struct.unpack(f">{axes}I", content[4 : 4 + 4 * axes])
    # A copy, because an array over `bytes` cannot be written to, which torch warns about.
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape).copy()
