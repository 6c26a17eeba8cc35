r"""The fitted flow against densities that are known: their entropy, their integral, their moments."""

import math

import pytest
import torch

from vaekit.distributions.fitted_flow import FittedFlow
from vaekit.errors import RequestError


def bent(n, seed=0):
    """Two Gaussians, each correlated, far from each other, off the centre and of unlike scales."""
    generator = torch.Generator().manual_seed(seed)
    side = torch.randint(2, (n,), generator=generator) * 2.0 - 1
    noise = torch.randn(n, 2, generator=generator)
    first = 3 * side + 0.5 * noise[:, 0]
    return torch.stack([10 * first + 100, side + 0.4 * noise[:, 0] + 0.3 * noise[:, 1]], dim=1)


# That of two Gaussians that do not overlap: log 2 for the side, and of a Gaussian log 2 pi e and its determinant's.
ENTROPY = math.log(2) + math.log(2 * math.pi * math.e) + math.log(10 * 0.5 * 0.3)


@pytest.fixture(scope="module")
def fitted():
    prior = FittedFlow(2, transforms=1, hidden=(32,), epochs=20, batch=150, learning_rate=2e-2, patience=20)
    numbers = prior.fit(bent(3000), seed=1, held_out=(bent(500, seed=2), None))
    return prior, numbers


def test_it_comes_near_to_the_entropy_of_a_known_density(fitted):
    prior, numbers = fitted
    assert ENTROPY - 0.1 < numbers["held_out_nll"] < ENTROPY + 0.2
    assert numbers["held_out_nll"] == pytest.approx(-float(prior().log_prob(bent(500, seed=2)).mean()), rel=1e-4)


def test_its_density_integrates_to_one(fitted):
    prior, _ = fitted
    first, second = torch.linspace(40, 160, 401), torch.linspace(-4, 4, 201)
    points = torch.cartesian_prod(first, second)
    area = (first[1] - first[0]) * (second[1] - second[0])
    assert float(prior().log_prob(points).double().exp().sum() * area) == pytest.approx(1, abs=0.01)


def test_its_draws_are_of_that_density(fitted):
    prior, _ = fitted
    torch.manual_seed(3)
    z = prior().sample((4000,))
    data = bent(4000, seed=4)
    assert -float(prior().log_prob(z).mean()) == pytest.approx(ENTROPY, abs=0.25)
    torch.testing.assert_close(z.mean(0), data.mean(0), atol=2.5, rtol=0.0)
    torch.testing.assert_close(z.T.corrcoef(), data.T.corrcoef(), atol=0.05, rtol=0.0)
    between = (z[:, 0] - 100).abs() < 7.5  # three deviations and more from either side
    assert float(between.float().mean()) < 0.05


def test_a_fit_depends_on_its_seed_alone():
    torch.manual_seed(5)
    one, other = (FittedFlow(2, "maf", transforms=1, epochs=2) for _ in range(2))
    state = torch.get_rng_state()
    codes = bent(300)
    first = one.fit(codes, seed=7)
    assert torch.equal(torch.get_rng_state(), state)
    other.fit(codes + 1, seed=8)  # what was fitted before leaves no trace
    assert other.fit(codes, seed=7) == first
    for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    other.fit(codes, seed=9)
    assert not all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_the_codes_held_out_choose_the_weights():
    codes = bent(60)
    prior = FittedFlow(2, transforms=1, epochs=60, batch=20, learning_rate=0.03, patience=3)
    shares = []
    numbers = prior.fit(codes, held_out=(bent(200, seed=1), None), advance=shares.append)
    assert numbers["epochs"] == len(shares) < 60  # it overfits 60 codes, and stops
    assert shares == [pytest.approx((k + 1) / 60) for k in range(len(shares))]
    assert numbers["held_out_nll"] < prior_after(codes, int(numbers["epochs"]))  # the best weights, not the last


def prior_after(codes, epochs):
    """What the codes held out cost under the last weights of a fit that looks at its own codes alone."""
    prior = FittedFlow(2, transforms=1, epochs=epochs, batch=20, learning_rate=0.03, patience=epochs)
    prior.fit(codes, held_out=(codes, None))
    return -float(prior().log_prob(bent(200, seed=1)).mean())


def test_the_training_of_a_model_does_not_move_it():
    prior = FittedFlow(2)
    assert not any(p.requires_grad for p in prior.parameters())
    prior.fit(bent(100))
    assert not any(p.requires_grad for p in prior.parameters())


def test_wrong_requests():
    with pytest.raises(RequestError, match="there are 5 codes for a flow"):
        FittedFlow(2).fit(torch.zeros(5, 2))
    with pytest.raises(RequestError, match="some codes are not finite"):
        FittedFlow(2).fit(torch.full((50, 2), math.nan))
    with pytest.raises(RequestError, match="patience is 0"):
        FittedFlow(2, patience=0)
    with pytest.raises(RequestError, match="unknown flow 'splines'"):
        FittedFlow(2, "splines")
