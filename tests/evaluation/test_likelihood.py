import json
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Distribution, Independent, Normal

from vaekit.data.transforms import Binarise, Dequantise, Identity, Scale
from vaekit.distributions import Bernoulli, Conditional, ContinuousBernoulli, Gaussian, StandardNormal
from vaekit.errors import RequestError
from vaekit.evaluation.collapse import diagnose
from vaekit.evaluation.likelihood import bits_per_dim, effective_sample_size, likelihood_metrics
from vaekit.models import VAE
from vaekit.models.base import bounds_from_weights


class Fixed(nn.Module):
    """An encoder with a posterior that is the same for every x."""

    def __init__(self, mean=0.0, width=1.0):
        super().__init__()
        self.mean, self.width = mean, width

    def forward(self, x, context=None):
        return Independent(Normal(torch.full((len(x), 2), self.mean), torch.full((len(x), 2), self.width)), 1)


def deaf(likelihood, logit=0.0):
    """A decoder that does not listen to z, so that with the prior as posterior every weight is p(x)."""
    linear = nn.Linear(2, math.prod(likelihood.parameter_shape))
    nn.init.zeros_(linear.weight)
    nn.init.constant_(linear.bias, logit)
    network = nn.Sequential(linear, nn.Unflatten(1, likelihood.parameter_shape))
    return Conditional(network, likelihood)


def warnings(metrics):
    """What is said of the importance samples."""
    return diagnose({name: metrics[name] for name in ("ess", "ess_low", "nll_samples")})


def vae(decoder=None, **encoder):
    return VAE(Fixed(**encoder), deaf(Gaussian((3,), 1.0)) if decoder is None else decoder, StandardNormal(2))


X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
BYTES = np.random.default_rng(0).integers(0, 256, (50, 1, 4, 4), dtype=np.uint8)


@pytest.mark.parametrize("k", [1, 2, 50])
@pytest.mark.parametrize("level", [0.0, -1e4, 300.0])
def test_equal_weights_are_all_effective(k, level):
    weights = torch.full((k, 3), level, dtype=torch.float64)
    torch.testing.assert_close(effective_sample_size(weights), torch.full((3,), float(k), dtype=torch.float64))


def test_one_weight_that_dominates_is_one_draw():
    weights = torch.zeros(50, 1)
    weights[7] = 100.0
    assert effective_sample_size(weights).item() == pytest.approx(1)
    weights[9] = 100.0
    assert effective_sample_size(weights).item() == pytest.approx(2)


def test_effective_sample_size_by_its_definition():
    weights = torch.rand(20, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    share = weights / weights.sum(0)
    expected = 1 / share.square().sum(0)
    torch.testing.assert_close(effective_sample_size(weights.log()), expected)
    torch.testing.assert_close(effective_sample_size(weights.log() - 123), expected)


def test_bounds_are_those_of_the_weights():
    model, x = vae(mean=0.5), torch.from_numpy(X)
    for samples in ((1, 3, 700), (700,)):
        torch.manual_seed(0)
        weights = torch.cat(list(model.importance_weights(x, 700)), 1)
        assert weights.shape == (700, 40)
        torch.manual_seed(0)
        bounds = model.importance_bounds(x, samples)
        torch.testing.assert_close(bounds, bounds_from_weights(weights, samples))  # sums of other shapes round so


def test_with_the_exact_posterior_all_draws_are_effective_and_there_is_no_warning():
    metrics = likelihood_metrics(vae(), X, Identity(), samples=(1, 100))
    assert metrics["ess"] == pytest.approx(100, rel=1e-4)
    assert metrics["ess_se"] == pytest.approx(0, abs=1e-3)
    assert metrics["ess_low"] == 0
    assert warnings(metrics) == []


def test_the_effective_sample_size_of_a_posterior_that_is_shifted_is_the_closed_form():
    # For q = N(m, I) against N(0, I): E[w^2] / E[w]^2 = exp(|m|^2).
    k, mean = 20_000, 0.5
    metrics = likelihood_metrics(vae(mean=mean), X[:5], Identity(), samples=(k,))
    assert metrics["ess"] == pytest.approx(k * math.exp(-2 * mean**2), rel=0.05)


def test_a_loose_bound_has_few_effective_draws_and_is_warned_of():
    metrics = likelihood_metrics(vae(mean=4.0), X, Identity(), samples=(1000,))
    assert 1 <= metrics["ess"] < 10
    assert metrics["ess_low"] > 0.9
    (warning,) = warnings(metrics)
    assert f"For {metrics['ess_low']:.0%} of the examples" in warning
    assert json.loads(json.dumps(metrics)) == metrics


@pytest.mark.parametrize(("low", "warned"), [(2, False), (3, True)])
def test_one_example_in_twenty_may_be_poor(low, warned, monkeypatch):
    model = vae()
    flat, peaked = torch.zeros(100), torch.zeros(100)
    peaked[0] = 20.0
    given = torch.stack([peaked] * low + [flat] * (40 - low), 1)
    monkeypatch.setattr(model, "importance_weights", lambda *options, **more: iter([given]))
    metrics = likelihood_metrics(model, X, Identity(), samples=(100,))
    assert metrics["ess_low"] == pytest.approx(low / 40)
    assert metrics["ess"] == pytest.approx((low + 100 * (40 - low)) / 40, rel=1e-5)
    assert bool(warnings(metrics)) == warned


@pytest.mark.parametrize(("k", "threshold"), [(4, 2), (12, 6), (20, 10), (1000, 10)])
def test_what_counts_as_few_draws(k, threshold, monkeypatch):
    for shift, low in ((-1, 1.0), (1, 0.0)):
        weights = torch.full((k, 40), -100.0)
        weights[: threshold + shift] = 0.0  # this many draws are effective
        model = vae()
        monkeypatch.setattr(model, "importance_weights", lambda *options, given=weights, **more: iter([given]))
        metrics = likelihood_metrics(model, X, Identity(), samples=(k,))
        assert metrics["ess"] == pytest.approx(threshold + shift)
        assert metrics["ess_low"] == low


@pytest.mark.parametrize("samples", [(), (1,)])
def test_a_single_draw_has_no_effective_sample_size(samples):
    metrics = likelihood_metrics(vae(mean=3.0), X, Identity(), samples=samples)
    assert not [name for name in metrics if name.startswith("ess")]


GREY, BITS = (
    np.arange(40, dtype=np.uint8).reshape(40, 1, 1, 1) % 17,
    np.arange(40, dtype=np.uint8).reshape(40, 1, 1, 1) % 2,
)


@pytest.mark.parametrize(
    ("head", "x", "transform", "words"),
    [
        (Gaussian, GREY, Binarise(17), "a density of bits"),
        (ContinuousBernoulli, BITS, Scale(2), "a density of bits"),
        (Gaussian, GREY, Scale(17), "not dequantised"),
        (Bernoulli, GREY, Scale(17), "grey levels taken as probabilities"),
        (Bernoulli, GREY, Binarise(17), None),
        (Bernoulli, BITS, Scale(2), None),
        (Gaussian, GREY, Dequantise(17), None),
        (Gaussian, GREY.astype(np.float32), Identity(), None),
    ],
)
@pytest.mark.parametrize("samples", [(), (2,)])
def test_nats_that_are_not_comparable_say_so(head, x, transform, words, samples):
    metrics = likelihood_metrics(vae(deaf(head((1, 1, 1)))), x, transform, samples=samples)
    if words is None:
        assert "not_comparable" not in metrics
    else:
        assert words in metrics["not_comparable"]


@pytest.mark.parametrize("samples", [(), (3,)])
def test_progress_adds_up_to_the_examples(samples):
    done = []
    likelihood_metrics(vae(), np.tile(X, (30, 1)), Identity(), samples=samples, advance=done.append)
    assert sum(done) == 1200


@pytest.mark.parametrize("levels", [2, 17, 256, 65536])
def test_the_uniform_density_takes_as_many_bits_as_the_levels(levels):
    x = np.random.default_rng(0).integers(0, levels, (50, 1, 4, 4)).astype(np.uint16 if levels > 256 else np.uint8)
    uniform = vae(deaf(ContinuousBernoulli((1, 4, 4))))
    metrics = likelihood_metrics(uniform, x, Dequantise(levels), samples=(5,))
    assert metrics["bits_per_dim"] == pytest.approx(math.log2(levels), abs=1e-5)
    assert metrics["bits_per_dim_se"] == pytest.approx(0, abs=1e-5)


class Steps(Distribution):
    """A density on [0, 1)^d that is constant over each of four levels."""

    def __init__(self, mass, n, d):
        super().__init__(torch.Size([n]), torch.Size([d]), validate_args=False)
        self.mass = mass

    def log_prob(self, y):
        return (4 * self.mass[(4 * y).long()]).log().sum(-1)

    def sample(self):
        return torch.rand(self.batch_shape + self.event_shape)


def test_bits_per_dim_are_the_length_of_the_code():
    # A density that is constant over each level loses nothing by dequantising, so the bound is the cross entropy.
    mass = torch.tensor([0.5, 0.25, 0.125, 0.125])
    x = np.random.default_rng(0).choice(4, size=(300, 3), p=mass.double().numpy()).astype(np.uint8)

    class Decoder(nn.Module):
        def forward(self, z, context=None):
            return Steps(mass, len(z), 3)

    metrics = likelihood_metrics(vae(Decoder()), x, Dequantise(4), samples=(2,))
    bits = -np.log2(mass.numpy())[x].mean(1)
    assert metrics["bits_per_dim"] == pytest.approx(bits.mean(), abs=1e-5)
    assert metrics["bits_per_dim_se"] == pytest.approx(bits.std(ddof=1) / math.sqrt(300), rel=1e-3)
    assert metrics["bits_per_dim"] == pytest.approx(1.75, abs=0.1)


@pytest.mark.parametrize(
    ("x", "transform", "likelihood"),
    [
        (X, Identity(), Gaussian((3,), 1.0)),
        (BYTES, Scale(256), ContinuousBernoulli((1, 4, 4))),
        (BYTES, Binarise(256), Bernoulli((1, 4, 4))),
        (BYTES // 128, Scale(2), Bernoulli((1, 4, 4))),
    ],
)
def test_only_what_is_dequantised_has_bits_per_dim(x, transform, likelihood):
    metrics = likelihood_metrics(vae(deaf(likelihood)), x, transform, samples=(2,))
    assert "nll" in metrics
    assert not [name for name in metrics if name.startswith("bits")]
    assert bits_per_dim(1.0, 0.1, transform, x.shape[1:]) == {}


def test_without_importance_samples_there_are_no_bits_per_dim():
    metrics = likelihood_metrics(vae(deaf(Gaussian((1, 4, 4), 1.0))), BYTES, Dequantise(256), samples=())
    assert not [name for name in metrics if name.startswith("bits")]


class Perceptual(Independent):
    has_density = False


def test_the_nll_of_what_is_no_density_is_refused_with_the_reason():
    class Decoder(nn.Module):
        def forward(self, z, context=None):
            return Perceptual(Normal(torch.zeros(len(z), 3), 1.0), 1)

    with pytest.raises(RequestError, match=r"the likelihood, Perceptual, is not a density.*distortion alone"):
        likelihood_metrics(vae(Decoder()), X, Identity(), samples=(10,))
    assert "distortion" in likelihood_metrics(vae(Decoder()), X, Identity(), samples=())


def test_refusing_changes_no_mode():
    class Decoder(nn.Module):
        def forward(self, z, context=None):
            return Perceptual(Normal(torch.zeros(len(z), 3), 1.0), 1)

    model = vae(Decoder()).train()
    with pytest.raises(RequestError):
        likelihood_metrics(model, X, Identity(), samples=(10,))
    assert model.training
    assert model.encoder.training
