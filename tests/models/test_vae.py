import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import (
    Bernoulli,
    Categorical,
    Independent,
    Laplace,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
)

from vaekit.data import from_arrays
from vaekit.data.transforms import Identity
from vaekit.distributions import Conditional, DiagonalGaussian, Gaussian, Point, StandardNormal
from vaekit.errors import RequestError
from vaekit.models import VAE, seeded
from vaekit.networks import MLP
from vaekit.objectives import ELBO, ImportanceWeighted
from vaekit.plan import Plan
from vaekit.training import fit


def linear(posterior=None, context_dim=0, prior=None, objective=None):
    torch.manual_seed(0)
    posterior, likelihood = posterior or DiagonalGaussian(2), Gaussian((4,), "scalar")
    return VAE(
        Conditional(MLP((4,), posterior.parameter_shape, (8,), context_dim=context_dim), posterior),
        Conditional(MLP((2,), (4,), (8,), context_dim=context_dim), likelihood),
        prior or StandardNormal(2),
        objective,
    )


# A user's own parts, of distributions that vaekit has no heads for, with PyTorch's argument checks on.
class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.mean, self.root = nn.Linear(4, 3), nn.Parameter(torch.zeros(3, 3))

    def forward(self, x, context=None):
        tril = self.root.tril(-1) + torch.diag_embed(nn.functional.softplus(self.root.diagonal()))
        return MultivariateNormal(self.mean(x), scale_tril=tril.expand(len(x), 3, 3))


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.location, self.log_scale = nn.Linear(3, 4), nn.Parameter(torch.zeros(4))

    def forward(self, z, context=None):
        return Independent(Laplace(self.location(z), self.log_scale.exp()), 1)


class Prior(nn.Module):
    def __init__(self):
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(5))
        self.means = nn.Parameter(torch.randn(5, 3))

    def forward(self, context=None):
        parts = Independent(Normal(self.means, 1.0), 1)
        return MixtureSameFamily(Categorical(logits=self.logits), parts)


@pytest.mark.parametrize("objective", [ELBO(), ELBO(samples=3, estimator="monte-carlo"), ImportanceWeighted(4)])
def test_a_users_own_parts_train_and_evaluate(objective):
    torch.manual_seed(0)
    x = np.random.default_rng(0).normal([1, 2, 3, 4], [1, 0.1, 1, 0.1], size=(400, 4))
    x[:, 1] += x[:, 0]
    data = from_arrays(x)
    model = VAE(Encoder(), Decoder(), Prior(), objective)
    test = torch.from_numpy(data.test.x)
    before = model.log_prob(test, samples=50).mean()
    plan = Plan(model, Identity(), epochs=15, batch_size=40, learning_rate=0.03)
    outcome = fit(plan, data, compile=False, progress=False)
    after = model.log_prob(test, samples=50).mean()
    assert after > before + 1
    assert (
        outcome.history[f"validation_{objective.monitor}"][-1] > outcome.history[f"validation_{objective.monitor}"][0]
    )
    assert model.sample(6, mean=False, seed=0).shape == (6, 4)
    assert model.reconstruct(test).shape == test.shape
    assert model.elbo(test, samples=2).shape == (len(test),)
    model.zero_grad()
    model(test).loss.backward()
    assert all(p.grad.any() for p in model.parameters())


def test_parts_with_one_argument_do_when_there_is_no_context():
    class Plain(nn.Module):
        def __init__(self, part):
            super().__init__()
            self.part = part

        def forward(self, x):
            return self.part(x)

    class Still(nn.Module):
        def forward(self):
            return Independent(Normal(torch.zeros(2), torch.ones(2)), 1)

    model = linear()
    model = VAE(Plain(model.encoder), Plain(model.decoder), Still())
    x = torch.randn(3, 4)
    assert model.elbo(x).shape == (3,)
    assert model.log_prob(x, samples=5).shape == (3,)
    assert model.sample(2).shape == (2, 4)


class Loose(nn.Module):
    """A part that forgot to join its axes."""

    def __init__(self, features, kind):
        super().__init__()
        self.layer, self.kind = nn.Linear(*features), kind

    def forward(self, given, context=None):
        return Bernoulli(logits=self.layer(given)) if self.kind == "bits" else Normal(self.layer(given), 1.0)


@pytest.mark.parametrize("n", [1, 5])
def test_a_part_that_forgot_independent_is_told_so(n):
    x = torch.ones(n, 4)
    model = linear()
    wrong = VAE(model.encoder, Loose((2, 4), "bits"), model.prior)
    message = rf"the decoder's distribution has batch shape \({n}, 4\) .*expected batch shape \({n},\).*Independent"
    with pytest.raises(RequestError, match=message):
        wrong.elbo(x)
    wrong = VAE(Loose((4, 2), "normal"), model.decoder, model.prior)
    with pytest.raises(RequestError, match=rf"the encoder's distribution has batch shape \({n}, 2\)"):
        wrong(x)

    class LoosePrior(nn.Module):
        def forward(self, context=None):
            return Normal(torch.zeros(2), torch.ones(2))

    if n != 2:
        with pytest.raises(RequestError, match=r"the prior's distribution has batch shape \(2,\)"):
            VAE(model.encoder, model.decoder, LoosePrior()).log_prob(x, samples=2)


class ContextPrior(nn.Module):
    def forward(self, context=None):
        return Independent(Normal(context[:, :2], 1.0), 1)


@pytest.mark.parametrize("samples", [1, 6])
def test_a_context_reaches_every_part_and_stays_with_its_row(samples):
    model = linear(context_dim=3, prior=ContextPrior()).double()
    x, context = torch.randn(5, 4, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)
    torch.manual_seed(1)
    distortion, rate, _ = model.infer(x, context, samples)
    torch.manual_seed(1)
    q = model.encode(x, context)
    z = q.rsample((samples,))
    for k in range(samples):
        torch.testing.assert_close(distortion[k], -model.decode(z[k], context).log_prob(x))
        expected = q.log_prob(z[k]) - Independent(Normal(context[:, :2], 1.0), 1).log_prob(z[k])
        torch.testing.assert_close(rate[k], expected)
    assert model.elbo(x, context).shape == (5,)
    assert model.log_prob(x, context, samples=7).shape == (5,)
    assert model.reconstruct(x, context).shape == x.shape
    # z follows the context's prior, and x the context.
    far = model.sample(5, context + 50, seed=0)
    assert (far - model.sample(5, context, seed=0)).abs().max() > 1


def test_inference_shapes():
    model = linear()
    x = torch.randn(5, 4)
    d = model.encode(x).event_shape[0]
    assert [t.shape for t in model.infer(x, samples=3)] == [(3, 5), (3, 5), (3, 5, d)]
    assert [t.shape for t in model.infer(x, samples=3, analytic=True)] == [(3, 5), (1, 5), (1, 5, d)]


def test_the_parts_of_the_rate_add_up_to_it():
    model = linear()
    for analytic in (False, True):
        _, rate, parts = model.infer(torch.randn(5, 4), samples=3, analytic=analytic)
        torch.testing.assert_close(parts.sum(-1), rate)


def test_draws_of_the_mean_and_of_x_itself():
    model = linear()
    with torch.no_grad():
        model.decoder.head.log_scale.fill_(-1)
    mean, noisy = model.sample(4000, seed=1), model.sample(4000, mean=False, seed=1)
    assert (noisy - mean).std().item() == pytest.approx(np.exp(-1), rel=0.05)
    assert not mean.requires_grad


def test_samples_have_the_models_distribution():
    # Moments of x by the law of total expectation over the prior, for a linear decoder.
    model = VAE(nn.Identity(), Conditional(nn.Linear(2, 3), Gaussian((3,), variance=0.5)), StandardNormal(2))
    w, b = model.decoder.network.weight.detach(), model.decoder.network.bias.detach()
    x = model.sample(60_000, mean=False, seed=0)
    torch.testing.assert_close(x.mean(0), b, rtol=0, atol=0.03)
    torch.testing.assert_close(x.T.cov(), w @ w.T + 0.5 * torch.eye(3), rtol=0, atol=0.03)


def test_an_autoencoder_is_a_model_with_a_point_posterior():
    model = linear(Point(2))
    x = torch.randn(5, 4)
    terms = model(x).terms
    assert not terms["rate"].any()
    torch.testing.assert_close(terms["distortion"], -model.decode(model.encode(x).mean).log_prob(x))
    for refused in (lambda: model.log_prob(x), lambda: model.infer(x)):
        with pytest.raises(NotImplementedError, match="no density"):
            refused()


def test_wrong_requests():
    model, x = linear(), torch.randn(2, 4)
    for n in (0, -1):
        with pytest.raises(RequestError, match=rf"n is {n}; expected at least 1 sample"):
            model.sample(n)
    with pytest.raises(RequestError, match="expected at least 1 importance sample: pass 1000"):
        model.log_prob(x, samples=0)
    with pytest.raises(RequestError, match=r"input has shape \(2, 3\); expected \(batch, 4\)"):
        model.encode(x[:, :3])


def test_the_default_objective_is_the_bound():
    model = linear()
    assert isinstance(model.objective, ELBO)
    x = torch.randn(3, 4)
    torch.manual_seed(0)
    loss = model(x).loss
    torch.manual_seed(0)
    torch.testing.assert_close(loss, -model.elbo(x).mean())


def test_phases_leave_out_what_is_frozen():
    model = linear()
    model.encoder.requires_grad_(False)
    (names,) = model.phases().values()
    assert {id(p) for p in names} == {id(p) for p in model.decoder.parameters()}


def fails_under(seed):
    with seeded(seed):
        torch.rand(1)
        raise KeyError


def test_seeded_leaves_the_state_and_restores_it_after_an_error():
    state = torch.get_rng_state()
    with pytest.raises(KeyError):
        fails_under(3)
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(KeyError):
        fails_under(None)
    assert not torch.equal(torch.get_rng_state(), state)
