r"""Motion of DeepMimic: its humanoid, its files, and the clips that are shipped."""

__all__ = ["HUMANOID", "clip_names", "holds_deepmimic", "read_deepmimic", "shipped_clips"]

import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vaekit.data.clips import Clip
from vaekit.data.quaternions import about, continuous, normalised
from vaekit.data.shipped import read_shipped
from vaekit.data.skeleton import Skeleton
from vaekit.errors import RequestError, nearest

_WIDTH = 44
_HEAD = 4096

# The joints of DeepMimic's humanoid3d, its offsets in metres, x forward, y up and z to the right. The last three are
# not joints there: the centre of the head, and the tips of the feet, from the boxes that the feet are.
_JOINTS: tuple[tuple[str, int, tuple[float, float, float]], ...] = (
    ("root", -1, (0.0, 0.0, 0.0)),
    ("chest", 0, (0.0, 0.236151, 0.0)),
    ("neck", 1, (0.0, 0.223894, 0.0)),
    ("right hip", 0, (0.0, 0.0, 0.084887)),
    ("right knee", 3, (0.0, -0.421546, 0.0)),
    ("right ankle", 4, (0.0, -0.40987, 0.0)),
    ("right shoulder", 1, (-0.02405, 0.2435, 0.18311)),
    ("right elbow", 6, (0.0, -0.274788, 0.0)),
    ("right wrist", 7, (0.0, -0.258947, 0.0)),
    ("left hip", 0, (0.0, 0.0, -0.084887)),
    ("left knee", 9, (0.0, -0.421546, 0.0)),
    ("left ankle", 10, (0.0, -0.40987, 0.0)),
    ("left shoulder", 1, (-0.02405, 0.2435, -0.18311)),
    ("left elbow", 12, (0.0, -0.274788, 0.0)),
    ("left wrist", 13, (0.0, -0.258947, 0.0)),
    ("head", 2, (0.0, 0.175, 0.0)),
    ("right toe", 5, (0.1335, -0.05, 0.0)),
    ("left toe", 11, (0.1335, -0.05, 0.0)),
)
_FRAME = (0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13)  # the joints that a frame of a file has, in its order
_HINGES = (4, 7, 10, 13)  # knees and elbows

HUMANOID = Skeleton(
    tuple(name for name, _, _ in _JOINTS),
    tuple(parent for _, parent, _ in _JOINTS),
    np.array([offset for _, _, offset in _JOINTS]),
)


def read_deepmimic(path: str | os.PathLike[str]) -> Clip:
    r"""Read a motion file of DeepMimic: JSON with 44 numbers a frame.

    They are: seconds to the next frame, the place of the root (3), the quaternions (w, x, y, z) of root, chest and
    neck, and then for the right side and for the left: hip (4), knee (1), ankle (4), shoulder (4) and elbow (1).
    Knees and elbows turn about z by an angle in radians.

    References:
        DeepMimic: Example-guided deep reinforcement learning of physics-based character skills (Peng et al., 2018).

    Arguments:
        path: The file.

    Raises:
        ValueError: If it is no such file, or damaged.
        OSError: If it cannot be opened.
    """
    path = Path(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    frames = content.get("Frames") if isinstance(content, dict) else None
    if not isinstance(frames, list) or not frames or any(not isinstance(f, list) or len(f) != _WIDTH for f in frames):
        raise ValueError(f'it has no "Frames" of {_WIDTH} numbers each')
    return _clip(path.stem.removeprefix("humanoid3d_"), frames)


def holds_deepmimic(path: Path) -> bool:
    r"""Whether a file looks like a motion of DeepMimic at its beginning."""
    try:
        with open(path, "rb") as file:
            return b'"Frames"' in file.read(_HEAD)
    except OSError:
        return False


def clip_names() -> tuple[str, ...]:
    r"""Return the names of the clips that are shipped.

    Example:
        >>> clip_names()[:3]
        ('backflip', 'cartwheel', 'crawl')
    """
    return tuple(str(name) for name in _shipped()[1])


def shipped_clips(names: str | Sequence[str] | None = None) -> list[Clip]:
    r"""Return the clips that are shipped: 1,620 frames of 15 motions, with DeepMimic's humanoid.

    Arguments:
        names: Which of them, as a list or separated by commas; by default all.

    Raises:
        RequestError: If there is no clip of a name.

    Example:
        >>> [(clip.name, clip.joints.shape) for clip in shipped_clips("walk,run")]
        [('walk', (39, 18, 3)), ('run', (25, 18, 3))]
    """
    frames, known, starts = _shipped()
    bounds = {name: (start, stop) for name, start, stop in zip(known, starts[:-1], starts[1:], strict=True)}
    wanted = names.split(",") if isinstance(names, str) else known if names is None else list(names)
    for name in wanted:
        if name not in bounds:
            raise RequestError(f"clip {name!r} is not there; expected of {', '.join(known)}.{nearest(name, known)}")
    return [_clip(name, frames[slice(*bounds[name])]) for name in wanted]


def _shipped() -> tuple[NDArray[np.float32], tuple[str, ...], tuple[int, ...]]:
    with np.load(io.BytesIO(read_shipped("deepmimic.npz")), allow_pickle=False) as content:
        return content["frames"], tuple(content["names"].tolist()), tuple(content["starts"].tolist())


def _clip(name: str, frames: ArrayLike | list[Any]) -> Clip:
    values = np.asarray(frames, np.float64)
    if not np.isfinite(values).all() or (values[:, 0] < 0).any():
        raise ValueError("it holds NaN, infinity or a negative duration")
    rotations = np.zeros((len(values), len(_JOINTS), 4))
    rotations[..., 0] = 1
    column = 4
    for joint in _FRAME:
        if joint in _HINGES:
            rotations[:, joint] = about([0.0, 0.0, 1.0], values[:, column])
            column += 1
        else:
            rotations[:, joint] = normalised(values[:, column : column + 4])
            column += 4
    return Clip(
        name=name,
        times=np.concatenate([[0.0], np.cumsum(values[:-1, 0])]),
        skeleton=HUMANOID,
        rotations=continuous(rotations),
        root=values[:, 1:4],
    )
