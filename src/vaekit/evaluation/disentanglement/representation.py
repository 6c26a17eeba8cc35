r"""The codes of combinations of factors: what every disentanglement metric looks at."""

__all__ = ["Encoder", "Representation", "check_points", "held", "repeated", "represent"]

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vaekit.data.factors import Classes, FactorizedData, Integers
from vaekit.errors import RequestError
from vaekit.evaluation.likelihood import mean_and_error

Reals = NDArray[np.float64]
Encoder = Callable[[NDArray[Any]], NDArray[Any]]

_ROWS = 1000  # examples that are made and encoded at once
_DRAWN = 2**14  # examples that are drawn at once
_REMEMBERED = 2**23  # combinations; of more, codes are computed anew each time


class Representation:
    r"""Data with known factors, seen through an encoder: combinations in, codes out.

    A combination is encoded once: the metrics ask for some 700,000 examples at their full protocol, again and again
    for the same ones. Factors of a single class say nothing and are left out of what is sampled.

    Arguments:
        encode: From examples as stored, shape `(n, *shape)`, to their codes, shape `(n, latent_dim)`. The same
            examples have the same codes at every call.
        data: The data.
        advance: Called with the number of examples encoded.

    Raises:
        RequestError: If fewer than two factors vary.

    Example:
        >>> from vaekit.data.factors import FactorArrays
        >>> factors = np.stack(np.meshgrid(np.arange(3), np.arange(4)), -1).reshape(-1, 2)
        >>> representation = Representation(lambda x: x / 2, FactorArrays(factors, factors, ("a", "b")))
        >>> representation.sizes, representation(np.array([[2, 3]])).tolist()
        ((3, 4), [[1.0, 1.5]])
    """

    def __init__(
        self, encode: Encoder, data: FactorizedData, *, advance: Callable[[int], object] | None = None
    ) -> None:
        self.encode = encode
        self.data = data
        self.advance = advance
        self._all = tuple(data.factor_sizes)
        self._varying = [i for i, size in enumerate(self._all) if size > 1]
        if len(self._varying) < 2:
            raise RequestError(
                f"the factors have sizes {self._all}; expected at least two that vary, or there is nothing to "
                "disentangle: choose data with more factors"
            )
        self._codes: NDArray[Any] | None = None
        self._known = np.zeros(math.prod(self._all) if math.prod(self._all) <= _REMEMBERED else 0, dtype=bool)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of classes of each factor that varies."""
        return tuple(self._all[i] for i in self._varying)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the factors that vary."""
        return tuple(self.data.factor_names[i] for i in self._varying)

    def draw(self, n: int, generator: np.random.Generator) -> Classes:
        """Draw n combinations of the factors that vary, shape `(n, number of them)`."""
        return self.data.sample_factors(n, generator)[:, self._varying]

    def sample(self, n: int, generator: np.random.Generator) -> tuple[Reals, Classes]:
        """Draw n examples: their codes, shape `(n, latent_dim)`, and factors, shape `(n, number of factors)`."""
        factors = self.draw(n, generator)
        return self(factors), factors

    def __call__(self, factors: Integers) -> Reals:
        """Return the codes of combinations of the factors that vary, shape `(n, latent_dim)`."""
        whole = np.zeros((len(factors), len(self._all)), np.int64)
        whole[:, self._varying] = factors
        if not len(self._known):
            return np.asarray(self._encoded(whole), np.float64)
        index = np.ravel_multi_index(tuple(whole.T), self._all)
        new, first = np.unique(index, return_index=True)
        unknown = ~self._known[new]
        if unknown.any():
            fresh = self._encoded(whole[first[unknown]])
            if self._codes is None:
                self._codes = np.empty((len(self._known), fresh.shape[1]), fresh.dtype)
            self._codes[new[unknown]] = fresh
            self._known[new[unknown]] = True
        assert self._codes is not None
        return np.asarray(self._codes[index], np.float64)

    def _encoded(self, factors: Classes) -> NDArray[Any]:
        parts = []
        for start in range(0, len(factors), _ROWS):
            block = factors[start : start + _ROWS]
            codes = np.asarray(self.encode(self.data.images(block)))
            if codes.ndim != 2 or len(codes) != len(block) or not codes.shape[1]:
                raise RequestError(
                    f"the codes of {len(block)} examples have shape {codes.shape}; expected ({len(block)}, "
                    "latent_dim): give one row of numbers for each example"
                )
            if not np.isfinite(codes).all():
                raise RequestError("codes are NaN or infinite; expected finite numbers: look at the encoder")
            parts.append(codes)
            if self.advance is not None:
                self.advance(len(block))
        return np.concatenate(parts)


def represent(codes: Encoder | Representation, data: FactorizedData | None) -> Representation:
    """Return `codes` if it is a representation already, and else that of data by an encoder."""
    if isinstance(codes, Representation):
        return codes
    if data is None:
        raise RequestError("an encoder was given without data; expected data with known factors, as Sprites()")
    return Representation(codes, data)


def held(representation: Representation, n: int, batch: int, generator: np.random.Generator) -> list[Classes]:
    r"""Choose the factor that each of n batches agrees in: each as often, in random order, in parts of bounded size.

    Arguments:
        representation: The codes.
        n: How many.
        batch: Examples in each, which bound the length of a part.
        generator: Of the order.
    """
    factors = generator.permutation(np.arange(n) % len(representation.sizes))
    return np.array_split(factors, -(-n * batch // _DRAWN))


def repeated(score: Callable[[np.random.Generator], Mapping[str, float]], repeats: int, seed: int) -> dict[str, float]:
    r"""Score with `repeats` draws of examples: the mean of each score, and `_se`, its standard error over draws.

    Example:
        >>> result = repeated(lambda generator: {"mean": generator.normal(size=100).mean()}, repeats=50, seed=0)
        >>> list(result), 0.01 < result["mean_se"] < 0.02
        (['mean', 'mean_se'], True)
    """
    if not isinstance(repeats, int) or repeats < 1:
        raise RequestError(f"repeats is {repeats!r}; expected at least 1: pass 2 or more to have a standard error")
    if not isinstance(seed, int) or seed < 0:
        raise RequestError(f"seed is {seed!r}; expected an integer from 0 up: pass seed=0")
    rows = [score(np.random.default_rng((seed, number))) for number in range(repeats)]
    result: dict[str, float] = {}
    for name in rows[0]:
        result[name], result[f"{name}_se"] = mean_and_error(
            torch.tensor([row[name] for row in rows], dtype=torch.float64)
        )
    return result


def check_points(**counts: int) -> None:
    r"""Check numbers of examples, pairs or bins, each at least 2.

    Example:
        >>> check_points(train=1)
        Traceback (most recent call last):
            ...
        vaekit.errors.RequestError: train is 1; expected an integer of at least 2: pass 1000 or more
    """
    for name, count in counts.items():
        if not isinstance(count, int) or count < 2:
            enough = "10 or more" if name in ("pairs", "batch", "bins") else "1000 or more"
            raise RequestError(f"{name} is {count!r}; expected an integer of at least 2: pass {enough}")
