r"""Scores: pitches, times, bar lines and repeats as they are written; what is damaged is left out or says so."""

import re
import sys
from pathlib import Path

import pytest

from vaekit.data import load_dataset
from vaekit.errors import RequestError
from vaekit.music import Metre, Note
from vaekit.music.bars import stretches, upbeat
from vaekit.music.scores import parse_scores, read_scores

music21 = pytest.importorskip("music21")

HEAD = "X:1\nT:A tune\nM:4/4\nL:1/4\nK:C\n"


def abc(body, head=HEAD):
    return parse_scores((head + body).encode(), ".abc")[0][0]


def timed(melody):
    return [tuple(note) for note in melody.notes]


def test_pitches_and_lengths_of_abc():
    found = abc("C,C c c'|^F _B, =F z|D2 E/2F/2 G/|\n")
    assert [note.pitch for note in found.notes] == [48, 60, 72, 84, 66, 58, 65, 62, 64, 65, 67]
    assert timed(found)[4:] == [
        (16, 20, 66), (20, 24, 58), (24, 28, 65), (32, 40, 62), (40, 42, 64), (42, 44, 65), (44, 46, 67)
    ]  # fmt: skip
    assert (found.title, found.metres, found.barred) == ("A tune", (Metre(0, 4, 4),), True)
    # The key holds for what it names, and what is on a bar holds in it.
    assert [note.pitch for note in abc("FC=FF|F4|", HEAD.replace("K:C", "K:D")).notes] == [66, 61, 65, 65, 66]


def test_an_upbeat_ends_at_a_bar_line():
    found = abc("G|c2 d2|e4|\n")
    assert timed(found) == [(12, 16, 67), (16, 24, 72), (24, 32, 74), (32, 48, 76)]
    assert stretches(found) == [list(found.notes)]
    assert timed(abc("c2 d2|e4|\n"))[0] == (0, 8, 72)


def test_repeats_are_played_ties_are_held_and_graces_and_chords_are_not_sung():
    assert [n.pitch for n in abc("|:C4|D4:|E4|\n").notes] == [60, 62, 60, 62, 64]
    assert timed(abc("C2 D2-|D4|\n")) == [(0, 8, 60), (8, 32, 62)]
    assert timed(abc('"Am"C2 {d}[EGc]2|\n')) == [(0, 8, 60), (8, 16, 72)]
    triplet = abc("(3C/D/E/ F z2|\n")
    assert [note.start for note in triplet.notes] == [0, 1, 3, 4]
    assert triplet.moved == 3


def test_metres_are_those_of_the_score():
    three = abc("C3|D3|\n", HEAD.replace("4/4", "3/4"))
    assert three.metres == (Metre(0, 3, 4),)
    assert stretches(three) == []
    assert abc("C4|D4|\n", HEAD.replace("4/4", "C|")).metres == (Metre(0, 2, 2),)
    free = abc("C4|D4|\n", HEAD.replace("M:4/4\n", "M:none\n"))
    assert stretches(free) == []


KERN = """!!!OTL: A song
**kern
*M4/4
*k[f#]
=0-
4d
=1
4g
[4b
4b]
8.cc#
16dd
=2
2g
2r
==
*-
"""


def test_kern():
    [found] = parse_scores(KERN.encode(), ".krn")[0]
    assert timed(found) == [(12, 16, 62), (16, 20, 67), (20, 28, 71), (28, 31, 73), (31, 32, 74), (32, 40, 67)]
    assert found.barred
    two = "**kern\t**kern\n*M4/4\t*M4/4\n=1-\t=1-\n1C\t2e\n.\t2f\n=2\t=2\n1G\t1g\n==\t==\n*-\t*-\n"
    assert timed(parse_scores(two.encode(), ".krn")[0][0]) == [(0, 8, 64), (8, 16, 65), (16, 32, 67)]


def test_damaged_tunes_are_left_out_and_counted(tmp_path):
    book = f"{HEAD}C4|D4|\n\nX:2\nT:Nothing\nM:4/4\nL:1/4\nK:C\nz4|\n\n{HEAD.replace('X:1', 'X:3')}E4|F4|\n"
    melodies, broken = parse_scores(book.encode(), ".abc")
    assert ([m.notes[0].pitch for m in melodies], broken) == ([60, 64], 1)
    (tmp_path / "a.abc").write_text(book)
    assert [m.notes[0].pitch for m in read_scores(tmp_path / "a.abc")] == [60, 64]
    data = load_dataset(tmp_path / "a.abc", validation=0, test=0)
    assert len(data.train) == 2
    assert "1 skipped" in data.note
    for content in (b"", b"nothing", b"/etc/passwd", b"\xff\xfe\0", KERN[:30].encode()):
        for ending in ("abc", "krn"):
            (tmp_path / f"b.{ending}").write_bytes(content)
            with pytest.raises(RequestError, match="cannot be read"):
                read_scores(tmp_path / f"b.{ending}")
    with pytest.raises(RequestError, match="ends in"):
        parse_scores(b"", ".xml")


def test_without_music21_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "music21", None)
    (tmp_path / "a.abc").write_text(HEAD + "C4|D4|\n")
    for read in (read_scores, load_dataset):
        with pytest.raises(RequestError, match=re.escape('pip install "vaekit[scores]"')):
            read(tmp_path / "a.abc")


@pytest.mark.slow
def test_upbeats_of_folk_songs_are_heard_where_their_scores_have_them():
    corpus = Path(music21.__file__).parent / "corpus" / "essenFolksong"
    text = "X:".join((corpus / "erk20.abc").read_text().split("X:")[:151])
    melodies, _ = parse_scores(text.encode(), ".abc")
    asked = right = plain = 0
    for melody in melodies:
        if len(melody.metres) > 1 or str(melody.metres[0]) not in ("4/4", "2/4"):
            continue
        bar, first = melody.metres[0].steps, melody.notes[0].start
        expected = -first % bar
        heard = upbeat([Note(n.start - first, n.stop - first, n.pitch) for n in melody.notes], bar)
        asked, right, plain = asked + 1, right + (heard == expected), plain + (expected == 0)
    assert asked > 50
    assert right > 0.88 * asked
    assert right > 1.3 * plain
