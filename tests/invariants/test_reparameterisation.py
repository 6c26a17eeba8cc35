r"""Gradients through draws are those of expectations; exact posteriors leave no gap; every posterior can be trained."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Exponential, Independent, Normal

from vaekit.distributions import (
    Ancestral,
    Conditional,
    ConditionalPrior,
    DiagonalGaussian,
    Gaussian,
    LearnedNormal,
    MixturePrior,
    VampPrior,
    posterior,
    prior_for,
)
from vaekit.distributions.families import POSTERIORS
from vaekit.models import VAE
from vaekit.networks import MLP
from vaekit.objectives import ImportanceWeighted

from .linear_gaussian import LinearGaussian

ROWS = 25_000
names = pytest.mark.parametrize("name", POSTERIORS)


def rows(name, latent_dim=3, seed=0):
    """A head, and one example's parameters in as many rows, each with a gradient of its own."""
    head = posterior(name, latent_dim)
    draw = torch.Generator().manual_seed(seed)
    one = torch.randn(1, *head.parameter_shape, generator=draw, dtype=torch.float64)
    return head, one, one.expand(ROWS, -1).clone().requires_grad_()


def agree(gradients, expected, others=None):
    """Whether the mean over rows is what is expected, within its own noise and that of other rows."""
    variance = gradients.var(0) + (0 if others is None else others.var(0))
    error = (variance / ROWS).sqrt()
    assert (error < 0.2 * expected.abs().max()).all()  # or there would be nothing to see
    assert ((gradients.mean(0) - expected).abs() < 5 * error + 1e-9).all()


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", [name for name in POSTERIORS if name != "gumbel-softmax"])
def test_the_gradient_through_draws_is_that_of_the_moments(name, seed):
    head, one, parameters = rows(name, seed=seed)
    weights = torch.tensor([1.0, -0.5, 0.3], dtype=torch.float64)
    if name == "log-normal":  # of its log, whose square has a gradient that can be estimated
        one[:, 3:] -= 1
        parameters = one.expand(ROWS, -1).clone().requires_grad_()
    torch.manual_seed(seed)
    z = head(parameters).rsample()
    (gradients,) = torch.autograd.grad(((z.square() + z) @ weights).sum(), parameters)
    one.requires_grad_()
    q = head(one)
    closed = (q.variance + q.mean.square() + q.mean) @ weights
    (expected,) = torch.autograd.grad(closed.sum(), one)
    agree(gradients, expected[0])


@names
def test_the_gradient_through_draws_is_that_of_the_score(name):
    # The score function needs the density alone: grad E f(z) = E f(z) grad log q(z).
    head, _, parameters = rows(name)
    torch.manual_seed(0)

    def f(z):
        bounded = z / (1 + z.abs())
        return bounded @ torch.tensor([1.0, -0.5, 0.3], dtype=torch.float64) + bounded[:, 0] * bounded[:, 1]

    q = head(parameters)
    (through,) = torch.autograd.grad(f(q.rsample()).sum(), parameters, retain_graph=True)
    z = q.sample()
    value = f(z)
    (score,) = torch.autograd.grad((q.log_prob(z) * (value - value.mean())).sum(), parameters)
    agree(through, score.mean(0), score)


@names
def test_the_expected_score_is_zero(name):
    head, _, parameters = rows(name)
    torch.manual_seed(0)
    q = head(parameters)
    (score,) = torch.autograd.grad(q.log_prob(q.sample()).sum(), parameters)
    assert (score.mean(0).abs() < 5 * score.std(0) / math.sqrt(ROWS) + 1e-9).all()


@pytest.mark.parametrize("name", ["laplace", "student-t", "logistic", "kumaraswamy", "log-normal"])
def test_a_step_along_the_gradient_is_what_common_noise_says(name):
    head, one, _ = rows(name)

    def value(parameters):
        torch.manual_seed(3)
        return head(parameters.expand(500, -1)).rsample().sin().sum(1).mean()

    assert torch.autograd.gradcheck(value, one.requires_grad_(), eps=1e-6, atol=1e-5)


def raw(value, floor):
    """What a network has to say for `floor` + softplus to be the value."""
    return torch.log(torch.expm1(value - floor))


def test_the_exact_posterior_of_a_linear_gaussian_model_leaves_no_gap():
    truth = LinearGaussian()
    head = posterior("full-gaussian", 2)

    class Exact(nn.Module):
        def forward(self, x, context=None):
            q = truth.posterior(x)
            scale = q.scale_tril.diagonal(dim1=-2, dim2=-1)
            below = q.scale_tril[:, 1:, 0] / scale[:, 1:]  # relative to the row's scale
            return head(torch.cat([q.mean, raw(scale, 1e-4), below], 1))

    x = truth.draw(20)
    model = truth.model(Exact())
    torch.manual_seed(0)
    distortion, rate = model.infer(x, samples=7)[:2]
    # Every single weight is the likelihood.
    torch.testing.assert_close(-(distortion + rate), truth.marginal().log_prob(x).expand(7, -1))


def test_a_dirichlet_posterior_of_counts_leaves_no_gap():
    counts = torch.tensor([[3.0, 0.0, 1.0, 2.0], [0.0, 0.0, 0.0, 5.0]], dtype=torch.float64)
    q = posterior("dirichlet", 4)(raw(1 + counts, 0.1))
    p = prior_for("dirichlet", 4).double()()
    z = q.sample((9,))
    log = (counts * z.log()).sum(-1)  # of the sequence that was seen
    # Dirichlet-multinomial with concentration 1: (K - 1)! prod n_k! / (N + K - 1)!
    total = counts.sum(1)
    expected = math.lgamma(4) + torch.lgamma(counts + 1).sum(1) - torch.lgamma(total + 4)
    torch.testing.assert_close(log + p.log_prob(z) - q.log_prob(z), expected.expand(9, -1))


def test_a_gamma_posterior_of_waiting_times_leaves_no_gap():
    x = torch.tensor([[0.3], [2.0], [7.0]], dtype=torch.float64)
    q = posterior("gamma", 1)(torch.cat([raw(torch.full_like(x, 2.0), 0.1), raw(1 + x, 1e-4)], 1))
    p = prior_for("gamma", 1).double()()
    z = q.sample((9,))
    log = Independent(Exponential(z), 1).log_prob(x)
    # The mixture of exponentials over an exponential rate is the Lomax density, 1 / (1 + x)^2.
    expected = -2 * torch.log1p(x[:, 0])
    torch.testing.assert_close(log + p.log_prob(z) - q.log_prob(z), expected.expand(9, -1))


def toy(name, latent_dim=4):
    """Data that vary along one line, and a model of them."""
    torch.manual_seed(0)
    x = torch.randn(64, 1) @ torch.tensor([[1.0, -2.0, 0.5, 1.5, -1.0]]) + 0.1 * torch.randn(64, 5) + 1
    return x, dense_model(posterior(name, latent_dim), prior_for(name, latent_dim), latent_dim)


def dense_model(head, prior, latent_dim, context_dim=0, objective=None):
    likelihood = Gaussian((5,))
    encoder = Conditional(MLP((5,), head.parameter_shape, (16,), "tanh", context_dim=context_dim), head)
    decoder = MLP((latent_dim,), likelihood.parameter_shape, (16,), "tanh", context_dim=context_dim)
    decoder = Conditional(decoder, likelihood)
    return VAE(encoder, decoder, prior(encoder) if not isinstance(prior, nn.Module) else prior, objective)


def improves(model, x, context=None, steps=30):
    def bound():
        torch.manual_seed(1)
        return model.elbo(x, context, samples=20).mean().item()

    before = bound()
    optimiser = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(steps):
        optimiser.zero_grad()
        model(x, context).loss.backward()
        optimiser.step()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in model.parameters())
    assert bound() > before + 1
    assert model.reconstruct(x[:3], None if context is None else context[:3]).shape == (3, 5)
    assert model.sample(3, None if context is None else context[:3], seed=0).isfinite().all()


@names
def test_thirty_steps_raise_the_bound(name):
    x, model = toy(name)
    improves(model, x)


@pytest.mark.parametrize("prior", ["learned", "mixture", "vamp"])
def test_thirty_steps_raise_the_bound_under_learned_priors(prior):
    x, _ = toy("gaussian")
    make = {
        "learned": LearnedNormal(2),
        "mixture": MixturePrior(2, 4),
        "vamp": lambda encoder: VampPrior(encoder, (5,), 4, mean=x.mean(0), bounds=None, spread=0.3),
    }
    improves(dense_model(DiagonalGaussian(2), make[prior], 2), x)


@pytest.mark.parametrize("name", ["gaussian", "gumbel-softmax", "gamma"])
def test_thirty_steps_raise_the_bound_under_a_conditional_prior(name):
    x, _ = toy("gaussian")
    context = (x[:, :1] > 1).float()
    prior = ConditionalPrior(MLP((1,), posterior(name, 4).parameter_shape, (8,)), posterior(name, 4))
    improves(dense_model(posterior(name, 4), prior, 4, context_dim=1, objective=ImportanceWeighted(3)), x, context)


def test_a_model_of_two_exact_layers_leaves_no_gap():
    # z2 ~ N(0, 1), z1 | z2 ~ N(z2, 1), x | z1 ~ N(z1, 1): all posteriors are known.
    def normal(mean, variance):
        return Independent(Normal(mean, torch.full_like(mean, variance**0.5)), 1)

    class Posterior(nn.Module):
        def forward(self, x, context=None):
            return Ancestral(normal(2 * x / 3, 2 / 3), lambda z1: normal(z1 / 2, 0.5))

    class Prior(nn.Module):
        def forward(self, context=None):
            first = normal(torch.zeros(1, dtype=torch.float64), 1.0)
            return Ancestral(first, lambda z2: normal(z2, 1.0), reverse=True)

    class Decoder(nn.Module):
        def forward(self, z, context=None):
            return normal(z[:, :1], 1.0)

    model = VAE(Posterior(), Decoder(), Prior())
    x = torch.linspace(-4, 4, 9, dtype=torch.float64)[:, None]
    exact = normal(torch.zeros_like(x), 3.0).log_prob(x)
    torch.testing.assert_close(model.log_prob(x, samples=1), exact)
    draws = model.sample(50_000, mean=False, seed=0)
    assert draws.var().item() == pytest.approx(3, rel=0.05)
