import math

import pytest
import torch

from vaekit.distributions.discrepancy import maximum_mean_discrepancy
from vaekit.errors import RequestError

SCALES = {"rbf": (1.0,), "imq": (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)}


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_hand(x, y, kernel, scales, unbiased):
    def k(a, b):
        squared = sum((s - t) ** 2 for s, t in zip(a.tolist(), b.tolist(), strict=True))
        if kernel == "rbf":  # with the usual bandwidth, sigma^2 = d s
            return sum(math.exp(-squared / (2 * len(a) * s)) for s in scales)
        return sum(2 * len(a) * s / (2 * len(a) * s + squared) for s in scales)

    def own(points):
        n = len(points)
        pairs = [k(points[i], points[j]) for i in range(n) for j in range(n) if i != j or not unbiased]
        return sum(pairs) / (n * (n - 1) if unbiased else n * n)

    return own(x) + own(y) - 2 * sum(k(a, b) for a in x for b in y) / (len(x) * len(y))


@pytest.mark.parametrize("kernel", ["rbf", "imq"])
@pytest.mark.parametrize("unbiased", [True, False])
@pytest.mark.parametrize("given", [None, (0.3, 2.0)])
def test_against_a_double_loop(kernel, unbiased, given):
    x, y = draw(6, 3), 1 + draw(4, 3, seed=1)
    expected = by_hand(x, y, kernel, given or SCALES[kernel], unbiased)
    found = maximum_mean_discrepancy(x, y, kernel, given, unbiased=unbiased)
    assert found.item() == pytest.approx(expected, rel=1e-10)


def test_the_expectation_in_closed_form():
    # E exp(-|u|^2 / 2 sigma^2) for u ~ N(m, v I_d) is (sigma^2 / (sigma^2 + v))^(d/2) exp(-|m|^2 / 2 (sigma^2 + v)).
    d, shift = 3, 0.7
    sigma2 = float(d)
    same = (sigma2 / (sigma2 + 2)) ** (d / 2)
    expected = 2 * same * (1 - math.exp(-d * shift**2 / (2 * (sigma2 + 2))))
    values = maximum_mean_discrepancy(draw(400, 30, d), shift + draw(400, 20, d, seed=1), "rbf")
    error = values.std() / math.sqrt(400)
    assert abs(values.mean() - expected) < 4 * error < 0.1 * expected


@pytest.mark.parametrize("kernel", ["rbf", "imq"])
def test_the_unbiased_estimate_is_zero_on_average_and_the_other_is_not(kernel):
    x, y = draw(3000, 5, 4), draw(3000, 7, 4, seed=1)
    values = maximum_mean_discrepancy(x, y, kernel)
    error = values.std() / math.sqrt(len(values))
    assert abs(values.mean()) < 4 * error
    assert (values < 0).any()
    biased = maximum_mean_discrepancy(x, y, kernel, unbiased=False)
    assert biased.min() > 0
    assert biased.mean() > 20 * error


@pytest.mark.parametrize("kernel", ["rbf", "imq"])
@pytest.mark.parametrize("other", ["shifted", "wider", "correlated"])
def test_it_sees_what_is_not_the_prior(kernel, other):
    x, y = draw(800, 2), draw(800, 2, seed=1)
    near = maximum_mean_discrepancy(x, y, kernel).item()
    if other == "correlated":
        x[:, 1] = 0.9 * x[:, 0] + math.sqrt(1 - 0.9**2) * x[:, 1]
    else:
        x = x + 0.5 if other == "shifted" else 1.7 * x
    assert maximum_mean_discrepancy(x, y, kernel).item() > 5 * abs(near)


def test_listing_every_point_twice_changes_the_biased_estimate_alone():
    x, y = draw(6, 3), draw(5, 3, seed=1)
    for unbiased in (False, True):
        once = maximum_mean_discrepancy(x, y, unbiased=unbiased)
        twice = maximum_mean_discrepancy(x.repeat(2, 1), y.repeat(2, 1), unbiased=unbiased)
        assert torch.allclose(once, twice) != unbiased


def test_it_is_as_good_far_from_the_origin_and_has_a_finite_gradient_where_points_coincide():
    x = draw(5, 2).float().requires_grad_()
    value = maximum_mean_discrepancy(x, x.detach(), unbiased=False)
    value.backward()
    assert value.item() == pytest.approx(0, abs=1e-5)
    assert x.grad.isfinite().all()
    torch.testing.assert_close(
        maximum_mean_discrepancy(draw(5, 2) + 100, draw(6, 2, seed=1) + 100),
        maximum_mean_discrepancy(draw(5, 2), draw(6, 2, seed=1)),
    )


@pytest.mark.parametrize("kernel", ["rbf", "imq"])
def test_the_gradient_is_that_of_a_difference(kernel):
    x, y = draw(4, 2).requires_grad_(), draw(5, 2, seed=1)
    assert torch.autograd.gradcheck(lambda x: maximum_mean_discrepancy(x, y, kernel), x)


def test_wrong_requests():
    x = draw(4, 2)
    with pytest.raises(RequestError, match=r"unknown kernel 'rfb'; expected 'rbf' or 'imq'\. Did you mean 'rbf'\?"):
        maximum_mean_discrepancy(x, x, "rfb")
    for scales in ((), (1.0, 0.0), (-1.0,)):
        with pytest.raises(RequestError, match="expected positive numbers"):
            maximum_mean_discrepancy(x, x, scales=scales)
    with pytest.raises(RequestError, match="2 and 3 dimensions"):
        maximum_mean_discrepancy(x, draw(4, 3))
    with pytest.raises(RequestError, match="4 and 1 points; expected at least 2 of each"):
        maximum_mean_discrepancy(x, x[:1])
    assert maximum_mean_discrepancy(x, x[:1], unbiased=False) > 0
