r"""Motion: clips of poses over time, from BVH and DeepMimic files and arrays of joints, and those that are shipped."""

__all__ = ["holds_motion", "holds_positions", "load_clips", "load_motion"]

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from vaekit.data.bvh import read_bvh
from vaekit.data.clips import Clip
from vaekit.data.dataset import Dataset, Split
from vaekit.data.deepmimic import holds_deepmimic, read_deepmimic, shipped_clips
from vaekit.data.folders import files_below, read_each
from vaekit.data.poses import Poses, pose_rows, standardised
from vaekit.data.sequences import sequential
from vaekit.data.skeleton import Skeleton, rigid
from vaekit.errors import RequestError

_ENDINGS = (".bvh", ".npy", ".txt", ".json")
_MOST_JOINTS = 128  # an array of more points than that is no skeleton, but perhaps clouds of points


def load_clips(
    clips: str | Sequence[str] | None = None,
    *,
    representation: str = "positions",
    root: str = "height",
    step: int = 1,
    validation: float = 0.1,
    test: float = 0.1,
) -> Dataset:
    r"""Load 15 clips of motion capture that come with vaekit: 1,620 poses of DeepMimic's humanoid.

    A row is a pose, float32, centred and scaled (see `vaekit.data.poses.Poses`, which is `data.poses` and turns
    rows back into places of the 18 joints in metres). The context is the time in seconds since the clip began, of
    shape `(n, 1)`; the sequence and the label are the clip. Every clip is cut in time: by default its first 80 %
    train, the next 10 % validate and the last 10 % test. With `validation=0` and `test=0` all frames are in train, in
    order, as for a protocol that holds out frames of its own.

    References:
        DeepMimic: Example-guided deep reinforcement learning of physics-based character skills (Peng et al., 2018).

    Arguments:
        clips: Which of them, as a list or separated by commas: backflip, cartwheel, crawl, dance_a, dance_b,
            getup_facedown, getup_faceup, jump, kick, punch, roll, run, spin, spinkick, walk. By default all.
        representation: "positions" of the joints; or their rotations, with the place of the root, as "quaternions"
            (continuous in sign) or "6d" (two columns of the matrix).
        root: "kept": the figure moves about. "height": it stays over one spot, and goes up and down. "removed": its
            root stays where it is.
        step: Take every so-many-th frame.
        validation: Part or number of the frames of each clip to validate on.
        test: Part or number of the frames of each clip to test on.

    Raises:
        RequestError: If there is no such clip, or an option is not understood.

    Example:
        >>> data = load_clips("walk,run")
        >>> data.shape, data.train.spans, data.label_names
        ((52,), {0: slice(0, 31, None), 1: slice(31, 52, None)}, ('walk', 'run'))
    """
    found = shipped_clips(clips)
    data = _dataset(
        found,
        name="clips",
        note=f"{len(found)} clips",
        representation=representation,
        root=root,
        step=step,
        validation=validation,
        test=test,
    )
    return replace(
        data, source="Motion capture, by DeepMimic (X. B. Peng, P. Abbeel, S. Levine, M. van de Panne, 2018), MIT"
    )


def load_motion(
    path: str | os.PathLike[str],
    *,
    representation: str = "positions",
    root: str = "height",
    step: int = 1,
    fps: float = 30.0,
    up: str = "auto",
    parents: Sequence[int] | None = None,
    validation: float = 0.1,
    test: float = 0.1,
) -> Dataset:
    r"""Load motion: a file, or a folder in which every file is a sequence and all have one skeleton.

    `.bvh` files have a skeleton and rotations; so have DeepMimic's motion files (`.txt` or `.json`). A `.npy` file has
    the places of joints, numbers of shape `(T, J, 3)` with the root first; its bones are found by what keeps its
    length, unless `parents` are given. What becomes of them is said at `load_clips`, and applies here. Files that
    cannot be read are skipped, counted in the `note`, and warned of once.

    Arguments:
        path: The file or folder; a folder is searched in depth.
        representation: "positions" of the joints; or their rotations, with the place of the root, as "quaternions"
            (continuous in sign) or "6d" (two columns of the matrix), where the files have rotations.
        root: "kept": the figure moves about. "height": it stays over one spot, and goes up and down. "removed": its
            root stays where it is.
        step: Take every so-many-th frame.
        fps: Frames a second of `.npy` files, which do not say.
        up: The axis that points up in `.npy` files: "x", "y" or "z"; "auto" is the axis along which poses are longest.
        parents: The joint that each joint of `.npy` files hangs on, by number; -1 for the first.
        validation: Part or number of the frames of each sequence to validate on.
        test: Part or number of the frames of each sequence to test on.

    Raises:
        RequestError: If no file can be read, skeletons differ, or an option is not understood.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "walk.npy"
        >>> np.save(file, np.random.default_rng(0).normal(size=(100, 5, 3)).cumsum(0))
        >>> data = load_motion(file, fps=50)
        >>> data.shape, len(data.train), data.train.context[1]
        ((13,), 80, array([0.02], dtype=float32))
    """
    place = Path(path)
    if not isinstance(fps, (int, float)) or not 0 < fps < np.inf:
        raise RequestError(f"fps is {fps!r}; expected frames a second, above 0: pass fps=30")
    if up not in ("auto", "x", "y", "z"):
        raise RequestError(f"up is {up!r}; expected auto, x, y or z: pass up=z")
    paths = _files(place) if place.is_dir() else [place]
    if not paths:
        raise RequestError(
            f"the folder {place} holds no motion; expected .bvh or .npy files, or DeepMimic's .txt: check the path"
        )
    clips, note = read_each(place, paths, partial(_read, fps=fps), "sequences" if place.is_dir() else "sequence")
    clips = _oriented(clips, up, parents)
    return _dataset(
        clips,
        name=place.resolve().name if place.is_dir() else place.stem,
        note=note,
        representation=representation,
        root=root,
        step=step,
        validation=validation,
        test=test,
    )


def holds_motion(folder: Path) -> bool:
    r"""Whether a folder holds files of motion."""
    return bool(_files(folder))


def holds_positions(path: Path) -> bool:
    r"""Whether a `.npy` file has the shape and type of places of joints: real numbers, `(T, J, 3)`, J at most 128."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError):
        return False
    return bool(
        isinstance(array, np.ndarray)
        and array.dtype.kind == "f"
        and array.ndim == 3
        and array.shape[2] == 3
        and 2 <= array.shape[1] <= _MOST_JOINTS
    )


def _files(folder: Path) -> list[Path]:
    found = files_below(folder, _ENDINGS)
    return [path for path in found if path.suffix.lower() in (".bvh", ".npy") or holds_deepmimic(path)]


def _read(path: Path, fps: float) -> Clip:
    ending = path.suffix.lower()
    if ending == ".bvh":
        return read_bvh(path)
    if ending != ".npy":
        return read_deepmimic(path)
    places = np.load(path, allow_pickle=False)
    if not isinstance(places, np.ndarray) or places.dtype.kind not in "fiu" or places.ndim != 3 or places.shape[2] != 3:
        raise ValueError("it has no numbers of shape (T, J, 3)")
    if min(places.shape) < 1 or places.shape[1] < 2 or not np.isfinite(places).all():
        raise ValueError(f"it has shape {places.shape}, or holds NaN or infinity")
    count = places.shape[1]
    # Which joint hangs on which is found over all files together.
    unknown = Skeleton(tuple(str(joint) for joint in range(count)), (-1, *[0] * (count - 1)))
    return Clip(path.stem, np.arange(len(places)) / fps, unknown, given=places.astype(np.float64))


def _oriented(clips: list[Clip], up: str, parents: Sequence[int] | None) -> list[Clip]:
    """See that the skeletons are one; where only places are known, find its bones and which way is up."""
    first = clips[0]
    for clip in clips:
        if (clip.skeleton.names, clip.skeleton.parents) != (first.skeleton.names, first.skeleton.parents):
            raise RequestError(
                f"{clip.name} has {len(clip.skeleton.names)} joints, {first.name} {len(first.skeleton.names)}, or they "
                "have other names; expected one skeleton: load the files of each from a folder of their own"
            )
    if any(clip.given is None for clip in clips):
        return clips
    places = np.concatenate([clip.joints for clip in clips])
    skeleton = rigid(places)
    if parents is not None:
        skeleton = Skeleton(first.skeleton.names, tuple(int(parent) for parent in parents))
        if len(parents) != places.shape[1]:
            raise RequestError(f"there are {len(parents)} parents for {places.shape[1]} joints; expected one for each")
    if up == "auto":
        up = "xyz"[int(np.median(np.ptp(places, axis=1), axis=0).argmax())]
    return [replace(clip, skeleton=skeleton, up=up) for clip in clips]


def _dataset(
    clips: Sequence[Clip],
    *,
    name: str,
    note: str,
    representation: str,
    root: str,
    step: int,
    validation: float,
    test: float,
) -> Dataset:
    if not isinstance(step, int) or isinstance(step, bool) or step < 1:
        raise RequestError(f"step is {step!r}; expected to take every so-many-th frame, from 1 up: pass step=1")
    rows, poses = pose_rows(clips, representation, root)
    lengths = [len(clip) for clip in clips]
    kept = np.concatenate([start + np.arange(0, n, step) for start, n in zip(_starts(lengths), lengths, strict=True)])
    data = sequential(
        rows[kept],
        [clip.times[::step, None] for clip in clips],
        [clip.name for clip in clips],
        name=name,
        validation=validation,
        test=test,
        note=f"{note}, {representation}, root {root}, centred and scaled over train",
    )
    poses = standardised(poses, np.asarray(data.train.x))
    return replace(
        data,
        train=_scaled(data.train, poses),
        validation=_scaled(data.validation, poses),
        test=_scaled(data.test, poses),
        poses=poses,
    )


def _starts(lengths: Sequence[int]) -> list[int]:
    return [0, *np.cumsum(lengths)[:-1].tolist()]


def _scaled(split: Split, poses: Poses) -> Split:
    return replace(split, x=((np.asarray(split.x, np.float64) - poses.mean) / poses.scale).astype(np.float32))
