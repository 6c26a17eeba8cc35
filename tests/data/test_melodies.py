r"""Melodies become windows in whole bars, on one side of the split each; what cannot be read is skipped and counted."""

import random
import zipfile
from pathlib import Path

import numpy as np
import pytest

from vaekit.data import load_dataset
from vaekit.data.melodies import load_melodies, shipped_tunes
from vaekit.errors import RequestError
from vaekit.music import NO_EVENT, NOTE_OFF, Melody, Metre, Note, notes_of, write_midi
from vaekit.music.bars import stretches, upbeat, windows
from vaekit.music.midi import midi

pytest.importorskip("symusic")

ESSEN = Path(__file__).parents[3] / "shared" / "data" / "melodies" / "essen_midi.zip"


def tune(seed, bars=8, start=0):
    """Bars in which longer notes come first, from a bar line, the last a whole note."""
    draw, notes, at = random.Random(seed), [], start
    for _ in range(bars - 1):
        for length in draw.choice([(8, 4, 4), (8, 8), (12, 4), (8, 2, 2, 4)]):
            notes.append(Note(at, at + length, draw.randint(55, 79)))
            at += length
    return [*notes, Note(at, at + 16, 60)]


@pytest.fixture
def folder(tmp_path):
    """Twenty tunes of eight bars, in two folders."""
    for seed in range(20):
        write_midi(tmp_path / "midi" / ("a" if seed % 2 else "b/c") / f"{seed:02}.mid", tune(seed))
    return tmp_path / "midi"


def rows(data):
    return {name: {row.tobytes() for row in np.asarray(split.x)} for name, split in data.splits.items()}


def test_windows_are_a_bar_apart_and_hold_what_is_played(folder):
    data = load_dataset(folder, validation=0, test=0)
    assert (data.shape, data.levels, data.suggested, data.train.x.dtype) == ((32,), 90, "categorical", np.uint8)
    assert data.train.labels is data.train.context is data.train.sequence is None
    expected = {
        tuple(
            Note(note.start - 16 * bar, note.stop - 16 * bar, note.pitch)
            for note in tune(seed)
            if 16 * bar <= note.start < 16 * bar + 32
        )
        for seed in range(20)
        for bar in range(7)
    }
    assert {tuple(notes_of(row)) for row in data.train.x} == expected
    assert "20 of 20 melodies used; " in data.note


def test_no_melody_is_on_two_sides_and_the_seed_decides(folder):
    data = load_dataset(folder, bars=8, test=0.2)
    tunes = [{tuple(notes_of(row)) for row in split.x} for split in data.splits.values()]
    assert [len(part) for part in tunes] == [14, 2, 4]
    assert set().union(*tunes) == {tuple(tune(seed)) for seed in range(20)}
    two = load_dataset(folder)
    assert [len(split) for split in two.splits.values()] == [16 * 7, 2 * 7, 2 * 7]
    assert load_dataset(folder).fingerprint == two.fingerprint
    assert load_dataset(folder, seed=1).fingerprint != two.fingerprint
    parts = rows(two)
    for seed in range(20):
        first = windows(tune(seed), 2)
        assert sum(first[0].tobytes() in part for part in parts.values()) == 1


@pytest.mark.parametrize("seed", range(5))
def test_the_same_tune_in_another_key_stays_on_its_side(tmp_path, seed):
    for number in range(10):
        for key in (0, 3, -4):
            notes = [note._replace(pitch=note.pitch + key) for note in tune(number)]
            write_midi(tmp_path / "m" / f"{number}{key}.mid", notes)
    data = load_dataset(tmp_path / "m", seed=seed)
    assert [len(split) for split in data.splits.values()] == [8 * 21, 21, 21]
    of = [{tuple(np.diff([note.pitch for note in notes_of(row)])) for row in split.x} for split in data.splits.values()]
    assert not of[0] & of[1]
    assert not of[0] & of[2]
    assert not of[1] & of[2]


def test_an_archive_and_single_files_are_what_a_folder_is(tmp_path, folder):
    with zipfile.ZipFile(tmp_path / "midi.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*.mid")):
            archive.write(path, path.relative_to(folder))
        archive.writestr("__MACOSX/._a.mid", b"nothing")
        archive.writestr("readme.txt", b"nothing")
    assert load_dataset(tmp_path / "midi.zip").fingerprint == load_dataset(folder).fingerprint
    assert sorted(path.name for path in tmp_path.iterdir()) == ["midi", "midi.zip"]
    one = load_dataset(folder / "a" / "01.mid")
    assert [len(split) for split in one.splits.values()] == [7, 0, 0]
    assert (one.name, one.reference) == ("01", str(folder / "a" / "01.mid"))
    with pytest.raises(RequestError, match="leave none to train on"):
        load_dataset(folder / "a" / "01.mid", test=1)


def test_damaged_files_are_skipped_and_counted(tmp_path, folder):
    whole = load_dataset(folder)
    (folder / "z.mid").write_bytes(b"MThd nothing")
    (folder / "y.mid").write_bytes(midi(tune(1))[:60])
    with pytest.warns(UserWarning, match="2 skipped because damaged"):
        data = load_dataset(folder)
    assert data.fingerprint == whole.fingerprint
    assert "20 files, 2 skipped because damaged" in data.note
    for path in folder.rglob("*.mid"):
        path.write_bytes(b"MThd")
    with pytest.raises(RequestError, match="holds none of its 22 files whole"):
        load_dataset(folder)


def test_archives_that_would_fill_the_memory_are_not_unpacked(tmp_path):
    bomb = tmp_path / "a.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.mid", midi(tune(1)))
        archive.writestr("b.mid", b"\0" * (2**24 + 1))
    with pytest.warns(UserWarning, match="more than 16,777,216 bytes"):
        assert len(load_dataset(bomb).train) == 7
    content = bytearray(bomb.read_bytes())
    content[45] ^= 255  # inside the first member
    bomb.write_bytes(content)
    with pytest.raises(RequestError, match="none of its 2 files whole"):
        load_dataset(bomb)
    bomb.write_bytes(b"PK nothing")
    with pytest.raises(RequestError, match="expected a whole archive"):
        load_dataset(bomb)
    with zipfile.ZipFile(bomb, "w") as archive:
        archive.writestr("a.txt", b"nothing")
    with pytest.raises(RequestError, match=r"holds no file that ends in \.mid"):
        load_dataset(bomb)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bars": 0}, "bars is 0"),
        ({"bars": 2.0}, "bars is 2.0"),
        ({"bars": 10**9}, "bars is 1000000000"),
        ({"bars": 9}, "none has 9 bars in a row"),
        ({"metres": "3/4"}, "metres are '3/4'"),
        ({"metres": "2/4"}, "0 in 2/4"),
        ({"metres": []}, "metres are"),
        ({"bar": 2}, "option 'bar'"),
    ],
)
def test_options_that_mean_nothing_are_refused(folder, options, message):
    with pytest.raises(RequestError, match=message):
        load_dataset(folder, **options)


def test_melodies_that_are_too_short_can_be_played_again(folder):
    with pytest.raises(RequestError, match="repeat=True"):
        load_dataset(folder, bars=16)
    data = load_dataset(folder, bars=16, repeat=True, validation=0, test=0)
    twice = {tuple(tune(seed) + [Note(n.start + 128, n.stop + 128, n.pitch) for n in tune(seed)]) for seed in range(20)}
    assert {tuple(notes_of(row)) for row in data.train.x} == twice


def test_an_upbeat_shares_the_last_bar_when_a_melody_is_played_again():
    notes = [Note(12, 16, 60), Note(16, 32, 62), Note(32, 44, 64)]
    found = notes_of(windows(notes, 4, repeat=True)[0])
    assert found == [*notes, Note(44, 48, 60), Note(48, 64, 62)]
    full = [*notes[:2], Note(32, 48, 64)]  # there is no room for it
    assert notes_of(windows(full, 4, repeat=True)[0]) == [*full, Note(60, 64, 60)]


def test_windows_with_more_than_a_bar_of_rest_or_seen_before_are_left_out():
    bar = [Note(0, 4, 60), Note(4, 16, 62)]

    def at(*numbers):
        return [Note(n.start + 16 * k, n.stop + 16 * k, n.pitch) for k in numbers for n in bar]

    assert len(windows(at(0, 1, 2, 3), 2)) == 1  # all four bars are the same
    assert len(windows(at(0, 2), 2)) == 2  # a bar of rest is allowed, before and after
    assert len(windows(at(0, 2), 3)) == 1
    assert len(windows(at(0, 3), 4)) == 0
    assert len(windows(at(0, 3), 2)) == 2  # two bars of rest lie between
    assert windows([], 2).shape == (0, 32)


def test_a_note_that_sounds_at_a_bar_line_begins_the_window():
    found = windows([Note(0, 4, 60), Note(12, 24, 65), Note(28, 48, 67)], 1)
    assert [notes_of(row) for row in found] == [
        [Note(0, 4, 60), Note(12, 16, 65)],
        [Note(0, 8, 65), Note(12, 16, 67)],
    ]
    assert found[1][8] == NOTE_OFF
    assert found[1][1] == NO_EVENT


@pytest.mark.parametrize("bar", [8, 16])
@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 6])
def test_an_upbeat_is_heard_where_long_notes_are_strong(bar, length):
    if 2 * length >= bar:
        pytest.skip("longer than upbeats are")
    before = [Note(at, min(at + 2, length), 67) for at in range(0, length, 2)]
    after = [
        Note(length + bar * k + start, length + bar * k + stop, 60 + k)
        for k in range(6)
        for start, stop in ((0, bar // 2), (bar // 2, 3 * bar // 4), (3 * bar // 4, bar))
    ]
    assert upbeat(before + after, bar) == length
    found = stretches(Melody((*before, *after), (Metre(0, bar // 4, 4),)), (f"{bar // 4}/4",))[0]
    shift = 16 - length if length else 0
    assert found == [Note(n.start + shift, n.stop + shift, n.pitch) for n in before + after]


def test_bar_lines_are_where_the_file_says_if_it_does():
    notes = tuple(Note(4 * k, 4 * k + 4, 60 + k % 5) for k in range(40))
    # A change of metre is a bar line: one quarter comes before the first of 4/4.
    changed = Melody(notes, (Metre(0, 4, 4), Metre(4 + 64, 3, 4), Metre(4 + 64 + 24, 4, 4)))
    first, second = stretches(changed)
    assert [note.start for note in first] == list(range(12, 12 + 68, 4))
    assert [note.start for note in second] == list(range(0, 160 - 92, 4))
    assert stretches(Melody(tune(3)[1:], barred=True))[0] == tune(3)[1:]
    late = Melody(tuple(tune(3, start=12)))  # the rest before the upbeat is in the file
    assert stretches(late)[0][0].start == 12
    silent = Melody((Note(0, 4, 67), *tune(3, start=4)))
    assert stretches(silent, listen=False)[0][0].start == 0
    assert stretches(silent)[0][0].start == 12


def test_two_bars_of_two_quarters_are_one_and_cut_time_is_common_time(tmp_path):
    for metre in ((2, 4), (2, 2), (3, 4)):
        write_midi(tmp_path / "m" / f"{metre[0]}{metre[1]}.mid", tune(sum(metre)), metre=metre)
    assert "1 of 3 melodies used, 2 in no 4/4 or 2/2; " in load_dataset(tmp_path / "m").note
    both = load_dataset(tmp_path / "m", metres="2/2, 2/4", bars=8)
    assert {tuple(notes_of(row)) for row in both.train.x} == {tuple(tune(4)), tuple(tune(6))}
    assert load_dataset(tmp_path / "m", metres=["2/4", "2/2"], bars=8).fingerprint == both.fingerprint


def test_a_file_of_enormous_times_takes_no_longer():
    far = [Note(0, 2**40, 60), Note(2**40, 2**40 + 4, 62)]
    assert len(windows(far, 2)) <= 4


@pytest.mark.parametrize(("bars", "windows_at_least"), [(2, 500), (16, 100)])
def test_the_tunes_that_come_with_vaekit_train_what_melodies_train(bars, windows_at_least):
    data = load_dataset("melodies", bars=bars)
    assert (data.shape, data.levels, data.suggested) == ((16 * bars,), 90, "categorical")
    assert sum(map(len, data.splits.values())) >= windows_at_least
    parts = rows(data)
    starts = {windows(tune.notes, bars)[0].tobytes() for tune in shipped_tunes() if tune.bars >= bars}
    assert {part for start in starts for part in parts if start in parts[part]} == {"train", "validation", "test"}
    for start in starts:
        assert sum(start in part for part in parts.values()) == 1
    again = load_dataset("melodies", **data.options)
    assert (again.fingerprint, again.reference) == (data.fingerprint, "melodies")


@pytest.mark.skipif(not ESSEN.exists(), reason="the Essen melodies are not at hand")
@pytest.mark.slow
def test_the_essen_melodies_load():
    data = load_melodies(ESSEN)
    assert data.note.startswith("8,472 files")
    assert len(data.train) > 15_000
    for split in data.splits.values():
        # More notes begin on bar lines than on any other sixteenth; where bars are wrong they do not.
        begins = (split.x.reshape(-1, 2, 16) > NO_EVENT).mean((0, 1))
        assert begins.argmax() == 0
        assert begins[0] > 0.9
