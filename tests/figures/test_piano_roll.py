r"""Piano rolls: each note where it belongs, originals behind, and lines between bars."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from vaekit.errors import RequestError
from vaekit.figures import save
from vaekit.figures.piano_roll import piano_rolls, roll_tiles
from vaekit.figures.style import MAIN
from vaekit.music import Note

BLUE = np.array(to_rgb(MAIN))


def is_blue(pixels):
    return np.abs(pixels - BLUE).max(-1) < 1e-6


def test_a_note_is_a_bar_at_its_pitch_for_its_time():
    notes = [Note(2, 5, 60), Note(5, 6, 64), Note(12, 99, 71)]
    [tile] = np.moveaxis(roll_tiles([notes], 16, keys=(58, 73)), 1, -1)
    height, width = tile.shape[0] // 16, tile.shape[1] // 16
    blue = is_blue(tile)
    for pitch in range(58, 74):
        row = blue[(73 - pitch) * height : (73 - pitch + 1) * height]
        assert (row == row[0]).all()
        for step in range(16):
            sounds = any(n.pitch == pitch and n.start <= step < n.stop for n in notes)
            cell = row[0, step * width : (step + 1) * width]
            assert cell[:-1].all() == sounds == cell.any()
    assert not blue[:, 6 * width - 1].any()  # a gap behind each note tells two of one pitch apart
    assert not blue[:, 5 * width - 1].any()


def test_bars_and_beats_have_lines_and_black_keys_are_darker():
    [tile] = np.moveaxis(roll_tiles([[]], 32), 1, -1)
    width = tile.shape[1] // 32
    columns = tile.mean((0, 2))
    bar, beat, paper = columns[16 * width], columns[4 * width], columns[2 * width]
    assert bar < beat < paper
    assert columns[0] == bar
    rows = tile[1:, 2 * width].mean(-1)
    assert len(np.unique(rows)) == 2


def test_originals_are_behind_and_all_share_their_keys():
    one, other = [Note(0, 4, 60)], [Note(0, 4, 60), Note(8, 12, 90)]
    alone, both = roll_tiles([one, one], 16, behind=[one, other])
    assert alone.shape == both.shape
    differ = (alone != both).any(0)
    assert differ.any()
    assert not is_blue(np.moveaxis(both, 0, -1))[differ].any()
    assert is_blue(np.moveaxis(both, 0, -1)).sum() == is_blue(np.moveaxis(alone, 0, -1)).sum()


def test_a_grid_has_titles_and_the_names_of_keys(tmp_path):
    melodies = [[Note(4 * i, 4 * i + 4, 55 + i + k) for i in range(8)] for k in range(5)]
    figure = piano_rolls(melodies, 32, titles=[f"tune {k}" for k in range(5)], columns=2)
    ax = figure.axes[0]
    assert [text.get_text() for text in ax.texts] == [f"tune {k}" for k in range(5)]
    assert {label.get_text() for label in ax.get_yticklabels()} == {"C4"}
    assert len(ax.get_yticks()) == 3
    image = ax.images[0].get_array() / 255
    row = round(ax.get_yticks()[0])  # the middle of the first row's C: the sixth note of the first melody is one
    blue = np.flatnonzero(np.abs(image[row] - BLUE).max(-1) < 0.01)
    width = 192 // 32
    assert set(range(20 * width, 24 * width - 1)) <= set(blue)
    paths = [save(piano_rolls(melodies, 32), tmp_path / f"{i}.png") for i in range(2)]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(RequestError, match="0 melodies"):
        roll_tiles([], 16)
    with pytest.raises(RequestError, match="0 steps"):
        piano_rolls([[]], 0)
    with pytest.raises(RequestError, match="1 melodies behind 2"):
        roll_tiles([[], []], 16, behind=[[]])
    with pytest.raises(RequestError, match="1 titles for 2"):
        piano_rolls([[], []], 16, titles=["a"])
