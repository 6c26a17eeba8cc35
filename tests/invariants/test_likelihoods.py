import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vaekit.distributions import Bernoulli, ContinuousBernoulli, Gaussian, likelihood
from vaekit.errors import RequestError

EXTREMES = [-100.0, -30.0, -17.0, -1.0, -0.2, -1e-3, 0.0, 1e-3, 0.2, 1.0, 17.0, 30.0, 100.0]


def bit_strings(shape):
    n = math.prod(shape)
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=n)), dtype=torch.float64).view(-1, *shape)


@pytest.mark.parametrize("shape", [(9,), (1, 3, 3), (2, 2, 2), (1,)])
def test_bernoulli_sums_to_one_over_all_bit_strings(shape):
    x = bit_strings(shape)
    logits = 2 * torch.randn(1, *shape, dtype=torch.float64)
    p = Bernoulli(shape)(logits.expand(len(x), *shape))
    assert p.log_prob(x).exp().sum().item() == pytest.approx(1, abs=1e-12)


def test_bernoulli_has_its_mean():
    x = bit_strings((4,))
    p = Bernoulli((4,))(torch.randn(1, 4, dtype=torch.float64).expand(16, 4))
    torch.testing.assert_close((p.log_prob(x).exp()[:, None] * x).sum(0), p.mean[0])


@pytest.mark.parametrize("size", [1, 111, 112, 113, 784])
def test_bernoulli_is_the_sum_over_its_entries(size):
    # The joint is computed by products of groups of entries: sizes around a group's.
    logits = (8 * torch.randn(5, size, dtype=torch.float64)).requires_grad_()
    x = torch.bernoulli(torch.full((5, size), 0.5, dtype=torch.float64))
    entries = x * torch.nn.functional.logsigmoid(logits) + (1 - x) * torch.nn.functional.logsigmoid(-logits)
    joint = Bernoulli((size,))(logits).log_prob(x)
    torch.testing.assert_close(joint, entries.sum(1))
    weights = torch.arange(1.0, 6.0, dtype=torch.float64)
    actual, expected = (torch.autograd.grad((y * weights).sum(), logits)[0] for y in (joint, entries.sum(1)))
    torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("logit", EXTREMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_continuous_bernoulli_integrates_to_one(logit, dtype):
    x = torch.linspace(0, 1, 100_001, dtype=torch.float64)
    p = ContinuousBernoulli((1,))(torch.tensor([[logit]], dtype=dtype))
    density = p.log_prob(x[:, None].to(dtype)).double().exp()
    tolerance = 1e-6 if dtype == torch.float64 else 1e-5
    assert torch.trapezoid(density, x).item() == pytest.approx(1, abs=tolerance)
    assert torch.trapezoid(density * x, x).item() == pytest.approx(p.mean.item(), abs=tolerance)
    variance = torch.trapezoid(density * (x - p.mean.double().squeeze()) ** 2, x).item()
    assert variance == pytest.approx(p.variance.item(), rel=1e-3, abs=1e-7)
    entropy = -torch.trapezoid(density * p.log_prob(x[:, None].to(dtype)).double(), x).item()
    assert entropy == pytest.approx(p.entropy().item(), abs=1e-4)


@given(logit=st.floats(-200, 200), x=st.floats(0, 1))
@settings(max_examples=200, deadline=None)
def test_continuous_bernoulli_gradient_is_value_minus_mean(logit, x):
    # An exponential family's law, also where the closed forms are replaced by series, and at 0 itself.
    parameter = torch.tensor([[logit]], dtype=torch.float64, requires_grad=True)
    p = ContinuousBernoulli((1,))(parameter)
    (gradient,) = torch.autograd.grad(p.log_prob(torch.tensor([[x]], dtype=torch.float64)).sum(), parameter)
    assert gradient.item() == pytest.approx(x - p.mean.item(), abs=1e-9)
    (slope,) = torch.autograd.grad(p.mean.sum(), parameter)
    assert slope.item() == pytest.approx(p.variance.item(), abs=1e-9)


@pytest.mark.parametrize("logit", [-100.0, -3.0, 0.0, 0.5, 40.0])
def test_continuous_bernoulli_draws_have_its_moments(logit):
    torch.manual_seed(0)
    p = ContinuousBernoulli((1,))(torch.tensor([[logit]], dtype=torch.float64))
    x = p.sample((100_000,))
    assert x.shape == (100_000, 1, 1)
    assert 0 <= x.min() <= x.max() <= 1
    assert abs(x.mean() - p.mean) < 5 * p.stddev / math.sqrt(len(x))
    assert x.var().item() == pytest.approx(p.variance.item(), rel=0.05)


def test_continuous_bernoulli_draws_carry_the_gradient():
    torch.manual_seed(0)
    parameter = torch.tensor([[1.5]], dtype=torch.float64, requires_grad=True)
    p = ContinuousBernoulli((1,))(parameter)
    p.rsample((50_000,)).mean().backward()
    assert parameter.grad.item() == pytest.approx(p.variance.item(), rel=0.03)


def test_continuous_bernoulli_agrees_with_pytorch_where_pytorch_is_good():
    logits = torch.linspace(-8, 8, 161, dtype=torch.float64)
    x = torch.rand(161, dtype=torch.float64)
    expected = torch.distributions.ContinuousBernoulli(logits=logits)
    actual = ContinuousBernoulli((1,))(logits[:, None])
    torch.testing.assert_close(actual.log_prob(x[:, None]), expected.log_prob(x))
    torch.testing.assert_close(actual.mean[:, 0], expected.mean)


@pytest.mark.parametrize("variance", ["pixel", "scalar", 0.25, 1, 4.0])
def test_gaussian_integrates_to_one(variance):
    torch.manual_seed(1)
    head = Gaussian((2,), variance).double()
    if variance == "scalar":
        with torch.no_grad():
            head.log_scale.fill_(-0.7)
    p = head(torch.randn(1, *head.parameter_shape, dtype=torch.float64))
    line = torch.linspace(-16, 16, 801, dtype=torch.float64)
    points = torch.cartesian_prod(line, line)
    density = p.log_prob(points).exp() * (line[1] - line[0]) ** 2
    assert density.sum().item() == pytest.approx(1, abs=1e-9)
    torch.testing.assert_close(density @ points, p.mean[0])
    torch.testing.assert_close(density @ (points - p.mean) ** 2, p.variance[0])
    if not isinstance(variance, str):
        torch.testing.assert_close(p.variance, torch.full_like(p.mean, variance))


@pytest.mark.parametrize("name", ["bernoulli", "continuous-bernoulli", "gaussian", "gaussian-pixel", "squared-error"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_parameters_give_finite_values_and_gradients(name, dtype):
    head = likelihood(name, (3,)).to(dtype)
    for extreme in (-100.0, 0.0, 100.0):
        parameters = torch.full((3, *head.parameter_shape), extreme, dtype=dtype, requires_grad=True)
        x = torch.eye(3, dtype=dtype) if name == "bernoulli" else torch.tensor([[0.0, 0.5, 1.0]] * 3, dtype=dtype)
        values = head(parameters).log_prob(x)
        assert values.shape == (3,)
        assert values.isfinite().all()
        values.sum().backward()
        assert parameters.grad.isfinite().all()
        assert head(parameters).mean.isfinite().all()


def test_bernoulli_keeps_its_digits_where_the_probability_has_none_left():
    p = Bernoulli((1,))(torch.tensor([[100.0]]))
    assert p.log_prob(torch.zeros(1, 1)).item() == -100
    assert p.log_prob(torch.ones(1, 1)).item() == pytest.approx(0, abs=1e-30)


@pytest.mark.parametrize("kind", [Bernoulli, ContinuousBernoulli])
def test_half_precision_parameters_give_single_precision_log_probabilities(kind):
    logits = torch.randn(4, 784).bfloat16()
    x = torch.bernoulli(torch.full((4, 784), 0.5))
    values = kind((784,))(logits).log_prob(x)
    assert values.dtype == torch.float32
    torch.testing.assert_close(
        values.double(), kind((784,))(logits.double()).log_prob(x.double()), rtol=1e-5, atol=1e-3
    )


def test_learned_scales_have_a_floor():
    head = Gaussian((1, 2, 2), "pixel", min_scale=0.01)
    raw = torch.cat([torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), -100.0)], dim=1)
    torch.testing.assert_close(head(raw).stddev, torch.full((1, 1, 2, 2), 0.01))
    scalar = Gaussian((2,), "scalar", min_scale=0.01)
    with torch.no_grad():
        scalar.log_scale.fill_(-100)
    torch.testing.assert_close(scalar(torch.zeros(1, 2)).stddev, torch.full((1, 2), 0.01))


@pytest.mark.parametrize("variance", [0, -1.0, math.inf, math.nan, "pixels"])
def test_a_wrong_variance_is_refused(variance):
    with pytest.raises(RequestError, match=rf"variance is {variance!r}; expected 'pixel', 'scalar' or a positive"):
        Gaussian((2,), variance)
