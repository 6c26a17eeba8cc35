r"""Which frames of a sequence are observed and which are held out: gaps, or one long hole."""

__all__ = ["held_out", "hold_out"]

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vaekit.data.dataset import Dataset, Split
from vaekit.data.poses import Poses, standardised
from vaekit.errors import RequestError


def held_out(
    lengths: Sequence[int], *, gap: int | None = None, hole: float | None = None, seed: int = 0
) -> NDArray[np.bool_]:
    r"""Say for each frame of several sequences, one after the other, whether it is held out.

    With a gap g the frames 0, g, 2g, ... of each sequence are observed, and its last one, so that every frame that is
    held out lies between two that are not. A hole takes a run of frames out of each sequence, at a place chosen by
    the seed that leaves frames on both sides. With both, a frame is held out that either of them holds out.

    A sequence of one or two frames is observed. What is held out depends on the lengths and the seed, never on what
    the frames show.

    Arguments:
        lengths: Number of frames of each sequence.
        gap: Distance of observed frames, at least 1.
        hole: Part of each sequence that the hole takes, above 0 and below 1.
        seed: Of the hole's place.

    Returns:
        True for frames that are held out, shape `(sum(lengths),)`.

    Raises:
        RequestError: If the gap, the hole or a length is out of its range, or neither gap nor hole is given.

    Example:
        >>> held_out([6, 3], gap=2).astype(int).tolist()
        [0, 1, 0, 1, 0, 0, 0, 1, 0]
        >>> held_out([8], hole=0.5, seed=1).astype(int).tolist()
        [0, 0, 1, 1, 1, 1, 0, 0]
    """
    if gap is None and hole is None:
        raise RequestError("neither a gap nor a hole is given; expected at least one of them: pass gap=4, say")
    if gap is not None and (not isinstance(gap, int) or gap < 1):
        raise RequestError(f"gap is {gap!r}; expected the distance of observed frames, 1 or more: pass gap=4, say")
    if hole is not None and not 0 < hole < 1:
        raise RequestError(f"hole is {hole!r}; expected a part of each sequence, above 0 and below 1: pass hole=0.25")
    if any(length < 1 for length in lengths):
        raise RequestError(f"lengths are {list(lengths)}; expected at least 1 frame in each: leave empty sequences out")
    random = np.random.RandomState(seed)  # whose stream NumPy's policy has frozen: a split must outlive versions
    parts = []
    for length in lengths:
        hidden = np.zeros(length, dtype=np.bool_)
        inner = max(length - 2, 0)
        if gap is not None:
            hidden |= np.arange(length) % gap != 0
        if hole is not None:
            size = min(max(1, round(hole * length)), inner)
            start = 1 + random.randint(inner - size + 1)
            hidden[start : start + size] = True
        hidden[[0, -1]] = False
        parts.append(hidden)
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.bool_)


def hold_out(
    data: Dataset,
    *,
    gap: int | None = None,
    hole: float | None = None,
    seed: int = 0,
    validate: int | None = None,
    validate_on: Literal["observed", "held-out"] = "observed",
) -> Dataset:
    r"""Return data whose training rows are the frames observed, and whose test rows are those held out.

    Poses are centred and scaled again, over those that are observed. Some frames can be for validation. Where they are
    observed ones nothing of a gap is known, but those that validate are farther from their neighbours than those that
    are tested, so that intervals calibrated on them are about right at best. Frames drawn from those held out, which
    are then not tested, are like the others that are, and intervals hold what they say.

    Arguments:
        data: Sequences, all of whose rows are in train, in the order of time, as loaders give them with
            `validation=0` and `test=0`; rows without sequences are one.
        gap: See `held_out`.
        hole: See `held_out`.
        seed: See `held_out`.
        validate: One frame in so many validates; None for none.
        validate_on: Which frames validate: "observed", every so-many-th inside a sequence, or "held-out", drawn at
            random by the seed.

    Raises:
        RequestError: If rows are in other splits, and as `held_out`.

    Example:
        >>> from vaekit.data import load_dataset
        >>> clips = load_dataset("clips", clips="walk", validation=0, test=0)
        >>> hold_out(clips, gap=4)
        <Dataset 'clips': 11 train, 0 validation and 28 test examples of shape (52,), real numbers>
    """
    others = {name: len(split) for name, split in data.splits.items() if name != "train" and len(split)}
    if others:
        listed = " and ".join(f"{count} in {name}" for name, count in others.items())
        raise RequestError(
            f"{data.name} has {listed}; expected all rows in train, in order: load the data with validation=0, test=0"
        )
    spans = data.train.spans.values()
    lengths = [span.stop - span.start for span in spans] or [len(data.train)]
    hidden = held_out(lengths, gap=gap, hole=hole, seed=seed)
    if validate is not None and (not isinstance(validate, int) or validate < 2):
        raise RequestError(f"validate is {validate!r}; expected one frame in so many, 2 or more: pass 5, say")
    if validate_on not in ("observed", "held-out"):
        raise RequestError(f"validate_on is {validate_on!r}; expected observed or held-out: pass one of them")
    words = [] if gap is None else [f"gap {gap}"]
    words += [] if hole is None else [f"a hole of {hole:.0%}, seed {seed}"]
    train, test, poses = data.train.take(np.flatnonzero(~hidden)), data.train.take(np.flatnonzero(hidden)), data.poses
    if poses is not None:  # the frames held out have no say in where poses are centred and how they are scaled
        own = standardised(poses, np.asarray(train.x, np.float64) * poses.scale + poses.mean)
        train, test = (_rescaled(split, poses, own) for split in (train, test))
        poses = own
    validation = data.validation
    if validate is not None and validate_on == "held-out":
        drawn = np.random.RandomState(seed).permutation(len(test)) < len(test) // validate
        test, validation = test.take(np.flatnonzero(~drawn)), test.take(np.flatnonzero(drawn))
        words.append(f"one in {validate} of those held out validates")
    elif validate is not None:
        some = np.zeros(len(train), np.bool_)
        for span in train.spans.values() or [slice(0, len(train))]:
            some[span.start + validate // 2 : span.stop - 1 : validate] = True
        train, validation = train.take(np.flatnonzero(~some)), train.take(np.flatnonzero(some))
        words.append(f"one in {validate} of those observed validates")
    return replace(
        data,
        train=train,
        validation=validation,
        test=test,
        poses=poses,
        note=f"{data.note}; frames held out by {' and '.join(words)}",
    )


def _rescaled(split: Split, old: Poses, new: Poses) -> Split:
    rows = np.asarray(split.x, np.float64) * old.scale + old.mean
    return replace(split, x=((rows - new.mean) / new.scale).astype(np.float32))
