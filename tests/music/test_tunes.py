r"""The melodies that come with vaekit: whole bars, known openings; and the text they are written in, by hand."""

import itertools

import numpy as np
import pytest

from vaekit.data.melodies import shipped_tunes
from vaekit.errors import RequestError
from vaekit.music import STEPS_PER_BAR, Note, notes_of, tokens_of
from vaekit.music.tunes import parse_tunes

TUNES = {tune.title: tune for tune in shipped_tunes()}


def parse(music, **fields):
    lines = [f"{name}: {value}" for name, value in ({"title": "A", "origin": "B"} | fields).items()]
    (tune,) = parse_tunes("\n".join([*lines, music]))
    return tune


def pitches(tune):
    return [note.pitch for note in tune.notes]


def lengths(tune):
    return [note.stop - note.start for note in tune.notes]


@pytest.mark.parametrize(
    ("text", "pitch"),
    [
        ("C", 60),
        ("B", 71),
        ("c", 72),
        ("C,", 48),
        ("c'", 84),
        ("C'", 72),
        ("c,", 60),
        ("^F", 66),
        ("_B,", 58),
        ("=F", 65),
    ],
)
def test_a_letter_is_a_pitch(text, pitch):
    assert pitches(parse(f"{text}4")) == [pitch]


@pytest.mark.parametrize(
    ("signature", "altered"),
    [
        ("C", {}),
        ("G", {65: 66}),
        ("D", {65: 66, 60: 61}),
        ("A", {65: 66, 60: 61, 67: 68}),
        ("E", {65: 66, 60: 61, 67: 68, 62: 63}),
        ("F", {71: 70}),
        ("Bb", {71: 70, 64: 63}),
        ("Eb", {71: 70, 64: 63, 69: 68}),
    ],
)
def test_a_signature_alters_every_octave_and_an_accidental_one_note(signature, altered):
    scale = [60, 62, 64, 65, 67, 69, 71]
    expected = [altered.get(pitch, pitch) for pitch in scale]
    tune = parse("C D E F | G A B z | c d e f | g a b z", signature=signature)
    assert pitches(tune) == expected + [pitch + 12 for pitch in expected]
    assert pitches(parse("=F ^F _F F", signature=signature)) == [65, 66, 64, altered.get(65, 65)]


@pytest.mark.parametrize(
    ("unit", "music", "expected"),
    [
        ("1/4", "C C2 C/ C/", [4, 8, 2, 2]),
        ("1/4", "C3/2C/ C3/4C/4 C", [6, 2, 3, 1, 4]),
        ("1/8", "C8", [16]),
        ("1/8", "C3/2C/ CC C4", [3, 1, 2, 2, 8]),
        ("1/16", "CCCC C12", [1, 1, 1, 1, 12]),
    ],
)
def test_numbers_multiply_the_unit(unit, music, expected):
    tune = parse(music, unit=unit)
    assert lengths(tune) == expected
    assert tune.notes[0].start == 0
    assert all(a.stop == b.start for a, b in itertools.pairwise(tune.notes))
    assert tune.bars == 1


def test_rests_ties_and_the_same_note_again():
    tune = parse("C z D D- | D- D2 z")
    assert tune.notes == (Note(0, 4, 60), Note(8, 12, 62), Note(12, 28, 62))
    assert tune.bars == 2


@pytest.mark.parametrize(
    ("music", "expected"),
    [
        ("C4 | D4", "CD"),
        ("|: C4 | D4 :| E4", "CDCDE"),
        ("C4 :| D4", "CCD"),
        ("|: C4 :| |: D4 :|", "CCDD"),
        ("|: C4 | [1 D4 :| [2 E4 || F4", "CDCEF"),
        ("|: C4 | [1 D4 | E4 :| [2 F4 | G4", "CDECFG"),
        ("E4 || |: C4 | [1 D4 :| [2 E4 |: F4 :|", "ECDCEFF"),
    ],
)
@pytest.mark.parametrize("times", [1, 2])
def test_repeats_are_played(music, expected, times):
    tune = parse(music, times=times)
    assert pitches(tune) == [pitches(parse(f"{letter}4"))[0] for letter in expected] * times
    assert tune.bars == len(expected) * times


def test_an_upbeat_has_a_bar_that_begins_with_rest_and_completes_the_last_bar_when_repeated():
    once = parse("G | c2 G2 | c3")
    assert once.notes == (Note(12, 16, 67), Note(16, 24, 72), Note(24, 32, 67), Note(32, 44, 72))
    assert once.bars == 3
    for twice in (parse("G | c2 G2 | c3", times=2), parse("|: G | c2 G2 | c3 :|")):
        assert twice.bars == 5
        assert twice.notes == once.notes + tuple(
            Note(start + 32, stop + 32, pitch) for start, stop, pitch in once.notes
        )
    assert parse("G || |: c2 G2 | [1 c3 G :| [2 c3").notes == twice.notes


@pytest.mark.parametrize(
    ("music", "message"),
    [
        ("C4 | D3 | E4", "A, bar 2 has 12 sixteenths; expected 16"),
        ("C4 | D5 | E4", "A, bar 2 has 20 sixteenths; expected 16"),
        ("C5", "A, bar 1 has 20 sixteenths; expected 16"),
        ("G | C4 | D3 :| E4", "A, bar 4 has 16 sixteenths; expected 4"),
        ("C4 | D3 || E2 | F4", "A, bar 3 has 8 sixteenths; expected 4"),
        ("C4 | D2 || E | F4", "A, bar 3 has 4 sixteenths; expected 8"),
        ("C4 | D/8 E", "A, bar 2: D/8 lasts 1/2"),
        ("C0", "A, bar 1: C0 lasts 0"),
        ("C/0", "A, bar 1: '0' is no note"),
        ("C4 | H4", "A, bar 2: 'H4' is no note"),
        ("C4- | D4", "A, bar 2: a tie"),
        ("C4- | z4", "A, bar 2: a tie"),
        ("C4-", "A: the last note is tied"),
        ("|: C4 | [1 D4 :|", "A: a repeat has no end"),
        ("|: C4 | D4", "A: a repeat has no end"),
        ("|: C4 | D4 || E4", "A, bar 2: .* before the end"),
        ("C4 | [2 D4", r"A, bar 1: \[2 is not after"),
        ("", "A: there are no notes"),
    ],
)
def test_what_is_no_tune_is_refused_with_title_and_bar(music, message):
    with pytest.raises(RequestError, match=message):
        parse(music)


@pytest.mark.parametrize("fields", [{"signature": "H"}, {"unit": "1/0"}, {"unit": "a"}, {"times": "0"}, {"times": "x"}])
def test_a_field_that_cannot_be_read_is_refused(fields):
    with pytest.raises(RequestError, match="A: a field"):
        parse("C4", **fields)


def test_title_and_origin_are_asked_for_and_comments_are_passed_over():
    with pytest.raises(RequestError, match="title"):
        parse_tunes("origin: B\nC4")
    tunes = parse_tunes("# what\n\n\ntitle: A\norigin: B\n# why\nC4 |\nD4\n \ntitle: E\norigin: F: G\nE4\n")
    assert [(tune.title, tune.origin, pitches(tune)) for tune in tunes] == [("A", "B", [60, 62]), ("E", "F: G", [64])]


def test_there_are_enough_and_none_is_there_twice():
    assert len(shipped_tunes()) == len(TUNES) >= 60
    assert len({tuple(np.diff(pitches(tune)).tolist()) for tune in TUNES.values()}) == len(TUNES)
    assert sum(tune.bars >= 16 for tune in TUNES.values()) >= 40


@pytest.mark.parametrize("tune", TUNES.values(), ids=TUNES)
def test_every_tune_is_whole_bars_of_one_note_at_a_time(tune):
    assert tune.origin
    assert 8 <= tune.bars <= 32
    assert all(48 <= note.pitch <= 84 and note.start < note.stop for note in tune.notes)
    assert all(a.stop <= b.start for a, b in itertools.pairwise(tune.notes))
    assert 0 <= tune.notes[0].start < STEPS_PER_BAR  # an upbeat at most is missing, and no more than a bar at the end
    assert 0 <= STEPS_PER_BAR * tune.bars - tune.notes[-1].stop < STEPS_PER_BAR
    tokens = tokens_of(tune.notes, STEPS_PER_BAR * tune.bars)
    assert notes_of(tokens) == list(tune.notes)


# Semitones above the first note, and sixteenths, as one would sing them.
OPENINGS = {
    "Twinkle, Twinkle, Little Star": ([0, 0, 7, 7, 9, 9, 7, 5, 5, 4, 4, 2, 2, 0], [4] * 6 + [8] + [4] * 6 + [8]),
    "Frère Jacques": ([0, 2, 4, 0, 0, 2, 4, 0, 4, 5, 7, 4, 5, 7], [4] * 10 + [8, 4, 4, 8]),
    "Ode to Joy": ([0, 0, 1, 3, 3, 1, 0, -2, -4, -4, -2, 0, 0, -2, -2], [4] * 12 + [6, 2, 8]),
    "Au clair de la lune": ([0, 0, 0, 2, 4, 2, 0, 4, 2, 2, 0], [4, 4, 4, 4, 8, 8, 4, 4, 4, 4, 16]),
    "Auld Lang Syne": ([0, 5, 5, 5, 9, 7, 5, 7, 9, 5, 5, 9, 12, 14], [4, 6, 2, 4, 4, 6, 2, 4, 4, 6, 2, 4, 4, 12]),
    "Korobeiniki": ([0, -5, -4, -2, -4, -5, -7, -7, -4, 0, -2, -4], [4, 2, 2, 4, 2, 2, 4, 2, 2, 4, 2, 2]),
    "Emperor's Hymn": (
        [0, 2, 4, 2, 5, 4, 2, -1, 0, 9, 7, 5, 4, 2, 4, 0, 7],
        [6, 2, 4, 4, 4, 4, 2, 2] + [4] * 6 + [2, 2, 8],
    ),
}


@pytest.mark.parametrize(("title", "opening"), OPENINGS.items(), ids=OPENINGS)
def test_openings_as_they_are_known(title, opening):
    steps, durations = opening
    tune = TUNES[title]
    assert [pitch - tune.notes[0].pitch for pitch in pitches(tune)[: len(steps)]] == steps
    assert lengths(tune)[: len(durations)] == durations


def test_missing_or_changed_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("vaekit.data.shipped.FILES", tmp_path)
    with pytest.raises(RequestError, match=r"melodies\.txt cannot be read .* reinstall"):
        shipped_tunes()
    (tmp_path / "melodies.txt").write_text("title: A\norigin: B\nc4")
    with pytest.raises(RequestError, match=r"melodies\.txt is damaged: .* reinstall"):
        shipped_tunes()
