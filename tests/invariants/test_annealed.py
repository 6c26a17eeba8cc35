r"""Annealed importance sampling where everything is known: dynamics, invariance, unbiasedness, bounds, the truth."""

import math
from itertools import pairwise

import pytest
import torch

from vaekit.evaluation import annealed
from vaekit.evaluation.annealed import annealed_log_prob, annealed_weights, bidirectional_gap
from vaekit.evaluation.geometric_path import GeometricPath, temperature_ladder
from vaekit.evaluation.hamiltonian import Point, leapfrog, transition
from vaekit.models.base import seed_of, seeded

from .linear_gaussian import LinearGaussian, WrongPosterior

TRUTH = LinearGaussian(seed=6)
X = TRUTH.draw(20)
EXACT = TRUTH.marginal().log_prob(X)
STARTS = ["posterior", "prior"]
SLOW = {"chains": 50, "temperatures": 100, "steps": 4, "rows": 2000}  # slow enough for the truth; all chains at once
# With more noise the start is near the end, so that the weights of a coarse path have a light tail.
NOISY = LinearGaussian(variance=3.0, seed=6)
NOISIER = LinearGaussian(variance=10.0, seed=6)


def wrong(shift=0.3, widen=1.3):
    return TRUTH.model(WrongPosterior(TRUTH, shift, widen))


def quartic(z):
    """exp(-|z|^4 / 4) and, at the other end, a tilt: a path without a closed form, differentiable twice."""
    tilt = torch.tensor([0.5, -1.0, 2.0], dtype=z.dtype)
    return Point(z, -(z**4).sum(-1) / 4, (z * tilt).sum(-1), -(z**3), tilt.expand_as(z))


def somewhere(*shape):
    draw = torch.Generator().manual_seed(0)
    return [torch.randn(*shape, generator=draw, dtype=torch.float64) for _ in range(2)]


SIZE = torch.tensor([0.05, 0.1, 0.2], dtype=torch.float64)


def test_the_dynamics_are_reversible():
    z, momentum = somewhere(5, 4, 3)
    there, arrived = leapfrog(quartic, quartic(z), momentum, 0.7, SIZE, 12)
    assert (there.z - z).abs().mean() > 0.3
    back, departed = leapfrog(quartic, there, -arrived, 0.7, SIZE, 12)
    torch.testing.assert_close(back.z, z, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(departed, -momentum, rtol=1e-9, atol=1e-9)


def test_the_dynamics_keep_volume():
    def step(joint):
        point, momentum = leapfrog(quartic, quartic(joint[None, None, :3]), joint[None, None, 3:], 0.7, SIZE, 12)
        return torch.cat([point.z, momentum], -1)[0, 0]

    jacobian = torch.autograd.functional.jacobian(step, torch.cat(somewhere(3)))
    assert (jacobian - torch.eye(6)).abs().max() > 0.5
    assert torch.linalg.det(jacobian).item() == pytest.approx(1, abs=1e-9)


def test_the_error_in_energy_falls_with_the_square_of_the_step_size():
    z, momentum = somewhere(50, 4, 3)

    def error(steps):
        point, ended = leapfrog(quartic, quartic(z), momentum, 0.7, torch.tensor(1.0 / steps), steps)
        kinetic = (ended.square() - momentum.square()).sum(-1) / 2
        return (kinetic - point.log_density(0.7) + quartic(z).log_density(0.7)).square().mean().sqrt()

    errors = [error(steps) for steps in (20, 40, 80)]
    assert errors[0] > 1e-4
    for coarse, fine in pairwise(errors):
        assert 3.7 < coarse / fine < 4.3


@pytest.mark.parametrize("start", STARTS)
def test_the_path_and_its_gradients_by_their_definition(start):
    model = wrong()
    path = GeometricPath(model, X, None, start, 3)
    z = somewhere(3, 20, 2)[0].requires_grad_()
    joint = torch.stack([model.decode(row).log_prob(X) for row in z]) + model.prior().log_prob(z)
    begin = model.encode(X).log_prob(z) if start == "posterior" else model.prior().log_prob(z)
    for beta in (0.0, 0.3, 1.0):
        expected = (1 - beta) * begin + beta * joint
        (gradient,) = torch.autograd.grad(expected.sum(), z, retain_graph=True)
        point = path(z)
        torch.testing.assert_close(point.log_density(beta), expected.detach())
        torch.testing.assert_close(point.gradient(beta), gradient)
        assert not point.log_density(beta).requires_grad


@pytest.mark.parametrize("beta", [0.4, 1.0])
@pytest.mark.parametrize("size", [0.15, 0.8])
def test_a_transition_leaves_the_density_of_its_place_invariant(beta, size):
    # At beta the prior's path has the posterior of noise 1/beta times as large. The chains start there.
    model, chains, few = TRUTH.model(), 40_000, X[:2]
    tempered = LinearGaussian(seed=6, variance=TRUTH.variance / beta).posterior(few)
    path = GeometricPath(model, few, None, "prior", chains)
    with seeded(1):
        before = path(tempered.sample((chains,)))
        after, acceptance = transition(path, before, beta, torch.tensor(size), 5)
    # The large step is rejected often, so that the test is of the acceptance too.
    assert (acceptance.mean() < 0.9) == (size == 0.8)
    moved = (after.z != before.z).all(-1)
    assert moved.double().mean() == pytest.approx(acceptance.mean().item(), abs=0.01)
    residual = (after.z - tempered.mean) @ torch.linalg.inv(tempered.scale_tril).mT[0]
    noise = 5 / math.sqrt(chains)
    assert residual.mean(0).abs().max() < noise
    second = torch.einsum("cni,cnj->nij", residual, residual) / chains
    assert (second - torch.eye(2)).abs().max() < noise * math.sqrt(2)
    # What is kept of the point is of the place that was taken.
    for kept, anew in zip(after, path(after.z), strict=True):
        torch.testing.assert_close(kept, anew)


def test_a_trajectory_that_runs_off_is_rejected():
    z, _ = somewhere(50, 4, 3)
    with seeded(0):
        after, acceptance = transition(quartic, quartic(z), 1.0, torch.tensor(50.0), 10)
    assert torch.equal(acceptance, torch.zeros(50, 4, dtype=torch.float64))
    for kept, before in zip(after, quartic(z), strict=True):
        assert torch.equal(kept, before)


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("temperatures", [1, 2, 7])
def test_without_transitions_a_weight_is_the_importance_weight(start, temperatures):
    model = wrong()
    found = annealed_weights(model, X, chains=1, temperatures=temperatures, steps=0, start=start, seed=3)
    with seeded(seed_of(3, 0)):
        q = model.encode(X)
        z = q.sample((1,)) if start == "posterior" else model.prior().sample((1, 20))
    weight = model.decode(z[0]).log_prob(X) + model.prior().log_prob(z)
    weight = weight - (q if start == "posterior" else model.prior()).log_prob(z)
    torch.testing.assert_close(found.log_weights, weight)
    torch.testing.assert_close(found.log_prob, weight[0])
    assert found.acceptance.isnan().all()


@pytest.mark.parametrize("start", STARTS)
def test_one_temperature_has_no_transition_either(start):
    # The only transition that could be made would be at the end, where nothing is weighed any more.
    moved = annealed_weights(wrong(), X, chains=2, temperatures=1, steps=10, start=start)
    still = annealed_weights(wrong(), X, chains=2, temperatures=1, steps=0, start=start)
    assert torch.equal(moved.log_weights, still.log_weights)


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("temperatures", [2, 6])
def test_the_weights_are_unbiased_with_step_sizes_that_adapt(start, temperatures):
    # One chain each for many copies of an example: what an estimate that adapted its own step size would get wrong.
    copies, few = 10_000, NOISY.draw(1)
    for x, exact in zip(few, NOISY.marginal().log_prob(few), strict=True):
        model = NOISY.model(WrongPosterior(NOISY, 0.3, 0.8))
        found = annealed_weights(
            model, x.expand(copies, -1), chains=1, temperatures=temperatures, steps=2, start=start, rows=copies
        )
        ratio = (found.log_weights[0] - exact).exp()
        error = ratio.std() / math.sqrt(copies)
        assert error < 0.02
        assert abs(ratio.mean() - 1) < 4 * error


@pytest.mark.parametrize("start", STARTS)
def test_the_likelihood_is_the_exact_one(start):
    estimate = annealed_log_prob(wrong(), X, start=start, **SLOW)
    assert estimate.shape == (20,)
    assert (estimate - EXACT).abs().max() < 0.5
    assert abs(estimate.mean() - EXACT.mean()) < 0.05


def test_importance_sampling_agrees():
    with seeded(0):
        sampled = wrong().log_prob(X, samples=20_000)
    assert abs(sampled.mean() - EXACT.mean()) < 0.05


def test_an_encoder_that_is_far_off_does_no_harm_to_chains_from_the_prior():
    model = wrong(shift=4.0, widen=0.1)
    with seeded(0):
        assert model.log_prob(X, samples=2000).mean() < EXACT.mean() - 1
    estimate = annealed_log_prob(model, X, start="prior", **SLOW)
    assert abs(estimate.mean() - EXACT.mean()) < 0.05
    assert torch.equal(estimate, annealed_log_prob(TRUTH.model(), X, start="prior", **SLOW))


@pytest.mark.parametrize(("start", "steps"), [("posterior", 3), ("prior", 10)])
@pytest.mark.parametrize("scale", [0.1, 10.0])
def test_step_sizes_adapt_to_their_acceptance(start, steps, scale):
    # Posteriors nearly as wide as the prior, and down to a hundredth of it; the first guess of a step size is 0.5.
    truth = LinearGaussian(12, 8, seed=2)
    truth.weight = truth.weight * scale
    x = truth.draw(30)
    model = truth.model(WrongPosterior(truth))
    found = annealed_weights(model, x, chains=8, temperatures=40, steps=steps, start=start)
    assert found.acceptance.shape == (30,)
    assert found.acceptance.mean().item() == pytest.approx(0.65, abs=0.1)


def test_more_temperatures_are_nearer_to_the_truth_and_all_are_below():
    x = TRUTH.draw(200)

    def mean(temperatures):
        return annealed_log_prob(wrong(), x, chains=1, temperatures=temperatures, steps=4, start="prior").mean()

    means = torch.stack([mean(t) for t in (4, 16, 64)])
    assert (means.diff() > 0.5).all()
    assert means[-1] < TRUTH.marginal().log_prob(x).mean()


@pytest.fixture
def simulated(monkeypatch):
    """The data that the bidirectional check makes for itself."""
    seen = []
    simulate = annealed._simulate

    def recording(*given):
        seen.append(simulate(*given))
        return seen[-1]

    monkeypatch.setattr(annealed, "_simulate", recording)
    return seen


@pytest.mark.parametrize("start", STARTS)
def test_the_truth_is_between_both_bounds(start, simulated):
    result = bidirectional_gap(wrong(), 300, chains=2, temperatures=4, steps=2, start=start)
    exact = TRUTH.marginal().log_prob(torch.cat([x for _, x in simulated])).mean().item()
    # Few temperatures, so that both gaps can be told from noise: they are of the same data as the truth.
    assert result["lower"] < exact - 0.05
    assert result["upper"] > exact + 0.05
    assert result["gap"] == pytest.approx(result["upper"] - result["lower"], abs=1e-9)
    assert result["gap"] > 5 * result["gap_se"]


@pytest.mark.parametrize("start", STARTS)
def test_both_bounds_meet_when_annealing_is_slow(start, simulated):
    result = bidirectional_gap(wrong(), 40, start=start, **SLOW)
    exact = TRUTH.marginal().log_prob(torch.cat([x for _, x in simulated])).mean().item()
    assert abs(result["gap"]) < 0.1
    assert result["lower"] == pytest.approx(exact, abs=0.05)
    assert result["upper"] == pytest.approx(exact, abs=0.05)
    assert result["acceptance"] == pytest.approx(0.65, abs=0.1)


def test_what_is_simulated_is_of_the_model(simulated):
    bidirectional_gap(TRUTH.model(), 2000, chains=1, temperatures=1, steps=0)
    z, x = (torch.cat(parts) for parts in zip(*simulated, strict=True))
    residual = x - z @ TRUTH.weight.T - TRUTH.bias
    assert residual.var().item() == pytest.approx(TRUTH.variance, rel=0.1)
    assert z.var().item() == pytest.approx(1, rel=0.1)
    # The two parts of 1000 rows are not the same draws again.
    assert len(simulated) == 2
    assert not torch.equal(simulated[0][0], simulated[1][0])


@pytest.mark.parametrize("start", STARTS)
def test_backwards_the_weights_estimate_the_inverse_without_bias(start, simulated, monkeypatch):
    n, seen = 30_000, []
    joined = annealed._joined

    def recording(parts):
        seen.append(joined(parts))
        return seen[-1]

    monkeypatch.setattr(annealed, "_joined", recording)
    model = NOISIER.model(WrongPosterior(NOISIER, 0.3, 1.2))  # wider than the posterior, for a light tail this way
    bidirectional_gap(model, n, chains=1, temperatures=6, steps=2, start=start, rows=n)
    # For each x alone E[w] = 1 / p(x), so the mean of w p(x) over x is 1.
    exact = NOISIER.marginal().log_prob(torch.cat([x for _, x in simulated]))
    ratio = (seen[1].log_weights[0] + exact).exp()
    error = ratio.std() / math.sqrt(n)
    assert error < 0.02
    assert abs(ratio.mean() - 1) < 4 * error


def test_temperatures_are_symmetric_and_closest_at_the_ends():
    ladder = torch.tensor(temperature_ladder(10), dtype=torch.float64)
    assert (ladder[0], ladder[-1], len(ladder)) == (0, 1, 11)
    torch.testing.assert_close(ladder + ladder.flip(0), torch.ones(11, dtype=torch.float64))
    gaps = ladder.diff()
    assert (gaps > 0).all()
    assert (gaps[:5].diff() > 0).all()
    assert temperature_ladder(1) == [0, 1]
