r"""MIDI: what is written is read; of several notes the highest, on sixteenths; what is damaged says so."""

import contextlib
import random
import struct

import pytest

from vaekit.errors import RequestError
from vaekit.music import HIGHEST, LOWEST, Melody, Metre, Note, notes_of, read_midi, tokens_of, write_midi
from vaekit.music.melody import melody_of
from vaekit.music.midi import midi, parse_midi

pytest.importorskip("symusic")


def melody(seed, steps=64):
    """Notes of random lengths and rests, one at a time."""
    draw, notes, at = random.Random(seed), [], 0
    while (at := at + draw.choice([0, 0, 1, 5])) < steps:
        stop = at + draw.randint(1, 9)
        notes.append(Note(at, stop, draw.randint(LOWEST, HIGHEST)))
        at = stop
    return notes


def track(*events):
    """A chunk of events, each a time since the last and bytes."""
    body = b"".join(bytes(delta(time)) + data for time, data in events) + b"\0\xff\x2f\0"
    return b"MTrk" + struct.pack(">I", len(body)) + body


def delta(time):
    """A number in parts of seven bits."""
    parts = [time & 127]
    while time := time >> 7:
        parts.insert(0, time & 127 | 128)
    return parts


def file(*tracks, quarter=96):
    """A whole file."""
    return b"MThd" + struct.pack(">IHHH", 6, 1, len(tracks), quarter) + b"".join(tracks)


def on(pitch, channel=0):
    return bytes([0x90 | channel, pitch, 64])


def off(pitch, channel=0):
    return bytes([0x80 | channel, pitch, 64])


@pytest.mark.parametrize("seed", range(20))
def test_notes_come_back_from_a_file(tmp_path, seed):
    notes = melody(seed)
    path = write_midi(tmp_path / "deep" / "a.mid", notes, tempo=90 + seed, program=seed)
    found = read_midi(path)
    assert list(found.notes) == notes
    assert (found.moved, found.dropped, found.shifted, found.metres) == (0, 0, 0, (Metre(0, 4, 4),))
    assert read_midi(path.read_bytes()) == found
    assert [p.name for p in path.parent.iterdir()] == ["a.mid"]
    assert notes_of(tokens_of(found.notes, notes[-1].stop)) == notes


def test_the_bytes_are_those_of_the_standard():
    content = midi([Note(0, 4, 60)], tempo=100, metre=(3, 4), program=5)
    assert content[:4] == b"MThd"
    assert struct.unpack(">H", content[12:14]) == (480,)
    assert b"\xff\x51\x03" + (600_000).to_bytes(3, "big") in content  # microseconds of a quarter
    assert b"\xff\x58\x04\x03\x02" in content  # three, and two to the second
    assert b"\xc0\x05" in content
    assert content.endswith(b"\xff\x2f\x00")
    assert midi([Note(0, 4, 60)], tempo=100, metre=(3, 4), program=5) == content
    assert parse_midi(content).metres == (Metre(0, 3, 4),)


def test_the_track_with_most_notes_that_is_no_percussion_is_read():
    few = track((0, on(50)), (96, off(50)))
    many = track((0, on(60)), (96, off(60)), (0, on(62)), (96, off(62)))
    drums = track(*[event for _ in range(9) for event in ((0, on(40, 9)), (24, off(40, 9)))])
    found = parse_midi(file(few, many, drums))
    assert found.notes == (Note(0, 4, 60), Note(4, 8, 62))
    with pytest.raises(RequestError, match="no note"):
        read_midi(file(drums))


def test_a_note_that_begins_with_velocity_0_ends():
    found = parse_midi(file(track((0, on(60)), (48, bytes([0x90, 60, 0])), (48, on(62)), (96, off(62)))))
    assert found.notes == (Note(0, 2, 60), Note(4, 8, 62))


def test_of_notes_that_sound_together_the_highest_is_the_melody():
    chord = melody_of([(0, 8, 60), (0, 8, 67), (0, 4, 64), (8, 12, 65)], 4)
    assert chord.notes == (Note(0, 8, 67), Note(8, 12, 65))
    assert chord.dropped == 2
    # A lower note under one that sounds is none of the melody; a higher one ends what sounds.
    crossed = melody_of([(0, 8, 67), (2, 6, 60), (4, 12, 72)], 4)
    assert crossed.notes == (Note(0, 4, 67), Note(4, 12, 72))
    assert crossed.dropped == 1
    again = melody_of([(0, 8, 67), (4, 8, 67)], 4)
    assert again.notes == (Note(0, 4, 67), Note(4, 8, 67))


@pytest.mark.parametrize("seed", range(30))
def test_the_melody_is_the_highest_note_at_the_start_of_each_of_its_notes(seed):
    draw = random.Random(seed)
    events = [(t := draw.randint(0, 200), t + draw.randint(0, 40), draw.randint(0, 127)) for _ in range(60)]
    found = melody_of(events, 12)
    assert len(found.notes) + found.dropped == len(events)
    starts = {}
    for start, stop, pitch in events:
        begin, end = round_up(start, 12), round_up(stop, 12)
        if begin < end:
            starts[begin] = max(starts.get(begin, 0), pitch)
    for note, following in zip(found.notes, [*found.notes[1:], None], strict=True):
        assert LOWEST <= note.pitch <= HIGHEST
        assert (starts[note.start] - note.pitch) % 12 == 0
        assert following is None or note.start < note.stop <= following.start
    assert tokens_of(found.notes, 300).max() < 90


def round_up(time, quarter):
    """The nearest sixteenth by hand, the later of two."""
    below = 4 * time // quarter
    return below + (2 * (4 * time - below * quarter) >= quarter)


def test_times_between_sixteenths_go_to_the_nearest_and_are_counted():
    # Three in a quarter of 12: at 0, 4 and 8, that is 0, 4/3 and 8/3 sixteenths.
    triplet = melody_of([(0, 4, 60), (4, 8, 62), (8, 12, 64)], 12)
    assert triplet.notes == (Note(0, 1, 60), Note(1, 3, 62), Note(3, 4, 64))
    assert (triplet.moved, triplet.dropped) == (3, 0)
    grace = melody_of([(0, 1, 62), (1, 12, 60)], 12)
    assert grace.notes == (Note(0, 4, 60),)
    assert (grace.moved, grace.dropped) == (1, 1)


@pytest.mark.parametrize(("given", "kept"), [(20, 32), (0, 24), (109, 97), (127, 103), (21, 21), (108, 108)])
def test_pitches_beyond_a_piano_are_moved_by_octaves(given, kept):
    found = melody_of([(0, 4, given)], 4)
    assert found.notes[0].pitch == kept
    assert found.shifted == (given != kept)


def test_metres_are_kept_where_they_change():
    same = melody_of([(0, 4, 60)], 4, [(0, 4, 4), (16, 4, 4), (32, 3, 4), (44, 2, 2)])
    assert same.metres == (Metre(0, 4, 4), Metre(32, 3, 4), Metre(44, 2, 2))
    assert [metre.steps for metre in same.metres] == [16, 12, 16]
    assert melody_of([], 4, [(0, 3, 4), (0, 2, 4)]).metres == (Metre(0, 2, 4),)
    assert melody_of([], 4, [(8, 3, 4)]).metres == (Metre(0, 4, 4), Metre(8, 3, 4))
    assert Metre(0, 1, 64).steps == 0


def test_damaged_files_are_refused(tmp_path):
    content = midi(melody(0))
    for damaged in (b"", b"RIFF" + content, content[:30], b"\0" * 100, file(), file(track())):
        with pytest.raises(RequestError, match="the MIDI file cannot be read"):
            read_midi(damaged)
    with pytest.raises(RequestError, match=r"none\.mid cannot be read"):
        read_midi(tmp_path / "none.mid")
    draw = random.Random(0)
    for _ in range(300):
        broken = bytearray(content)
        for _ in range(draw.randint(1, 8)):
            broken[draw.randrange(len(broken))] = draw.randrange(256)
        with contextlib.suppress(ValueError):
            assert isinstance(parse_midi(bytes(broken)), Melody)


@pytest.mark.parametrize(
    "options", [{"tempo": 0}, {"tempo": float("nan")}, {"program": 128}, {"metre": (4, 3)}, {"metre": (0, 4)}]
)
def test_what_no_file_can_hold_is_refused(options):
    with pytest.raises(RequestError):
        midi([Note(0, 4, 60)], **options)


@pytest.mark.parametrize("note", [Note(0, 4, 128), Note(-1, 4, 60), Note(4, 4, 60)])
def test_notes_that_no_file_can_hold_are_refused(tmp_path, note):
    with pytest.raises(RequestError, match="a note of pitch"):
        write_midi(tmp_path / "a.mid", [note])
    assert not list(tmp_path.iterdir())
