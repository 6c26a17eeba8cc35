r"""A clip of motion as a file has it: joints over time, as places or as rotations of a skeleton."""

__all__ = ["Clip"]

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vaekit.data.quaternions import matrices
from vaekit.data.skeleton import Skeleton

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Clip:
    r"""One sequence of poses. Either the rotations of the joints are known, or their places.

    Arguments:
        name: What to call it.
        times: Seconds from the first frame, shape `(n,)`.
        skeleton: Which joint hangs on which.
        up: The axis that points up: "x", "y" or "z".
        rotations: Of each joint against its parent, as unit quaternions (w, x, y, z) without jumps, `(n, J, 4)`.
        root: Place of the root, shape `(n, 3)`, where there are rotations.
        given: Places of the joints, shape `(n, J, 3)`, where there are none.
        offsets: Offsets that differ from frame to frame, shape `(n, J, 3)`, where the skeleton's own do not hold.
    """

    name: str
    times: Floats
    skeleton: Skeleton
    up: str = "y"
    rotations: Floats | None = None
    root: Floats | None = None
    given: Floats | None = None
    offsets: Floats | None = None

    def __len__(self) -> int:
        return len(self.times)

    @cached_property
    def joints(self) -> Floats:
        """Places of the joints, shape `(n, J, 3)`: as given, or by forward kinematics."""
        if self.rotations is None or self.root is None:
            assert self.given is not None
            return self.given
        return self.skeleton.forward(matrices(self.rotations), self.root, self.offsets)
