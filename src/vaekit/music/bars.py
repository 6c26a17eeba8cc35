r"""Bars of a melody: where their lines are, which stretches are in a metre, and windows of a few bars."""

__all__ = ["stretches", "upbeat", "windows"]

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from vaekit.errors import RequestError
from vaekit.music.melody import Melody
from vaekit.music.tokens import STEPS_PER_BAR, Note, tokens_of

_MOST = 1000  # bars in a window


def upbeat(notes: Sequence[Note], bar: int = STEPS_PER_BAR) -> int:
    r"""Return how many sixteenths come before the first bar line, as far as that can be heard.

    Long notes begin on strong beats. Of all upbeats u that are shorter than half a bar, this is the first with the
    largest

    .. math::
        \sum_i \min(d_i, 16) \; w\big((t_i - u) \bmod \text{bar}\big)

    where a note begins at t and lasts d sixteenths, and w is 4 on the bar line, 3 half a bar later, 2 on other
    quarters, 1 on other eighths and else 0 (in a bar of three quarters no note is on half of it). Of folk songs in 4/4
    and 2/4 nine in ten come out as their scores have it.

    References:
        A generative theory of tonal music (Lerdahl and Jackendoff, 1983), metrical preference rule 5, length.

    Arguments:
        notes: In the order of time.
        bar: Sixteenths in a bar.

    Example:
        >>> upbeat([Note(0, 2, 67), Note(2, 6, 72), Note(6, 8, 71), Note(8, 10, 69), Note(10, 18, 67)])
        2
    """
    if not notes:
        return 0
    weights = [_strength(position, bar) for position in range(bar)]

    def heard(u: int) -> int:
        return sum(min(note.stop - note.start, STEPS_PER_BAR) * weights[(note.start - u) % bar] for note in notes)

    return max(range((bar + 1) // 2), key=heard)


def stretches(melody: Melody, metres: Collection[str] = ("4/4", "2/2"), *, listen: bool = True) -> list[list[Note]]:
    r"""Return the notes of each stretch of a melody that is in one of some metres, counted from a bar line.

    A change of metre is a bar line. Where there is none, and a melody that is not `barred` begins with a note, its
    first bar line is where it is heard, by `upbeat`: many files leave away the rest before an upbeat. An upbeat is in a
    bar of its own, which then begins with that rest. Of bars that are shorter, two are one, from the first whole one.

    Arguments:
        melody: The melody.
        metres: Those that are wanted: their bars are 16 sixteenths, or 8.
        listen: Look for an upbeat; otherwise the melody begins with a bar line.

    Example:
        >>> stretches(Melody((Note(0, 4, 67), Note(4, 12, 72), Note(12, 20, 74))))
        [[Note(start=12, stop=16, pitch=67), Note(start=16, stop=24, pitch=72), Note(start=24, stop=32, pitch=74)]]
    """
    found: list[list[Note]] = []
    starts = [metre.start for metre in melody.metres]
    for number, metre in enumerate(melody.metres):
        if str(metre) not in metres or not metre.steps or STEPS_PER_BAR % metre.steps:
            continue
        end = starts[number + 1] if number + 1 < len(starts) else None
        notes = [note for note in melody.notes if note.start >= metre.start and (end is None or note.start < end)]
        if not notes:
            continue
        # A note may go on where the metre has changed.
        notes[-1] = notes[-1]._replace(stop=min(notes[-1].stop, end or notes[-1].stop))
        before = 0
        if number == 0 and not melody.barred:
            if end is not None:
                before = end % metre.steps
            elif listen and notes[0].start == 0:
                before = upbeat(notes, metre.steps)
        line = metre.start + before - (STEPS_PER_BAR if before else 0)
        found.append([Note(note.start - line, note.stop - line, note.pitch) for note in notes])
    return found


def windows(notes: Sequence[Note], bars: int, *, repeat: bool = False) -> NDArray[np.uint8]:
    r"""Return the symbols of the windows of a melody, each a bar after the one before, shape `(n, 16 * bars)`.

    The last bar is filled with rest. Windows in which no note begins, or with more than 16 sixteenths of rest in a
    row, are left out, and those that are there already. A note that sounds when a window begins, begins with it.

    References:
        A hierarchical latent vector model for learning long-term structure in music (Roberts et al., 2018): windows a
        bar apart, none with more than a bar of rests.

    Arguments:
        notes: Counted from a bar line, in the order of time.
        bars: Bars in a window.
        repeat: Play a melody that has fewer bars again from its beginning, as verses of a song are, until it has as
            many; an upbeat then shares the bar of the end if there is room.

    Raises:
        RequestError: If there is less than a bar in a window, or more than 1,000.

    Example:
        >>> windows([Note(0, 16, 60), Note(16, 32, 62), Note(32, 48, 60)], 2)[:, ::16].tolist()
        [[41, 43], [43, 41]]
    """
    if isinstance(bars, bool) or not isinstance(bars, int) or not 1 <= bars <= _MOST:
        raise RequestError(f"bars is {bars!r}; expected a whole number from 1 to {_MOST:,}: pass bars=2")
    steps, held = bars * STEPS_PER_BAR, list(notes)
    length = -(-max((note.stop for note in held), default=0) // STEPS_PER_BAR)
    if repeat and held and length < bars:
        held = _again(held, length, bars)
        length = max(bars, length)
    begins = [note.start for note in held]
    ends = [note.stop for note in held]
    firsts = {
        bar for note in held for bar in range(note.start // STEPS_PER_BAR - bars + 1, note.start // STEPS_PER_BAR + 1)
    }
    found: dict[bytes, NDArray[np.uint8]] = {}
    for first in sorted(bar for bar in firsts if 0 <= bar <= length - bars):
        start, stop = first * STEPS_PER_BAR, first * STEPS_PER_BAR + steps
        seen = held[bisect_right(ends, start) : bisect_left(begins, stop)]
        cut = [Note(max(note.start, start) - start, min(note.stop, stop) - start, note.pitch) for note in seen]
        rests = np.subtract([*(note.start for note in cut), steps], [0, *(note.stop for note in cut)])
        if rests.max() <= STEPS_PER_BAR:
            tokens = tokens_of(cut, steps)
            found.setdefault(tokens.tobytes(), tokens)
    return np.stack(list(found.values())) if found else np.empty((0, steps), np.uint8)


def _again(notes: list[Note], length: int, bars: int) -> list[Note]:
    """Notes of a melody of some bars, repeated up to at least so many, as far as those go."""
    last, first = notes[-1].stop, notes[0].start
    shared = length > 1 and first > 0 and last <= (length - 1) * STEPS_PER_BAR + first
    period = (length - shared) * STEPS_PER_BAR
    end = bars * STEPS_PER_BAR
    played = [
        Note(note.start + time, min(note.stop + time, end), note.pitch)
        for time in range(0, end, period)
        for note in notes
    ]
    return [note for note in played if note.start < end]


def _strength(position: int, bar: int) -> int:
    if position == 0:
        return 4
    if 2 * position == bar and position % 4 == 0:
        return 3
    return 2 if position % 4 == 0 else 1 if position % 2 == 0 else 0
