r"""The regressor: scikit-learn's own checks, and what its predictions have to be."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from vaekit.sklearn import VAERegressor

QUICK = {"latent_dim": 2, "hidden": (16,), "epochs": 20, "learning_rate": 1e-2, "random_state": 0, "device": "cpu"}


@parametrize_with_checks([VAERegressor(**QUICK)])
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


def waves():
    x = np.linspace(0, 6, 60)[:, None]
    return x, np.column_stack([np.sin(x), 100 + 10 * np.cos(x), np.sin(x) * np.cos(x), np.sin(2 * x)])


@pytest.fixture(scope="module")
def fitted():
    x, y = waves()
    return VAERegressor(3, hidden=(32,), epochs=250, learning_rate=1e-2, random_state=0, device="cpu").fit(
        x[::2], y[::2]
    )


def test_it_predicts_between_samples_and_knows_how_well(fitted):
    x, y = waves()
    assert fitted.score(x, y) > 0.9
    mean, std = fitted.predict(x[1:-1:2], return_std=True)
    assert mean.shape == std.shape == (29, 4)
    assert 0.6 < np.mean(np.abs(mean - y[1:-1:2]) < 1.645 * std) <= 1.0
    far = fitted.predict([[1e3]], return_std=True)[1]
    assert (far > 1.2 * std.mean(0)).all()


def test_a_vector_of_targets_gives_a_vector(fitted):
    x, y = waves()
    one = clone(fitted).set_params(epochs=2).fit(x, y[:, 0])
    mean, std = one.predict(x, return_std=True)
    assert mean.shape == std.shape == (60,)


def test_a_pickle_predicts_the_same_whatever_was_set_since(fitted):
    x, _ = waves()
    copied = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(copied.predict(x), fitted.predict(x))
    other = pickle.loads(pickle.dumps(clone(fitted).set_params(epochs=2).fit(*waves()).set_params(latent_dim=7)))
    assert other.predict(x).shape == (60, 4)


@pytest.mark.parametrize("wrong", [{"draws": 0}, {"batch_size": 0}, {"epochs": 0}, {"kernel": "none"}])
def test_a_wrong_argument_is_said_in_fit(wrong):
    with pytest.raises(ValueError, match="expected"):
        VAERegressor(**wrong).fit(*waves())
