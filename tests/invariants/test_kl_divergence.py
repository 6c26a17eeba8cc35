import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Categorical as Choice
from torch.distributions import Independent, Laplace, MixtureSameFamily, MultivariateNormal, Normal

from vaekit.distributions import DiagonalGaussian, StandardNormal, kl_divergence

few = settings(max_examples=25, deadline=None)


def gaussian(kind, d, seed):
    draw = torch.Generator().manual_seed(seed)
    mean = torch.randn(d, generator=draw, dtype=torch.float64)
    if kind == "diagonal":
        scale = torch.rand(d, generator=draw, dtype=torch.float64) + 0.4
        return Independent(Normal(mean, scale), 1)
    root = torch.randn(d, d, generator=draw, dtype=torch.float64) * 0.5
    return MultivariateNormal(mean, root @ root.T + 0.3 * torch.eye(d, dtype=torch.float64))


PAIRS = [(q, p) for q in ("diagonal", "full") for p in ("diagonal", "full")]
pairs = pytest.mark.parametrize(("one", "other"), PAIRS)


@pairs
def test_monte_carlo_converges_to_the_closed_form(one, other):
    q, p = gaussian(one, 3, seed=1), gaussian(other, 3, seed=2)
    torch.manual_seed(0)
    z = q.sample((100_000,))
    values = q.log_prob(z) - p.log_prob(z)
    error = values.std() / math.sqrt(len(values))
    assert error < 0.05
    assert abs(values.mean() - kl_divergence(q, p)) < 5 * error


@pairs
def test_closed_form_is_the_textbooks(one, other):
    q, p = gaussian(one, 4, seed=3), gaussian(other, 4, seed=4)
    s_q, s_p = (torch.diag(r.variance) if isinstance(r, Independent) else r.covariance_matrix for r in (q, p))
    inverse, gap = torch.linalg.inv(s_p), p.mean - q.mean
    expected = (torch.trace(inverse @ s_q) + gap @ inverse @ gap - 4 + s_p.logdet() - s_q.logdet()) / 2
    torch.testing.assert_close(kl_divergence(q, p), expected)


@pairs
@given(d=st.integers(1, 5), seed=st.integers(0, 10_000))
@few
def test_never_negative_and_zero_only_between_equals(one, other, d, seed):
    q, p = gaussian(one, d, seed), gaussian(other, d, seed + 1)
    assert kl_divergence(q, p) > 1e-6
    # The same distribution as a diagonal and as a full one.
    diagonal = gaussian("diagonal", d, seed)
    full = MultivariateNormal(diagonal.mean, torch.diag(diagonal.variance))
    same = {"diagonal": diagonal, "full": full}
    assert abs(kl_divergence(same[one], same[other])) < 1e-10


@pairs
@pytest.mark.parametrize("d", [1, 2])
def test_numerical_integration(one, other, d):
    q, p = gaussian(one, d, seed=5), gaussian(other, d, seed=6)
    line = torch.linspace(-12, 12, 601, dtype=torch.float64)
    points = torch.cartesian_prod(*[line] * d).reshape(-1, d)
    density = q.log_prob(points)
    cell = (line[1] - line[0]) ** d
    assert (density.exp().sum() * cell).item() == pytest.approx(1, abs=1e-9)
    integral = (density.exp() * (density - p.log_prob(points))).sum() * cell
    torch.testing.assert_close(kl_divergence(q, p), integral, rtol=1e-7, atol=1e-9)


def test_a_batch_is_as_many_divergences():
    parameters = torch.randn(6, 4, dtype=torch.float64)
    q = DiagonalGaussian(2)(parameters)
    for p in (StandardNormal(2).double()(), gaussian("full", 2, seed=7)):
        batch = kl_divergence(q, p)
        assert batch.shape == (6,)
        single = [kl_divergence(DiagonalGaussian(2)(row[None]), p) for row in parameters]
        torch.testing.assert_close(batch, torch.cat(single))


def test_against_the_formula_of_the_first_paper():
    # Auto-Encoding Variational Bayes, appendix B.
    parameters = torch.randn(6, 4, dtype=torch.float64)
    mean, log_scale = parameters.chunk(2, 1)
    expected = -0.5 * (1 + 2 * log_scale - mean**2 - (2 * log_scale).exp()).sum(1)
    actual = kl_divergence(DiagonalGaussian(2)(parameters), StandardNormal(2).double()())
    torch.testing.assert_close(actual, expected)


def test_no_closed_form_says_so():
    q = gaussian("diagonal", 1, seed=1)
    parts = Independent(Normal(torch.zeros(2, 1), torch.ones(2, 1)), 1)
    with pytest.raises(NotImplementedError):
        kl_divergence(q, MixtureSameFamily(Choice(torch.ones(2)), parts))
    with pytest.raises(NotImplementedError):
        kl_divergence(Independent(Laplace(torch.zeros(2), torch.ones(2)), 1), gaussian("full", 2, 1))
