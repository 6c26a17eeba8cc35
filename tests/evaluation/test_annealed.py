import json
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Bernoulli as Bits
from torch.distributions import Distribution, Exponential, Independent, MultivariateNormal, Normal

from vaekit.data.transforms import Binarise, Dequantise, Identity, Scale
from vaekit.distributions import Bernoulli, Conditional, Delta, DiagonalGaussian, Gaussian, StandardNormal
from vaekit.errors import RequestError
from vaekit.evaluation.annealed import annealed_log_prob, annealed_metrics, annealed_weights, bidirectional_gap
from vaekit.evaluation.geometric_path import GeometricPath
from vaekit.evaluation.likelihood import likelihood_metrics
from vaekit.models import VAE
from vaekit.models.base import LatentVariableModel, seed_of

FAST = {"chains": 4, "temperatures": 5, "steps": 2}


class Part(nn.Module):
    """A part that is a function, and notes what it was given."""

    def __init__(self, function):
        super().__init__()
        self.function, self.given = function, []

    def forward(self, *given):
        self.given.append(given)
        return self.function(*given)


def posterior(x, context=None):
    return Independent(Normal(0.3 * x[:, :2], 0.9), 1)


def affine(z, context=None):
    return Independent(Normal(torch.stack([z[:, 0], z[:, 1], z.sum(1)], 1), 1.0), 1)


def prior(context=None):
    return Independent(Normal(torch.zeros(2), torch.ones(2)), 1)


def vae(encoder=posterior, decoder=affine, prior=prior):
    return VAE(Part(encoder), Part(decoder), Part(prior))


WEIGHT = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
MARGINAL = MultivariateNormal(torch.zeros(3), WEIGHT @ WEIGHT.T + torch.eye(3))
X = MARGINAL.sample((30,)) if torch.manual_seed(0) else None
EXACT = MARGINAL.log_prob(X)


def test_the_same_seed_gives_the_same_numbers_and_leaves_the_random_state_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = annealed_log_prob(vae(), X, seed=1, **FAST)
    again = annealed_log_prob(vae(), X, seed=1, **FAST)
    check = bidirectional_gap(vae(), 5, seed=1, **FAST)
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(first, again)
    assert check == bidirectional_gap(vae(), 5, seed=1, **FAST)
    assert not torch.equal(first, annealed_log_prob(vae(), X, seed=2, **FAST))
    assert check != bidirectional_gap(vae(), 5, seed=2, **FAST)


def test_full_parts_read_the_same_in_more_data():
    whole = annealed_log_prob(vae(), X, rows=40, **FAST)  # ten examples at a time
    torch.testing.assert_close(annealed_log_prob(vae(), X[:20], rows=40, **FAST), whole[:20])
    x = np.concatenate([X.numpy()] * 40)[:1100]
    long = annealed_metrics(vae(), x, Identity(), simulated=0, **FAST)
    short, rest = (annealed_metrics(vae(), part, Identity(), simulated=0, **FAST) for part in (x[:1000], x[1000:]))
    # The second block has draws of its own, so it does not read as it would alone.
    assert long["nll_ais"] != pytest.approx((10 * short["nll_ais"] + rest["nll_ais"]) / 11, abs=1e-9)
    assert long["nll_ais"] == pytest.approx((10 * short["nll_ais"] + rest["nll_ais"]) / 11, abs=0.1)


@pytest.mark.parametrize("rows", [1, 4, 17, 1000])
def test_no_more_rows_are_decoded_at_once_than_asked(rows):
    model = vae()
    annealed_log_prob(model, X[:7], rows=rows, **FAST)
    most = max(len(z) for z, *_ in model.decoder.given)
    assert most == max(4, min(rows // 4, 7) * 4)


def test_callers_without_gradients_and_in_inference_mode():
    expected = annealed_log_prob(vae(), X, **FAST)
    assert not expected.requires_grad
    with torch.no_grad():
        assert torch.equal(annealed_log_prob(vae(), X, **FAST), expected)
    with torch.inference_mode():
        assert torch.equal(annealed_log_prob(vae(), X.clone(), **FAST), expected)
        bidirectional_gap(vae(), 5, **FAST)


def trained(hidden=8):
    torch.manual_seed(0)
    head, likelihood = DiagonalGaussian(2), Bernoulli((6,))
    decoder = nn.Sequential(nn.Linear(2, hidden), nn.Dropout(0.5), nn.BatchNorm1d(hidden), nn.Linear(hidden, 6))
    return VAE(Conditional(nn.Linear(6, 4), head), Conditional(decoder, likelihood), StandardNormal(2))


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_evaluated_as_after_training_and_left_as_it_was(training):
    model = trained().train(training)
    model.encoder.train(not training)
    modes = [module.training for module in model.modules()]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x = torch.ones(5, 6)
    first = annealed_log_prob(model, x, **FAST)
    assert torch.equal(first, annealed_log_prob(model, x, **FAST))  # dropout would differ, and batch norm move
    bidirectional_gap(model, 5, **FAST)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    model.decoder.network[0].weight.data.fill_(math.nan)
    with pytest.raises(RequestError):
        annealed_log_prob(model, x, start="there")
    assert [module.training for module in model.modules()] == modes


def test_bits_against_the_sum_over_a_grid_of_the_latent_space():
    model = trained().eval()
    x = torch.bernoulli(torch.full((8, 6), 0.5), generator=torch.Generator().manual_seed(0))
    line = torch.linspace(-6, 6, 241)
    grid = torch.cartesian_prod(line, line)
    with torch.no_grad():
        mass = model.prior().log_prob(grid) + 2 * math.log(0.05)
        p = model.decode(grid)
        exact = torch.stack([(p.log_prob(row.expand(len(grid), -1)) + mass).logsumexp(0) for row in x])
    for start in ("posterior", "prior"):
        estimate = annealed_log_prob(model, x, chains=200, temperatures=15, steps=3, start=start, rows=2000)
        assert (estimate - exact).abs().max() < 0.2
        assert (estimate - exact).mean().abs() < 0.05


@pytest.mark.parametrize("start", ["posterior", "prior"])
def test_each_row_keeps_its_context(start):
    # Shifts by the context in prior and decoder: p(x|c) is known.
    def shifted(z, context=None):
        return Independent(Normal(affine(z).mean + context, 1.0), 1)

    def shifted_prior(context=None):
        return Independent(Normal(context[:, :2], torch.ones(len(context), 2)), 1)

    def encode(x, context=None):
        return Independent(Normal(context[:, :2] + 0.3 * (x - 2 * context)[:, :2], 0.9), 1)

    # Far apart, so that one row with another's context is hopeless.
    context = torch.linspace(-100, 100, 30)[:, None].expand(-1, 3)
    x = X + context + context[:, :2] @ WEIGHT.T
    settings = {"chains": 30, "temperatures": 25, "steps": 3, "start": start}
    estimate = annealed_log_prob(vae(encode, shifted, shifted_prior), x, context, rows=600, **settings)
    assert (estimate - EXACT).abs().max() < 0.5
    assert (estimate - EXACT).mean().abs() < 0.1
    check = bidirectional_gap(vae(encode, shifted, shifted_prior), 30, context, rows=600, **settings)
    assert abs(check["gap"]) < 0.3
    assert check["lower"] == pytest.approx(-MARGINAL.entropy().item(), abs=1)


def test_latent_variables_of_any_shape():
    def encode(x):
        return Independent(Normal(0.3 * x[:, :2, None], 0.9), 2)

    def square_prior():
        return Independent(Normal(torch.zeros(2, 1), torch.ones(2, 1)), 2)

    model = vae(encode, lambda z, context=None: affine(z.flatten(1)), square_prior)
    model.encoder.function, model.prior.function = (lambda x, c=None: encode(x)), (lambda c=None: square_prior())
    settings = {"chains": 20, "temperatures": 20, "steps": 3}
    torch.testing.assert_close(
        annealed_log_prob(model, X, **settings), annealed_log_prob(vae(), X, **settings), rtol=0, atol=1e-4
    )


def test_a_start_without_a_width_of_its_own():
    class Nameless(Distribution):
        def __init__(self, base):
            super().__init__(base.batch_shape, base.event_shape, validate_args=False)
            self.base = base

        def sample(self, shape=()):
            return self.base.sample(shape)

        def log_prob(self, z):
            return self.base.log_prob(z)

    model = vae(lambda x, c=None: Nameless(posterior(x)), prior=lambda c=None: Nameless(prior()))
    estimate = annealed_log_prob(model, X, chains=20, temperatures=20, steps=3)
    assert (estimate - EXACT).mean().abs() < 0.1


def test_where_a_trajectory_ran_off_there_is_no_density():
    path = GeometricPath(vae(), X[:3], None, "posterior", 2)
    z = torch.zeros(2, 3, 2)
    z[0, 0], z[1, 2, 1] = math.nan, math.inf
    point = path(z)
    wild = torch.tensor([[True, False, False], [False, False, True]])
    assert torch.equal(point.log_density(0.5) == -math.inf, wild)
    assert point.gradient(0.5).isfinite().all()
    torch.testing.assert_close(point.start[~wild], path(torch.zeros(2, 3, 2)).start[~wild])


@pytest.mark.parametrize("start", ["posterior", "prior"])
def test_progress_adds_up_and_comes_in_time(start):
    told = []
    annealed_log_prob(vae(), X, rows=1000, start=start, advance=told.append, **FAST)
    assert sum(told) == 30
    assert len(told) > 5  # while the part of all thirty is under way
    told.clear()
    annealed_metrics(vae(), X.numpy(), Identity(), simulated=7, advance=told.append, chains=2, temperatures=1, steps=0)
    assert sum(told) == 37
    assert all(isinstance(examples, int) and examples > 0 for examples in told)


def test_what_is_reported():
    settings = {"chains": 10, "temperatures": 20, "steps": 3}
    result = annealed_metrics(vae(), X.numpy(), Identity(), simulated=20, seed=4, **settings)
    assert json.loads(json.dumps(result)) == result
    log_prob = annealed_log_prob(vae(), X, seed=seed_of(4, 0), **settings)
    assert result["nll_ais"] == pytest.approx(-log_prob.mean().item(), abs=1e-5)
    assert result["nll_ais_se"] == pytest.approx(log_prob.std().item() / math.sqrt(30), rel=1e-3)
    assert result["nll_ais"] == pytest.approx(-EXACT.mean().item(), abs=0.1)
    assert 0.4 < result["acceptance"] < 0.9
    assert 0 < result["acceptance_se"] < 0.1
    assert result["bdmc_gap"] == pytest.approx(result["bdmc_upper"] - result["bdmc_lower"], abs=1e-6)
    assert abs(result["bdmc_gap"]) < 0.1
    assert {"bdmc_lower_se", "bdmc_upper_se", "bdmc_gap_se"} <= set(result)
    assert settings.items() <= result.items()
    assert (result["start"], result["bdmc_examples"]) == ("posterior", 20)
    assert "warning" not in result
    for words in ("30 examples", "values as stored", "from the posterior", "10 chains, 20 temperatures, 3 leapfrog"):
        assert words in result["protocol"]
    assert "20 simulated examples" in result["protocol"]
    assert "seed 4" in result["protocol"]


def test_a_loose_bound_comes_with_a_warning():
    far = vae(lambda x, c=None: Independent(Normal(0.3 * x[:, :2] + 3, 0.2), 1))
    result = annealed_metrics(far, X.numpy(), Identity(), chains=2, temperatures=2, steps=1)
    assert result["bdmc_gap"] > 1
    assert f"{result['bdmc_gap']:.2g} nats apart" in result["warning"]
    assert "pass more temperatures (8)" in result["warning"]


def test_without_the_check_there_is_nothing_of_it():
    result = annealed_metrics(vae(), X.numpy(), Identity(), simulated=0, **FAST)
    assert not [name for name in result if name.startswith("bdmc")]
    assert "simulated" not in result["protocol"]


def test_the_data_are_those_of_the_importance_weighted_bound():
    # With nothing but weights, and z that do not matter, both are the same number if both drew the same bits.
    model = trained()
    model.decoder.network[0].weight.data.zero_()
    model.encoder.network.weight.data.zero_()
    model.encoder.network.bias.data.zero_()
    x = np.random.default_rng(0).integers(0, 256, (1200, 6), dtype=np.uint8)
    given = {"seed": 3}
    sampled = likelihood_metrics(model, x, Binarise(256), samples=(2,), **given)
    result = annealed_metrics(model, x, Binarise(256), simulated=0, **FAST, **given)
    assert result["nll_ais"] == pytest.approx(sampled["nll"], abs=1e-4)
    assert "drawn once, seed 3" in result["protocol"]


def test_bits_per_dim_where_the_data_were_dequantised():
    x = np.random.default_rng(0).integers(0, 256, (30, 3), dtype=np.uint8)
    result = annealed_metrics(vae(), x, Dequantise(256), simulated=0, **FAST)
    assert result["bits_per_dim_ais"] == pytest.approx(result["nll_ais"] / (3 * math.log(2)) + 8)
    assert result["bits_per_dim_ais_se"] == pytest.approx(result["nll_ais_se"] / (3 * math.log(2)))
    assert "bits_per_dim_ais" not in annealed_metrics(vae(), x, Scale(256), simulated=0, **FAST)


def test_a_point_posterior_has_no_start_but_the_prior_has():
    def point(x, context=None):
        return Delta(0.3 * x[:, :2])

    with pytest.raises(RequestError, match=r'the posterior, Delta, has no density.*pass start="prior"'):
        annealed_log_prob(vae(point), X, **FAST)
    estimate = annealed_log_prob(vae(point), X, chains=30, temperatures=30, steps=3, start="prior")
    assert (estimate - EXACT).mean().abs() < 0.1


class Perceptual(Normal):
    has_density = False


class Unpaired(Normal):
    def sample(self, shape=()):
        raise NotImplementedError


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (vae(decoder=lambda z, c=None: Perceptual(z, 1.0)), "the likelihood, Perceptual, is not a density"),
        (vae(prior=lambda c=None: Delta(torch.zeros(2))), "the prior, Delta, is not a density"),
        (vae(prior=lambda c=None: Independent(Bits(torch.full((2,), 0.5)), 1)), "lives on Boolean.*follows gradients"),
        (vae(prior=lambda c=None: Independent(Exponential(torch.ones(2)), 1)), "lives on .*follows gradients"),
        (vae(decoder=lambda z, c=None: affine(z.detach())), "the decoder does not depend on z by operations with a"),
    ],
)
def test_models_that_cannot_be_annealed(model, message):
    with pytest.raises(RequestError, match=message):
        annealed_log_prob(model, X, start="prior", **FAST)
    with pytest.raises(RequestError, match=message):
        annealed_metrics(model, X.numpy(), Identity(), start="prior", **FAST)


def test_a_model_that_infers_in_another_way_is_refused():
    class Other(LatentVariableModel):
        def infer(self, x, context=None, samples=1, *, analytic=False): ...

        def generate(self, n, context=None, *, mean=True): ...

    with pytest.raises(RequestError, match=r"Other has no `decode`; annealing needs p\(z\) and p\(x\|z\)"):
        annealed_log_prob(Other(), X)
    with pytest.raises(RequestError, match="Other has no `decode`"):
        bidirectional_gap(Other(), 5)
    with pytest.raises(RequestError, match=r"model is a str; expected a vaekit.models.VAE"):
        annealed_log_prob("runs/vae", X)


def test_a_likelihood_that_cannot_be_drawn_from_has_no_simulated_data():
    model = vae(decoder=lambda z, c=None: Independent(Unpaired(affine(z).mean, 1.0), 1))
    assert annealed_weights(model, X, **FAST).log_weights.shape == (4, 30)
    with pytest.raises(RequestError, match=r"cannot be drawn from.*pass simulated=0"):
        bidirectional_gap(model, 5, **FAST)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"chains": 0}, "chains is 0; expected an integer from 1 up"),
        ({"temperatures": 0}, "temperatures is 0; expected an integer from 1 up"),
        ({"steps": -1}, "steps is -1; expected an integer from 0 up"),
        ({"temperatures": 2.5}, "temperatures is 2.5; expected an integer"),
        ({"start": "encoder"}, 'start is \'encoder\'; expected "posterior" or "prior"'),
    ],
)
def test_settings_that_make_no_sense(settings, message):
    for run in (
        lambda: annealed_log_prob(vae(), X, **settings),
        lambda: bidirectional_gap(vae(), 5, **settings),
        lambda: annealed_metrics(vae(), X.numpy(), Identity(), **settings),
    ):
        with pytest.raises(RequestError, match=message):
            run()


def test_too_few_examples():
    with pytest.raises(RequestError, match="no examples to anneal: pass at least 1"):
        annealed_log_prob(vae(), X[:0])
    with pytest.raises(RequestError, match="n is 1; expected at least 2 simulated examples"):
        bidirectional_gap(vae(), 1)
    result = annealed_metrics(vae(), X[:1].numpy(), Identity(), simulated=0, **FAST)
    assert math.isfinite(result["nll_ais"])
    assert math.isnan(result["nll_ais_se"])


def test_a_fixed_gaussian_decoder_of_the_package():
    torch.manual_seed(0)
    linear = nn.Linear(1, 3)
    model = VAE(
        Conditional(nn.Linear(3, 2), DiagonalGaussian(1)), Conditional(linear, Gaussian((3,), 1.0)), StandardNormal(1)
    )
    w = linear.weight.detach()
    exact = MultivariateNormal(linear.bias.detach(), w @ w.T + torch.eye(3)).log_prob(X)
    estimate = annealed_log_prob(model, X, chains=50, temperatures=30, steps=3)
    assert (estimate - exact).mean().abs() < 0.1
