import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Categorical, Independent, MixtureSameFamily, MultivariateNormal, Normal

from vaekit.data.rows import Subset
from vaekit.data.transforms import Binarise, Identity
from vaekit.distributions import Conditional, Delta, Gaussian, StandardNormal
from vaekit.errors import RequestError
from vaekit.evaluation import aggregate
from vaekit.evaluation.aggregate import AggregatePosterior, aggregate_metrics
from vaekit.models import VAE

X = np.random.default_rng(0).normal(size=(1200, 3)).astype(np.float32)


class Codes(nn.Module):
    """An encoder of a given kind of posterior, about x."""

    def __init__(self, kind="diagonal"):
        super().__init__()
        self.kind = kind
        self.dropout = nn.Dropout(0.5)

    def forward(self, x, context=None):
        mean, scale = self.dropout(x), torch.full_like(x, 0.5)
        if self.kind == "point":
            return Delta(mean)
        if self.kind == "full":
            return MultivariateNormal(mean, scale_tril=torch.diag_embed(scale))
        if self.kind == "mixture":
            two = Independent(Normal(torch.stack([mean - 0.3, mean + 0.3], 1), 0.4), 1)
            return MixtureSameFamily(Categorical(torch.ones(len(x), 2)), two)
        return Independent(Normal(mean, scale), 1)


class FullPrior(nn.Module):
    def forward(self, context=None):
        return MultivariateNormal(torch.zeros(3), torch.eye(3) + 0.5)


class NoMean(nn.Module):
    """A prior that, as a flow does, knows its density and draws but not its mean."""

    def forward(self, context=None):
        shape = torch.distributions.AffineTransform(0.0, 1.0)
        return torch.distributions.TransformedDistribution(StandardNormal(3)(), [shape])


def model(kind="diagonal", prior=None):
    decoder = Conditional(nn.Linear(3, 3), Gaussian((3,)))
    return VAE(Codes(kind), decoder, StandardNormal(3) if prior is None else prior)


def test_a_seed_gives_the_same_numbers_and_leaves_the_random_state():
    vae = model()
    state = torch.get_rng_state()
    first = aggregate_metrics(vae, X, Identity(), draws=100, seed=5)
    assert torch.equal(torch.get_rng_state(), state)
    assert first == aggregate_metrics(model(), X, Identity(), draws=100, seed=5)
    other = aggregate_metrics(model(), X, Identity(), draws=100, seed=6)
    assert other["mutual_information"] != first["mutual_information"]
    noise = math.hypot(first["aggregate_kl_se"], other["aggregate_kl_se"])
    assert other["aggregate_kl"] == pytest.approx(first["aggregate_kl"], abs=4 * noise)


@pytest.mark.parametrize("training", [True, False])
def test_it_runs_in_evaluation_mode_and_gives_the_mode_back(training):
    vae = model().train(training)
    vae.decoder.eval()
    first = aggregate_metrics(vae, X[:50], Identity(), draws=100)
    assert first == aggregate_metrics(vae, X[:50], Identity(), draws=100)
    assert vae.encoder.dropout.training == training
    assert not vae.decoder.training
    with pytest.raises(RequestError):
        aggregate_metrics(model("point").train(training), X[:50], Identity())
    assert vae.encoder.dropout.training == training


@pytest.mark.parametrize(("components", "expected"), [(10_000, 1200), (300, 300), (1, 1)])
def test_components_are_those_asked_for(components, expected):
    m = aggregate_metrics(model(), X, Identity(), components=components, draws=50)
    assert m["components"] == expected
    assert m["mutual_information_limit"] == math.log(expected)
    assert f"{expected:,} examples" in m["protocol"]
    assert "50 draws" in m["protocol"]


def test_a_subset_is_drawn_from_everywhere():
    # Sorted data: the first rows would have another aggregate.
    x = np.repeat(np.float32([[-20.0], [20.0]]), 500, axis=0).repeat(3, 1)
    m = aggregate_metrics(model(), x, Identity(), components=100, draws=500)
    assert m["mutual_information"] == pytest.approx(math.log(2), abs=0.05)


@pytest.mark.parametrize("draws", [2, 7, 20, 47, 100])
def test_draws_are_as_many_as_asked_and_even_over_the_components(draws, monkeypatch):
    seen = []
    log_prob = AggregatePosterior.log_prob

    def recording(self, z):
        seen.append(z)
        return log_prob(self, z)

    monkeypatch.setattr(AggregatePosterior, "log_prob", recording)
    done = []
    x = 100 * np.arange(1, 21, dtype=np.float32)[:, None].repeat(3, 1)
    m = aggregate_metrics(model(), x, Identity(), draws=draws, advance=done.append)
    whose = (torch.cat(seen)[:, 0] / 100).round().long() - 1
    counts = torch.bincount(whose, minlength=20)
    assert counts.sum() == sum(done) == m["draws"] == draws
    assert counts.max() - counts.min() <= 1
    assert m["mutual_information"] == pytest.approx(math.log(20), abs=1e-6)  # each weighed against its own code


def test_all_components_count_however_many_blocks_they_come_in():
    # 1200 codes in two blocks, and the same in one.
    x = np.concatenate([X] * 2)
    with torch.no_grad():
        q = model().eval().encode(torch.from_numpy(x))
        parts = [Independent(Normal(q.mean[s], q.stddev[s]), 1) for s in (slice(0, 999), slice(999, 2400))]
    z = torch.from_numpy(X[:20])
    torch.testing.assert_close(AggregatePosterior(parts).log_prob(z), AggregatePosterior([q]).log_prob(z))


def test_what_does_not_factorise_is_left_out():
    full = aggregate_metrics(model(prior=FullPrior()), X, Identity(), draws=50)
    assert "total_correlation" in full
    assert not {"dimension_kl", "unit_dimension_kl"} & set(full)
    mixture = aggregate_metrics(model("mixture"), X[:200], Identity(), draws=50)
    assert not {"total_correlation", "dimension_kl"} & set(mixture)
    for m in (full, mixture):
        assert m["mutual_information"] + m["marginal_kl"] == pytest.approx(m["aggregate_kl"], abs=1e-9)
    with pytest.raises(NotImplementedError, match="marginals"):
        AggregatePosterior([model("mixture").encode(torch.from_numpy(X))]).marginal_log_prob(torch.zeros(1, 3))


def test_a_full_covariance_that_is_diagonal_gives_the_same_numbers():
    diagonal = aggregate_metrics(model(), X[:300], Identity(), draws=4000)
    full = aggregate_metrics(model("full"), X[:300], Identity(), draws=4000)
    for name in ("aggregate_kl", "mutual_information", "total_correlation", "dimension_kl"):
        noise = math.hypot(diagonal[f"{name}_se"], full[f"{name}_se"])
        assert full[name] == pytest.approx(diagonal[name], abs=4 * noise), name


def test_a_prior_without_a_mean():
    known, flow = (aggregate_metrics(model(prior=p), X[:100], Identity(), draws=100) for p in (None, NoMean()))
    assert flow["marginal_kl"] == pytest.approx(known["marginal_kl"], abs=1e-5)


def test_rows_that_are_read_when_asked_for_give_the_same():
    vae, options = model(), {"components": 300, "draws": 50}
    lazy = Subset(X, np.arange(len(X)))
    assert aggregate_metrics(vae, lazy, Identity(), **options) == aggregate_metrics(vae, X, Identity(), **options)


def test_binarised_data_are_drawn_by_the_seed():
    x = np.random.default_rng(0).integers(0, 256, (60, 3), dtype=np.uint8)
    first, again, other = (aggregate_metrics(model(), x, Binarise(256), draws=40, seed=s) for s in (0, 0, 1))
    assert first == again != other


def test_the_noise_of_two_blocks_is_not_the_same(monkeypatch):
    seen = []
    log_prob = AggregatePosterior.log_prob
    monkeypatch.setattr(AggregatePosterior, "log_prob", lambda self, z: (seen.append(z), log_prob(self, z))[1])
    aggregate_metrics(model(), np.zeros((2000, 3), np.float32), Identity(), draws=2000)
    assert len(torch.cat(seen).unique(dim=0)) == 2000


@pytest.mark.parametrize("kind", ["diagonal", "full"])
def test_work_comes_in_bounded_pieces(kind, monkeypatch):
    sizes = []
    logsumexp = torch.Tensor.logsumexp

    def recording(self, *given):
        sizes.append(self.numel())
        return logsumexp(self, *given)

    monkeypatch.setattr(torch.Tensor, "logsumexp", recording)
    with torch.no_grad():
        mixture = AggregatePosterior([model(kind).eval().encode(torch.from_numpy(X))])
    z = torch.zeros(3000, 3)
    mixture.log_prob(z)
    assert 1200 * 3000 > 4 * aggregate._CELLS >= max(sizes)
    sizes.clear()
    mixture.marginal_log_prob(z)
    assert max(sizes) <= aggregate._CELLS


def test_wrong_requests():
    with pytest.raises(RequestError, match="a point posterior has no density"):
        aggregate_metrics(model("point"), X, Identity())
    with pytest.raises(RequestError, match="there are no posteriors to aggregate"):
        aggregate_metrics(model(), X[:0], Identity())
    with pytest.raises(RequestError, match="components is 0 and draws 2000"):
        aggregate_metrics(model(), X, Identity(), components=0)
    with pytest.raises(RequestError, match="at least 1 component and 2 draws"):
        aggregate_metrics(model(), X, Identity(), draws=1)
    with pytest.raises(RequestError, match="seed is -1"):
        aggregate_metrics(model(), X, Identity(), seed=-1)
