r"""Scores as text: the melodies of ABC, of which a file may have many, and of Humdrum's kern."""

__all__ = ["ENDINGS", "parse_scores", "read_scores"]

import contextlib
import os
import re
import warnings
from pathlib import Path
from statistics import fmean
from types import ModuleType
from typing import Any

from vaekit.errors import RequestError
from vaekit.music.melody import Melody, melody_of

ENDINGS = (".abc", ".krn")

_QUARTER = 10_080  # units of time; divided evenly by what notes are divided into
_VERSION = "%abc-2.1"  # in which an accidental holds for its bar, as in print; without a version music21 forgets it
_TUNE = re.compile(r"(?m)^(?=X:)")


def read_scores(path: str | os.PathLike[str]) -> list[Melody]:
    r"""Return the melodies of a file of ABC (.abc) or kern (.krn), each from a bar line, with repeats written out.

    Of a score of several parts it is the line of the highest: that whose notes are highest on the average. Graces are
    left out and tied notes are one.

    Arguments:
        path: The file.

    Raises:
        RequestError: If nothing in it can be read, its ending is another, or music21 is not installed.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "scale.abc"
        >>> _ = path.write_text("X:1\nT:Scale\nM:4/4\nL:1/4\nK:D\nA|DEFG|A4|\n")
        >>> [tune] = read_scores(path)
        >>> tune.title, [(note.start, note.pitch) for note in tune.notes]
        ('Scale', [(12, 69), (16, 62), (20, 64), (24, 66), (28, 67), (32, 69)])
    """
    try:
        melodies, _ = parse_scores(Path(path).read_bytes(), Path(path).suffix.lower())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RequestError(f"{os.fspath(path)} cannot be read ({reason}); expected a whole score") from None
    return melodies


def parse_scores(content: bytes, ending: str) -> tuple[list[Melody], int]:
    r"""Return the melodies of the bytes of a file, as `read_scores` does, and how many could not be read.

    Arguments:
        content: The bytes.
        ending: ".abc" or ".krn".

    Raises:
        ValueError: If none can be read.
        RequestError: If the ending is another, or music21 is not installed.
    """
    if ending not in ENDINGS:
        raise RequestError(f"the score ends in {ending!r}; expected {' or '.join(ENDINGS)}: convert it")
    music21 = _music21()
    text = content.decode("utf-8", "replace").replace("\r\n", "\n")
    head, *tunes = _TUNE.split(text) if ending == ".abc" else ("", text)
    if ending == ".abc" and not head.startswith("%abc"):
        head = f"{_VERSION}\n{head}"
    melodies: list[Melody] = []
    reasons: list[str] = []
    for tune in tunes:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                # Not `parse`, which takes a text that is a path for the file there.
                score = music21.converter.parseData(head + tune, format="abc" if ending == ".abc" else "humdrum")
                melodies.append(_melody(music21, score))
        except Exception as error:  # a damaged score raises whatever it comes upon
            reasons.append(" ".join(str(error).split()) or type(error).__name__)
    if not melodies:
        raise ValueError(reasons[0] if reasons else "it has no tune, which would begin with X:")
    return melodies, len(reasons)


def _melody(music21: ModuleType, score: Any) -> Melody:
    parts = [part for part in score.parts or [score] if _sounding(music21, part.flatten())]
    if not parts:
        raise ValueError("it has no note")
    part = max(parts, key=lambda part: fmean(pitch for *_, pitch in _sounding(music21, part.flatten())))
    if part.getElementsByClass(music21.stream.Measure):
        with contextlib.suppress(music21.repeat.ExpanderException):  # repeats that do not close are as written
            part = part.expandRepeats()
    first = next(iter(part.getElementsByClass(music21.stream.Measure)), None)
    flat = part.stripTies().flatten()
    metres = [
        (_units(mark.offset), mark.numerator, mark.denominator)
        for mark in flat.getElementsByClass(music21.meter.TimeSignature)
    ]
    upbeat = 0
    if first is not None and metres:
        bar, held = _units(first.barDuration.quarterLength), _units(first.duration.quarterLength)
        upbeat = max(0, bar - held)
    return melody_of(
        [(start + upbeat, stop + upbeat, pitch) for start, stop, pitch in _sounding(music21, flat)],
        _QUARTER,
        # Without a metre there are no bars.
        [(start and start + upbeat, *rest) for start, *rest in metres] or [(0, 0, 1)],
        title=(score.metadata.title if score.metadata else None) or "",
        barred=True,
    )


def _sounding(music21: ModuleType, flat: Any) -> list[tuple[int, int, int]]:
    """Start, stop and pitch of what sounds, graces and names of chords aside, of chords the highest."""
    return [
        (_units(note.offset), _units(note.offset + note.duration.quarterLength), max(p.midi for p in note.pitches))
        for note in flat.notes
        if note.pitches and not note.duration.isGrace and not isinstance(note, music21.harmony.Harmony)
    ]


def _units(quarters: Any) -> int:
    units: int = round(quarters * _QUARTER)
    return units


def _music21() -> ModuleType:
    try:
        import music21
    except ImportError:
        raise RequestError('scores need music21, which is not installed: pip install "vaekit[scores]"') from None
    return music21
