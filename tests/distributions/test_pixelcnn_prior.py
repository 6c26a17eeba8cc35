r"""Distributions over grids of codes against enumeration, and their fit against chains whose entropy is known."""

import math
from itertools import product

import pytest
import torch

from vaekit.distributions import AutoregressiveGrid, PixelCNNPrior
from vaekit.errors import RequestError
from vaekit.models import seeded
from vaekit.networks import GatedPixelCNN

GRIDS = [(2, 2), (2, 2, 1)]


def every(grid, levels):
    """All grids of codes there are."""
    size = math.prod(grid)
    return torch.tensor(list(product(range(levels), repeat=size))).view(-1, *grid)


def spread_out(prior):
    """Give a prior weights that make its distribution far from uniform."""
    with seeded(3):
        torch.nn.init.normal_(prior.network.output.weight, std=1.5)
        torch.nn.init.normal_(prior.network.output.bias)
    return prior


def small(grid, levels, context_dim=0, **options):
    with seeded(0):
        return PixelCNNPrior(grid, levels, context_dim, **{"channels": 8, "layers": 2, **options})


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_probabilities_of_all_codes_sum_to_one(grid, temperature):
    codes = every(grid, 3)
    prior = spread_out(small(grid, 3))
    log_p = prior(temperature=temperature).log_prob(codes)
    assert float(log_p.exp().sum()) == pytest.approx(1, abs=1e-5)
    assert log_p.std() > 0.5
    told = spread_out(small(grid, 3, 2))
    p = told(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), temperature=temperature)
    assert p.batch_shape == (2,)
    assert p.event_shape == grid
    both = p.log_prob(codes.unsqueeze(1).expand(-1, 2, *grid))
    torch.testing.assert_close(both.exp().sum(0), torch.ones(2))
    torch.testing.assert_close(p.log_prob(codes.unsqueeze(1)), both)  # points against a batch
    assert (both[:, 0] - both[:, 1]).abs().max() > 0.1


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("conditional", [False, True])
def test_samples_are_as_frequent_as_they_are_probable(grid, conditional):
    prior = spread_out(small(grid, 3, 2 if conditional else 0))
    p = prior(torch.tensor([[1.0, 0.0], [0.0, 1.0]]) if conditional else None)
    n = 8_000
    with seeded(1):
        draws = p.sample((n,))
    assert draws.shape == (n, *p.batch_shape, *grid)
    assert draws.dtype == torch.long
    weights = 3 ** torch.arange(3, -1, -1)
    codes = every(grid, 3)
    expected = n * p.log_prob(codes.unsqueeze(1) if conditional else codes).exp().view(81, -1)
    numbers = (draws.flatten(-len(grid)) * weights).sum(-1).view(n, -1)
    for member in range(expected.shape[1]):
        often = expected[:, member] > 5
        counts = torch.bincount(numbers[:, member], minlength=81).float()
        cells = int(often.sum())
        statistic = float(((counts - expected[:, member])[often].square() / expected[often, member]).sum())
        assert cells > 20
        assert abs(statistic - cells) < 4 * math.sqrt(2 * cells)


def test_it_starts_uniform():
    prior = small((3, 4), 128)
    codes = torch.randint(128, (2, 5, 3, 4))
    torch.testing.assert_close(prior().log_prob(codes), torch.full((2, 5), -12 * math.log(128)))
    assert not any(p.requires_grad for p in prior.parameters())


def test_draws_follow_the_seed_and_not_how_many_there_are_at_once(monkeypatch):
    prior = spread_out(small((3, 3), 5, 2))
    with seeded(0):
        context = 5 * torch.randn(7, 2)
    with seeded(4):
        first = prior(context).sample((3,))
    with seeded(4):
        assert torch.equal(prior(context).sample((3,)), first)
    assert first.shape == (3, 7, 3, 3)
    monkeypatch.setattr("vaekit.distributions.pixelcnn_prior._ROWS", 40)
    with seeded(5):
        in_parts = prior(context).sample((50,))
    whole = prior(context).log_prob(in_parts).mean(0)
    # Contexts stay with their draws: under another row's context the codes are less probable.
    other = prior(context.roll(3, 0)).log_prob(in_parts).mean(0)
    assert (whole > other).all()
    assert whole.mean() > other.mean() + 0.5
    assert prior(context).sample((0,)).shape == (0, 7, 3, 3)


def test_a_low_temperature_draws_the_likeliest():
    prior = spread_out(small((2, 2), 3))
    codes = every((2, 2), 3)
    greedy = prior(temperature=1e-4).sample((20,))
    assert (greedy == greedy[0]).all()
    assert prior().log_prob(greedy[:1]) > prior().log_prob(codes).quantile(0.9)


STAY = 0.8


def chain(n, seed, stay=STAY):
    """Grids of 3 × 3 of which each code is the last one in raster order with probability `stay`, else one of 3."""
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randint(3, (n, 9), generator=generator)
    for i in range(1, 9):
        same = torch.rand(n, generator=generator) < stay
        codes[:, i] = torch.where(same, codes[:, i - 1], codes[:, i])
    return codes.view(n, 3, 3)


def entropy(stay=STAY):
    rest = (1 - stay) / 3
    step = -(stay + rest) * math.log(stay + rest) - 2 * rest * math.log(rest)
    return math.log(3) + 8 * step


def test_a_fit_comes_near_the_entropy_of_a_chain():
    codes, held_out = chain(3000, 0), chain(2000, 1)
    prior = small((3, 3), 3, layers=2, kernel=5, epochs=3, learning_rate=1e-2)
    shares = []
    found = prior.fit(codes, 2, held_out=(held_out, None), advance=shares.append)
    # The best that knows each place by itself needs 9 log 3 = 9.9 nats; the chain has 5.7.
    assert entropy() - 0.1 < found["held_out_nll"] < entropy() + 0.25 < 6
    assert found["nll"] == pytest.approx(-float(prior().log_prob(codes).mean()), rel=1e-5)
    assert found["held_out_nll"] == pytest.approx(-float(prior().log_prob(held_out).mean()), rel=1e-5)
    assert found["bits_per_code"] == pytest.approx(found["held_out_nll"] / 9 / math.log(2))
    assert len(shares) == 3 * 30
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert not any(p.requires_grad for p in prior.parameters())
    drawn = prior().sample((2000,)).flatten(1)
    assert float((drawn[:, 1:] == drawn[:, :-1]).float().mean()) == pytest.approx(STAY + (1 - STAY) / 3, abs=0.03)


def test_a_fit_depends_on_its_arguments_alone_and_is_loaded():
    codes = chain(300, 0)
    fitted = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        fitted.append(PixelCNNPrior((3, 3), 3, channels=4, layers=2, epochs=2))
        if noise == 2:
            fitted[-1].fit(chain(300, 5))  # a fit that is thrown away
        state = torch.get_rng_state()
        numbers = fitted[-1].fit(codes, seed=5)
        assert torch.equal(torch.get_rng_state(), state)
        assert numbers == fitted[0].fit(codes, seed=5)
    assert torch.equal(fitted[0]().log_prob(codes), fitted[1]().log_prob(codes))
    new = PixelCNNPrior((3, 3), 3, channels=4, layers=2)
    new.load_state_dict(fitted[0].state_dict(), strict=True)
    assert torch.equal(fitted[0]().log_prob(codes), new().log_prob(codes))
    other = PixelCNNPrior((3, 3), 3, channels=4, layers=2, epochs=2)
    other.fit(codes, seed=6)
    assert not torch.equal(other().log_prob(codes), new().log_prob(codes))


def test_the_epoch_that_is_best_on_held_out_codes_is_kept():
    codes, held_out = chain(10, 0), (chain(200, 1), None)
    options = {"epochs": 60, "batch_size": 10, "learning_rate": 2e-2, "layers": 1, "kernel": 5}
    chosen, last = small((3, 3), 3, **options), small((3, 3), 3, **options)
    found, to_the_end = chosen.fit(codes, held_out=held_out), last.fit(codes)
    assert found["best_epoch"] < 60 == to_the_end["best_epoch"]
    assert "held_out_nll" not in to_the_end
    assert found["nll"] > to_the_end["nll"]
    assert found["held_out_nll"] < -float(last().log_prob(held_out[0]).mean()) - 1


@pytest.mark.parametrize("spatial", [False, True])
def test_a_conditional_fit_tells_contexts_apart(spatial):
    with seeded(0):
        labels = torch.randint(2, (1000,))
        # Class 0 has mostly zeros, class 1 mostly twos.
        codes = torch.where(torch.rand(1000, 2, 3) < 0.9, 2 * labels[:, None, None], torch.randint(3, (1000, 2, 3)))
    context = torch.nn.functional.one_hot(labels, 2).float()
    if spatial:
        context = context[:, :, None, None].repeat(1, 1, 1, 2)
    prior = small((2, 3), 3, 2, spatial=spatial, layers=1, epochs=5, batch_size=50, learning_rate=2e-2)
    prior.fit(codes, context=context)
    told = context[[int((labels == 0).nonzero()[0]), int((labels == 1).nonzero()[0])]]
    with seeded(1):
        drawn = prior(told).sample((500,))
    for label in (0, 1):
        shares = torch.bincount(drawn[:, label].flatten(), minlength=3) / drawn[:, label].numel()
        expected = torch.full((3,), 0.1 / 3)
        expected[2 * label] += 0.9
        torch.testing.assert_close(shares, expected, atol=0.05, rtol=0.0)


def test_wrong_requests():
    prior = PixelCNNPrior((2, 2), 3, channels=4, layers=1)
    for codes, message in (
        (torch.zeros(5, 2, 2), r"codes are torch.float32 of shape \(5, 2, 2\); expected whole numbers"),
        (torch.zeros(5, 4, dtype=torch.long), r"shape \(5, 4\); expected whole numbers of shape \(n, 2, 2\)"),
        (torch.zeros(0, 2, 2, dtype=torch.long), r"shape \(0, 2, 2\)"),
        (torch.full((5, 2, 2), 3), "codes go from 3 to 3; expected 0 to 2: pass levels=4"),
    ):
        with pytest.raises(RequestError, match=message):
            prior.fit(codes)
    with pytest.raises(RequestError, match="there is a context of shape"):
        prior.fit(torch.zeros(5, 2, 2, dtype=torch.long), context=torch.zeros(5, 1))
    with pytest.raises(RequestError, match="temperature is 0; expected a number above 0"):
        prior(temperature=0)
    with pytest.raises(RequestError, match=r"grid is \(3, 3\), of rows and columns \(3, 3\); expected those of the"):
        AutoregressiveGrid(GatedPixelCNN(3, (2, 2), channels=4, layers=1), (3, 3))
    for given, message in (
        ({"grid": (4,)}, r"grid is \(4,\); expected \(h, w\) or \(levels, h, w\)"),
        ({"epochs": 0}, "epochs is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
    ):
        with pytest.raises(RequestError, match=message):
            PixelCNNPrior(**{"grid": (2, 2), "levels": 3, **given})
