r"""A skeleton: which joint hangs on which, how far away, and where the joints are once each is turned."""

__all__ = ["Skeleton", "rigid"]

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vaekit.data.rows import spread
from vaekit.errors import RequestError

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Skeleton:
    r"""Joints in a tree. A joint has a name, the joint it hangs on, and its place in the frame of that joint.

    Arguments:
        names: Names of the joints.
        parents: The joint that each hangs on, by number; -1 for the first, the root.
        offsets: Place of each joint in the frame of its parent, shape `(J, 3)`; None where only places are known.

    Raises:
        RequestError: If the lengths differ, or a joint does not hang on the root in the end.

    Example:
        >>> arm = Skeleton(("shoulder", "elbow"), (-1, 0), np.array([[0.0, 0.0, 0.0], [0.3, 0.0, 0.0]]))
        >>> arm.bones
        ((0, 1),)
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: Floats | None = None

    def __post_init__(self) -> None:
        count = len(self.parents)
        if len(self.names) != count or (self.offsets is not None and self.offsets.shape != (count, 3)):
            shape = None if self.offsets is None else self.offsets.shape
            raise RequestError(
                f"a skeleton has {len(self.names)} names, {count} parents and offsets of shape {shape}; "
                "expected as many of each: give every joint a name, a parent and an offset"
            )
        if self.parents[:1] != (-1,) or len(self.bones) != count - 1:
            raise RequestError(
                f"the parents of the joints are {list(self.parents)}; expected -1 for the first, and for the others "
                "the number of a joint, all of them hanging on the first in the end: correct the parents"
            )

    @cached_property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """Pairs of joints, parent and child, from the root outwards."""
        found: list[tuple[int, int]] = []
        reached = [0]
        for parent in reached:  # grows
            children = [j for j, p in enumerate(self.parents) if p == parent]
            found += [(parent, j) for j in children]
            reached += children
        return tuple(found)

    def forward(self, rotations: ArrayLike, root: ArrayLike, offsets: ArrayLike | None = None) -> Floats:
        r"""Return where the joints are.

        .. math::
            G_j = G_{p(j)} R_j, \qquad x_j = x_{p(j)} + G_{p(j)} o_j

        Arguments:
            rotations: Of each joint against its parent, as matrices of shape `(n, J, 3, 3)`.
            root: Place of the root, shape `(n, 3)`.
            offsets: Offsets that differ from frame to frame, shape `(n, J, 3)`, instead of the skeleton's own.

        Returns:
            Shape `(n, J, 3)`.

        Raises:
            RequestError: If the skeleton has no offsets and none are given.

        Example:
            >>> arm = Skeleton(("shoulder", "elbow"), (-1, 0), np.array([[0.0, 0.0, 0.0], [0.3, 0.0, 0.0]]))
            >>> arm.forward(np.eye(3)[None, None].repeat(2, 1), [[0.0, 1.0, 0.0]])[0, 1]
            array([0.3, 1. , 0. ])
        """
        local = self.offsets if offsets is None else np.asarray(offsets, np.float64)
        if local is None:
            raise RequestError(
                "the skeleton knows places but no offsets; expected those of every joint: read the motion from a "
                "file that has them, such as .bvh"
            )
        turned = np.array(rotations, np.float64)
        places = np.broadcast_to(local, (*turned.shape[:2], 3)).copy()
        places[:, 0] = root
        for parent, joint in self.bones:
            places[:, joint] = places[:, parent] + np.einsum("nij,nj->ni", turned[:, parent], places[:, joint])
            turned[:, joint] = turned[:, parent] @ turned[:, joint]
        return places

    def lengths(self, places: ArrayLike) -> Floats:
        r"""Return the lengths of the bones, shape `(n, J - 1)`, of joints at places of shape `(n, J, 3)`."""
        places = np.asarray(places, np.float64)
        parents, joints = np.array(self.bones, np.int64).reshape(-1, 2).T
        return np.asarray(np.linalg.norm(places[:, joints] - places[:, parents], axis=-1))


def rigid(places: ArrayLike, names: Sequence[str] | None = None) -> Skeleton:
    r"""Find bones where only the places of the joints are known: two joints on one bone keep their distance.

    The bones are the spanning tree of the least sum of :math:`\sigma_{ij} + \mu_{ij} / 10`, with mean
    :math:`\mu_{ij}` and standard deviation :math:`\sigma_{ij}` of the distance over the frames, hung up at joint 0. It
    serves to draw; it is not anatomy.

    Arguments:
        places: Shape `(n, J, 3)`; at most 500 frames are looked at, spread evenly.
        names: Names of the joints; by default their numbers.

    Returns:
        A skeleton without offsets.

    Example:
        >>> t = np.linspace(0, 3, 50)
        >>> elbow = np.stack([np.cos(t), np.sin(t), 0 * t], 1)
        >>> hand = elbow + np.stack([np.cos(3 * t), np.sin(3 * t), 0 * t], 1)
        >>> rigid(np.stack([0 * elbow, hand, elbow], 1)).bones
        ((0, 2), (2, 1))
    """
    whole = np.asarray(places, np.float64)
    some = whole[spread(len(whole), 500)]
    count = some.shape[1]
    cost = np.empty((count, count))
    for joint in range(count):
        distance = np.linalg.norm(some - some[:, joint : joint + 1], axis=-1)
        cost[joint] = distance.std(0) + distance.mean(0) / 10
    # Prim's algorithm: the tree grows by the joint that is cheapest to hang on it.
    parents = np.zeros(count, np.int64)
    best, out = cost[0].copy(), np.arange(count) > 0
    while out.any():
        joint = int(np.where(out, best, np.inf).argmin())
        out[joint] = False
        closer = out & (cost[joint] < best)
        parents[closer], best[closer] = joint, cost[joint][closer]
    named = tuple(str(j) for j in range(count)) if names is None else tuple(names)
    return Skeleton(named, (-1, *parents[1:].tolist()))
