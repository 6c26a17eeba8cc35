r"""What can be measured of a melody: how many notes it has, how far they reach, how syncopated they are."""

__all__ = ["MEASURES", "note_density", "pitch_range", "syncopation"]

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vaekit.errors import RequestError
from vaekit.music.tokens import NO_EVENT, NOTE_OFF, SYMBOLS

_LAST = max(NOTE_OFF, NO_EVENT)  # of the symbols that begin no note


def note_density(tokens: ArrayLike) -> NDArray[np.float64]:
    r"""Return the part of the sixteenths in which a note begins, shape `(n,)`.

    References:
        A hierarchical latent vector model for learning long-term structure in music (Roberts et al., 2018), section
        5.5, note density.

    Arguments:
        tokens: Symbols of melodies, see `vaekit.music.tokens_of`, whole numbers of any type, shape `(n, steps)`.

    Raises:
        RequestError: If they are no symbols, or of another shape.

    Example:
        >>> note_density([[41, 1, 43, 0], [1, 1, 1, 1]])
        array([0.5, 0. ])
    """
    density: NDArray[np.float64] = _begins(tokens).mean(1)
    return density


def pitch_range(tokens: ArrayLike) -> NDArray[np.float64]:
    r"""Return the distance from the lowest note to the highest, in semitones, shape `(n,)`; NaN without notes.

    Arguments:
        tokens: Symbols of melodies, whole numbers of any type, shape `(n, steps)`.

    Raises:
        RequestError: If they are no symbols, or of another shape.

    Example:
        >>> pitch_range([[41, 1, 48, 0], [1, 1, 1, 1]])
        array([ 7., nan])
    """
    begins = _begins(tokens)
    pitches = np.asarray(tokens, np.float64)
    low = np.where(begins, pitches, np.inf).min(1, initial=np.inf)
    high = np.where(begins, pitches, -np.inf).max(1, initial=-np.inf)
    return np.where(begins.any(1), high - low, np.nan)


def syncopation(tokens: ArrayLike, level: Literal[8, 16] | None = None) -> NDArray[np.float64]:
    r"""Return the part of the notes that are syncopated, shape `(n,)`; NaN without notes.

    A note is syncopated at the level of sixteenths if it begins on every second one, between two eighths, and none
    begins a sixteenth before. It is syncopated at the level of eighths if it begins on every second of these, between
    two quarters, and none begins an eighth or a sixteenth before. No note is both.

    References:
        A hierarchical latent vector model for learning long-term structure in music (Roberts et al., 2018), section
        5.5, syncopation of 16th and of 8th notes.

    Arguments:
        tokens: Symbols of melodies, whole numbers of any type, shape `(n, steps)`; the first is on a beat.
        level: 16 or 8 for one level; by default notes count that are syncopated at either.

    Raises:
        RequestError: If they are no symbols, or of another shape; or there is no such level.

    Example:
        >>> syncopation([[41, 1, 43, 45, 1, 46, 1, 1], [1, 1, 43, 1, 45, 1, 1, 1]])
        array([0.25, 0.5 ])
    """
    if level not in (None, 8, 16):
        raise RequestError(f"level is {level!r}; expected 16 for sixteenths, 8 for eighths, or None for both")
    begins = _begins(tokens)
    before = np.pad(begins, ((0, 0), (2, 0)))
    sixteenth, eighth = before[:, 1:-1], before[:, :-2]  # whether one begins so long before
    step = np.arange(begins.shape[1])
    at = {16: (step % 2 == 1) & ~sixteenth, 8: (step % 4 == 2) & ~sixteenth & ~eighth}
    off = at[level] if level else at[8] | at[16]
    notes = begins.sum(1)
    found: NDArray[np.float64] = np.where(notes > 0, (begins & off).sum(1) / np.maximum(notes, 1), np.nan)
    return found


MEASURES: dict[str, Callable[[ArrayLike], NDArray[np.float64]]] = {
    "density": note_density,
    "range": pitch_range,
    "syncopation": syncopation,
}


def _begins(tokens: ArrayLike) -> NDArray[np.bool_]:
    """Whether a note begins in each step."""
    array: NDArray[Any] = np.asarray(tokens)
    if (
        array.ndim != 2
        or array.dtype.kind not in "biuf"
        or not array.shape[1]
        or (array.size and (array.min() < 0 or array.max() >= SYMBOLS or np.any(array % 1)))
    ):
        raise RequestError(
            f"the symbols are {array.dtype} of shape {array.shape}; expected whole numbers from 0 to {SYMBOLS - 1} of "
            "shape (n, steps): pass melodies as the dataset has them"
        )
    return array > _LAST
