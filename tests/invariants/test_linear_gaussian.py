import math

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import nn

from vaekit.data import from_arrays
from vaekit.data.transforms import Identity
from vaekit.distributions import Conditional, DiagonalGaussian, Gaussian, StandardNormal, kl_divergence
from vaekit.evaluation import likelihood_metrics
from vaekit.models import VAE
from vaekit.objectives import ELBO
from vaekit.plan import Plan
from vaekit.schedules import Cosine
from vaekit.training import fit

from .linear_gaussian import LinearGaussian, WrongPosterior, marginal

TRUTH = LinearGaussian(seed=6)
X = TRUTH.draw(20)
EXACT = TRUTH.marginal().log_prob(X)


def test_the_helper_itself():
    # Bayes: p(x|z) p(z) = p(z|x) p(x) at any z.
    z = torch.randn(20, 2, dtype=torch.float64)
    model = TRUTH.model()
    joint = model.decode(z).log_prob(X) + model.prior().log_prob(z)
    torch.testing.assert_close(joint, TRUTH.posterior(X).log_prob(z) + EXACT)


def test_with_the_exact_posterior_every_importance_weight_is_the_likelihood():
    model = TRUTH.model()
    distortion, rate, _ = model.infer(X, samples=50)
    torch.testing.assert_close(-(distortion + rate), EXACT.expand(50, -1), rtol=1e-10, atol=1e-10)
    for k in (1, 7, 100):
        torch.testing.assert_close(model.log_prob(X, samples=k), EXACT, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("shift", "widen"), [(0.0, 1.0), (0.3, 1.3), (0.5, 0.5)])
@pytest.mark.parametrize("analytic", [True, False])
def test_the_gap_of_the_bound_is_the_divergence_from_the_exact_posterior(shift, widen, analytic):
    torch.manual_seed(0)
    encoder = WrongPosterior(TRUTH, shift, widen)
    model, draws = TRUTH.model(encoder), 4000
    distortion, rate, _ = model.infer(X, samples=draws, analytic=analytic)
    elbo = -(distortion + rate)
    error = elbo.std(0) / math.sqrt(draws)
    assert error.max() < 0.1
    gap = kl_divergence(encoder(X), TRUTH.posterior(X))
    assert ((EXACT - elbo.mean(0) - gap).abs() < 5 * error).all()
    assert (elbo.mean(0) < EXACT + 5 * error).all()
    assert gap.min() > 0.01  # no diagonal posterior is exact here, so the two tests above are of something


def test_elbo_method_is_the_same_bound():
    torch.manual_seed(0)
    model = TRUTH.model(WrongPosterior(TRUTH))
    expected = EXACT - kl_divergence(model.encode(X), TRUTH.posterior(X))
    elbo = model.elbo(X, samples=4000)
    assert elbo.shape == (20,)
    torch.testing.assert_close(elbo, expected, rtol=0, atol=0.5)
    torch.testing.assert_close(elbo.mean(), expected.mean(), rtol=0, atol=0.1)


@pytest.mark.parametrize(("shift", "widen"), [(0.3, 1.3), (0.1, 1.0)])
def test_importance_sampling_converges_to_the_likelihood_from_a_wrong_posterior(shift, widen):
    torch.manual_seed(0)
    estimate = TRUTH.model(WrongPosterior(TRUTH, shift, widen)).log_prob(X, samples=20_000)
    assert (estimate - EXACT).abs().max() < 0.05


def test_the_bound_rises_with_k_and_stays_below_the_likelihood():
    torch.manual_seed(0)
    model = TRUTH.model(WrongPosterior(TRUTH))
    bounds = model.importance_bounds(X, (1, 4, 16, 64, 4096))
    # The groups nest, so by Jensen's inequality each rises for every example, not just in expectation.
    assert (bounds.diff(dim=0) > 0).all()
    average = bounds.mean(1)
    assert average[0] < average[-1] - 0.3
    assert average[-1] < EXACT.mean() + 0.02
    elbo = EXACT - kl_divergence(model.encode(X), TRUTH.posterior(X))
    assert average[0].item() == pytest.approx(elbo.mean().item(), abs=0.05)


def test_reported_likelihood_is_the_exact_one():
    x = X.float().numpy()
    exact = TRUTH.marginal().log_prob(torch.from_numpy(x).double())
    model = TRUTH.model().float()
    model.encoder.truth = Single(TRUTH)
    metrics = likelihood_metrics(model, x, Identity(), samples=(1, 10))
    assert metrics["nll"] == pytest.approx(-exact.mean().item(), abs=1e-4)
    assert metrics["bound_1"] == pytest.approx(exact.mean().item(), abs=1e-4)
    assert metrics["nll_se"] == pytest.approx(exact.std().item() / math.sqrt(20), rel=1e-3)


class Single:
    """The exact posterior for data in single precision."""

    def __init__(self, truth):
        self.truth = truth

    def posterior(self, x):
        exact = self.truth.posterior(x.double())
        return torch.distributions.MultivariateNormal(exact.loc.float(), exact.covariance_matrix.float())


def test_training_a_linear_vae_reaches_probabilistic_pca():
    d, k, n = 6, 2, 1000
    truth = LinearGaussian(d, k, variance=0.2, seed=3)
    x = truth.draw(n).float().numpy()
    data = from_arrays(x, validation=0, test=0)
    torch.manual_seed(0)
    posterior, likelihood = DiagonalGaussian(k), Gaussian((d,), "scalar")
    encoder, decoder = nn.Linear(d, 2 * k), nn.Linear(k, d)
    model = VAE(
        Conditional(encoder, posterior),
        Conditional(decoder, likelihood),
        StandardNormal(k),
        ELBO(samples=16),
    )
    plan = Plan(model, Identity(), epochs=150, batch_size=200, learning_rate=0.03, schedule=Cosine(150), select="last")
    fit(plan, data, compile=False, progress=False)

    trained = decoder.weight.detach().double()
    scale = likelihood(torch.zeros(1, d)).stddev[0, 0].item()
    score = marginal(trained, decoder.bias.detach().double(), scale**2).log_prob(torch.from_numpy(x).double()).mean()

    pca = PCA(n_components=k).fit(x.astype(np.float64))
    # scikit-learn divides by n - 1, a little off the maximum of the likelihood, which is this:
    roots = np.linalg.eigvalsh(np.cov(x.T.astype(np.float64), bias=True))[::-1]
    noise = roots[k:].mean()
    maximum = -0.5 * (d * np.log(2 * np.pi) + np.log(roots[:k]).sum() + (d - k) * np.log(noise) + d)
    assert pca.score(x) == pytest.approx(maximum, abs=1e-4)
    assert score <= maximum + 1e-6
    assert score == pytest.approx(pca.score(x), abs=0.01)

    # The loadings span the principal subspace: no principal angle is larger than 2 degrees.
    basis, _ = np.linalg.qr(trained.numpy())
    cosines = np.linalg.svd(basis.T @ pca.components_.T, compute_uv=False)
    assert np.degrees(np.arccos(np.clip(cosines, -1, 1))).max() < 2
    assert scale**2 == pytest.approx(noise, rel=0.05)
    # And the bound is tight: at the optimum the columns of W are orthogonal and the exact posterior diagonal.
    elbo = model.elbo(torch.from_numpy(x), samples=100).mean().item()
    assert elbo == pytest.approx(score.item(), abs=0.05)
