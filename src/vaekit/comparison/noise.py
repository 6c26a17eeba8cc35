r"""Whether noise explains a difference: between trainings over their seeds, between single runs over their examples."""

__all__ = ["LEVEL", "Sample", "adjusted", "holm", "p_value"]

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

from scipy.special import stdtr

LEVEL = 0.05


@dataclass(frozen=True)
class Sample:
    r"""One number of the same training under n seeds.

    Arguments:
        values: The number, for each seed.
        errors: Its standard error within each run, over examples or draws; None where a run has none.

    Example:
        >>> sample = Sample((89.0, 90.0, 91.0), (0.2, 0.2, 0.2))
        >>> sample.mean, sample.deviation, sample.error
        (90.0, 1.0, 0.2)
    """

    values: tuple[float, ...]
    errors: tuple[float | None, ...]

    @property
    def n(self) -> int:
        """Number of seeds."""
        return len(self.values)

    @cached_property
    def mean(self) -> float:
        """Mean over seeds."""
        return statistics.mean(self.values)

    @cached_property
    def deviation(self) -> float | None:
        """Standard deviation over seeds, with n - 1 in the denominator; None for a single run."""
        return statistics.stdev(self.values) if self.n > 1 else None

    @cached_property
    def error(self) -> float | None:
        """The mean of the runs' standard errors, which that of their mean does not exceed; None if one is missing.

        Runs are measured on the same examples, so this error does not shrink with the number of seeds.
        """
        known = [error for error in self.errors if error is not None]
        return statistics.mean(known) if known and len(known) == len(self.errors) else None


def p_value(a: Sample, b: Sample) -> float | None:
    r"""Return how likely so large a difference of two means is by noise alone, two-sided; None if no noise is known.

    Over seeds, where both have several, it is Welch's test: with :math:`v = s^2 / n`,

    .. math::
        t = \frac{\bar a - \bar b}{\sqrt{v_a + v_b}}, \qquad
        \nu = \frac{(v_a + v_b)^2}{v_a^2 / (n_a - 1) + v_b^2 / (n_b - 1)}

    Between two single runs there are only their standard errors, and it is :math:`z = (a - b) / \sqrt{e_a^2 + e_b^2}`.
    That would be sharper for paired differences over the same examples. And it says nothing about other seeds, so
    where one has several seeds and the other one, it is the larger of two: that of z, and that of Student's t, which
    takes the deviation of the one for the other's too.

    References:
        The generalization of "Student's" problem when several different population variances are involved
        (Welch, 1947).

    Example:
        >>> a, b = Sample((10.0,), (0.3,)), Sample((11.0,), (0.4,))
        >>> round(p_value(a, b), 4)  # two standard errors of the difference
        0.0455
    """
    difference = a.mean - b.mean
    if a.deviation is not None and b.deviation is not None:
        u, v = a.deviation**2 / a.n, b.deviation**2 / b.n
        if u + v == 0:
            return _two_sided(difference, 0.0)
        # In parts of the sum, since squares of small numbers vanish.
        freedom = 1 / ((u / (u + v)) ** 2 / (a.n - 1) + (v / (u + v)) ** 2 / (b.n - 1))
        return _two_sided(difference, math.sqrt(u + v), freedom)
    found = []
    if a.error is not None and b.error is not None:
        found.append(_two_sided(difference, math.hypot(a.error, b.error)))
    for one, deviation in ((a, a.deviation), (b, b.deviation)):
        if deviation is not None:
            found.append(_two_sided(difference, deviation * math.sqrt(1 + 1 / one.n), one.n - 1))
    return max((p for p in found if p is not None), default=None)


def _two_sided(difference: float, scale: float, freedom: float | None = None) -> float | None:
    """The tails of a normal, or with `freedom` of Student's distribution; None where there is no scale to hold by."""
    if scale == 0:
        return None if difference else 1.0
    ratio = abs(difference) / scale
    return math.erfc(ratio / math.sqrt(2)) if freedom is None else 2 * float(stdtr(freedom, -ratio))


def holm(p: Sequence[float]) -> list[float]:
    r"""Return p values corrected for their number, so that one under 5 % by chance is in 5 % of the sets at most.

    References:
        A simple sequentially rejective multiple test procedure (Holm, 1979).

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    result, largest = [0.0] * len(p), 0.0
    for rank, index in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        largest = max(largest, min(1.0, (len(p) - rank) * p[index]))
        result[index] = largest
    return result


def adjusted(samples: Sequence[Sample], best: int) -> list[float | None]:
    r"""Return for each sample the p value of its difference to the best one, which itself gets None.

    They are corrected for all pairs of samples and not only for those with the best: which is best is read off the
    same numbers, and the largest of several differences by chance is larger than one of them.

    Example:
        >>> few = [Sample((0.0,), (1.0,)), Sample((2.9,), (1.0,)), Sample((1.0,), (1.0,))]
        >>> [None if p is None else round(p, 2) for p in adjusted(few, 0)]
        [None, 0.12, 0.48]
    """
    pairs = list(combinations(range(len(samples)), 2))
    raw = [p_value(samples[i], samples[j]) for i, j in pairs]
    known = [index for index, p in enumerate(raw) if p is not None]
    corrected = dict(zip(known, holm([p for p in raw if p is not None]), strict=True))
    against: dict[int, float | None] = {}
    for index, pair in enumerate(pairs):
        if best in pair:
            against[pair[0] + pair[1] - best] = corrected.get(index)
    return [against.get(i) for i in range(len(samples))]
