r"""Nearest neighbours, in latent space or among the data, exactly."""

__all__ = ["Neighbours", "nearest"]

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from vaekit.errors import RequestError

_CELLS = 2**22  # differences at once


class Neighbours(NamedTuple):
    r"""Numbers of the nearest points, nearest first, and their distances, both of shape `(m, k)`."""

    rows: Tensor
    distance: Tensor


def nearest(queries: Tensor, points: Tensor | Iterable[Tensor], k: int = 5) -> Neighbours:
    r"""Return the k nearest of many points to each query, by Euclidean distance.

    Both may be codes, for neighbours in latent space, or examples, for neighbours among the data. All points are
    looked at, and of equally near ones the first is taken.

    Arguments:
        queries: Shape `(m, *shape)`.
        points: Shape `(n, *shape)`, or blocks of such, as `vaekit.data.transforms.view` yields them.
        k: How many neighbours; all, where there are no more.

    Raises:
        RequestError: If there is no point, `k` is less than 1, or the shapes differ.

    Example:
        >>> rows, distance = nearest(torch.tensor([[0.0]]), torch.tensor([[3.0], [-1.0], [2.0]]), k=2)
        >>> rows.tolist(), distance.tolist()
        ([[1, 2]], [[1.0, 2.0]])
    """
    if k < 1:
        raise RequestError(f"k is {k}; expected at least 1 neighbour")
    flat = queries.flatten(1).float()
    size = max(1, _CELLS // max(1, flat.shape[1] * len(flat)))
    found, seen = Neighbours(torch.empty(len(flat), 0, dtype=torch.long), flat.new_empty(len(flat), 0)), 0
    for block in [points] if isinstance(points, Tensor) else points:
        if block.shape[1:] != queries.shape[1:]:
            raise RequestError(
                f"queries have shape {tuple(queries.shape[1:])}, points {tuple(block.shape[1:])}; expected the same"
            )
        for part in block.split(size):
            # Differences, and not products that cancel, so that a point is at distance 0 from itself.
            near = (flat[:, None] - part.flatten(1).to(flat)).norm(dim=2)
            numbers = torch.arange(seen, seen + len(part)).expand(len(flat), -1)
            distance = torch.cat([found.distance, near], 1)
            kept = distance.sort(dim=1, stable=True)
            rows = torch.cat([found.rows, numbers], 1).gather(1, kept.indices[:, :k].cpu())
            found, seen = Neighbours(rows, kept.values[:, :k]), seen + len(part)
    if not seen:
        raise RequestError("there are no points to be near to; expected at least 1")
    return found
