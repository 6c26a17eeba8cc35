import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Categorical, Independent, MixtureSameFamily, MultivariateNormal, Normal

from vaekit.data.transforms import Binarise, Identity
from vaekit.distributions import Bernoulli, Conditional, Delta, DiagonalGaussian, StandardNormal
from vaekit.errors import RequestError
from vaekit.evaluation import amortisation
from vaekit.evaluation.amortisation import amortisation_metrics, refine
from vaekit.models import VAE
from vaekit.networks import MLP

from ..invariants.linear_gaussian import LinearGaussian

TRUTH = LinearGaussian(data_dim=5, latent_dim=3, variance=0.3, seed=6)
X = TRUTH.draw(30).float().numpy()
PRECISION = torch.eye(3, dtype=torch.float64) + TRUTH.weight.T @ TRUTH.weight / TRUTH.variance
# Among diagonal Gaussians the one nearest to N(m, P^-1) in KL(q || p) is N(m, diag(P)^-1), at this distance:
LEAST = 0.5 * (PRECISION.diagonal().log().sum() - PRECISION.logdet()).item()
LOG_LIKELIHOOD = TRUTH.marginal().log_prob(torch.from_numpy(X).double())


class Encoder(nn.Module):
    """The best diagonal posterior, shifted and stretched."""

    def __init__(self, shift=0.0, widen=1.0):
        super().__init__()
        self.shift, self.widen = shift, widen
        self.dropout = nn.Dropout(0.5)

    def forward(self, x, context=None):
        mean = TRUTH.posterior(self.dropout(x).double()).mean + self.shift
        return Independent(
            Normal(mean.float(), (self.widen / PRECISION.diagonal().sqrt()).float().expand(len(x), 3)), 1
        )


def model(shift=0.0, widen=1.0):
    return TRUTH.model(Encoder(shift, widen)).float()


def exact_bound(shift=0.0, widen=1.0):
    """The bound of each example under that encoder."""
    x = torch.from_numpy(X).double()
    exact = TRUTH.posterior(x)
    q = Normal(exact.mean + shift, widen / PRECISION.diagonal().sqrt().expand(len(x), 3))
    full = MultivariateNormal(q.mean, torch.diag_embed(q.variance))
    return LOG_LIKELIHOOD - torch.distributions.kl_divergence(full, exact)


def test_the_closed_form_of_the_best_posterior():
    assert LEAST > 0.05
    torch.testing.assert_close(exact_bound(), LOG_LIKELIHOOD - LEAST)
    for other in ((0.05, 1.0), (0.0, 1.1), (0.0, 0.9)):
        assert (exact_bound(*other) < exact_bound()).all()


@pytest.mark.parametrize(("shift", "widen"), [(0.5, 1.5), (-2.0, 0.3)])
def test_refinement_reaches_the_best_posterior_from_a_wrong_one(shift, widen):
    m = amortisation_metrics(model(shift, widen), X, Identity(), steps=200, evaluation_samples=1000)
    refined, encoder = exact_bound().mean().item(), exact_bound(shift, widen).mean().item()
    assert m["refined_elbo"] == pytest.approx(refined, abs=0.03)
    assert m["encoder_elbo"] == pytest.approx(encoder, rel=0.02)
    assert m["amortisation_gap"] == pytest.approx(refined - encoder, rel=0.02)
    assert m["amortisation_gap"] > 0.5


def test_refined_parameters_are_the_exact_ones():
    x = torch.from_numpy(X)
    vae = model(1.0, 2.0)
    q = refine(vae, x, vae.eval().encode(x), steps=200, samples=60, seed=0)
    best = Encoder().eval()(x)
    assert ((q.mean - best.mean) / best.stddev).abs().max() < 0.15
    torch.testing.assert_close(q.stddev, best.stddev, rtol=0.05, atol=0)


@pytest.mark.parametrize("seed", range(2))
def test_there_is_no_gap_where_the_encoder_is_the_best(seed):
    m = amortisation_metrics(model(), X, Identity(), steps=150, seed=seed)
    assert abs(m["amortisation_gap"]) < 0.01
    assert m["encoder_elbo"] == pytest.approx(exact_bound().mean().item(), abs=0.05)
    assert m["amortisation_gap_se"] < 0.01  # the two bounds share their noise


def test_the_gap_is_not_fitted_noise():
    # Two draws a step and many units: noise that were drawn once and kept would be fitted, and the bound on other
    # noise fall. What is left of the noise costs little, and the gap is never above the truth.
    truth = LinearGaussian(data_dim=60, latent_dim=30, variance=0.3, seed=1)
    precision = torch.eye(30, dtype=torch.float64) + truth.weight.T @ truth.weight / truth.variance
    scale = (1 / precision.diagonal().sqrt()).float()

    class Best(nn.Module):
        def forward(self, x, context=None):
            return Independent(Normal(truth.posterior(x.double()).mean.float(), scale.expand(len(x), 30)), 1)

    x = truth.draw(20).float().numpy()
    m = amortisation_metrics(truth.model(Best()).float(), x, Identity(), samples=2, steps=200, learning_rate=0.03)
    assert -0.3 < m["amortisation_gap"] <= 3 * m["amortisation_gap_se"]


def test_examples_are_refined_together_and_share_nothing_but_time():
    x = torch.from_numpy(X)
    vae = model(0.5, 1.5).eval()
    others = x.clone()
    others[1:] += 3
    first, second = (refine(vae, given, vae.encode(given), steps=30, seed=0) for given in (x, others))
    torch.testing.assert_close(first.mean[0], second.mean[0])
    torch.testing.assert_close(first.stddev[0], second.stddev[0])
    assert (first.mean[1:] - second.mean[1:]).abs().min() > 1e-3


def test_a_refinement_that_fails_is_reported_as_it_is():
    # One step of size 1 off the best posterior is a loss for every example.
    m = amortisation_metrics(model(), X, Identity(), steps=1, learning_rate=1.0, evaluation_samples=50)
    assert m["amortisation_gap"] < -0.1
    assert m["amortisation_gap"] == pytest.approx(m["refined_elbo"] - m["encoder_elbo"])


def test_no_steps_no_change():
    m = amortisation_metrics(model(0.5), X, Identity(), steps=0, evaluation_samples=20)
    assert m["amortisation_gap"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_it_was(training):
    posterior, likelihood = DiagonalGaussian(2), Bernoulli((6,))
    encoder = Conditional(nn.Sequential(nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 4)), posterior)
    vae = VAE(encoder, Conditional(MLP((2,), (6,)), likelihood), StandardNormal(2)).train(training)
    before = {name: tensor.clone() for name, tensor in vae.state_dict().items()}
    x = np.random.default_rng(0).integers(0, 256, (40, 6), dtype=np.uint8)
    state = torch.get_rng_state()
    with torch.no_grad():
        results = [amortisation_metrics(vae, x, Binarise(256), steps=20, evaluation_samples=20) for _ in range(2)]
    assert results[0] == results[1]
    assert results[0]["amortisation_gap"] > 0
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in vae.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in vae.parameters())
    assert all(module.training == training for module in vae.modules())
    assert amortisation_metrics(vae, x, Binarise(256), steps=20, evaluation_samples=20, seed=1) != results[0]


class MixturePrior(nn.Module):
    """A prior whose divergence from a Gaussian has no closed form: the standard normal in two equal parts."""

    def forward(self, context=None):
        return MixtureSameFamily(
            Categorical(torch.ones(2)), Independent(Normal(torch.zeros(2, 3), torch.ones(2, 3)), 1)
        )


def test_a_prior_without_a_closed_form():
    vae = model(0.5, 1.5)
    vae.prior = MixturePrior()
    m = amortisation_metrics(vae, X, Identity(), steps=150)
    assert m["refined_elbo"] == pytest.approx(exact_bound().mean().item(), abs=0.05)
    assert m["encoder_elbo"] == pytest.approx(exact_bound(0.5, 1.5).mean().item(), rel=0.02)


def test_examples_are_as_many_as_asked_and_from_everywhere(monkeypatch):
    sizes, done = [], []
    bound = amortisation._bound

    def recording(vae, x, q, context, noise):
        sizes.append(noise.shape[0] * noise.shape[1])
        return bound(vae, x, q, context, noise)

    monkeypatch.setattr(amortisation, "_bound", recording)
    x = np.concatenate([np.zeros((500, 5)), np.ones((500, 5))]).astype(np.float32)
    m = amortisation_metrics(model(), x, Identity(), images=250, steps=2, evaluation_samples=30, advance=done.append)
    assert m["amortisation_images"] == sum(done) == 250
    assert "250 examples" in m["protocol"]
    assert "2 steps" in m["protocol"]
    assert max(sizes) <= 1000
    ends = [exact.mean().item() for exact in TRUTH.marginal().log_prob(torch.tensor(x[[0, -1]]).double()).split(1)]
    low, high = sorted(end - LEAST for end in ends)
    assert low + 0.3 * (high - low) < m["encoder_elbo"] < high - 0.3 * (high - low)


def test_one_example_has_no_standard_error():
    m = amortisation_metrics(model(0.5), X[:1], Identity(), steps=5)
    assert math.isfinite(m["amortisation_gap"])
    assert math.isnan(m["amortisation_gap_se"])


def test_wrong_requests():
    vae = model()
    for posterior in (Delta(torch.zeros(1, 3)), MultivariateNormal(torch.zeros(1, 3), torch.eye(3))):
        vae.encoder.forward = lambda x, posterior=posterior: posterior
        with pytest.raises(RequestError, match=f"{type(posterior).__name__}; expected a diagonal Gaussian"):
            amortisation_metrics(vae, X, Identity())
    for wrong in ({"images": 0}, {"evaluation_samples": 0}, {"steps": -1}, {"samples": 0}, {"samples": 3}):
        with pytest.raises(RequestError, match=rf"{next(iter(wrong))} (is )?{next(iter(wrong.values()))}"):
            amortisation_metrics(model(), X, Identity(), **wrong)
