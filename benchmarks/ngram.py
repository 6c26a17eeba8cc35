r"""A sequence model that knows nothing of the models it judges: counts of a few symbols, with shorter ones behind."""

__all__ = ["NGram"]

import math
from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray


class NGram:
    r"""Each symbol given the few before it, by counts smoothed after Witten and Bell.

    .. math::
        p(s \mid h) = \frac{c(h s) + t(h) \, p(s \mid h')}{c(h) + t(h)}

    where c counts in the sequences that were seen, t(h) is how many symbols were seen after h, h' is h without its
    first symbol, and behind the empty h all symbols are as likely. Before its start a sequence has a symbol of its own.

    References:
        The zero-frequency problem (Witten and Bell, 1991), method C.

    Arguments:
        x: Sequences of symbols, shape `(n, steps)`.
        levels: Number of symbols.
        order: Symbols looked at, that which is guessed among them.
    """

    def __init__(self, x: NDArray[Any], levels: int, order: int = 5) -> None:
        self.levels, self.order = levels, order
        self.counts: dict[tuple[int, ...], int] = defaultdict(int)  # of a history and the symbol after it
        self.totals: dict[tuple[int, ...], int] = defaultdict(int)  # of a history
        self.kinds: dict[tuple[int, ...], int] = defaultdict(int)  # of symbols after a history
        for row in x.astype(int).tolist():
            padded = [levels] * (order - 1) + row
            for end in range(order, len(padded) + 1):
                for size in range(1, order + 1):
                    gram = tuple(padded[end - size : end])
                    self.totals[gram[:-1]] += 1
                    self.kinds[gram[:-1]] += gram not in self.counts
                    self.counts[gram] += 1

    def nll(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """Return the negative log probability of sequences, in nats, shape `(n,)`."""
        return np.array([self._cost(row) for row in x.astype(int).tolist()])

    def _cost(self, row: list[int]) -> float:
        padded = [self.levels] * (self.order - 1) + row
        return -sum(
            math.log(self._p(tuple(padded[end - self.order : end]))) for end in range(self.order, len(padded) + 1)
        )

    def _p(self, gram: tuple[int, ...]) -> float:
        p = 1 / self.levels
        for size in range(1, self.order + 1):
            part = gram[-size:]
            total = self.totals.get(part[:-1], 0)
            if not total:
                break  # nor is there anything longer
            kinds = self.kinds[part[:-1]]
            p = (self.counts.get(part, 0) + kinds * p) / (total + kinds)
        return p
