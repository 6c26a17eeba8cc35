r"""Images are moved as a whole and a little; melodies by one number of semitones, drawn evenly, never off the keys."""

import numpy as np
import pytest
import torch

from vaekit.data.augmentation import Affine, Transpose
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


def blob(height, width, size=2.0):
    """A round, smooth spot in the middle of an image of two channels, the second of them half as bright."""
    y, x = torch.meshgrid(torch.arange(height) - (height - 1) / 2, torch.arange(width) - (width - 1) / 2, indexing="ij")
    spot = torch.exp(-(x**2 + y**2) / (2 * size**2))
    return torch.stack([spot, spot / 2]).unsqueeze(0)


def moments(image):
    """Mass, centre from the middle and covariance of one channel, in pixels."""
    height, width = image.shape
    at = torch.meshgrid(torch.arange(height) - (height - 1) / 2, torch.arange(width) - (width - 1) / 2, indexing="ij")
    p = torch.stack([at[1], at[0]]).flatten(1)
    mass = image.sum()
    centre = (p * image.flatten()).sum(1) / mass
    apart = p - centre.unsqueeze(1)
    return mass, centre, (apart * image.flatten()) @ apart.T / mass


@pytest.mark.parametrize("shape", [(41, 41), (41, 81)])
def test_a_turn_turns_and_does_nothing_else(shape):
    # A spot higher than wide: its covariance has the turn, whatever the image's sides are to each other.
    y, x = torch.meshgrid(*(torch.arange(side) - (side - 1) / 2 for side in shape), indexing="ij")
    spot = torch.exp(-(x**2) / (2 * 2.0**2) - y**2 / (2 * 5.0**2))
    with seeded(0):
        turned = Affine(30, 0, 0, 0)(spot.expand(50, 1, -1, -1).contiguous())[:, 0]
    angles = []
    for image in turned:
        mass, centre, covariance = moments(image)
        assert float(mass) == pytest.approx(float(spot.sum()), rel=0.01)
        assert float(centre.abs().max()) < 0.1
        lengths = torch.linalg.eigvalsh(covariance).sqrt()
        torch.testing.assert_close(lengths, torch.tensor([2.0, 5.0]), atol=0.1, rtol=0.0)
        (a, b), (_, d) = covariance.tolist()
        angles.append(np.degrees(0.5 * np.arctan2(2 * b, d - a)))
    assert max(np.abs(angles)) < 30.5
    assert min(angles) < -20
    assert max(angles) > 20


def test_areas_change_by_stretching_alone():
    x = blob(61, 61, 4.0)

    def shares(*strengths):
        with seeded(0):
            y = Affine(*strengths)(x.expand(300, -1, -1, -1).contiguous())
        torch.testing.assert_close(y[:, 1], y[:, 0] / 2)  # channels go together
        return y[:, 0].sum((1, 2)) / x[0, 0].sum()

    torch.testing.assert_close(shares(0, 0.4, 0, 0), torch.ones(300), atol=2e-3, rtol=0.0)
    stretched = shares(0, 0, 0.2, 0)
    assert 1 / 1.2**2 - 0.01 < float(stretched.min()) < 0.75
    assert 1.4 < float(stretched.max()) < 1 / 0.8**2 + 0.01


def test_a_shift_is_a_share_of_the_side():
    x = blob(41, 81)
    with seeded(0):
        centres = torch.stack([moments(y[0])[1] for y in Affine(0, 0, 0, 0.1)(x.expand(300, -1, -1, -1).contiguous())])
    assert 7.8 < float(centres[:, 0].abs().max()) < 8.15  # a tenth of 81 pixels
    assert 3.9 < float(centres[:, 1].abs().max()) < 4.15
    assert float(centres.mean(0).abs().max()) < 0.6


def test_bytes_stay_bytes_and_bits_bits():
    x = (blob(20, 20)[:, :1] * 255).round().to(torch.uint8)
    with seeded(0):
        y = Affine()(x.expand(30, -1, -1, -1).contiguous())
    assert y.dtype == torch.uint8
    assert int(y.max()) <= 255
    assert not torch.equal(y[0], y[1])
    assert set(Affine()((x > 128).to(torch.uint8)).unique().tolist()) <= {0, 1}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"turn": -1.0}, "turn is -1.0; expected a number from 0 up"), ({"stretch": 1.0}, "stretch is 1.0; .*below 1")],
)
def test_strengths_out_of_range_are_refused(arguments, words):
    with pytest.raises(RequestError, match=words):
        Affine(**arguments)
    with pytest.raises(RequestError, match=r"shape \(7,\); expected images"):
        Affine()(torch.zeros(2, 7))
