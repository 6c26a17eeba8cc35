r"""What is held out of sequences."""

import numpy as np
import pytest

from vaekit.data import load_dataset
from vaekit.data.holdout import held_out, hold_out
from vaekit.errors import RequestError


@pytest.mark.parametrize("gap", [1, 2, 4, 8, 16])
def test_gaps_leave_every_gap_th_frame_and_the_last(gap):
    lengths = [1, 2, 37, 64]
    parts = np.split(held_out(lengths, gap=gap), np.cumsum(lengths)[:-1])
    for length, hidden in zip(lengths, parts, strict=True):
        seen = np.flatnonzero(~hidden)
        assert set(seen) == {*range(0, length, gap), length - 1}


def test_a_hole_is_one_run_inside_each_sequence_and_moves_with_the_seed():
    places = set()
    for seed in range(8):
        for hidden in np.split(held_out([40, 20], hole=0.3, seed=seed), [40]):
            rows = np.flatnonzero(hidden)
            assert len(rows) == round(0.3 * len(hidden))
            assert rows[-1] - rows[0] == len(rows) - 1
            assert 0 < rows[0] <= rows[-1] < len(hidden) - 1
            places.add(int(rows[0]))
    assert len(places) > 4


def test_gap_and_hole_together_hide_what_either_hides():
    both = held_out([50], gap=4, hole=0.2, seed=3)
    assert (both == held_out([50], gap=4) | held_out([50], hole=0.2, seed=3)).all()


@pytest.mark.parametrize("wrong", [{}, {"gap": 0}, {"gap": 2.5}, {"hole": 0.0}, {"hole": 1.0}])
def test_a_wrong_request_says_what_to_pass(wrong):
    with pytest.raises(RequestError, match="expected"):
        held_out([10], **wrong)


def test_empty_sequences_are_refused():
    with pytest.raises(RequestError, match="at least 1 frame"):
        held_out([10, 0], gap=2)


def test_poses_are_scaled_over_what_is_observed_and_some_of_it_validates():
    clips = load_dataset("clips", clips="walk,run", validation=0, test=0)
    held = hold_out(clips, gap=4)
    both = np.concatenate([held.train.x, held.test.x])
    np.testing.assert_allclose(held.train.x.mean(0), 0, atol=1e-5)
    assert held.train.x.var(0).mean() == pytest.approx(1, rel=1e-4)
    assert abs(both.mean(0)).max() > 1e-3
    hidden = held_out([span.stop - span.start for span in clips.train.spans.values()], gap=4)
    for split, rows in ((held.train, ~hidden), (held.test, hidden)):
        np.testing.assert_allclose(held.poses.joints(split.x), clips.poses.joints(clips.train.x[rows]), atol=1e-5)
    split = load_dataset("clips", clips="walk,run", gap=4)
    assert len(split.train) + len(split.validation) == len(held.train)
    assert (len(split.validation), len(split.test)) == (3, len(held.test))
    for number, span in held.train.spans.items():
        own = held.train.given[span]
        kept = split.train.given[split.train.spans[number]]
        assert (own[[0, -1]] == kept[[0, -1]]).all()
    with pytest.raises(RequestError, match="validate"):
        hold_out(clips, gap=4, validate=1)


@pytest.mark.parametrize("protocol", [{"gap": 4}, {"hole": 0.3}])
def test_frames_that_validate_can_be_drawn_from_those_held_out(protocol):
    whole = load_dataset("clips", validation=0, test=0)
    plain, drawn = (hold_out(whole, **protocol, **more) for more in ({}, {"validate": 5, "validate_on": "held-out"}))
    assert len(drawn.train) == len(plain.train)
    assert len(drawn.validation) == len(plain.test) // 5
    rows = {tuple(row) for part in (drawn.validation, drawn.test) for row in np.asarray(part.given)}
    assert rows == {tuple(row) for row in np.asarray(plain.test.given)}
    again = hold_out(whole, **protocol, validate=5, validate_on="held-out")
    np.testing.assert_array_equal(again.test.x, drawn.test.x)


def test_validation_on_something_else_is_refused():
    whole = load_dataset("clips", clips="walk", validation=0, test=0)
    with pytest.raises(RequestError, match="expected observed or held-out"):
        hold_out(whole, gap=4, validate_on="test")
