r"""A melody as symbols, one for each sixteenth: which note begins, that it goes on, or that it ends."""

__all__ = ["HIGHEST", "LOWEST", "NOTE_OFF", "NO_EVENT", "STEPS_PER_BAR", "SYMBOLS", "Note", "notes_of", "tokens_of"]

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vaekit.errors import RequestError

NOTE_OFF = 0
NO_EVENT = 1
LOWEST, HIGHEST = 21, 108  # MIDI pitches of a piano: A0 and C8
SYMBOLS = 2 + HIGHEST - LOWEST + 1
STEPS_PER_BAR = 16

_FIRST = 2  # the symbol of the lowest pitch


class Note(NamedTuple):
    r"""A note of a melody.

    Arguments:
        start: The sixteenth in which it begins.
        stop: That before which it ends.
        pitch: Its MIDI pitch, of which 60 is the middle C.
    """

    start: int
    stop: int
    pitch: int


def tokens_of(notes: Iterable[Note], steps: int) -> NDArray[np.uint8]:
    r"""Return the symbols of a melody, shape `(steps,)`.

    A step has the symbol of the note that begins in it, `NOTE_OFF` where the one before ends and no other begins, and
    `NO_EVENT` else: in a note, in a rest, and before the first note. A melody has one note at a time: a note ends
    where the next begins.

    References:
        A hierarchical latent vector model for learning long-term structure in music (Roberts et al., 2018).

    Arguments:
        notes: In the order of their starts. What is beyond `steps` is left out.
        steps: Length in sixteenths.

    Raises:
        RequestError: If a pitch is no key of a piano, two notes begin together, or a note ends before it begins.

    Example:
        >>> tokens_of([Note(0, 2, 60), Note(2, 3, 62)], 5).tolist()
        [41, 1, 43, 0, 1]
    """
    tokens = np.full(steps, NO_EVENT, np.uint8)
    ordered = sorted(notes)
    for number, (start, stop, pitch) in enumerate(ordered):
        if not LOWEST <= pitch <= HIGHEST:
            raise RequestError(
                f"a note has the pitch {pitch}; expected {LOWEST} to {HIGHEST}, the keys of a piano: transpose it"
            )
        following = ordered[number + 1].start if number + 1 < len(ordered) else None
        if start < 0 or stop <= start or following == start:
            raise RequestError(
                f"a note goes from sixteenth {start} to {stop} and the next begins at {following}; expected one note "
                "at a time, each at least a sixteenth long: take the highest of those that sound together"
            )
        if start < steps:
            tokens[start] = pitch - LOWEST + _FIRST
        if stop < steps and (following is None or stop < following):
            tokens[stop] = NOTE_OFF
    return tokens


def notes_of(tokens: ArrayLike | Sequence[Any]) -> list[Note]:
    r"""Return the notes that symbols tell of: each goes on until another begins, it is ended, or the melody is over.

    Symbols that change nothing, such as the end of a note where none sounds, are passed over, since a model may draw
    any.

    Arguments:
        tokens: Symbols, whole numbers of any type, shape `(steps,)`.

    Raises:
        RequestError: If there is more than one axis, or what is there are no symbols.

    Example:
        >>> notes_of([0, 41, 1, 43, 0])
        [Note(start=1, stop=3, pitch=60), Note(start=3, stop=4, pitch=62)]
    """
    array = np.asarray(tokens)
    if array.ndim != 1 or (array.size and (array.min() < 0 or array.max() >= SYMBOLS or np.any(array % 1))):
        raise RequestError(
            f"the symbols are {array.dtype} of shape {array.shape}; expected one axis of whole numbers from 0 to "
            f"{SYMBOLS - 1}: pass one melody at a time"
        )
    found: list[Note] = []
    sounding: tuple[int, int] | None = None  # where it began, and its pitch
    for step, symbol in enumerate([*array.astype(int).tolist(), NOTE_OFF]):
        if symbol == NO_EVENT:
            continue
        if sounding is not None:
            found.append(Note(sounding[0], step, sounding[1]))
        sounding = (step, symbol - _FIRST + LOWEST) if symbol >= _FIRST else None
    return found
