r"""A melody as a file has it: notes in sixteenths, one at a time, with the metres they are in."""

__all__ = ["Melody", "Metre", "melody_of"]

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from vaekit.music.tokens import HIGHEST, LOWEST, Note

_OCTAVE = 12


class Metre(NamedTuple):
    r"""A time signature, from where it holds.

    Arguments:
        start: The sixteenth from which it holds.
        beats: Its upper number.
        unit: Its lower number.

    Example:
        >>> Metre(0, 3, 4).steps, Metre(0, 2, 2).steps, str(Metre(0, 6, 8))
        (12, 16, '6/8')
    """

    start: int
    beats: int
    unit: int

    @property
    def steps(self) -> int:
        """Sixteenths in a bar; 0 if they are no whole number."""
        return 16 * self.beats // self.unit if self.unit and not 16 * self.beats % self.unit else 0

    def __str__(self) -> str:
        return f"{self.beats}/{self.unit}"


@dataclass(frozen=True)
class Melody:
    r"""Notes, one at a time, and what they are in.

    Arguments:
        notes: In the order of time.
        metres: In the order of time, the first from 0; those that change nothing are left out.
        title: What it is called, where that is known.
        barred: Whether a bar line is known to be at 0, as in scores; of MIDI files it is not.
        moved: How many notes were put on a sixteenth from between two.
        dropped: How many notes were left out: too short for a sixteenth, or below another that sounds.
        shifted: How many notes were moved by octaves to the keys of a piano.
    """

    notes: tuple[Note, ...]
    metres: tuple[Metre, ...] = (Metre(0, 4, 4),)
    title: str = ""
    barred: bool = False
    moved: int = 0
    dropped: int = 0
    shifted: int = 0


def melody_of(
    events: Iterable[tuple[int, int, int]],
    quarter: int,
    metres: Sequence[tuple[int, int, int]] = (),
    *,
    title: str = "",
    barred: bool = False,
) -> Melody:
    r"""Return the melody of timed notes: the highest of those that sound together, on sixteenths.

    Starts and stops go to the nearest sixteenth, the later of two as near; a note that has nothing left is dropped.
    Then a note is dropped that begins below one that sounds, and a note ends where a higher one begins. Pitches beyond
    the keys of a piano are moved by octaves.

    References:
        Manipulation of music for melody matching (Uitdenbogerd and Zobel, 1998): the highest note at any time.

    Arguments:
        events: Start, stop and MIDI pitch of each note, in any unit of time.
        quarter: How many of these units a quarter has.
        metres: Start in the same unit, upper and lower number of each time signature; where there is none, 4/4.
        title: What it is called.
        barred: Whether a bar line is at 0.

    Example:
        >>> melody_of([(0, 12, 60), (0, 12, 64), (12, 20, 62)], quarter=12).notes
        (Note(start=0, stop=4, pitch=64), Note(start=4, stop=7, pitch=62))
    """

    def nearest(time: int) -> int:
        return (8 * time + quarter) // (2 * quarter)

    moved = dropped = shifted = 0
    timed: list[Note] = []
    for start, stop, pitch in events:
        note = Note(nearest(start), nearest(stop), pitch)
        if note.start >= note.stop:
            dropped += 1
            continue
        moved += (4 * start) % quarter > 0 or (4 * stop) % quarter > 0
        timed.append(note)
    line: list[Note] = []
    for note in sorted(timed, key=lambda note: (note.start, -note.pitch, -note.stop)):
        if line and note.start < line[-1].stop:
            if note.pitch <= line[-1].pitch and not (note.pitch == line[-1].pitch and note.start > line[-1].start):
                dropped += 1
                continue
            line[-1] = line[-1]._replace(stop=note.start)
        line.append(note)
    for number, note in enumerate(line):
        if not LOWEST <= note.pitch <= HIGHEST:
            below, above = max(0, LOWEST - note.pitch), max(0, note.pitch - HIGHEST)
            octaves = -(-below // _OCTAVE) + above // -_OCTAVE
            line[number] = note._replace(pitch=note.pitch + _OCTAVE * octaves)
            shifted += 1
    return Melody(tuple(line), _metres(metres, quarter), title, barred, moved, dropped, shifted)


def _metres(given: Sequence[tuple[int, int, int]], quarter: int) -> tuple[Metre, ...]:
    """On sixteenths, the first at 0, without those that change nothing."""
    found: list[Metre] = [Metre(0, 4, 4)]
    for start, beats, unit in sorted(given, key=lambda metre: metre[0]):
        metre = Metre(round(Fraction(4 * start, quarter)), beats, unit)
        if metre.start <= found[-1].start:
            found.pop()
            metre = metre._replace(start=max(0, metre.start))
        if not found or metre[1:] != found[-1][1:]:
            found.append(metre)
    return tuple(found)
