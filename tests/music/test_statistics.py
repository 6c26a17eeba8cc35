r"""Statistics of melodies: known ones by hand, and what no transposition changes."""

import numpy as np
import pytest
import torch

from vaekit.errors import RequestError
from vaekit.music import NO_EVENT, NOTE_OFF, SYMBOLS, Note, tokens_of
from vaekit.music.statistics import MEASURES, note_density, pitch_range, syncopation


def melody(*starts, steps=16, pitch=60):
    return tokens_of([Note(start, start + 1, pitch + i) for i, start in enumerate(starts)], steps)[None]


@pytest.mark.parametrize(
    ("starts", "sixteenths", "eighths"),
    [
        ((0, 4, 8, 12), 0, 0),  # on the beats
        ((0, 2, 4, 6), 0, 0),  # running eighths
        (tuple(range(16)), 0, 0),  # running sixteenths
        ((0, 3, 8, 11), 1 / 2, 0),  # 3 and 11 have no note a sixteenth before
        ((0, 2, 3, 8), 0, 0),  # 3 follows 2, and 2 follows 0
        ((2, 6, 10, 14), 0, 1),  # between the beats only
        ((0, 5, 6, 15), 1 / 2, 0),  # 6 follows 5; 5 and 15 stand alone
        ((1, 6), 1 / 2, 1 / 2),
        ((15,), 1, 0),
        ((2,), 0, 1),  # before the first step there is nothing
    ],
)
def test_syncopation_by_hand(starts, sixteenths, eighths):
    tokens = melody(*starts)
    assert syncopation(tokens, 16)[0] == pytest.approx(sixteenths)
    assert syncopation(tokens, 8)[0] == pytest.approx(eighths)
    assert syncopation(tokens)[0] == pytest.approx(sixteenths + eighths)


def test_density_and_range_by_hand():
    tokens = np.stack([melody(0, 4, 6)[0], melody(3)[0], melody()[0], np.full(16, NOTE_OFF)])
    np.testing.assert_allclose(note_density(tokens), [3 / 16, 1 / 16, 0, 0])
    np.testing.assert_array_equal(pitch_range(tokens), [2, 0, np.nan, np.nan])
    np.testing.assert_array_equal(np.isnan(syncopation(tokens)), [False, False, True, True])


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_no_transposition_changes_them_and_symbols_of_any_type_are_read(measure):
    random = np.random.default_rng(0)
    tokens = random.choice([NO_EVENT, NOTE_OFF, *range(30, 50)], size=(50, 32))
    found = measure(tokens)
    assert len(np.unique(found)) > 3
    for shift in (-12, 1, 30):
        np.testing.assert_array_equal(measure(np.where(tokens > 1, tokens + shift, tokens)), found)
    np.testing.assert_array_equal(measure(torch.from_numpy(tokens).float()), found)
    np.testing.assert_array_equal(measure(tokens.astype(np.uint8)), found)
    np.testing.assert_array_equal(measure(tokens[:0]), [])


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
@pytest.mark.parametrize("wrong", [[1, 2, 3], [[0.5]], [[SYMBOLS]], [[-1]], np.zeros((2, 0)), [["a"]]])
def test_what_are_no_symbols_is_refused(measure, wrong):
    with pytest.raises(RequestError, match=r"expected whole numbers from 0 to 89 of shape \(n, steps\)"):
        measure(wrong)


def test_another_level_is_refused():
    with pytest.raises(RequestError, match="level is 4"):
        syncopation(melody(0), 4)
