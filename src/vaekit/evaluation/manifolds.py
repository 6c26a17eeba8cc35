r"""Precision, recall, density and coverage: how far the manifolds of two samples of features overlap."""

__all__ = ["manifold_metrics", "radii"]

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from vaekit.errors import RequestError
from vaekit.evaluation.frechet import check_features

HALVES = 24  # random ones, whose deviation gives the standard errors
ENTRIES = 2**20  # of a matrix of distances at once: 8 MiB, which the cache holds


def _distances(x: Tensor, y: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Yield squared distances of some x to all y, shape `(rows, m)`, and the number of the first of these x."""
    # The squares ride along in the product, |x|^2 + |y|^2 - 2 x.y, which is then all the work. It loses what they
    # have in common: in float64, of centred features, nothing that could be seen.
    left = torch.cat([x, x.square().sum(1, keepdim=True), x.new_ones(len(x), 1)], 1)
    right = torch.cat([-2 * y, y.new_ones(len(y), 1), y.square().sum(1, keepdim=True)], 1).T
    rows = max(1, ENTRIES // len(y))
    for start in range(0, len(x), rows):
        yield start, left[start : start + rows] @ right


@torch.no_grad()
def radii(x: Tensor, k: int) -> Tensor:
    r"""Return the distance of each example to its k-th nearest neighbour among the others, shape `(n,)`, float64.

    Raises:
        RequestError: If k is not at least 1 and less than the number of examples.

    Example:
        >>> radii(torch.tensor([[0.0], [1.0], [3.0]]), k=1)
        tensor([1., 1., 2.], dtype=torch.float64)
    """
    return _reach(x.double() - x.double().mean(0), k, torch.ones(len(x), 1, dtype=torch.bool))[:, 0].clamp(min=0).sqrt()


def _halves(n: int, seed: int) -> Tensor:
    """Say who is in each of several samples, `(n, 1 + HALVES)`: in the first everyone, then random halves."""
    generator = torch.Generator().manual_seed(seed)
    half = torch.rand(HALVES // 2, n, generator=generator).argsort(1).argsort(1) < n / 2
    return torch.cat([torch.ones(1, n, dtype=torch.bool), half, ~half]).T.contiguous()


def _reach(x: Tensor, k: int, member: Tensor) -> Tensor:
    """Return the squared distance to the k-th neighbour within each sample, `(n, samples)`.

    It is below 0 for who is not in the sample: a ball with nobody in it.
    """
    if not 1 <= k < len(x):
        raise RequestError(
            f"k is {k} with {len(x)} examples; expected from 1 to {len(x) - 1} neighbours: give more examples, or "
            "a smaller k"
        )
    # Among so many there are k of a half, but for one time in a thousand.
    near = min(k if member.shape[1] == 1 else 3 * k + 10, len(x) - 1)
    found = []
    for start, distances in _distances(x, x):
        distances.diagonal(start).fill_(math.inf)
        values, neighbours = distances.topk(near, dim=1, largest=False)
        rank = member[neighbours].cumsum(1, dtype=torch.int16)  # (rows, near, samples)
        found.append(values.gather(1, (rank < k).sum(1).clamp(max=near - 1)))
    return torch.where(member, torch.cat(found), -1.0)


@torch.no_grad()
def manifold_metrics(generated: Tensor, real: Tensor, *, k: int = 5, seed: int = 0) -> dict[str, float]:
    r"""Return precision, recall, density and coverage, each with its standard error.

    The manifold of a sample is the union of balls, one about each example, that reach to its k-th nearest neighbour
    in the sample.

    - `precision`: the part of generated examples in the manifold of the real ones: are they realistic?
    - `recall`: the part of real examples in the manifold of the generated ones: are they diverse?
    - `density`: in how many balls of real examples a generated one lies, over k. As precision, but an outlier among
      the real examples, whose ball is large, counts little; 1 for equal distributions, and may be more.
    - `coverage`: the part of real examples with a generated one in their ball. As recall, but outliers among the
      generated examples do not count.

    Distances are exact, in float64 and bounded memory. The numbers depend on the counts and on k: compare equal
    counts only. The standard errors are the delete-half jackknife's, the deviation of the numbers over 24 random
    halves of both samples: they hold the noise of the manifolds, without which they would be up to twice too small.
    A half must have more than k examples, or they are not a number.

    References:
        Improved precision and recall metric for assessing generative models (Kynkäänniemi et al., 2019).
        Reliable fidelity and diversity metrics for generative models (Naeem et al., 2020).
        A general theory for jackknife variance estimation (Shao and Wu, 1989), on deleting halves: neighbours are too
        rough a statistic to delete one example at a time.

    Arguments:
        generated: Features, shape `(n, d)`.
        real: Features, shape `(m, d)`.
        k: Number of neighbours.
        seed: Of the halves, on which the standard errors depend a little, and the numbers do not.

    Raises:
        RequestError: If a sample has no more than k examples, or the two differ in their number of features.

    Example:
        >>> real = torch.tensor([[0.0], [1.0], [2.0], [9.0]])
        >>> found = manifold_metrics(torch.tensor([[0.5], [20.0]]), real, k=1)
        >>> found["precision"], found["recall"], found["density"], found["coverage"]
        (0.5, 1.0, 1.0, 0.5)
    """
    check_features(generated, real)
    centre = real.double().mean(0)
    generated, real = generated.double() - centre, real.double() - centre
    member, member_real = _halves(len(generated), seed), _halves(len(real), seed + 1)
    reach, reach_real = _reach(generated, k, member), _reach(real, k, member_real)
    farthest, farthest_real = reach.amax(1), reach_real.amax(1)
    balls = torch.zeros(member.shape)  # in how many real balls each generated example lies
    covered, recalled = torch.zeros(2, *member_real.shape, dtype=torch.bool)
    for start, distances in _distances(generated, real):
        # The few pairs of which one may lie in the ball of the other.
        i, j = (distances <= torch.maximum(farthest[start : start + len(distances), None], farthest_real)).nonzero().T
        distance = distances[i, j, None]
        i += start
        hit = (distance <= reach_real[j]) & member[i]
        balls.index_add_(0, i, hit.float())
        _mark(covered, j, hit)
        _mark(recalled, j, (distance <= reach[i]) & member_real[j])
    n, m = member.sum(0), member_real.sum(0)
    values = {
        "precision": (balls > 0).sum(0).double() / n,
        "recall": recalled.sum(0).double() / m,
        "density": balls.double().sum(0) / (k * n),
        "coverage": covered.sum(0).double() / m,
    }
    result: dict[str, float] = {}
    for name, value in values.items():
        error = value[1:].std().item() if min(n.amin(), m.amin()) > k else math.nan
        result |= {name: value[0].item(), f"{name}_se": error}
    return result


def _mark(table: Tensor, rows: Tensor, marks: Tensor) -> None:
    """Set what is marked, in rows that may come several times."""
    row, column = marks.nonzero().T
    table[rows[row], column] = True
