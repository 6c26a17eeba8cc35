r"""Real numbers in any units: what is learned does not depend on them, and densities are those of the data."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import AffineTransform, Independent, Normal, TransformedDistribution

from vaekit import recipes
from vaekit.data import from_arrays
from vaekit.distributions import Bernoulli, ContinuousBernoulli, Gaussian, InUnits
from vaekit.networks import MLP, Standardised
from vaekit.plan import DataSpec
from vaekit.recipes.build import in_units
from vaekit.training import fit

N = 300


def blobs(shape=(4,), seed=0):
    """Two clusters, their entries of order one."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(N, *shape)) * 0.3
    x[: N // 2] += 1
    return x


def trained(name, x, **arguments):
    data = from_arrays(x)
    torch.manual_seed(0)
    arguments = {"epochs": 6, "batch_size": 30, "learning_rate": 3e-3, **arguments}
    plan = recipes.get(name)(DataSpec.of(data), **arguments)
    model = fit(plan, data, progress=False).model
    return model, torch.from_numpy(np.asarray(data.test.x))


def log_likelihood(model, x):
    torch.manual_seed(0)
    with torch.no_grad():
        return model.log_prob(x, samples=50).double()


SMALL = {"hidden": (16,), "latent_dim": 2}


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("vae", SMALL),
        ("vae", {**SMALL, "likelihood": "gaussian-pixel"}),
        ("vae", {**SMALL, "likelihood": "squared-error"}),
        ("iwae", SMALL),
        ("planar-flow", SMALL),
        ("vamp-prior", {**SMALL, "components": 5}),
        ("hierarchical", {"hidden": (16,), "upper": (8,), "latent_dims": (3, 2)}),
    ],
    ids=lambda value: value if isinstance(value, str) else value.get("likelihood", ""),
)
def test_other_units_are_another_jacobian_and_nothing_else(name, arguments):
    # Cents, millions, and seconds since 1970: float32 holds what is left of the last to a part in a thousand.
    unit, origin = np.array([100.0, 1e6, 1.0, 1e-3]), np.array([0.0, 5e6, 2e3, 1.0])
    x = blobs()
    model, test = trained(name, x, **arguments)
    other, moved = trained(name, origin + unit * x, **arguments)
    found, expected = log_likelihood(other, moved), log_likelihood(model, test) - np.log(unit).sum()
    assert (found - expected).abs().max() < 0.05
    torch.manual_seed(0)
    drawn = model.sample(50).double()
    torch.manual_seed(0)
    again = (other.sample(50).double() - torch.from_numpy(origin)) / torch.from_numpy(unit)
    torch.testing.assert_close(again, drawn, atol=0.02, rtol=0)


def test_without_it_the_units_decide():
    x = blobs()
    model, test = trained("vae", x, standardise=False, **SMALL)
    other, moved = trained("vae", 30 * x, standardise=False, **SMALL)
    change = log_likelihood(other, moved) - log_likelihood(model, test)
    assert (change + 4 * math.log(30)).mean() < -1


def test_an_image_has_one_unit_for_all_its_numbers():
    x = blobs((1, 4, 4)) * np.linspace(0.5, 2, 16).reshape(4, 4)
    data = from_arrays(40 + 200 * x)
    encoder, density = in_units(DataSpec.of(data), MLP((1, 4, 4), (4,)), Gaussian((1, 4, 4)))
    assert isinstance(encoder, Standardised)
    assert isinstance(density, InUnits)
    whole = np.asarray(data.train.x, np.float64)
    assert encoder.origin.item() == pytest.approx(whole.mean(), rel=1e-5)
    assert encoder.unit.item() == pytest.approx(whole.std(), rel=1e-5)
    model, test = trained("vae", x, **SMALL)
    other, moved = trained("vae", 40 + 200 * x, **SMALL)
    found, expected = log_likelihood(other, moved), log_likelihood(model, test) - 16 * math.log(200)
    assert (found - expected).abs().max() < 0.05


def test_an_entry_that_never_changes_is_counted_in_ones():
    x = blobs()
    x[:, 1], x[:, 2] = 7.0, 1e7 + np.arange(N) % 2  # the latter in float32 by one rounding
    spec = DataSpec.of(from_arrays(x))
    encoder, _ = in_units(spec, MLP((4,), (4,)), Gaussian((4,)))
    assert encoder.unit[1] == encoder.unit[2] == 1
    assert encoder.unit[0] == pytest.approx(float(spec.deviation[0]))
    model, test = trained("vae", x, **SMALL)
    assert log_likelihood(model, test).isfinite().all()


def test_levels_and_other_likelihoods_stay_as_they_are():
    network = MLP((4,), (4,))
    bits = DataSpec.of(from_arrays((blobs() > 0).astype(np.uint8)))
    reals = DataSpec.of(from_arrays(blobs()))
    for spec, head in ((bits, Bernoulli((4,))), (bits, Gaussian((4,))), (reals, ContinuousBernoulli((4,)))):
        assert in_units(spec, network, head) == (network, head)


@pytest.mark.parametrize("variance", ["pixel", "scalar", 2.0])
def test_a_density_in_units_is_a_change_of_variables(variance):
    origin, unit = torch.tensor([3.0, -50.0, 0.1]), torch.tensor([0.01, 20.0, 5.0])
    head = Gaussian((3,), variance)
    origin, unit, head = origin.double(), unit.double(), head.double()
    parameters = torch.randn(7, *head.parameter_shape, generator=torch.Generator().manual_seed(0)).double()
    p, base = InUnits(head, origin, unit)(parameters), head(parameters)
    assert InUnits(head, origin, unit).parameter_shape == head.parameter_shape
    expected = TransformedDistribution(base, AffineTransform(origin, unit, event_dim=1))
    x = origin + unit * torch.randn(7, 3, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(p.log_prob(x), expected.log_prob(x))
    assert isinstance(p, Independent)
    assert isinstance(p.base_dist, Normal)
    torch.testing.assert_close(p.mean, origin + unit * base.mean)
    torch.testing.assert_close(p.stddev, unit * base.stddev)


def test_a_loaded_model_has_the_units_it_was_trained_in(tmp_path, no_report):
    import vaekit

    x = (1e4 + 1e3 * blobs()).astype(np.float32)
    run = vaekit.train("vae", x, out=tmp_path / "run", epochs=1, nll_samples=0, progress=False, **SMALL)
    loaded, test = vaekit.load(tmp_path / "run"), torch.from_numpy(np.asarray(run.data.test.x))
    assert torch.equal(loaded.decode(torch.zeros(1, 2)).mean, run.model.decode(torch.zeros(1, 2)).mean)
    assert loaded.decode(loaded.encode(test).mean).mean.mean().item() == pytest.approx(float(test.mean()), rel=0.02)
