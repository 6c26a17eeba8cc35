import math

import pytest
import torch
from torch import nn
from torch.autograd.functional import jacobian

from vaekit.distributions import Conditional, DiagonalGaussian, Gaussian, StandardNormal
from vaekit.distributions.flows import KINDS, FlowPosterior, FlowPrior
from vaekit.distributions.planar import PlanarTransform
from vaekit.models import VAE
from vaekit.networks import MLP

ROLES = ("posterior", "prior", "conditional prior")
flows = [pytest.mark.parametrize("kind", KINDS), pytest.mark.parametrize("role", ROLES)]


def each_flow(test):
    for mark in flows:
        test = mark(test)
    return test


def flow(role, kind, d, seed, *, away=0.4, transforms=3):
    """A flow of one batch entry, its weights moved well away from the identity that it starts at."""
    torch.manual_seed(seed)
    if role == "posterior":
        module = FlowPosterior(d, kind, transforms, (8,), context_features=2)
        given = (torch.randn(1, *module.parameter_shape, dtype=torch.float64) * 0.5,)
    else:
        module = FlowPrior(d, kind, transforms, (8,), context_dim=2 * (role == "conditional prior"))
        given = (torch.randn(1, 2, dtype=torch.float64),)
    module.double()
    with torch.no_grad():
        for p in module.parameters():
            p += away * torch.randn_like(p)
    return module(*given)


def run(steps, x):
    for step in steps:
        x = step.call_and_ladj(x)[0]
    return x


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("role", ["posterior", "prior"])
@pytest.mark.parametrize(("d", "seed", "away"), [(1, 0, 0.4), (2, 1, 0.0), (3, 2, 0.4), (5, 3, 0.6)])
def test_log_determinants_are_those_of_the_jacobian(role, kind, d, seed, away):
    q = flow(role, kind, d, seed, away=away)
    farthest = 0.0
    for x in torch.randn(2, 1, d, dtype=torch.float64):
        whole = jacobian(lambda x: run(q.steps, x), x)[0, :, 0]
        farthest = max(farthest, (whole - torch.eye(d, dtype=x.dtype)).abs().max().item())
        ladj = torch.linalg.slogdet(whole).logabsdet
        point = x
        for step in q.steps:
            single = torch.linalg.slogdet(jacobian(lambda y, step=step: step(y), point)[0, :, 0]).logabsdet
            point, claimed = step.call_and_ladj(point)
            torch.testing.assert_close(claimed.squeeze(), single, rtol=1e-6, atol=1e-7)
        if role == "posterior":  # x is noise, and its image z
            expected = q.base.log_prob(x) - ladj
            torch.testing.assert_close(q.log_prob(point), expected, rtol=1e-5, atol=1e-6)
        else:  # x is z, and its image noise
            torch.testing.assert_close(q.log_prob(x), q.base.log_prob(point) + ladj, rtol=1e-5, atol=1e-6)
    if away:
        assert farthest > 0.01  # or there would be nothing to test


@each_flow
def test_inverse_after_forward_is_the_identity(role, kind):
    q = flow(role, kind, 4, seed=5)
    x = torch.randn(7, 1, 4, dtype=torch.float64)
    y = run(q.steps, x)
    assert (y - x).abs().max() > 0.1
    for step in reversed(q.steps):
        y = step.inv(y)
    torch.testing.assert_close(y, x, rtol=1e-6, atol=1e-7)


@each_flow
def test_the_density_of_a_draw_is_the_density_at_the_draw(role, kind):
    q = flow(role, kind, 3, seed=6)
    z, log_q = q.rsample_and_log_prob((50,))
    assert z.shape == (50, *q.batch_shape, 3)
    assert log_q.shape == (50, *q.batch_shape)
    torch.testing.assert_close(log_q, q.log_prob(z), rtol=1e-6, atol=1e-6)
    torch.manual_seed(9)
    z, _ = q.rsample_and_log_prob((2,))
    torch.manual_seed(9)
    assert torch.equal(q.rsample((2,)), z)


@torch.no_grad()
def integrate(q, *, points=200):
    """The integrals of the density and of z times it, over the plane where the draws are; the draws' mean and error."""
    torch.manual_seed(0)
    z = q.sample((10_000,)).view(-1, 2)
    low, high = z.min(0).values, z.max(0).values
    margin = 0.5 * (high - low)
    axes = [torch.linspace(a, b, points, dtype=z.dtype) for a, b in zip(low - margin, high + margin, strict=True)]
    grid = torch.cartesian_prod(*axes)
    cell = (axes[0][1] - axes[0][0]) * (axes[1][1] - axes[1][0])
    mass = q.log_prob(grid.view(-1, *[1] * len(q.batch_shape), 2)).exp().view(-1) * cell
    return mass.sum(), mass @ grid, z.mean(0), z.std(0) / math.sqrt(len(z))


@each_flow
def test_the_density_integrates_to_one_and_is_that_of_the_draws(role, kind):
    total, mean, drawn, error = integrate(flow(role, kind, 2, seed=7, away=0.3))
    assert total.item() == pytest.approx(1, abs=2e-3)
    assert (mean - drawn).abs().max() < 5 * error.max() + 2e-3


def test_planar_steps_stay_invertible_whatever_their_parameters():
    torch.manual_seed(1)
    w, u = torch.randn(200, 3, dtype=torch.float64), torch.randn(200, 3, dtype=torch.float64)
    for size in (1.0, 30.0, 1000.0):
        for sign in (-1, 1):
            step = PlanarTransform(w, sign * size * w + u, torch.randn(200, dtype=torch.float64))
            along = (step.w * step.u_hat).sum(-1)
            assert (along > -1).all()
            torch.testing.assert_close(along, step.m, rtol=1e-6, atol=1e-6)
            x = torch.randn(5, 200, 3, dtype=torch.float64)
            y, ladj = step.call_and_ladj(x)
            assert ladj.isfinite().all()
            if size < 1000:  # there the push is a thousand times what is pushed, and its digits are lost
                torch.testing.assert_close(step.inv(y), x, rtol=1e-4, atol=1e-5)
    # A constraint changes what breaks it, and nearly nothing else: u across w is free.
    across = u - (u * w).sum(-1, keepdim=True) / w.square().sum(-1, keepdim=True) * w
    torch.testing.assert_close(PlanarTransform(w, across, w[:, 0]).u_hat, across)


def test_planar_determinants_survive_single_precision_at_the_fold():
    # The ridge itself, where tanh is steepest, with wᵀu far beyond the limit: the published formula gives log 0 here.
    w = torch.tensor([[3.0, -1.0]])
    for size in (1.0, 10.0, 1e4):
        step = PlanarTransform(w, -size * w, torch.zeros(1))
        _, ladj = step.call_and_ladj(torch.zeros(1, 2))
        assert ladj.isfinite().all()
        assert (ladj >= math.log(0.999e-3)).all()


@pytest.mark.parametrize(("d", "transforms", "size"), [(1, 2, 3.0), (1, 2, 40.0), (2, 2, 4.0)])
def test_an_adversarial_planar_density_still_integrates_to_one(d, transforms, size):
    torch.manual_seed(2)
    posterior = FlowPosterior(d, "planar", transforms, context_features=0).double()
    with torch.no_grad():
        for step in posterior.steps:
            w, u, b = step.bias.split((d, d, 1))
            w /= w.norm()
            u.copy_(-size * w + 0.3 * torch.randn(d))
            b.normal_(std=0.3)
            assert w @ u < -1.5  # without the constraint it folds
    q = posterior(torch.zeros(1, 2 * d, dtype=torch.float64))
    if d == 2:
        total, mean, drawn, error = integrate(q, points=400)
        assert (mean - drawn).abs().max() < 5 * error.max() + 5e-3
    else:
        # Slopes of a thousandth make spikes: points are dense where images of a uniform grid are.
        noise = torch.linspace(-9, 9, 20_001, dtype=torch.float64).view(-1, 1, 1)
        with torch.no_grad():
            z = run(q.steps, noise)
            assert (z.diff(dim=0) > 0).all()
            total = torch.trapezoid(q.log_prob(z).exp().squeeze(), z.squeeze())
    assert total.item() == pytest.approx(1, abs=5e-3)


def test_gradients_through_the_planar_inverse_are_those_of_finite_differences():
    torch.manual_seed(3)
    parameters = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in ((2, 3), (2, 3), (2,))]
    y = torch.randn(4, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda w, u, b, y: PlanarTransform(w, u, b).inv(y), (*parameters, y))


class Bend(nn.Module):
    """The mean z₀ + z₁ + z₀² / 2 of an observation: its posterior lies along a slanted parabola."""

    def forward(self, z, context=None):
        return z[:, 1:] + z[:, :1] + z[:, :1] ** 2 / 2


NOISE = 0.3


def log_evidence(x):
    """log p(x) by numerical integration."""
    line = torch.linspace(-8, 8, 801, dtype=torch.float64)
    z = torch.cartesian_prod(line, line)
    prior = -0.5 * z.square().sum(1) - math.log(2 * math.pi)
    error = x - Bend()(z).squeeze(1)
    likelihood = -0.5 * (error / NOISE) ** 2 - math.log(NOISE * math.sqrt(2 * math.pi))
    return (prior + likelihood).logsumexp(0) + 2 * math.log(line[1] - line[0])


def fitted(posterior, steps, *, x=1.0):
    """The bound at x, and its standard error, after a short training of the encoder alone."""
    torch.manual_seed(4)
    encoder = Conditional(MLP((1,), posterior.parameter_shape, (8,)), posterior)
    decoder = Conditional(Bend(), Gaussian((1,), variance=NOISE**2))
    model = VAE(encoder, decoder, StandardNormal(2))
    optimiser = torch.optim.Adam(encoder.parameters(), 2e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    data = torch.full((1, 1), x)
    for _ in range(steps):
        optimiser.zero_grad()
        (-model.elbo(data, samples=32).mean()).backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        weights = -sum(model.infer(data, samples=20_000)[:2])
    return weights.mean().item(), (weights.std() / math.sqrt(weights.numel())).item()


@pytest.mark.parametrize(
    ("kind", "transforms"),
    [
        ("planar", 4),
        ("iaf", 2),
        pytest.param("maf", 3, marks=pytest.mark.slow),
        pytest.param("spline", 2, marks=pytest.mark.slow),
        pytest.param("coupling", 4, marks=pytest.mark.slow),
    ],
)
def test_a_flow_follows_a_bent_posterior_where_a_gaussian_cannot(kind, transforms):
    truth = log_evidence(1.0).item()
    plain, plain_error = fitted(DiagonalGaussian(2), 100)
    bound, error = fitted(FlowPosterior(2, kind, transforms, (24,), context_features=4), 150)
    assert plain < truth
    assert bound < truth + 4 * error
    assert bound > plain + 0.4 + 4 * (error + plain_error)
