import math

import numpy as np
import pytest
from scipy.stats import entropy
from sklearn.metrics import mutual_info_score

from vaekit.evaluation.disentanglement import entropies, mig_score, modularity_score, mutual_information

from .grid import DATA, Grid, K, blurred, rotated


def test_against_scikit_learn_code_by_code():
    # More codes than factors, so that an axis mistaken for the other cannot pass.
    generator = np.random.default_rng(0)
    factors = DATA.factors.sample(3000, generator)[:, :4]
    codes = np.concatenate([factors + generator.normal(size=factors.shape), generator.normal(size=(3000, 3))], axis=1)
    found = mutual_information(codes, factors, bins=20)
    assert found.shape == (7, 4)
    for j, code in enumerate(codes.T):
        edges = np.linspace(code.min(), code.max(), 21)
        binned = np.clip(np.digitize(code, edges) - 1, 0, 19)
        for k, factor in enumerate(factors.T):
            assert found[j, k] == pytest.approx(mutual_info_score(factor, binned), abs=1e-10)
    for k, factor in enumerate(factors.T):
        assert entropies(factors)[k] == pytest.approx(entropy(np.bincount(factor)), abs=1e-12)
        assert entropies(factors)[k] == pytest.approx(mutual_info_score(factor, factor), abs=1e-12)


def test_a_noisy_channel_has_the_information_it_must():
    # A bit that is flipped one time in ten, in every combination as often as it must be: log 2 - H(0.1).
    factor = np.repeat([0, 1], 100)
    code = np.where(np.tile(np.arange(100) < 10, 2), 1 - factor, factor)
    lost = -(0.1 * math.log(0.1) + 0.9 * math.log(0.9))
    both = np.stack([factor, factor[::-1]], axis=1)
    expected = math.log(2) - lost
    assert mutual_information(code[:, None], both, bins=2) == pytest.approx(np.array([[expected] * 2]))
    # Nothing is gained by more bins, nor by shifting, stretching or mirroring the code.
    for other in (code * 1.0, -3.7 * code, 1e-6 * code + 5):
        assert mutual_information(other[:, None], both, bins=20)[0, 0] == pytest.approx(expected)


def test_independent_codes_have_none_but_for_the_bias_of_counting():
    factor = np.tile(np.arange(4), 25)
    code = np.repeat(np.arange(5), 20)
    assert mutual_information(code[:, None], factor[:, None], bins=5)[0, 0] == pytest.approx(0, abs=1e-12)
    generator = np.random.default_rng(0)
    drawn = [
        mutual_information(generator.uniform(size=(2000, 1)), generator.integers(0, 8, (2000, 1)), bins=20)[0, 0]
        for _ in range(30)
    ]
    assert np.mean(drawn) == pytest.approx(19 * 7 / 4000, rel=0.1)


def test_bins_are_of_one_width_and_hold_their_least_value_and_the_last_its_greatest():
    code = np.array([0.0, 0.9, 1.0, 1.9, 2.0])[:, None]
    factor = np.array([0, 0, 1, 1, 1])[:, None]
    assert mutual_information(code, factor, bins=2)[0, 0] == pytest.approx(entropies(factor)[0])
    assert mutual_information(code, np.array([0, 1, 0, 0, 1])[:, None], bins=2)[0, 0] < 0.1


def test_the_gap_is_between_the_two_best_codes_of_a_factor():
    # Codes 0 and 1 know the first factor fully and to one bit of two, the second is known to one code only.
    def codes(x):
        return np.stack([x[:, 0], x[:, 0] // 2, x[:, 1], 0 * x[:, 0]], axis=1)

    found = mig_score(codes, Grid((4, 4)), train=4000)
    assert found["mig"] == pytest.approx((0.5 + 1) / 2, abs=0.01)


def test_modularity_by_hand():
    # Two factors of four classes. Code 0 knows one; code 1 knows half of each, at equal parts: 1 - 1; code 2 knows
    # two bits of one and one of the other: 1 - (1/2)²; code 3 nothing.
    def codes(x):
        first, second = x.T
        return np.stack([first, first // 2 * 2 + second // 2, first * 2 + second // 2, 0 * first], axis=1)

    found = modularity_score(codes, Grid((4, 4)), train=4000)
    assert found["modularity"] == pytest.approx((1 + 0 + 3 / 4 + 0) / 4, abs=0.01)


def test_more_bins_change_the_gap():
    few = mig_score(blurred, DATA, train=2000, bins=2)["mig"]
    assert few < mig_score(blurred, DATA, train=2000, bins=20)["mig"] - 0.2
    assert modularity_score(rotated, DATA, train=2000, bins=2) != modularity_score(rotated, DATA, train=2000)


def test_the_estimate_does_not_depend_on_how_often_the_examples_are_listed():
    generator = np.random.default_rng(0)
    codes, factors = generator.normal(size=(500, 3)), generator.integers(0, 5, (500, K))
    once = mutual_information(codes, factors)
    assert mutual_information(np.tile(codes, (2, 1)), np.tile(factors, (2, 1))) == pytest.approx(once, abs=1e-12)
