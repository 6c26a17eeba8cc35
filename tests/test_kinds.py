r"""Kinds of examples: poses are stick figures, melodies piano rolls, and what is neither is as it was."""

import wave
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.patches import Polygon, Rectangle

from vaekit import figures
from vaekit.data import Dataset, from_arrays, load_dataset
from vaekit.data.dataset import Split
from vaekit.errors import RequestError
from vaekit.figures.columns import column_agreement, column_histograms
from vaekit.figures.motion import pose_tiles
from vaekit.figures.piano_roll import roll_tiles
from vaekit.figures.strips import strips
from vaekit.kinds import Examples, Melodies, Pictures, Poses, Table, kind_of
from vaekit.music import NO_EVENT, Note, notes_of, tokens_of
from vaekit.music.midi import read_midi


@pytest.fixture(scope="module")
def clips():
    return load_dataset("clips", clips=["walk"])


@pytest.fixture(scope="module")
def melodies():
    """Two-bar melodies, each a scale."""
    rows = [tokens_of([Note(4 * i, 4 * i + 3, 60 + start + 2 * i) for i in range(8)], 32) for start in range(10)]
    split = Split(np.stack(rows))
    return Dataset("scales", split, split, split, levels=90, suggested="categorical")


def test_data_are_of_one_kind(clips, melodies):
    images, vectors = from_arrays(np.zeros((30, 1, 4, 4), np.uint8)), from_arrays(np.zeros((30, 32)))
    found = [type(kind_of(data)) for data in (clips, melodies, images, vectors)]
    assert found == [Poses, Melodies, Pictures, Examples]
    assert list(kind_of(images).measures) == ["thickness", "slant", "width"]
    assert list(kind_of(melodies).measures) == ["density", "range", "syncopation"]
    assert not kind_of(vectors).measures
    assert not kind_of(clips).measures


def test_poses_are_drawn_as_poses_with_the_originals_behind_them(clips):
    x, kind = clips.train.x[:20], kind_of(clips)
    figure = kind.reconstructions(x, x + 0.05)
    assert len(figure.axes) == 16
    alone = len(kind.samples(x).axes[0].get_children())
    assert len(figure.axes[0].get_children()) > alone


def test_poses_and_melodies_are_laid_out_as_pictures(clips, melodies):
    x = clips.train.x[:6].reshape(2, 3, -1)
    drawn = kind_of(clips).tiles(x)
    skeleton = clips.poses.skeleton
    joints = clips.poses.joints(x.reshape(6, -1))
    np.testing.assert_array_equal(
        drawn.reshape(6, *drawn.shape[2:]),
        pose_tiles(joints, skeleton.bones, names=skeleton.names, up=clips.poses.up),
    )
    assert (drawn[0, 0] != drawn[1, 2]).any()
    grid = melodies.train.x[:6].reshape(3, 2, 32).astype(np.float32)
    rolls = kind_of(melodies).tiles(grid)
    np.testing.assert_array_equal(rolls[2, 1], roll_tiles([notes_of(row) for row in grid.reshape(6, 32)], 32)[5])


def test_what_is_neither_is_drawn_as_before():
    data = from_arrays(np.zeros((30, 1, 4, 4), np.uint8))
    x, kind = np.linspace(0, 1, 6 * 16).reshape(6, 1, 4, 4), kind_of(data)
    for ours, plain in (
        (kind.reconstructions(x, x / 2), figures.reconstructions(x, x / 2)),
        (kind.samples(x, columns=3), figures.sample_grid(x, columns=3)),
        (kind.strips(x.reshape(2, 3, 1, 4, 4)), strips(x.reshape(2, 3, 1, 4, 4))),
    ):
        assert np.array_equal(ours.axes[0].images[0].get_array(), plain.axes[0].images[0].get_array())


def test_long_rows_of_rolls_go_down(melodies):
    grid, kind = melodies.train.x[:8].reshape(2, 4, 32), kind_of(melodies)
    figure = kind.strips(grid, rows=["a", "b"], columns=["1", "2", "3", "4"])
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["1", "2", "3", "4"]
    expected = strips(kind.tiles(grid.swapaxes(0, 1)))
    assert np.array_equal(figure.axes[0].images[0].get_array(), expected.axes[0].images[0].get_array())
    assert kind.strips(grid.swapaxes(0, 1), rows=["1", "2", "3", "4"]).axes[0].get_yticklabels()[3].get_text() == "4"


def test_one_row_of_rolls_is_read_as_a_page(melodies):
    grid, kind = melodies.train.x[:6].reshape(1, 6, 32), kind_of(melodies)
    figure = kind.strips(grid, columns=list("abcdef"), title="A path")
    assert [text.get_text() for text in figure.axes[0].texts] == list("abcdef")
    assert figure.texts[0].get_text().strip() == "A path"
    wide, high = figure.get_size_inches()
    assert high < wide


def test_sound_has_a_bar_of_rest_between_melodies_and_ends_after_five_minutes(melodies, tmp_path):
    kind = kind_of(melodies)
    with wave.open(str(kind.save(tmp_path / "a.wav", melodies.train.x[:2]))) as file:
        sound = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    step = 22_050 // 8
    assert len(sound) == round(2 * (32 + 16) * 22_050 / 8)
    assert sound[: 2 * step].any()
    assert not sound[32 * step + 32 : 48 * step].any()
    assert sound[48 * step + 32 : 50 * step].any()
    many = np.full((200, 32), NO_EVENT)
    with wave.open(str(kind.save(tmp_path / "b.wav", many))) as file:
        assert 290 < file.getnframes() / 22_050 <= 300


def test_midi_has_all_of_them_on_bar_lines(melodies, tmp_path):
    kind = kind_of(melodies)
    path = kind.save(tmp_path / "a.mid", melodies.train.x[:6].reshape(2, 3, 32))
    expected = [
        Note(note.start + 48 * number, note.stop + 48 * number, note.pitch)
        for number, row in enumerate(melodies.train.x[:6])
        for note in notes_of(row)
    ]
    assert list(read_midi(path).notes) == expected
    np.testing.assert_array_equal(kind.read(path), melodies.train.x[0])


def test_columns_in_units_of_their_own_are_drawn_in_standard_deviations():
    random = np.random.default_rng(0)
    size = np.array([1.0, 1e4, 1e-2, 0.0, 5.0])
    data = from_arrays(7 + size * random.normal(size=(200, 5)))
    kind = kind_of(data)
    assert isinstance(kind, Table)
    assert kind.endings == ()
    drawn = kind.tiles(np.asarray(data.train.x))
    np.testing.assert_allclose(drawn.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(drawn.std(0), [1, 1, 1, 0, 1], rtol=1e-4)
    strip = kind.strips(np.asarray(data.test.x)[None])
    assert strip.get_supxlabel() == "column of the vector, each in standard deviations from its mean"
    assert not any(axes.get_xlabel() for axes in strip.axes)
    assert all(np.ptp(line.get_ydata()) < 20 for axes in strip.axes for line in axes.get_lines())
    # Points in space, columns of one size, of which one may never change, and bits stay as they are.
    for x in (
        size[:3] * random.normal(size=(50, 3)),
        random.normal(size=(50, 5)) * [90, 0, 90, 90, 90],
        random.random((50, 5)) > 0.5,
    ):
        assert type(kind_of(from_arrays(x))) is Examples


def table(n=400, columns=("height", "mass", "adult")):
    random = np.random.default_rng(0)
    x = np.stack([170 + 10 * random.normal(size=n), 7e4 + 9e3 * random.normal(size=n), random.integers(0, 2, n)], 1)
    return replace(from_arrays(x), columns=columns), x


def test_a_table_is_drawn_column_by_column_in_its_own_units():
    data, x = table()
    kind, rows = kind_of(data), np.asarray(data.test.x)
    drawn = kind.samples(rows)
    assert [axes.get_title(loc="left") for axes in drawn.axes] == ["height", "mass", "adult"]
    for axes, column in zip(drawn.axes, x.T, strict=True):
        assert axes.get_xlim()[0] < np.median(column) < axes.get_xlim()[1]
    agreed = kind.reconstructions(rows, rows + np.array([0.0, 0.0, 5.0]))
    assert [axes.texts[0].get_text() for axes in agreed.axes][:2] == ["R² 1.00"] * 2
    assert agreed.axes[2].texts[0].get_text().startswith("R² -")
    labels = [tick.get_text() for tick in kind.strips(rows[None]).axes[-1].get_xticklabels()]
    assert labels == ["height", "mass", "adult"]
    assert kind.noisy
    assert not kind_of(load_dataset("digits")).noisy


def test_a_bar_is_a_share_and_no_sample_is_lost():
    data, _ = table()
    samples = np.full((10, 3), 1e9)  # far beyond the data, and of no value that they have
    for axes, column in zip(kind_of(data).samples(samples).axes, np.asarray(data.train.x).T, strict=True):
        bars = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
        assert sum(bar.get_height() for bar in bars) == pytest.approx(1)
        outline = next(patch for patch in axes.patches if isinstance(patch, Polygon))
        assert outline.get_xy()[:, 1].max() == pytest.approx(1)
        if len(np.unique(column)) > 2:
            ends = min(bar.get_x() for bar in bars), max(bar.get_x() + bar.get_width() for bar in bars)
            assert ends == pytest.approx((column.min(), column.max()))


def test_numbers_that_are_not_finite_and_columns_that_never_change_are_drawn_too(tmp_path):
    x = np.array([[1.0, 7.0], [np.nan, 7.0], [np.inf, 7.0], [2.0, 7.0]])
    assert len(column_histograms(x, x).axes) == 2
    figure = column_agreement(x, x)
    assert [len(axes.texts) for axes in figure.axes] == [1, 0]
    assert figures.save(figure, tmp_path / "a.png").exists()
    wide = np.random.default_rng(0).normal(size=(30, 100))
    assert len(column_agreement(wide, wide).axes) == 24


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [((3, 2), (3, 3), "expected the same shape"), ((0, 2), (0, 2), "expected rows of the same columns")],
)
def test_tables_that_do_not_match_are_refused(x, y, words):
    with pytest.raises(RequestError, match=words):
        column_agreement(np.zeros(x), np.zeros(y))
    with pytest.raises(RequestError, match="expected rows of the same columns"):
        column_histograms(np.zeros(x), np.zeros((4, 5)) if x[0] else np.zeros(y))
