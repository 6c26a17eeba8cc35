r"""Transposition moves the notes of a melody by one number of semitones, evenly drawn, and nothing off the keys."""

import numpy as np
import pytest
import torch

from vaekit.data.augmentation import Transpose
from vaekit.errors import RequestError
from vaekit.models.base import seeded
from vaekit.music import NO_EVENT, NOTE_OFF, SYMBOLS, notes_of


def melodies(n=200, steps=32, seed=0):
    """Symbols of which about half begin notes, of a wide range."""
    draw = np.random.default_rng(seed)
    tokens = draw.integers(2, SYMBOLS, (n, steps))
    tokens[draw.random((n, steps)) < 0.5] = NO_EVENT
    tokens[draw.random((n, steps)) < 0.1] = NOTE_OFF
    return torch.from_numpy(tokens.astype(np.uint8))


def one(pitch, n=20_000):
    """Melodies of one note."""
    return torch.tensor([[NO_EVENT, pitch, NO_EVENT, NOTE_OFF]], dtype=torch.uint8).repeat(n, 1)


@pytest.mark.parametrize("semitones", [1, 5, 87])
def test_notes_are_moved_together_and_nothing_else_is(semitones):
    x = melodies()
    with seeded(1):
        y = Transpose(semitones)(x)
    assert (y.dtype, y.shape) == (x.dtype, x.shape)
    for before, after in zip(x.numpy(), y.numpy(), strict=True):
        old, new = notes_of(before), notes_of(after)
        assert [note[:2] for note in old] == [note[:2] for note in new]
        assert len({b.pitch - a.pitch for a, b in zip(old, new, strict=True)}) == 1
    assert torch.equal(x <= NO_EVENT, y <= NO_EVENT)
    assert torch.equal(x[x <= NO_EVENT], y[x <= NO_EVENT])
    assert y.max() < SYMBOLS


@pytest.mark.parametrize(
    ("pitch", "shifts"), [(41, range(-3, 4)), (2, range(4)), (3, range(-1, 4)), (89, range(-3, 1)), (88, range(-3, 2))]
)
def test_every_shift_that_stays_on_the_keys_is_as_likely(pitch, shifts):
    with seeded(0):
        moved = Transpose(3)(one(pitch)).int()[:, 1] - pitch
    counts = torch.bincount(moved + 3, minlength=7)
    expected = torch.zeros(7)
    expected[torch.tensor(list(shifts)) + 3] = 20_000 / len(shifts)
    assert counts[expected == 0].sum() == 0
    chi2 = ((counts - expected)[expected > 0] ** 2 / expected[expected > 0]).sum()
    assert chi2 < 25  # of at most 6 degrees of freedom: one in 3,000 by chance, and the seed is fixed


def test_a_melody_of_the_whole_range_stays_and_one_without_notes_too():
    x = torch.tensor([[2, 89, 1, 0], [0, 1, 1, 0]], dtype=torch.uint8)
    assert torch.equal(Transpose(12)(x), x)


def test_draws_are_those_of_the_random_state_and_the_rows_given_are_left_alone():
    x = melodies()
    kept = x.clone()
    with seeded(3):
        a, b = Transpose()(x), Transpose()(x)
    with seeded(3):
        again = Transpose()(x)
    assert torch.equal(a, again)
    assert not torch.equal(a, b)
    assert torch.equal(x, kept)


@pytest.mark.slow
def test_compiled_it_moves_as_far():
    with seeded(0):
        moved = torch.compile(Transpose(3))(one(3)).int()[:, 1] - 3
    assert moved.unique().tolist() == [-1, 0, 1, 2, 3]


@pytest.mark.parametrize("semitones", [0, -1, 88, 1.5, True, "5"])
def test_shifts_that_mean_nothing_are_refused(semitones):
    with pytest.raises(RequestError, match="semitones"):
        Transpose(semitones)


def test_it_says_what_it_does():
    assert Transpose(4).describe() == "transposed by up to 4 semitones"
