import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Categorical, Independent, Laplace, MixtureSameFamily, MultivariateNormal, Normal

from vaekit.data.transforms import Identity
from vaekit.distributions import Conditional, Gaussian, StandardNormal, kl_divergence
from vaekit.evaluation.aggregate import AggregatePosterior, aggregate_metrics
from vaekit.models import VAE


class Codes(nn.Module):
    """An encoder that reads means and standard deviations off x."""

    def forward(self, x, context=None):
        mean, scale = x.double().chunk(2, dim=1)
        return Independent(Normal(mean, scale), 1)


def measure(mean, scale, **options):
    mean = torch.as_tensor(mean, dtype=torch.float64)
    scale = torch.as_tensor(scale, dtype=torch.float64).expand_as(mean)
    units = mean.shape[1]
    decoder = Conditional(nn.Linear(units, 1), Gaussian((1,)))
    model = VAE(Codes(), decoder, StandardNormal(units).double())
    return aggregate_metrics(model, torch.cat([mean, scale], 1).float().numpy(), Identity(), **options)


def random_codes(n, units, seed=0):
    draw = np.random.default_rng(seed)
    return draw.normal(size=(n, units)), draw.uniform(0.1, 1, size=(n, units))


def normal_quantiles(n, units):
    """Points that fill a standard normal evenly."""
    points = torch.quasirandom.SobolEngine(units, scramble=True, seed=0).draw(n, dtype=torch.float64)
    return torch.special.ndtri(points.clamp(1e-6, 1 - 1e-6)).numpy()


@pytest.mark.parametrize(("n", "units", "draws"), [(7, 3, 50), (300, 2, 200), (1500, 20, 300)])
def test_the_parts_sum_to_the_aggregate_divergence(n, units, draws):
    m = measure(*random_codes(n, units), draws=draws)
    parts = m["mutual_information"] + m["total_correlation"] + m["dimension_kl"]
    assert parts == pytest.approx(m["aggregate_kl"], abs=1e-9)
    assert m["mutual_information"] + m["marginal_kl"] == pytest.approx(m["aggregate_kl"], abs=1e-9)
    assert sum(m["unit_dimension_kl"]) == pytest.approx(m["dimension_kl"], abs=1e-4 * units)


@pytest.mark.parametrize("seed", range(2))
def test_against_brute_force_on_a_small_set(seed):
    # Five codes in two dimensions: every integral is a sum over a fine grid.
    mean, scale = random_codes(5, 2, seed)
    line = torch.linspace(-7, 7, 701, dtype=torch.float64)
    cell = (line[1] - line[0]).item()
    components = Normal(torch.from_numpy(mean)[..., None], torch.from_numpy(scale)[..., None])
    each = components.log_prob(line).exp()  # (code, unit, point)
    joints = each[:, 0, :, None] * each[:, 1, None, :]
    joint, marginals = joints.mean(0), each.mean(0)
    prior = Normal(torch.zeros((), dtype=torch.float64), 1.0).log_prob(line).exp()

    def divergence(p, q):
        return (p * (p.clamp_min(1e-300).log() - q.clamp_min(1e-300).log())).sum().item()

    product = marginals[0][:, None] * marginals[1]
    expected = {
        "aggregate_kl": np.mean([divergence(j, prior[:, None] * prior) for j in joints]) * cell**2,
        "mutual_information": np.mean([divergence(j, joint) for j in joints]) * cell**2,
        "total_correlation": divergence(joint, product) * cell**2,
        "dimension_kl": sum(divergence(m, prior) for m in marginals) * cell,
        "marginal_kl": divergence(joint, prior[:, None] * prior) * cell**2,
    }
    found = measure(mean, scale, draws=40_000, seed=seed)
    for name, value in expected.items():
        assert found[f"{name}_se"] < 0.012
        assert found[name] == pytest.approx(value, abs=4 * found[f"{name}_se"]), name
    assert expected["total_correlation"] > 0.05


def test_a_grid_of_codes_has_no_total_correlation():
    # The mixture over all pairs of a code in one unit and a code in the other is a product.
    first, second = random_codes(30, 1, 1), random_codes(40, 1, 2)
    rows = np.indices((30, 40)).reshape(2, -1)
    mean, scale = (np.concatenate([a[rows[0]], b[rows[1]]], axis=1) for a, b in zip(first, second, strict=True))
    m = measure(mean, scale, draws=500)
    assert m["total_correlation"] == pytest.approx(0, abs=1e-5)
    assert m["total_correlation_se"] < 1e-5
    assert m["mutual_information"] > 0.5
    # Thirty of these pairs, each code once, are no product.
    assert measure(mean[::41], 0.1, draws=500)["total_correlation"] > 0.3


@pytest.mark.parametrize("units", [2, 5])
def test_codes_far_apart_on_a_diagonal(units):
    # n codes that do not overlap: z tells the example, each unit of it tells all others, and so
    # I = log n, TC = (units - 1) log n, while the marginals are n lumps each.
    n, scale = 50, 0.01
    mean = np.linspace(-3, 3, n)[:, None].repeat(units, 1)
    m = measure(mean, scale, draws=4000)
    assert m["mutual_information"] == pytest.approx(math.log(n), abs=1e-4)
    assert m["mutual_information_se"] < 1e-4  # each draw is weighed against its own code
    assert m["mutual_information_limit"] == math.log(n)
    assert m["total_correlation"] == pytest.approx((units - 1) * math.log(n), abs=1e-3)
    rate = 0.5 * (mean[:, 0] ** 2 + scale**2 - 1).mean() - math.log(scale)
    assert m["dimension_kl"] == pytest.approx(units * (rate - math.log(n)), abs=4 * m["dimension_kl_se"])
    assert "at that limit" in m["protocol"]


@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_gaussian_codes_whose_aggregate_is_gaussian(correlation):
    # Means N(0, C - s^2 I) and noise N(0, s^2 I) aggregate to N(0, C), C with ones on its diagonal.
    n, s = 4096, 0.4
    covariance = np.array([[1, correlation], [correlation, 1]])
    mean = normal_quantiles(n, 2) @ np.linalg.cholesky(covariance - s**2 * np.eye(2)).T
    m = measure(mean, s, draws=4096)
    information = 0.5 * math.log(np.linalg.det(covariance) / s**4)
    total_correlation = -0.5 * math.log(1 - correlation**2)
    for name, value in (
        ("mutual_information", information),
        ("total_correlation", total_correlation),
        ("marginal_kl", total_correlation),
        ("dimension_kl", 0.0),
        ("aggregate_kl", information + total_correlation),
    ):
        assert m[f"{name}_se"] < 0.03
        assert m[name] == pytest.approx(value, abs=4 * m[f"{name}_se"] + 0.01), name
    assert "at that limit" not in m["protocol"]


def test_a_prior_off_the_codes_costs_dimension_wise():
    # All codes are one: nothing is said about x, and KL(N(2, 0.5^2) || N(0, 1)) is paid in each unit.
    m = measure(np.full((40, 3), 2.0), 0.5, draws=4000)
    cost = 0.5 * (4 + 0.25 - 1) - math.log(0.5)
    assert m["mutual_information"] == pytest.approx(0, abs=1e-9)
    assert m["total_correlation"] == pytest.approx(0, abs=1e-5)
    assert m["dimension_kl"] == pytest.approx(3 * cost, abs=4 * m["dimension_kl_se"])
    np.testing.assert_allclose(m["unit_dimension_kl"], cost, atol=0.1)


def test_the_aggregate_divergence_is_the_mean_rate():
    mean, scale = random_codes(800, 6)
    m = measure(mean, scale, draws=8000)
    q = Independent(Normal(torch.from_numpy(mean), torch.from_numpy(scale)), 1)
    prior = Independent(Normal(torch.zeros(6).double(), torch.ones(6).double()), 1)
    assert m["aggregate_kl_se"] < 0.05
    assert m["aggregate_kl"] == pytest.approx(kl_divergence(q, prior).mean().item(), abs=4 * m["aggregate_kl_se"])


@pytest.mark.parametrize("n", [2, 20, 2000])
@pytest.mark.parametrize("width", [1e-4, 0.5])
def test_information_is_within_its_limits(n, width):
    mean, _ = random_codes(n, 4, seed=n)
    m = measure(mean, width, draws=200)
    assert -4 * m["mutual_information_se"] <= m["mutual_information"] <= math.log(n) + 1e-6


def test_listing_every_example_thrice_changes_nothing():
    mean, scale = random_codes(400, 3)
    once, thrice = measure(mean, scale, draws=8000), measure(mean.repeat(3, 0), scale.repeat(3, 0), draws=8000)
    for name in ("aggregate_kl", "mutual_information", "total_correlation", "dimension_kl"):
        noise = math.hypot(once[f"{name}_se"], thrice[f"{name}_se"])
        assert thrice[name] == pytest.approx(once[name], abs=4 * noise), name
    far = measure(np.repeat([[-5.0], [5.0]], 30, axis=0), 0.1, draws=200)
    assert far["mutual_information"] == pytest.approx(math.log(2), abs=1e-6)  # not log 60


def reference(components, z):
    """The mixture by PyTorch's own class."""
    n = components.batch_shape[0]
    return MixtureSameFamily(Categorical(torch.ones(n, dtype=torch.float64)), components).log_prob(z)


@pytest.mark.parametrize("kind", ["diagonal", "full", "laplace"])
def test_densities_against_a_mixture_by_pytorch(kind):
    draw = torch.Generator().manual_seed(0)
    n, units = 60, 4
    mean = torch.randn(n, units, generator=draw, dtype=torch.float64)
    scale = torch.rand(n, units, generator=draw, dtype=torch.float64) + 0.05
    root = torch.randn(n, units, units, generator=draw, dtype=torch.float64).tril(-1) + torch.diag_embed(scale)

    def posterior(rows):
        if kind == "full":
            return MultivariateNormal(mean[rows], scale_tril=root[rows])
        return Independent((Laplace if kind == "laplace" else Normal)(mean[rows], scale[rows]), 1)

    every = slice(None)
    z = posterior(every).sample((3,)).flatten(0, 1)
    aggregate = AggregatePosterior([posterior(slice(0, 17)), posterior(slice(17, 60))])
    assert aggregate.size == 60
    torch.testing.assert_close(aggregate.log_prob(z), reference(posterior(every), z), rtol=1e-9, atol=1e-9)
    for unit in range(units):
        if kind == "full":
            alone = Normal(mean[:, unit], (root @ root.mT)[:, unit, unit].sqrt())
        else:
            alone = (Laplace if kind == "laplace" else Normal)(mean[:, unit], scale[:, unit])
        expected = reference(alone, z[:, unit])
        torch.testing.assert_close(aggregate.marginal_log_prob(z)[:, unit], expected, rtol=1e-5, atol=2e-5)


def test_densities_of_narrow_codes_far_from_the_origin_do_not_cancel():
    mean = 100 + torch.arange(3.0, dtype=torch.float64)[:, None].expand(3, 2) * 1e-3
    q = Independent(Normal(mean, torch.full((3, 2), 1e-3, dtype=torch.float64)), 1)
    z = mean + 5e-4
    torch.testing.assert_close(AggregatePosterior([q]).log_prob(z), reference(q, z), rtol=0, atol=1e-4)
