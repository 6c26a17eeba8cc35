r"""Tunes, and the text in which the melodies that come with vaekit are written."""

__all__ = ["Tune", "parse_tunes"]

import re
from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

from vaekit.errors import RequestError
from vaekit.music.tokens import STEPS_PER_BAR, Note

_SCALE = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_FIFTHS = {"Eb": -3, "Bb": -2, "F": -1, "C": 0, "G": 1, "D": 2, "A": 3, "E": 4}  # sharps of a signature, or flats
_ACCIDENTALS = {"^": 1, "=": 0, "_": -1}
_FIELD = re.compile(r"(title|origin|signature|unit|times): *(.*\S)\s*")
_TONE = re.compile(r"([\^=_]?)([A-Ga-g][,']*|z)(\d*)(?:(/)([1-9]\d*)?)?(-?)\s*")


class Tune(NamedTuple):
    r"""A melody in four-four time, in whole bars of 16 sixteenths.

    Arguments:
        title: Its name.
        origin: Where it comes from: a country or a composer, and when.
        notes: One at a time, from the bar line before the first; an upbeat comes after rest.
        bars: How many bars there are.
    """

    title: str
    origin: str
    notes: tuple[Note, ...]
    bars: int


class _Tone(NamedTuple):
    pitch: int | None  # None is a rest
    steps: int
    tied: bool


class _Bar(NamedTuple):
    number: int  # as written, from 1
    tones: list[_Tone]
    steps: int


def parse_tunes(text: str) -> list[Tune]:
    r"""Return the tunes that a text tells of.

    A tune is a block of lines; blank lines divide tunes, and lines that begin with `#` are passed over. First come
    fields, `title`, `origin` and, where they are not as here, `signature: C`, `unit: 1/4`, `times: 1`. Then:

    - A note is a letter. `C` is the middle C and `c` the octave above it; `,` lowers by an octave and `'` raises.
      `z` is a rest. A number after it multiplies the unit, `3/2`, `2`, or `/` for a half and `/4` for a quarter.
    - `signature` names the major key whose sharps or flats hold throughout; `^`, `=` and `_` before a note sharpen,
      leave and flatten this one. `-` after a note ties it to the next.
    - `|` divides bars; `|: :|` is played twice, `|: [1 :| [2` with two endings; `||` ends a passage. A passage,
      repeated or not, may begin and end with part of a bar, if it makes up a whole one with the one before it. What
      is missing at the beginning of the tune and at its end is rest.
    - `times` is how often the whole is played.

    Raises:
        RequestError: If something else is there, or a bar is too long or too short.

    Example:
        >>> (tune,) = parse_tunes("title: A\norigin: B\nG | c3/2B/ c2")
        >>> [tuple(note) for note in tune.notes], tune.bars
        ([(12, 16, 67), (16, 22, 72), (22, 24, 71), (24, 32, 72)], 2)
    """
    kept = "\n".join("" if not line.strip() else line for line in text.splitlines() if not line.startswith("#"))
    return [_tune(block) for block in re.split(r"\n{2,}", kept.strip("\n")) if block]


def _tune(block: str) -> Tune:
    fields = {"signature": "C", "unit": "1/4", "times": "1"}
    lines = []
    for line in block.split("\n"):
        if found := _FIELD.fullmatch(line):
            fields[found[1]] = found[2]
        else:
            lines.append(line)
    if not {"title", "origin"} <= set(fields):
        raise RequestError(
            f"a tune begins with {block[:40]!r}; expected its title: and its origin: on lines of their own"
        )
    title = fields["title"]
    try:
        fifths, unit, times = _FIFTHS[fields["signature"]], Fraction(fields["unit"]), int(fields["times"])
        if times < 1:
            raise ValueError(f"times: {times}")
    except (KeyError, ValueError, ZeroDivisionError) as error:
        raise RequestError(
            f"{title}: a field cannot be read ({error}); expected signature: one of {', '.join(_FIFTHS)}; unit: such "
            "as 1/8; times: a whole number from 1"
        ) from error
    altered = dict.fromkeys("FCGDAEB"[: max(fifths, 0)], 1) | dict.fromkeys("BEA"[: max(-fifths, 0)], -1)
    passages = _played(" ".join(lines), title, lambda text, number: _bar(text, number, title, altered, unit))
    return Tune(title, fields["origin"], *_joined(passages * times, title))


def _played(music: str, title: str, read: Callable[[str, int], _Bar]) -> list[list[_Bar]]:
    """The passages in the order they are played in."""
    played: list[list[_Bar]] = []
    here: list[_Bar] = []  # the passage that is being read
    common: list[_Bar] | None = None  # what two endings have in common
    opened = False
    number = 0
    for part in re.split(r"(\|:|:\||\|\||\||\[[12])", music):
        if part in ("|:", "||"):
            if opened:
                raise RequestError(f"{title}, bar {number}: {part} comes before the end of |:; expected :|")
            opened = part == "|:"
            played, here = [*played, here], []
        elif part == "[1":
            common = list(here)
        elif part == ":|":
            played += [here, here] if common is None else [here]
            here, opened = [], False
        elif part == "[2":
            if common is None or here:
                raise RequestError(f"{title}, bar {number}: [2 is not after :|; expected |: ... [1 ... :| [2 ... ||")
            here, common = common, None
        elif part != "|" and part.strip():
            number += 1
            here.append(read(part, number))
    if opened or common is not None:
        raise RequestError(f"{title}: a repeat has no end; expected |: ... :| or |: ... [1 ... :| [2 ... ||")
    return [passage for passage in [*played, here] if passage]


def _bar(text: str, number: int, title: str, altered: dict[str, int], unit: Fraction) -> _Bar:
    tones, place = [], len(text) - len(text.lstrip())
    while place < len(text):
        found = _TONE.match(text, place)
        if not found:
            raise RequestError(f"{title}, bar {number}: {text[place:].strip()!r} is no note; expected such as ^c'3/2")
        accidental, name, times, slash, parts, tie = found.groups()
        steps = STEPS_PER_BAR * unit * Fraction(int(times or 1), int(parts or 2) if slash else 1)
        if steps.denominator != 1 or not steps:
            raise RequestError(
                f"{title}, bar {number}: {found[0].strip()} lasts {steps} sixteenths; expected whole ones"
            )
        pitch = None
        if name != "z":
            letter = name[0].upper()
            alter = _ACCIDENTALS.get(accidental, altered.get(letter, 0))
            octaves = name[0].islower() + name.count("'") - name.count(",")
            pitch = 60 + _SCALE[letter] + alter + 12 * octaves
        tones.append(_Tone(pitch, int(steps), bool(tie)))
        place = found.end()
    return _Bar(number, tones, sum(tone.steps for tone in tones))


def _joined(passages: list[list[_Bar]], title: str) -> tuple[tuple[Note, ...], int]:
    """The notes of passages one after the other, and the number of bars, once the bars are seen to be whole."""
    if not passages:
        raise RequestError(f"{title}: there are no notes; expected bars after the fields")
    notes: list[Note] = []
    at = max(STEPS_PER_BAR - passages[0][0].steps, 0)  # what is missing before the upbeat
    tied = False
    for passage in passages:
        for bar in passage:
            missing = STEPS_PER_BAR - at % STEPS_PER_BAR
            if bar.steps > missing or (bar.steps < missing and bar is not passage[-1]):
                raise RequestError(
                    f"{title}, bar {bar.number} has {bar.steps} sixteenths; expected {missing}: only the first and "
                    "last bar of a passage may be parts of a bar, that make up a whole one"
                )
            for tone in bar.tones:
                if tied and tone.pitch != notes[-1].pitch:
                    raise RequestError(f"{title}, bar {bar.number}: a tie leads to another pitch; expected the same")
                if tone.pitch is not None:
                    start = notes.pop().start if tied else at
                    notes.append(Note(start, at + tone.steps, tone.pitch))
                tied = tone.tied and tone.pitch is not None
                at += tone.steps
    if tied:
        raise RequestError(f"{title}: the last note is tied; expected a note after it")
    return tuple(notes), -(-at // STEPS_PER_BAR)
