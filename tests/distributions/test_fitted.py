r"""Fitted mixtures against scikit-learn's, and shaped priors against their integrals."""

import math

import pytest
import torch
from sklearn.mixture import GaussianMixture
from torch.distributions import MultivariateNormal

from vaekit.distributions import FlowerPrior, FullMixturePrior, SwissRollPrior
from vaekit.errors import RequestError
from vaekit.models import seeded


@pytest.fixture
def codes():
    """Three heaps, each drawn out in a direction of its own."""
    generator = torch.Generator().manual_seed(0)
    parts = []
    for place in ([4.0, 0.0, 0.0], [-3.0, 2.0, 0.0], [0.0, -5.0, 1.0]):
        factor = torch.randn(3, 3, generator=generator)
        parts.append(torch.tensor(place) + torch.randn(300, 3, generator=generator) @ factor)
    return torch.cat(parts)


@pytest.mark.parametrize("components", [1, 3])
def test_the_density_is_scikit_learns(codes, components):
    prior = FullMixturePrior(3, components)
    prior.fit(codes, seed=4)
    theirs = GaussianMixture(components, random_state=4, max_iter=500).fit(codes.double().numpy())
    points = torch.cat([codes[::10], 8 * torch.randn(50, 3)])
    expected = torch.from_numpy(theirs.score_samples(points.double().numpy())).float()
    torch.testing.assert_close(prior().log_prob(points), expected, atol=1e-4, rtol=1e-5)
    assert prior().log_prob(points.view(-1, 2, 3)).shape == (len(points) // 2, 2)


@pytest.mark.parametrize("components", [1, 3])
def test_draws_have_the_moments_of_the_codes(codes, components):
    # Expectation maximisation keeps mean and covariance of what it is fitted to, whatever the components.
    prior = FullMixturePrior(3, components)
    prior.fit(codes)
    torch.testing.assert_close(prior().mean, codes.mean(0), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(prior().variance, codes.var(0, correction=0), atol=1e-2, rtol=1e-3)
    with seeded(1):
        draws = prior().sample((40_000,))
    torch.testing.assert_close(draws.mean(0), codes.mean(0), atol=0.1, rtol=0.0)
    torch.testing.assert_close(draws.T.cov(), codes.T.cov(), atol=0.4, rtol=0.0)


def test_one_component_is_the_gaussian_of_the_moments(codes):
    prior = FullMixturePrior(3, 1)
    prior.fit(codes)
    gaussian = MultivariateNormal(codes.mean(0), codes.T.cov(correction=0) + 1e-6 * torch.eye(3))
    torch.testing.assert_close(prior().log_prob(codes), gaussian.log_prob(codes), atol=1e-4, rtol=1e-5)


def test_a_fit_depends_on_codes_and_seed_alone_and_is_loaded(codes):
    fitted = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        fitted.append(FullMixturePrior(3, 4))
        state = torch.get_rng_state()
        fitted[-1].fit(codes, seed=5)
        assert torch.equal(torch.get_rng_state(), state)
    new = FullMixturePrior(3, 4)
    new.load_state_dict(fitted[1].state_dict())
    assert torch.equal(fitted[0]().log_prob(codes), new().log_prob(codes))
    assert list(FullMixturePrior(3, 4).parameters()) == []


def test_before_the_fit_it_is_the_standard_normal():
    z = torch.randn(5, 2)
    expected = -z.square().sum(1) / 2 - math.log(2 * math.pi)
    for components in (1, 7):
        torch.testing.assert_close(FullMixturePrior(2, components)().log_prob(z), expected)


def test_a_unit_that_never_moves_is_no_trouble(codes):
    still = torch.cat([codes, torch.ones(len(codes), 1)], dim=1)
    prior = FullMixturePrior(4, 3)
    prior.fit(still)
    assert prior().log_prob(still).isfinite().all()
    torch.testing.assert_close(prior().sample((100,))[:, 3], torch.ones(100), atol=0.01, rtol=0.0)


@pytest.mark.parametrize("prior", [FlowerPrior(), FlowerPrior(3, width=0.4), SwissRollPrior()], ids=["10", "3", "roll"])
def test_shapes_have_a_density_that_draws_follow(prior):
    axis = torch.linspace(-4.5, 4.5, 181)
    grid = torch.cartesian_prod(axis, axis)
    density = prior().log_prob(grid).exp()
    cell = 0.05**2
    assert abs(float(density.sum()) * cell - 1) < 1e-4
    with seeded(2):
        draws = prior().sample((20_000,))
    for power in (1, 2):
        expected = (density[:, None] * grid**power).sum(0) * cell
        torch.testing.assert_close((draws**power).mean(0), expected, atol=0.04, rtol=0.0)
    second = (density[:, None] * grid**2).sum(0) * cell
    assert ((second > 0.8) & (second < 1.3)).all()  # of about the size of N(0, I), as their docstrings say
    # The share of draws where the density is above its median is that of its integral.
    middle = density.median()
    inside = float((prior().log_prob(draws).exp() > middle).float().mean())
    assert abs(inside - float(density[density > middle].sum()) * cell) < 0.015


def test_the_roll_is_the_integral_along_its_line():
    z = torch.tensor([[0.0, 0.0], [1.0, 0.3], [-1.4, 0.2], [2.0, 0.0], [0.3, -1.7]]).double()
    t = (torch.arange(100_000).double() + 0.5) / 100_000
    angle = 4 * math.pi * t.sqrt()
    line = 2 * t.sqrt()[:, None] * torch.stack([angle.cos(), angle.sin()], 1)
    squares = (z[:, None] - line).square().sum(-1) / 0.1**2
    expected = (-squares / 2).logsumexp(1) - math.log(100_000) - math.log(2 * math.pi * 0.1**2)
    torch.testing.assert_close(SwissRollPrior()().log_prob(z.float()).double(), expected, atol=2e-3, rtol=1e-3)


def test_petals_point_away_from_the_centre():
    p = FlowerPrior(petals=4, radius=2.0, length=0.5, width=0.1)()
    along, across = torch.tensor([[2.5, 0.0], [0.0, -1.5]]), torch.tensor([[2.0, 0.5], [0.5, 2.0]])
    assert (p.log_prob(along) - p.log_prob(across)).min() > 10


def test_wrong_requests(codes):
    with pytest.raises(RequestError, match="components is 0; expected at least 1"):
        FullMixturePrior(2, 0)
    with pytest.raises(RequestError, match="there are 3 codes for a mixture of 10 components"):
        FullMixturePrior(3, 10).fit(codes[:3])
    with pytest.raises(RequestError, match="some codes are not finite"):
        FullMixturePrior(3, 2).fit(codes * math.inf)
    with pytest.raises(RequestError, match="latent_dim is 3; the flower lies in the plane"):
        FlowerPrior(latent_dim=3)
    with pytest.raises(RequestError, match="latent_dim is 1; the Swiss roll lies in the plane"):
        SwissRollPrior(latent_dim=1)
    with pytest.raises(RequestError, match="turns is 0; expected a positive number"):
        SwissRollPrior(turns=0)
