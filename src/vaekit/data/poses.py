r"""Poses as rows of numbers, and back: from what a model sees to the places of the joints."""

__all__ = ["Poses", "pose_rows", "standardised"]

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vaekit.data.clips import Clip
from vaekit.data.quaternions import from_six, matrices, six
from vaekit.data.skeleton import Skeleton
from vaekit.errors import RequestError, nearest

Floats = NDArray[np.float64]

_REPRESENTATIONS = {"positions": 3, "quaternions": 4, "6d": 6}
_ROOTS = ("kept", "height", "removed")
_STILL = 1e-6  # a column that moves less than this part of the one that moves most does not move


@dataclass(frozen=True, eq=False)
class Poses:
    r"""How a row of numbers is a pose.

    The numbers of a pose are its joints' places or rotations. Those that never change are left out, and the others
    are centred and brought to a mean variance of 1 by one number for all, so that an error is an error in (scaled)
    metres wherever it is made:

    .. math::
        x = \frac{v_{\text{moves}} - \mu}{s}, \qquad s^2 = \operatorname{mean}_i \operatorname{Var} v_i

    Arguments:
        skeleton: Which joint hangs on which.
        representation: "positions", "quaternions" or "6d".
        up: The axis that points up: "x", "y" or "z".
        moves: Which numbers of a pose are in a row, shape `(m,)`, d of them.
        rest: The numbers of a pose, for those that are not, shape `(m,)`.
        mean: Shape `(d,)`.
        scale: Of what was divided by; for places in the unit of the file, metres for the clips that are shipped.
    """

    skeleton: Skeleton
    representation: str
    up: str
    moves: NDArray[np.bool_]
    rest: Floats
    mean: Floats
    scale: float

    def joints(self, x: ArrayLike) -> Floats:
        r"""Return the places of the joints, in the unit of the file.

        Arguments:
            x: Rows as the dataset has them, or a model gives them, shape `(..., d)`.

        Returns:
            Shape `(..., J, 3)`.

        Raises:
            RequestError: If the rows have another length.

        Example:
            >>> from vaekit.data import load_dataset
            >>> data = load_dataset("clips")
            >>> data.poses.joints(data.train.x[:5]).shape
            (5, 18, 3)
        """
        rows = np.asarray(x, np.float64)
        if rows.ndim < 1 or rows.shape[-1] != len(self.mean):
            raise RequestError(
                f"poses have shape {rows.shape}; expected (..., {len(self.mean)}): pass rows of the dataset, or what "
                "a model trained on it gives"
            )
        flat = rows.reshape(-1, len(self.mean)) * self.scale + self.mean
        whole = np.broadcast_to(self.rest, (len(flat), len(self.rest))).copy()
        whole[:, self.moves] = flat
        count = len(self.skeleton.parents)
        if self.representation == "positions":
            places = whole.reshape(-1, count, 3)
        else:
            turned = whole[:, 3:].reshape(len(whole), count, -1)
            rotations = from_six(turned) if self.representation == "6d" else matrices(turned)
            places = self.skeleton.forward(rotations, whole[:, :3])
        return places.reshape(*rows.shape[:-1], count, 3)


def pose_rows(clips: Sequence[Clip], representation: str, root: str) -> tuple[Floats, Poses]:
    r"""Return the poses of clips as rows, one clip after the other, and how to read them; nothing is scaled yet.

    Arguments:
        clips: Clips of one skeleton.
        representation: "positions" of the joints; "quaternions" or "6d" for the rotations of the joints.
        root: "kept": the figure moves about. "height": it stays over one spot, and goes up and down. "removed": its
            root stays where it is.

    Raises:
        RequestError: If an option is unknown, or rotations are asked for that the files do not have.
    """
    for option, value, known in (("representation", representation, _REPRESENTATIONS), ("root", root, _ROOTS)):
        if value not in known:
            raise RequestError(
                f"{option} is {value!r}; expected one of {', '.join(known)}.{nearest(str(value), known)}"
            )
    first = clips[0]
    rows = []
    for clip in clips:
        shift = clip.joints[:, 0].copy()
        if root == "kept":
            shift[:] = 0
        elif root == "height":
            shift[:, "xyz".index(first.up)] = 0
        if representation == "positions":
            rows.append((clip.joints - shift[:, None]).reshape(len(clip), -1))
            continue
        if clip.rotations is None:
            raise RequestError(
                f"representation is {representation!r}, but {clip.name} knows only the places of its joints; "
                "expected 'positions': pass representation=positions"
            )
        turned = six(clip.rotations) if representation == "6d" else clip.rotations
        rows.append(np.concatenate([clip.joints[:, 0] - shift, turned.reshape(len(clip), -1)], axis=1))
    whole = np.concatenate(rows)
    range_ = np.ptp(whole, axis=0)
    moves = range_ > _STILL * range_.max()
    poses = Poses(
        skeleton=first.skeleton,
        representation=representation,
        up=first.up,
        moves=moves,
        rest=whole.mean(0),
        mean=np.zeros(int(moves.sum())),
        scale=1.0,
    )
    return whole[:, moves], poses


def standardised(poses: Poses, train: ArrayLike) -> Poses:
    r"""Return the same poses, centred and scaled over rows of training that are not yet.

    Arguments:
        poses: From `pose_rows`.
        train: Rows, shape `(n, d)`.
    """
    rows = np.asarray(train, np.float64)
    return replace(poses, mean=rows.mean(0), scale=float(np.sqrt(rows.var(0).mean())) or 1.0)
