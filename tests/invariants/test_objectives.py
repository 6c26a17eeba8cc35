r"""Laws of the objectives: what a batch may and may not change, and what a weight may and may not touch."""

import math

import pytest
import torch
from torch import nn

from vaekit.distributions import Conditional, Gaussian, Point, StandardNormal
from vaekit.models import VAE
from vaekit.objectives import ELBO, Capacity, FreeBits, ImportanceWeighted, Inference

from .linear_gaussian import LinearGaussian, WrongPosterior

TRUTH = LinearGaussian(seed=6)
X = TRUTH.draw(12)


def vae(objective, seed=0):
    torch.manual_seed(seed)
    return TRUTH.model(WrongPosterior(TRUTH), objective).requires_grad_(False)


class Fixed:
    """A model whose draws are given, so that an objective is a function of them alone."""

    def __init__(self, distortion, rate):
        self.distortion, self.rate = distortion, rate

    def infer(self, x, context=None, samples=1, *, analytic=False):
        return Inference(self.distortion, self.rate.mean(0, keepdim=True) if analytic else self.rate)


class Deterministic:
    """A model whose draws are a function of the example, so that listing it twice changes no random number."""

    def infer(self, x, context=None, samples=1, *, analytic=False):
        k = torch.arange(1.0, samples + 1, dtype=x.dtype)[:, None]
        rate = (k * x.sum(1)).sin()
        return Inference((k * x[:, 0]).cos() + x[:, 1] ** 2, rate.mean(0, keepdim=True) if analytic else rate)


OBJECTIVES = [
    ELBO(),
    ELBO(beta=4.0, samples=3),
    ELBO(estimator="monte-carlo", samples=5),
    FreeBits(1.0, "total", "example", samples=2),
    ImportanceWeighted(1),
    ImportanceWeighted(7),
]
every = pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda o: f"{type(o).__name__}-{o.samples}")


@every
def test_listing_every_example_twice_changes_nothing(objective):
    once, twice = objective(Deterministic(), X), objective(Deterministic(), torch.cat([X, X]))
    torch.testing.assert_close(once.loss, twice.loss)
    for name, term in once.terms.items():
        torch.testing.assert_close(torch.cat([term, term]), twice.terms[name])


@pytest.mark.parametrize("objective", [FreeBits(1.0, "total"), Capacity(0.3)], ids=lambda o: type(o).__name__)
def test_nor_does_it_where_the_charge_is_for_the_mean_rate_of_the_batch(objective):
    once, twice = objective(Deterministic(), X), objective(Deterministic(), torch.cat([X, X]))
    torch.testing.assert_close(once.loss, twice.loss)


@every
def test_the_loss_is_the_mean_over_batches_of_any_size(objective):
    whole = objective(Deterministic(), X).loss
    for size in (1, 2, 3, 4, 6):
        parts = [objective(Deterministic(), part).loss for part in X.split(size)]
        torch.testing.assert_close(torch.stack(parts).mean(), whole)


def test_a_model_with_a_point_posterior_neither():
    torch.manual_seed(0)
    model = VAE(
        Conditional(nn.Linear(4, 2), Point(2)),
        Conditional(nn.Linear(2, 4), Gaussian((4,), "scalar")),
        StandardNormal(2),
        ELBO(samples=2),
    ).double()
    gradients = []
    for x in (X, X.repeat(5, 1), X.flip(0)):
        model.zero_grad()
        model(x).loss.backward()
        gradients.append([p.grad.clone() for p in model.parameters()])
    for other in gradients[1:]:
        torch.testing.assert_close(other, gradients[0])


@every
def test_duplicates_change_a_sampled_loss_by_noise_alone(objective):
    model = vae(objective)
    terms = [model(X.repeat(400, 1)).terms for _ in range(2)] + [model(X.repeat(100, 1)).terms for _ in range(4)]
    values = [t[objective.monitor].view(-1, len(X)).mean(1) for t in terms]
    few = torch.cat(values[2:])
    many = torch.cat(values[:2])
    error = math.sqrt(few.var() / len(few) + many.var() / len(many))
    assert abs(few.mean() - many.mean()) < 5 * error < 0.5


@every
def test_terms_are_per_example_and_the_loss_is_a_scalar(objective):
    result = vae(objective)(X)
    assert result.loss.shape == ()
    assert objective.monitor in result.terms
    assert {"elbo", "rate", "distortion"} <= set(result.terms)
    for term in result.terms.values():
        assert term.shape == (len(X),)
    torch.testing.assert_close(result.terms["elbo"], -(result.terms["rate"] + result.terms["distortion"]))


def test_one_importance_sample_is_the_plain_bound():
    one = vae(ImportanceWeighted(1), seed=3)(X)
    elbo = vae(ELBO(estimator="monte-carlo"), seed=3)(X)
    torch.testing.assert_close(one.loss, elbo.loss, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(one.terms["bound"], elbo.terms["elbo"], rtol=1e-12, atol=1e-12)


def test_estimators_agree_in_expectation():
    terms = {}
    for estimator in ("analytic", "monte-carlo"):
        terms[estimator] = vae(ELBO(samples=20_000, estimator=estimator))(X).terms
    a, b = terms["monte-carlo"], terms["analytic"]
    assert (a["rate"] - b["rate"]).abs().max() < 0.1
    assert (a["elbo"] - b["elbo"]).abs().max() < 0.1
    # B's rate is exact, A's is not: the two are not one and the same.
    again = vae(ELBO(samples=2), seed=9)(X).terms["rate"]
    torch.testing.assert_close(again, b["rate"])
    assert (a["rate"] != b["rate"]).all()


@pytest.mark.parametrize("estimator", ["analytic", "monte-carlo"])
def test_the_variance_falls_as_one_over_the_draws(estimator):
    rows = X[:1].expand(4000, -1)
    one, many = (vae(ELBO(samples=samples, estimator=estimator))(rows).terms["elbo"].var() for samples in (1, 16))
    assert (one / many).item() == pytest.approx(16, rel=0.2)


def test_beta_weighs_the_loss_and_never_the_terms():
    plain, weighted = (vae(ELBO(beta=beta))(X) for beta in (1.0, 4.0))
    for name, term in plain.terms.items():
        torch.testing.assert_close(weighted.terms[name], term, rtol=0, atol=0)
    terms = plain.terms
    torch.testing.assert_close(plain.loss, -terms["elbo"].mean())
    torch.testing.assert_close(weighted.loss, (terms["distortion"] + 4 * terms["rate"]).mean())


def test_most_gradient_goes_to_the_best_draw():
    torch.manual_seed(0)
    distortion = (80 + 3 * torch.randn(8, 5, dtype=torch.float64)).requires_grad_()
    rate = (20 + torch.randn(8, 5, dtype=torch.float64)).requires_grad_()
    result = ImportanceWeighted(8)(Fixed(distortion, rate), torch.zeros(5, 1))
    result.loss.backward()
    cost = (distortion + rate).detach()
    torch.testing.assert_close(distortion.grad * 5, torch.softmax(-cost, dim=0))
    torch.testing.assert_close(rate.grad, distortion.grad)
    assert (distortion.grad.argmax(0) == cost.argmin(0)).all()
    assert (distortion.grad.argmin(0) == cost.argmax(0)).all()
    torch.testing.assert_close(result.terms["bound"], (-cost).exp().mean(0).log())


def test_the_plain_bound_weighs_every_draw_alike():
    distortion = torch.randn(8, 5, requires_grad=True)
    ELBO(samples=8)(Fixed(distortion, torch.zeros(8, 5)), torch.zeros(5, 1)).loss.backward()
    torch.testing.assert_close(distortion.grad, torch.full((8, 5), 1 / 40))


def test_the_bound_that_is_logged_is_a_bound():
    # With its log-weights' signs exchanged it would exceed the likelihood.
    model = vae(ImportanceWeighted(50))
    terms = model(X.repeat(50, 1)).terms
    bound = terms["bound"].mean().item()
    exact = TRUTH.marginal().log_prob(X).mean().item()
    assert terms["elbo"].mean().item() < bound - 0.1
    assert bound == pytest.approx(exact, abs=0.15)
    assert bound < exact + 0.02
