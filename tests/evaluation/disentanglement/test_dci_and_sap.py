import math

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.svm import LinearSVC

from vaekit.evaluation.disentanglement import completeness, dci_scores, disentanglement, sap, sap_score

from .grid import DATA, Grid, blurred, identity, noise


def test_known_importances():
    one = np.eye(5)
    assert disentanglement(one) == completeness(one) == 1
    # Codes that serve nothing do not count.
    wide = np.pad(one, ((0, 3), (0, 0)))
    assert disentanglement(wide) == 1
    assert completeness(wide) == 1
    # A factor that nothing serves does not count.
    assert completeness(np.pad(one, ((0, 0), (0, 2)))) == 1
    assert disentanglement(np.zeros((4, 3))) == completeness(np.zeros((4, 3))) == 0
    assert disentanglement(np.ones((4, 3))) == pytest.approx(0, abs=1e-12)
    assert completeness(np.ones((4, 3))) == pytest.approx(0, abs=1e-12)
    # Two codes for every factor, and two factors on every code.
    twice = np.repeat(np.eye(5), 2, axis=0)
    assert disentanglement(twice) == 1
    assert completeness(twice) == pytest.approx(1 - math.log(2) / math.log(10))
    assert disentanglement(twice.T) == pytest.approx(1 - math.log(2) / math.log(10))
    assert completeness(twice.T) == 1


def test_codes_weigh_as_much_as_they_matter():
    # One code serves one factor with weight 3, the other two alike with weight 1.
    matrix = [[3.0, 0.0], [0.5, 0.5]]
    assert disentanglement(matrix) == pytest.approx(3 / 4)
    # The first factor leans on the codes 6 to 1, the second on the second alone; they weigh 3.5 and 0.5.
    p = np.array([6, 1]) / 7
    spread = -(p * np.log2(p)).sum()
    assert completeness(matrix) == pytest.approx((3.5 * (1 - spread) + 0.5) / 4)


def test_scale_of_importances_does_not_matter():
    matrix = np.random.default_rng(0).uniform(size=(6, 4))
    assert disentanglement(7 * matrix) == pytest.approx(disentanglement(matrix))
    assert completeness(7 * matrix) == pytest.approx(completeness(matrix))


def test_informativeness_is_the_accuracy_on_new_examples():
    # The first factor is known, the second is not: (1 + 1/4) / 2.
    found = dci_scores(lambda x: x[:, :1], Grid((5, 4)), train=600, evaluation=2000, repeats=1)
    assert found["dci_informativeness"] == pytest.approx((1 + 1 / 4) / 2, abs=0.03)
    wrong = dci_scores(noise, DATA, train=300, evaluation=2000, repeats=1)
    assert wrong["dci_informativeness"] == pytest.approx(np.mean(1 / np.array(DATA.factor_sizes)), abs=0.06)


@pytest.mark.slow
def test_the_trees_agree_with_gradient_boosting():
    for encode in (identity, blurred):
        options = {"train": 2000, "evaluation": 1000, "repeats": 1}
        extra = dci_scores(encode, DATA, **options)
        boosted = dci_scores(encode, DATA, trees="boosted", **options)
        for name in ("dci_disentanglement", "dci_completeness", "dci_informativeness"):
            assert extra[name] == pytest.approx(boosted[name], abs=0.15)


def test_a_leaf_has_ten_examples():
    # Of 19 there are no two leaves, so that nothing is learned and nothing is important; of 40 there are.
    few, more = (dci_scores(lambda x: x, Grid((2, 2)), train=n, evaluation=50, repeats=1) for n in (19, 40))
    assert few["dci_disentanglement"] == few["dci_completeness"] == 0
    assert few["dci_informativeness"] < 0.8
    assert more["dci_disentanglement"] > 0.5
    assert more["dci_informativeness"] == 1


def test_boosted_trees_are_another_way():
    small = Grid((3, 4))
    found = dci_scores(lambda x: x, small, train=200, evaluation=100, trees="boosted", repeats=1)
    assert found["dci_disentanglement"] > 0.95
    assert found["dci_informativeness"] == 1


def test_squared_correlation_is_that_of_a_linear_regression():
    generator = np.random.default_rng(0)
    factors = generator.integers(0, 9, (400, 3))
    codes = np.concatenate([factors + generator.normal(size=factors.shape), np.full((400, 1), 0.1)], axis=1)
    found = sap._determination(codes, factors)
    assert found.shape == (4, 3)
    for j in range(4):
        for k in range(3):
            model = LinearRegression().fit(codes[:, [j]], factors[:, k])
            assert found[j, k] == pytest.approx(model.score(codes[:, [j]], factors[:, k]), abs=1e-10)
    assert not found[3].any()


def test_accuracies_are_those_of_one_code_on_new_examples():
    # Two classes, told by the sign of the code: nine times in ten, and by another code not at all.
    generator = np.random.default_rng(0)

    def draw(n):
        factors = generator.integers(0, 2, (n, 2))
        right = np.where(generator.uniform(size=n) < 0.9, factors[:, 0], 1 - factors[:, 0])
        return np.stack([2.0 * right - 1, generator.normal(size=n), factors[:, 1] - 0.5], axis=1), factors

    codes, factors = draw(3000)
    found = sap._accuracy(codes, factors, *draw(3000), standardise=False)
    expected = np.array([[0.9, 0.5], [0.5, 0.5], [0.5, 1.0]])
    assert found == pytest.approx(expected, abs=0.04)
    # And not on those that were learned from.
    turned = sap._accuracy(codes, factors, codes, 1 - factors, standardise=False)
    assert turned == pytest.approx(1 - expected, abs=0.04)


def test_the_machine_is_that_of_the_shared_comparison():
    # Where its penalty decides: codes a tenth in size, three classes of unlike frequency.
    generator = np.random.default_rng(1)
    factor = generator.choice(3, p=[0.2, 0.2, 0.6], size=(400, 1))
    code = 0.1 * (factor + 0.5 * generator.normal(size=(400, 1)))
    machine = LinearSVC(C=0.01, class_weight="balanced", dual=True, max_iter=100_000, random_state=0)
    expected = machine.fit(code, factor[:, 0]).score(code, factor[:, 0])
    assert sap._accuracy(code, factor, code, factor, standardise=False)[0, 0] == pytest.approx(expected, abs=0.01)
    other = LinearSVC(C=1.0, class_weight="balanced").fit(code, factor[:, 0]).score(code, factor[:, 0])
    assert abs(other - expected) > 0.05


def test_gaps_by_hand():
    assert sap._gap(np.array([[0.9, 0.2], [0.5, 0.3], [0.4, 0.9]])) == pytest.approx((0.4 + 0.6) / 2)


def test_classes_need_not_be_equally_frequent():
    # The machine is balanced by class, as in the shared comparison: a rare class is not given up.
    generator = np.random.default_rng(0)
    factor = (generator.uniform(size=4000) < 0.05).astype(np.int64)[:, None]
    code = factor + 0.7 * generator.normal(size=(4000, 1))
    found = sap._accuracy(code, factor, code, factor, standardise=False)
    assert found[0, 0] < 0.9  # always "no" would be right 19 times in 20


def test_sap_of_two_binary_factors_is_one_half_over_chance():
    found = sap_score(lambda x: x - 0.5, Grid((2, 2)), train=1000, evaluation=1000, continuous=False)
    assert found["sap"] == pytest.approx(0.5, abs=0.04)
