r"""The streamed importance-weighted bounds: the same law however they are cut into pieces."""

import math
from functools import cache

import pytest
import torch
from torch import nn

from vaekit.errors import RequestError
from vaekit.models import VAE

from .linear_gaussian import LinearGaussian, WrongPosterior

TRUTH = LinearGaussian(seed=6)
X = TRUTH.draw(7)
EXACT = TRUTH.marginal().log_prob(X)


def vae():
    return TRUTH.model(WrongPosterior(TRUTH))


class Recorder(nn.Module):
    """A part that notes how many rows it was given at a time."""

    def __init__(self, part):
        super().__init__()
        self.part, self.rows = part, []

    def forward(self, *given):
        self.rows.append(len(given[0]))
        return self.part(*given)


@cache
def exact_bounds(k, draws=50_000):
    """The bound of k draws by its definition, and its standard error, for every example."""
    torch.manual_seed(123)
    with torch.no_grad():
        distortion, rate, _ = vae().infer(X, samples=draws // k * k)
    values = (-(distortion + rate)).unflatten(0, (-1, k)).logsumexp(1) - math.log(k)
    return values.mean(0), values.std(0) / math.sqrt(len(values))


@pytest.mark.parametrize("rows", [1, 13, 70, 2000, 10**6])
def test_every_bound_has_the_law_of_a_separate_computation(rows):
    # 1000 is no multiple of 3 or 7, nor 7 examples of what the rows hold.
    samples = (1, 3, 7, 20 if rows == 1 else 1000)
    torch.manual_seed(rows)
    bounds = vae().importance_bounds(X, samples, rows=rows)
    assert bounds.shape == (len(samples), 7)
    assert not bounds.requires_grad
    for k, bound in list(zip(samples, bounds, strict=True))[:3]:
        expected, error = exact_bounds(k)
        groups = max(samples) // k
        noise = error * math.sqrt(50_000 // k / groups)
        assert ((bound - expected).abs() < 5 * (noise + error)).all()
    if max(samples) == 1000:
        assert (bounds[-1] - EXACT).abs().max() < 0.3


def test_a_bound_is_the_mean_over_disjoint_groups_of_the_draws(monkeypatch):
    model = vae()
    weights = torch.randn(10, 4, dtype=torch.float64)
    asked = []

    def infer(x, context=None, samples=1, *, analytic=False):
        start = sum(asked)
        asked.append(samples)
        return -weights[start : start + samples], torch.zeros(()), None

    monkeypatch.setattr(model, "infer", infer)
    bounds = model.importance_bounds(X[:4], (1, 3, 10), rows=16)
    assert asked == [4, 4, 2]
    expected = [
        weights.mean(0),
        torch.stack([weights[i : i + 3].exp().mean(0).log() for i in (0, 3, 6)]).mean(0),
        weights.exp().mean(0).log(),
    ]
    torch.testing.assert_close(bounds, torch.stack(expected))


@pytest.mark.parametrize("rows", [1, 5, 64, 2000])
@pytest.mark.parametrize("samples", [1, 3, 20, 101])
def test_no_more_rows_are_decoded_at_once_than_asked_and_no_fewer_in_all(rows, samples):
    model = vae()
    model.decoder = Recorder(model.decoder)
    result = model.importance_bounds(X, (samples,), rows=rows)
    assert result.shape == (1, 7)
    assert max(model.decoder.rows) <= rows
    assert sum(model.decoder.rows) == 7 * samples
    # Nor is it done row by row: at least a quarter of the room is used, but for what is left over.
    if samples * 7 >= rows:
        assert max(model.decoder.rows) >= min(rows / 4, samples)


def test_the_rows_decoded_at_once_do_not_grow_with_the_examples():
    model = vae()
    model.decoder = Recorder(model.decoder)
    model.log_prob(TRUTH.draw(500), samples=300)
    assert max(model.decoder.rows) <= 2000


@pytest.mark.parametrize("n", [1, 2, 7])
def test_log_prob_of_any_number_of_examples(n):
    torch.manual_seed(0)
    values = vae().log_prob(X[:n], samples=3000)
    assert values.shape == (n,)
    assert not values.requires_grad
    assert (values - EXACT[:n]).abs().max() < 0.3


def test_log_prob_leaves_no_graph_and_the_bound_can_be_trained():
    model = vae()
    assert model.log_prob(X, samples=2).grad_fn is None
    assert model.elbo(X).requires_grad


def test_the_order_of_the_sample_counts_is_kept():
    torch.manual_seed(0)
    up = vae().importance_bounds(X, (1, 10, 100))
    torch.manual_seed(0)
    down = vae().importance_bounds(X, (100, 10, 1))
    assert torch.equal(up, down.flip(0))


class Echo(nn.Module):
    """An encoder and decoder that note the context that came with each row."""

    def __init__(self, part):
        super().__init__()
        self.part, self.seen = part, []

    def forward(self, given, context=None):
        self.seen.append((given, context))
        return self.part(given)


def test_each_row_keeps_its_context():
    model = vae()
    model = VAE(Echo(model.encoder), Echo(model.decoder), model.prior)
    context = torch.arange(7.0)[:, None]
    model.importance_bounds(X, (6,), context, rows=20)
    for x, c in model.encoder.seen:
        torch.testing.assert_close(x, X[c[:, 0].long()])
    counts = torch.cat([c for _, c in model.decoder.seen])[:, 0].long().bincount()
    assert counts.tolist() == [6] * 7


@pytest.mark.parametrize("samples", [(0,), (5, 0), (-1,), ()])
def test_no_draws_is_a_wrong_request(samples):
    with pytest.raises(RequestError, match=r"expected at least 1 importance sample: pass 1000"):
        vae().importance_bounds(X, samples)
