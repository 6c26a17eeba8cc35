import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Independent, MultivariateNormal, Normal

from vaekit.data import from_arrays
from vaekit.data.transforms import Binarise, Identity, Scale
from vaekit.distributions import Bernoulli, Conditional, Delta, DiagonalGaussian, Gaussian, StandardNormal
from vaekit.errors import RequestError
from vaekit.evaluation import ACTIVE_VARIANCE, codes, evaluate_model, likelihood_metrics, posterior_metrics
from vaekit.evaluation.posterior import Codes
from vaekit.models import VAE
from vaekit.networks import MLP

DATA = from_arrays(np.random.default_rng(0).normal(size=(300, 4)), validation=50, test=100)
SCALES = torch.tensor([1.0, 0.05, 0.12, 0.0])
WIDTHS = torch.tensor([0.5, 1.0, 0.9, 1.0])


class Known(nn.Module):
    """An encoder whose posterior is known: means are the data, scaled; standard deviations are fixed."""

    def __init__(self, kind, last):
        super().__init__()
        self.kind, self.last = kind, last

    def forward(self, x, context=None):
        mean = x * SCALES + torch.tensor([0.0, 0.0, 0.0, self.last])
        if self.kind == "point":
            return Delta(mean)
        if self.kind == "full":
            return MultivariateNormal(mean, torch.diag(WIDTHS**2).expand(len(x), 4, 4))
        return Independent(Normal(mean, WIDTHS.expand_as(mean)), 1)


def known(kind="diagonal", last=7.0):
    torch.manual_seed(0)
    return VAE(Known(kind, last), Conditional(nn.Linear(4, 4), Gaussian((4,), variance=1.0)), StandardNormal(4))


def test_active_units_by_construction():
    # Means vary by 1, 0.0025, 0.0144 and, about 7, by nothing.
    x = DATA.test.x / DATA.test.x.std(0)
    encoded = codes(known(), x, Identity())
    np.testing.assert_allclose(encoded.mean, x * SCALES.numpy() + [0, 0, 0, 7], rtol=1e-5, atol=1e-6)
    metrics = posterior_metrics(encoded)
    assert metrics["unit_active"] == [True, False, True, False]
    assert (metrics["active_units"], metrics["latent_dim"]) == (2, 4)


@pytest.mark.parametrize(("variance", "active"), [(0.0099, 0), (0.0101, 1)])
def test_the_threshold_of_activity(variance, active):
    assert ACTIVE_VARIANCE == 0.01
    mean = math.sqrt(variance) * np.tile([[-1.0], [1.0]], (500, 1)).astype(np.float32)
    assert posterior_metrics(Codes(mean, None))["active_units"] == active


def test_unit_rates_are_the_closed_form_and_sum_to_the_rate():
    x, w = DATA.test.x.astype(np.float64), WIDTHS.numpy().astype(np.float64)
    means = x * SCALES.numpy() + [0, 0, 0, 7]
    expected = (0.5 * (means**2 + w**2 - 1) - np.log(w)).mean(0)
    encoded = codes(known(), DATA.test.x, Identity())
    np.testing.assert_allclose(encoded.unit_rates, expected, rtol=1e-4, atol=1e-6)
    rate = likelihood_metrics(known(), DATA.test.x, Identity(), samples=())["rate"]
    assert encoded.unit_rates.sum() == pytest.approx(rate, rel=1e-4)


@pytest.mark.parametrize("kind", ["full", "point"])
def test_no_unit_rates_where_the_posterior_does_not_factorise(kind):
    encoded = codes(known(kind), DATA.test.x, Identity())
    assert encoded.unit_rates is None
    assert "unit_rates" not in posterior_metrics(encoded)


def test_metrics_are_what_they_are_called():
    model, x = known(last=0.0), DATA.test.x
    metrics = likelihood_metrics(model, x, Identity(), samples=(1, 20, 400))
    tensor = torch.from_numpy(x)
    torch.manual_seed(1)
    rate = model.infer(tensor, analytic=True).rate[0]
    assert metrics["rate"] == pytest.approx(rate.mean().item(), rel=1e-5)
    assert metrics["rate_se"] == pytest.approx(rate.std().item() / 10, rel=1e-4)
    assert metrics["elbo"] == pytest.approx(-(metrics["rate"] + metrics["distortion"]), rel=1e-6)
    distortion = model.infer(tensor, samples=500).distortion
    one_draw = distortion.std(0).square().mean().sqrt().item() / 10
    assert metrics["distortion"] == pytest.approx(distortion.mean().item(), abs=5 * one_draw)
    assert metrics["nll"] == -metrics["bound_400"]
    assert metrics["nll_samples"] == 400
    assert metrics["bound_1"] < metrics["bound_20"] < metrics["bound_400"]
    assert metrics["nll"] == pytest.approx(-model.log_prob(tensor, samples=2000).mean().item(), abs=0.3)
    assert -metrics["nll"] > metrics["elbo"]


def test_the_largest_number_of_samples_gives_the_nll_wherever_it_stands():
    metrics = likelihood_metrics(known(), DATA.test.x, Identity(), samples=(50, 200, 5))
    assert metrics["nll_samples"] == 200
    assert metrics["nll"] == -metrics["bound_200"]


def test_one_number_of_samples_has_no_row_of_bounds_and_none_no_nll():
    one = likelihood_metrics(known(), DATA.test.x, Identity(), samples=(10,))
    assert not [name for name in one if name.startswith("bound")]
    none = likelihood_metrics(known(), DATA.test.x, Identity(), samples=())
    assert set(none) == {"elbo", "elbo_se", "rate", "rate_se", "distortion", "distortion_se"}
    assert {name: one[name] for name in none} == none


def test_numbers_of_an_example_do_not_depend_on_those_after_it():
    # A block's draws are its own, so that the first 1000 examples read the same in any longer split.
    x = np.random.default_rng(1).normal(size=(1300, 4)).astype(np.float32)
    long, short = ([], [])
    for n, found in ((1300, long), (1000, short)):
        model = known()
        infer = model.infer

        def recording(*given, infer=infer, found=found, **options):
            found.append(infer(*given, **options))
            return found[-1]

        model.infer = recording
        likelihood_metrics(model, x[:n], Identity(), samples=(3,))
    assert len(long) > len(short) > 1
    for a, b in zip(long, short, strict=False):
        assert torch.equal(a.distortion, b.distortion)


def test_progress_counts_every_example():
    done = []
    likelihood_metrics(known(), DATA.test.x[:90], Identity(), samples=(2,), advance=done.append)
    assert sum(done) == 90


def test_one_example_has_no_standard_error():
    metrics = likelihood_metrics(known(), DATA.test.x[:1], Identity(), samples=(5,))
    assert math.isfinite(metrics["nll"])
    assert math.isnan(metrics["nll_se"])


def test_a_point_posterior_has_a_distortion_and_no_likelihood():
    metrics = evaluate_model(known("point"), DATA, Identity(), samples=(5,)).metrics
    assert "distortion" in metrics
    assert not {"elbo", "rate", "nll"} & set(metrics)
    assert metrics["active_units"] == 2 + int(DATA.test.x[:, 1].var() * 0.05**2 > 0.01)


class Noisy(nn.Module):
    """A network that is random and learns statistics while in training mode."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 4))

    def forward(self, x):
        return self.layers(x)


@pytest.mark.parametrize("training", [True, False])
def test_evaluation_runs_in_evaluation_mode_and_gives_the_mode_back(training):
    posterior, likelihood = DiagonalGaussian(2), Gaussian((4,), variance=1.0)
    model = VAE(Conditional(Noisy(), posterior), Conditional(nn.Linear(2, 4), likelihood), StandardNormal(2))
    model.train(training)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    results = [evaluate_model(model, DATA, Identity(), samples=(2,)) for _ in range(2)]
    np.testing.assert_array_equal(results[0].codes.mean, results[1].codes.mean)
    np.testing.assert_array_equal(codes(model, DATA.test.x, Identity()).mean, results[0].codes.mean)
    assert results[0].metrics["nll"] == results[1].metrics["nll"]
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert model.training == training
    assert model.encoder.network.layers.training == training


@pytest.mark.parametrize(("split", "n"), [("train", 150), ("validation", 50), ("test", 100)])
def test_splits_and_limits(split, n):
    metrics = evaluate_model(known(), DATA, Identity(), split=split, samples=(2,)).metrics
    assert metrics["images"] == n
    assert f"all {n} {split} examples" in metrics["protocol"]
    assert "NLL by 2 importance samples" in metrics["protocol"]
    few = evaluate_model(known(), DATA, Identity(), split=split, samples=(), limit=10).metrics
    assert few["images"] == 10
    assert f"the first 10 {split} examples" in few["protocol"]
    assert "NLL" not in few["protocol"]
    assert few["rate"] == pytest.approx(
        likelihood_metrics(known(), DATA.splits[split].x[:10], Identity(), samples=())["rate"]
    )


def test_the_protocol_names_the_transform_and_the_seed_of_its_draws():
    data = from_arrays(np.random.default_rng(0).integers(0, 256, (60, 5), dtype=np.uint8))
    posterior, likelihood = DiagonalGaussian(2), Bernoulli((5,))
    model = VAE(
        Conditional(MLP((5,), posterior.parameter_shape), posterior),
        Conditional(MLP((2,), (5,)), likelihood),
        StandardNormal(2),
    )
    drawn = evaluate_model(model, data, Binarise(256), samples=(), seed=3).metrics
    assert "dynamic binarisation drawn once, seed 3" in drawn["protocol"]
    assert drawn["seed"] == 3
    assert "drawn" not in evaluate_model(model, data, Scale(256), samples=()).metrics["protocol"]


def test_wrong_requests():
    with pytest.raises(RequestError, match=r"split is 'tests'; expected one of .*Did you mean 'test'"):
        evaluate_model(known(), DATA, Identity(), split="tests")
    empty = from_arrays(DATA.train.x, validation=0)
    with pytest.raises(RequestError, match="the validation split of arrays is empty: pass --split"):
        evaluate_model(known(), empty, Identity(), split="validation")
    with pytest.raises(RequestError, match="expected at least 1 importance sample"):
        evaluate_model(known(), DATA, Identity(), samples=(0,))
