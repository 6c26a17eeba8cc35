r"""Centres of points, by k-means."""

__all__ = ["k_means", "nearest"]

import torch
from torch import Tensor

from vaekit.errors import RequestError

_CELLS = 2**24  # (point, centre) pairs at once: 64 megabytes


@torch.no_grad()
def nearest(points: Tensor, centres: Tensor) -> Tensor:
    r"""Return the number of the nearest centre of each point by Euclidean distance, shape `(n,)`; of ties the first.

    Arguments:
        points: Shape `(n, d)`.
        centres: Shape `(k, d)`.

    Example:
        >>> nearest(torch.tensor([[0.2], [5.0]]), torch.tensor([[0.0], [1.0], [4.0]]))
        tensor([0, 2])
    """
    lengths = centres.square().sum(1)
    # |p - c|² without |p|², which is the same for every centre.
    parts = points.split(max(1, _CELLS // len(centres)))
    return torch.cat([torch.addmm(lengths, part, centres.T, alpha=-2).argmin(1) for part in parts])


@torch.no_grad()
def k_means(points: Tensor, k: int, iterations: int = 10) -> Tensor:
    r"""Return k centres of points, shape `(k, d)`, on their device, drawing from the global random state.

    The start is k-means++, each centre drawn from the points by their squared distance from those before. A centre
    that no point is nearest to stays where it is. scikit-learn's is not used: its threads add up in the order in
    which they finish, and the same seed would not give the same bits.

    References:
        k-means++: the advantages of careful seeding (Arthur and Vassilvitskii, 2007).

    Arguments:
        points: Shape `(n, d)`.
        k: How many centres; they repeat points where there are fewer.
        iterations: Of Lloyd's algorithm.

    Raises:
        RequestError: If there is no point, or one is not finite.

    Example:
        >>> points = torch.tensor([[0.0], [0.2], [9.0], [9.4]])
        >>> k_means(points, 2).sort(0).values.flatten()
        tensor([0.1000, 9.2000])
    """
    if not len(points) or not bool(points.isfinite().all()):
        raise RequestError(f"there are {len(points)} points, or some are not finite; expected at least 1, all finite")
    centres = points[torch.randint(len(points), (1,), device=points.device)].repeat(k, 1)
    distances = (points - centres[0]).square().sum(1)
    for number in range(1, k):
        # Where every point is a centre already, any will do.
        weights = distances if bool(distances.sum() > 0) else torch.ones_like(distances)
        centres[number] = points[torch.multinomial(weights, 1)]
        distances = torch.minimum(distances, (points - centres[number]).square().sum(1))
    for _ in range(iterations):
        own = torch.nn.functional.one_hot(nearest(points, centres), k).to(points.dtype)
        counts = own.sum(0).unsqueeze(1)
        centres = torch.where(counts > 0, own.T @ points / counts.clamp_min(1), centres)
    return centres
