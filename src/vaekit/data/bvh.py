r"""Motion in BVH files: a hierarchy of joints, and a line of numbers for each frame."""

__all__ = ["read_bvh"]

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vaekit.data.clips import Clip
from vaekit.data.quaternions import about, continuous, multiply
from vaekit.data.skeleton import Skeleton

Floats = NDArray[np.float64]

_AXES = {"x": 0, "y": 1, "z": 2}


@dataclass
class _Joint:
    """A joint as the hierarchy describes it."""

    name: str
    parent: int
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    channels: list[str] = field(default_factory=list)


def read_bvh(path: str | os.PathLike[str]) -> Clip:
    r"""Read a `.bvh` file, in its own unit of length (often centimetres), with y up.

    Rotations are taken in the order of the channels, the first being the outermost:
    :math:`R = R_1 R_2 R_3`, in degrees. Where a joint has channels of position, they stand in place of its offset.
    An `End Site` is a joint, which does not turn.

    References:
        Biovision's BVH is described in: Motion capture file formats explained (Meredith and Maddock, 2001).

    Arguments:
        path: The file.

    Raises:
        ValueError: If it is no whole BVH file.
        OSError: If it cannot be opened.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "arm.bvh"
        >>> _ = path.write_text('''HIERARCHY
        ... ROOT shoulder
        ... {
        ...   OFFSET 0 0 0
        ...   CHANNELS 3 Zrotation Xrotation Yrotation
        ...   End Site
        ...   {
        ...     OFFSET 1 0 0
        ...   }
        ... }
        ... MOTION
        ... Frames: 2
        ... Frame Time: 0.5
        ... 0 0 0
        ... 90 0 0
        ... ''')
        >>> clip = read_bvh(path)
        >>> clip.skeleton.names, clip.times, clip.joints[1, 1].round(3)
        (('shoulder', 'shoulder end'), array([0. , 0.5]), array([0., 1., 0.]))
    """
    path = Path(path)
    words = iter(path.read_text(encoding="utf-8", errors="replace").split())
    try:
        joints = _hierarchy(words)
        frames, interval = _heading(words)
        values = np.array(list(words), np.float64)
    except StopIteration:
        raise ValueError("it ends before its motion begins") from None
    width = sum(len(joint.channels) for joint in joints)
    if len(values) != frames * width:
        raise ValueError(f"it has {len(values):,} numbers for {frames:,} frames of {width} channels")
    if not np.isfinite(values).all():
        raise ValueError("it holds NaN or infinity")
    return _clip(path.stem, joints, values.reshape(frames, width), interval)


def _hierarchy(words: Iterator[str]) -> list[_Joint]:
    """Read the joints, in the order of their channels, up to the word MOTION."""
    if next(words).upper() != "HIERARCHY":
        raise ValueError("it does not begin with HIERARCHY")
    joints: list[_Joint] = []
    open_: list[int] = []  # the joints whose braces are open
    for word in words:
        kind = word.upper()
        if kind in ("ROOT", "JOINT", "END"):
            if kind == "ROOT" and joints:
                raise ValueError("it has two roots")
            name = " ".join(iter(lambda: next(words), "{"))
            if kind != "ROOT" and not open_:
                raise ValueError(f"{word} {name} hangs on no joint")
            parent = -1 if kind == "ROOT" else open_[-1]
            joints.append(_Joint(f"{joints[parent].name} end" if kind == "END" else name, parent))
            open_.append(len(joints) - 1)
        elif kind == "OFFSET" and open_:
            joints[open_[-1]].offset = (float(next(words)), float(next(words)), float(next(words)))
        elif kind == "CHANNELS" and open_:
            channels = [next(words).lower() for _ in range(int(next(words)))]
            unknown = [c for c in channels if c[:1] not in _AXES or c[1:] not in ("rotation", "position")]
            if unknown:
                raise ValueError(f"it has a channel {unknown[0]!r}")
            joints[open_[-1]].channels = channels
        elif kind == "}" and open_:
            open_.pop()
        elif kind == "MOTION" and joints and not open_:
            return joints
        else:
            raise ValueError(f"its hierarchy has {word!r} where a joint was expected")
    raise StopIteration


def _heading(words: Iterator[str]) -> tuple[int, float]:
    """Read the number of frames and the time of one."""
    said = [next(words) for _ in range(5)]
    if [word.lower() for word in (said[0], said[2], said[3])] != ["frames:", "frame", "time:"]:
        raise ValueError(f"its motion begins with {' '.join(said)!r}")
    frames, interval = int(said[1]), float(said[4])
    if frames < 1 or not 0 < interval < np.inf:
        raise ValueError(f"it has {frames} frames of {interval} seconds")
    return frames, interval


def _clip(name: str, joints: list[_Joint], values: Floats, interval: float) -> Clip:
    """Turn the channels into rotations and offsets."""
    n = len(values)
    rotations = np.zeros((n, len(joints), 4))
    rotations[..., 0] = 1
    offsets = np.array([joint.offset for joint in joints])
    places = np.broadcast_to(offsets, (n, len(joints), 3)).copy()
    column = 0
    for number, joint in enumerate(joints):
        for channel in joint.channels:
            axis = _AXES[channel[0]]
            if channel.endswith("position"):
                places[:, number, axis] = values[:, column]
            else:
                turn = about(np.eye(3)[axis], np.deg2rad(values[:, column]))
                rotations[:, number] = multiply(rotations[:, number], turn)
            column += 1
    root = places[:, 0].copy()
    # Some programs give every joint a position, nearly always the same: the skeleton has its mean.
    bones = places.mean(0)
    bones[0] = 0
    moving = np.ptp(places[:, 1:], axis=0).max(initial=0) > 0
    skeleton = Skeleton(tuple(j.name for j in joints), tuple(j.parent for j in joints), bones)
    return Clip(
        name=name,
        times=np.asarray(np.arange(n) * interval, np.float64),
        skeleton=skeleton,
        rotations=continuous(rotations),
        root=root,
        offsets=places if moving else None,
    )
