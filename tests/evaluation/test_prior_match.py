r"""Two samples: told apart as well as their distance allows, and no better than by chance where there is none."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Normal

from vaekit.data import from_arrays
from vaekit.data.transforms import Identity
from vaekit.distributions import Conditional, FlowerPrior, Gaussian, Point, StandardNormal, maximum_mean_discrepancy
from vaekit.errors import RequestError
from vaekit.evaluation.prior_match import prior_match_metrics, two_sample_classifier, two_sample_discrepancy
from vaekit.models import VAE


def normal(n, d=2, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("seed", range(3))
def test_samples_of_one_distribution_cannot_be_told_apart(seed):
    x, y = normal(3000, seed=2 * seed), normal(3000, seed=2 * seed + 1)
    accuracy, error = two_sample_classifier(x, y)
    assert abs(accuracy - 0.5) < 3.5 * error
    assert error == pytest.approx(0.5 / math.sqrt(3000), rel=0.01)
    value, spread, p = two_sample_discrepancy(x[:400], y[:400], 200)
    assert abs(value) < 4 * spread
    assert p > 0.005


def test_the_accuracy_is_what_the_distance_of_the_two_allows():
    x, y = normal(8000), normal(8000, seed=1)
    y[:, 0] += 2
    best = float(Normal(0.0, 1.0).cdf(torch.tensor(1.0)))  # one half and half the total variation distance
    accuracy, error = two_sample_classifier(x, y)
    assert best - 0.02 < accuracy < best + 3 * error
    accuracy, error = two_sample_classifier(x, y + 100)
    assert accuracy > 0.999
    assert error > 0


def test_a_difference_that_no_mean_tells_is_found():
    x, y = normal(3000), normal(3000, seed=1)
    y[:, 1] = 0.8 * y[:, 0] + 0.6 * y[:, 1]
    assert two_sample_classifier(x, y)[0] > 0.6
    assert two_sample_discrepancy(x[:500], y[:500], 200)[2] < 0.01


def test_the_discrepancy_is_the_unbiased_one_and_p_counts_permutations():
    x, y = normal(60), normal(60, seed=1) + 0.3
    value, spread, p = two_sample_discrepancy(x, y, 99, seed=2)
    assert value == pytest.approx(float(maximum_mean_discrepancy(x.double(), y.double())))
    random, both, parted = np.random.RandomState(5), torch.cat([x, y]).double(), []
    for _ in range(99):
        order = random.permutation(120)
        parted.append(float(maximum_mean_discrepancy(both[order[:60]], both[order[60:]])))
    assert spread == pytest.approx(np.std(parted), rel=0.3)
    assert p == pytest.approx((1 + np.sum(np.array(parted) >= value)) / 100, abs=0.1)


class Codes(nn.Module):
    def forward(self, x, context=None):
        return Point(2)(x)


@pytest.mark.parametrize("prior", [StandardNormal(2), FlowerPrior()])
def test_codes_are_held_against_any_prior(prior, monkeypatch):
    monkeypatch.setattr("vaekit.evaluation.prior_match.COMPARED", 300)
    torch.manual_seed(0)
    model = VAE(Codes(), Conditional(nn.Linear(2, 2), Gaussian((2,), variance=1.0)), prior)
    data = from_arrays(prior().sample((2500,)).numpy(), validation=0, test=0.8)
    done = []
    same = prior_match_metrics(model, data.test.x, Identity(), permutations=100, advance=done.append)
    assert sum(done) == len(data.test) == 2000
    assert abs(same["prior_accuracy"] - 0.5) < 3.5 * same["prior_accuracy_se"]
    assert same["prior_mmd_p"] > 0.005
    other = prior_match_metrics(model, 1.5 * data.test.x + 0.5, Identity(), permutations=100)
    assert other["prior_accuracy"] > 0.55
    assert other["prior_mmd_p"] == pytest.approx(1 / 101)
    assert other["prior_mmd"] > 5 * other["prior_mmd_null"]


def test_wrong_requests():
    for x, y in ((normal(5), normal(5)), (normal(50), normal(60)), (normal(50), normal(50, d=3))):
        with pytest.raises(RequestError, match="expected two of one shape"):
            two_sample_classifier(x, y)
        with pytest.raises(RequestError, match="expected two of one shape"):
            two_sample_discrepancy(x, y)
