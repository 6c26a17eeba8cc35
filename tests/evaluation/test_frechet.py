import math

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from vaekit.errors import RequestError
from vaekit.evaluation.frechet import (
    covariance_factor,
    extrapolated_frechet_distance,
    frechet_distance,
    gaussian_frechet_distance,
)


def generator(seed):
    return torch.Generator().manual_seed(seed)


def covariance(d, seed, rank=None):
    a = torch.randn(d, rank or d, generator=generator(seed), dtype=torch.float64)
    return a @ a.T / d


def test_one_dimension_is_the_difference_of_means_and_of_deviations():
    # (1 - 4)^2 + (2 - 5)^2
    one, four = torch.tensor([1.0]), torch.tensor([4.0])
    found = gaussian_frechet_distance(one, torch.tensor([[4.0]]), four, torch.tensor([[25.0]]))
    assert found == pytest.approx(9 + 9)


def test_commuting_covariances_differ_by_the_roots_of_their_eigenvalues():
    turn = torch.linalg.qr(torch.randn(5, 5, generator=generator(0), dtype=torch.float64)).Q
    a, b = torch.tensor([[0.0, 1, 2, 3, 4], [5, 0, 1, 0.5, 4]], dtype=torch.float64)
    zero = torch.zeros(5)
    found = gaussian_frechet_distance(zero, turn @ a.diag() @ turn.T, zero, turn @ b.diag() @ turn.T)
    assert found == pytest.approx((a.sqrt() - b.sqrt()).square().sum().item(), rel=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 8), st.integers(0, 10**6))
def test_general_gaussians_against_the_root_of_the_product(d, seed):
    p, q = covariance(d, seed), covariance(d, seed + 1)
    means = torch.randn(2, d, generator=generator(seed), dtype=torch.float64)
    root = scipy.linalg.sqrtm((p @ q).numpy()).real
    expected = ((means[0] - means[1]) ** 2).sum().item() + np.trace(p.numpy() + q.numpy() - 2 * root)
    found = gaussian_frechet_distance(means[0], p, means[1], q)
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-7)
    assert found == pytest.approx(gaussian_frechet_distance(means[1], q, means[0], p), rel=1e-9, abs=1e-10)


def test_singular_covariances_lose_nothing():
    # The root of a product of matrices of rank 3 in 40 dimensions is where textbook formulas turn complex or lose
    # half of their digits.
    p, zero = covariance(40, 0, rank=3), torch.zeros(40)
    assert gaussian_frechet_distance(zero, p, zero, p) == pytest.approx(0, abs=1e-12)
    assert gaussian_frechet_distance(zero, p, zero, 4 * p) == pytest.approx(p.trace().item(), rel=1e-10)


def test_no_covariance_is_refused():
    zero = torch.zeros(2)
    with pytest.raises(RequestError, match="eigenvalue -1; expected none below 0"):
        gaussian_frechet_distance(zero, torch.eye(2), zero, torch.diag(torch.tensor([1.0, -1.0])))
    with pytest.raises(RequestError, match="not symmetric"):
        covariance_factor(torch.tensor([[1.0, 0.5], [0.0, 1.0]]))


def test_samples_have_the_distance_of_their_unbiased_moments():
    x, y = torch.randn(2, 50, 3, generator=generator(0)) * torch.tensor([1.0, 2.0, 0.3])
    y = y[:30] + 1
    found = frechet_distance(x, y)[0]
    moments = [m for s in (x, y) for m in (s.double().mean(0), s.double().T.cov(correction=1))]
    assert found == pytest.approx(gaussian_frechet_distance(*moments), rel=1e-9)


def test_a_sample_is_at_no_distance_from_itself_in_any_order():
    x = torch.randn(300, 20, generator=generator(0))
    x[:, 3] = 7.0  # a feature that never changes
    value, error = frechet_distance(x, x[torch.randperm(300, generator=generator(1))])
    assert value == pytest.approx(0, abs=1e-10)
    assert error == pytest.approx(0, abs=1e-6)


def test_what_rotations_shifts_and_scales_do():
    x, y = torch.randn(2, 100, 4, generator=generator(0), dtype=torch.float64)
    y = y * torch.tensor([1.0, 2.0, 0.5, 1.0])
    turn = torch.linalg.qr(torch.randn(4, 4, generator=generator(1), dtype=torch.float64)).Q
    value, error = frechet_distance(x, y)
    assert frechet_distance(x @ turn + 100, y @ turn + 100) == pytest.approx((value, error), rel=1e-8)
    assert frechet_distance(3 * x, 3 * y) == pytest.approx((9 * value, 9 * error), rel=1e-9)
    assert frechet_distance(y, x) == pytest.approx((value, error), rel=1e-9)


def test_the_standard_error_is_that_of_leaving_examples_out():
    x, y = torch.randn(2, 200, 3, generator=generator(0), dtype=torch.float64).exp()
    y = 0.8 * y[:150] + 0.3
    _, error = frechet_distance(x, y)
    variance = 0.0
    for here, there in ((x, y), (y, x)):
        left = torch.tensor(
            [frechet_distance(torch.cat([here[:i], here[i + 1 :]]), there)[0] for i in range(len(here))]
        )
        variance += (len(here) - 1) * left.double().var(correction=0).item()
    assert error == pytest.approx(math.sqrt(variance), rel=0.1)


def test_the_standard_error_and_the_extrapolation_are_right_over_many_draws():
    g = generator(0)
    draws = []
    for _ in range(150):
        x, y = torch.randn(2, 200, 3, generator=g)
        y = 1.3 * y + torch.tensor([0.5, 0.0, 0.0])
        draws.append((*frechet_distance(x, y), *extrapolated_frechet_distance(x, y)))
    value, error, extrapolated, other_error = torch.tensor(draws, dtype=torch.float64).T
    truth = 0.25 + 3 * 0.3**2
    noise = value.std() / math.sqrt(len(value))
    assert error.mean() == pytest.approx(value.std().item(), rel=0.2)
    assert other_error.mean() == pytest.approx(extrapolated.std().item(), rel=0.2)
    assert extrapolated.std() == pytest.approx(value.std().item(), rel=0.15)
    assert value.mean() > truth + 2 * noise  # the bias, which the extrapolation removes
    assert abs(extrapolated.mean() - truth) < 3 * noise


def test_equal_distributions_extrapolate_to_no_distance():
    g = generator(0)
    pairs = [torch.randn(2, 400, 10, generator=g) for _ in range(30)]
    plain = torch.tensor([frechet_distance(*pair)[0] for pair in pairs])
    extrapolated = torch.tensor([extrapolated_frechet_distance(*pair)[0] for pair in pairs])
    assert plain.min() > 0.05
    assert abs(extrapolated.mean()) < 4 * extrapolated.std() / math.sqrt(30)
    assert abs(extrapolated.mean()) < 0.1 * plain.mean()


def test_the_extrapolation_is_a_line_through_the_means_over_parts():
    g = generator(4)
    x, y = torch.randn(90, 3, generator=g), 2 * torch.randn(64, 3, generator=g)
    # The order in which it divides the examples.
    order = generator(1)
    a, b = (sample[torch.randperm(len(sample), generator=order)] for sample in (x, y))
    means = []
    for parts in (1, 2, 4):
        pairs = zip(a.tensor_split(parts), b.tensor_split(parts), strict=True)
        means.append(np.mean([frechet_distance(*pair)[0] for pair in pairs]))
    _, intercept = np.polyfit([1, 2, 4], means, 1)
    assert extrapolated_frechet_distance(x, y, seed=1)[0] == pytest.approx(intercept)


def test_the_error_of_the_extrapolation_is_that_of_leaving_out_one_example():
    # The jackknife proper, with the same division into parts: an example that is left out leaves its parts only.
    g = generator(5)
    x, y = torch.randn(80, 2, generator=g), 1.5 * torch.randn(80, 2, generator=g) + 0.3
    order = generator(0)
    a, b = (sample[torch.randperm(80, generator=order)].double() for sample in (x, y))

    def extrapolated(a, b, without, which):
        means = []
        for parts in (1, 2, 4):
            found = []
            for rows in np.array_split(np.arange(80), parts):
                kept = rows[rows != without]
                found.append(frechet_distance(a[kept if which == 0 else rows], b[kept if which else rows])[0])
            means.append(np.mean(found))
        return np.polyfit([1, 2, 4], means, 1)[1]

    variance = 0.0
    for which in (0, 1):
        left = np.array([extrapolated(a, b, without, which) for without in range(80)])
        variance += 79 / 80 * ((left - left.mean()) ** 2).sum()
    assert extrapolated_frechet_distance(x, y)[1] == pytest.approx(math.sqrt(variance), rel=0.15)


def test_too_few_examples_are_refused_with_the_number_that_is_needed():
    x = torch.randn(100, 20, generator=generator(0))
    message = "there are 20 examples for a covariance of 20 features; expected at least 21, and better 200"
    for pair in ((x[:20], x), (x, x[:20])):
        with pytest.raises(RequestError, match=message):
            frechet_distance(*pair)
    assert frechet_distance(x[:21], x)[0] > 0
    with pytest.raises(RequestError, match="100 examples of 20 features to extrapolate from; expected at least 168"):
        extrapolated_frechet_distance(x, x)


def test_features_that_do_not_fit_are_refused():
    x = torch.randn(10, 3, generator=generator(0))
    with pytest.raises(RequestError, match="3 and 2 features"):
        frechet_distance(x, x[:, :2])
    with pytest.raises(RequestError, match="NaN or infinity"):
        frechet_distance(x, x.clone().fill_(torch.nan))
    with pytest.raises(RequestError, match=r"shape \(10,\); expected \(examples, features\)"):
        frechet_distance(x[:, 0], x)


class Features(nn.Module):
    num_features = 6

    def forward(self, x):
        return x.flatten(1)[:, :6]


def test_agreement_with_torchmetrics():
    from torchmetrics.image.fid import FrechetInceptionDistance

    x, y = torch.rand(2, 200, 3, 4, 4, generator=generator(0))
    y = y.square()
    theirs = FrechetInceptionDistance(feature=Features(), normalize=True)
    theirs.update(x, real=True)
    theirs.update(y, real=False)
    found, _ = frechet_distance(Features()(x), Features()(y))
    assert found == pytest.approx(theirs.compute().item(), rel=1e-4)
