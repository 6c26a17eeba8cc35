r"""The estimator: scikit-learn's own checks, and the laws that its numbers obey."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

from vaekit.sklearn import VAETransformer

QUICK = {"hidden": (8,), "epochs": 2, "nll_samples": 5, "random_state": 0, "device": "cpu"}


@parametrize_with_checks(
    [VAETransformer(**QUICK), VAETransformer(**QUICK, standardize=False, likelihood="gaussian-pixel")]
)
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def iris():
    return load_iris().data


@pytest.fixture(scope="module")
def fitted(iris):
    return VAETransformer(2, hidden=(32,), epochs=30, random_state=0, device="cpu").fit(iris)


def test_agrees_with_probabilistic_pca_and_stays_below_the_truth():
    random = np.random.RandomState(0)
    loadings = np.array([[1.0, 0.8, -0.6, 0.4, 0.2, -1.0], [0.3, -0.7, 0.9, 1.0, -0.5, 0.1]])
    x = 2.0 + random.randn(4000, 2) @ loadings + 0.5 * random.randn(4000, 6)
    train, test = x[:3000], x[3000:]
    covariance = loadings.T @ loadings + 0.25 * np.eye(6)
    centred = test - 2.0
    exact = -0.5 * (
        np.einsum("ni,ij,nj->n", centred, np.linalg.inv(covariance), centred)
        + np.linalg.slogdet(2 * np.pi * covariance)[1]
    )
    vae = VAETransformer(2, hidden=(32,), epochs=30, standardize=False, random_state=0, device="cpu").fit(train)
    gap = vae.score_samples(test) - exact
    assert gap.mean() < 3 * gap.std() / np.sqrt(len(gap))
    assert abs(vae.score(test) - PCA(2).fit(train).score(test)) < 0.06


@pytest.mark.parametrize("standardize", [True, False])
def test_the_density_integrates_to_one(standardize):
    random = np.random.RandomState(1)
    x = np.concatenate([random.randn(300) - 8, 3 * random.randn(300) + 8])[:, None] * 5
    vae = VAETransformer(
        1, hidden=(16,), epochs=20, standardize=standardize, nll_samples=200, random_state=0, device="cpu"
    ).fit(x)
    grid, step = np.linspace(-160, 200, 721, retstep=True)
    assert np.exp(vae.score_samples(grid[:, None])).sum() * step == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize(("factor", "within"), [(8.0, 1e-9), (10.0, 1e-2)])
def test_a_change_of_units_changes_the_log_density_by_its_jacobian(iris, fitted, factor, within):
    # A power of two scales every float exactly, so that both fits take the very same steps.
    other = clone(fitted).fit(factor * iris)
    expected = fitted.score_samples(iris) - iris.shape[1] * np.log(factor)
    score = other.score(factor * iris)
    assert score == pytest.approx(expected.mean(), abs=within)
    if within < 1e-6:
        np.testing.assert_allclose(other.score_samples(factor * iris), expected, atol=within)
    np.testing.assert_allclose(other.transform(factor * iris), fitted.transform(iris), atol=within)
    back = other.inverse_transform(other.transform(factor * iris)) / factor
    np.testing.assert_allclose(back, fitted.inverse_transform(fitted.transform(iris)), atol=within)


def test_more_importance_samples_never_lower_the_score_on_average(iris, fitted):
    one = fitted.score(iris)
    few = pickle.loads(pickle.dumps(fitted)).set_params(nll_samples=1).score(iris)
    many = pickle.loads(pickle.dumps(fitted)).set_params(nll_samples=1000).score(iris)
    assert few < one < many + 0.02


def test_transform_is_the_posterior_mean_whatever_the_batch(iris, fitted):
    codes = fitted.transform(iris)
    np.testing.assert_array_equal(codes, fitted.transform(iris))
    np.testing.assert_allclose(np.concatenate([fitted.transform(row[None]) for row in iris]), codes, atol=1e-12)
    assert np.var(codes, axis=0).max() > 0.1


def test_types_are_kept(iris, fitted):
    for dtype in (np.float32, np.float64):
        x = iris.astype(dtype)
        codes = fitted.transform(x)
        assert codes.dtype == fitted.inverse_transform(codes).dtype == fitted.score_samples(x).dtype == dtype
    np.testing.assert_allclose(fitted.transform(iris.astype(np.float32)), fitted.transform(iris), atol=1e-4)


def test_samples_look_like_the_data_and_follow_the_seed(iris, fitted):
    drawn = fitted.sample(4000, random_state=3)
    assert drawn.shape == (4000, 4)
    np.testing.assert_array_equal(drawn, fitted.sample(4000, random_state=3))
    assert (drawn != fitted.sample(4000, random_state=4)).any()
    np.testing.assert_allclose(drawn.mean(0), iris.mean(0), atol=0.3 * iris.std(0).max())
    np.testing.assert_allclose(drawn.std(0), iris.std(0), rtol=0.3)


def test_the_same_seed_gives_the_same_fit_and_none_another(iris):
    quick = VAETransformer(**QUICK)
    np.testing.assert_array_equal(clone(quick).fit_transform(iris), clone(quick).fit_transform(iris))
    free = clone(quick).set_params(random_state=None)
    assert (clone(free).fit_transform(iris) != clone(free).fit_transform(iris)).any()
    shared = [clone(quick).set_params(random_state=np.random.RandomState(5)).fit_transform(iris) for _ in range(2)]
    np.testing.assert_array_equal(*shared)


def test_fitting_leaves_the_callers_random_state_alone(iris):
    import torch

    torch.manual_seed(0)
    np.random.seed(0)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    VAETransformer(**QUICK).fit(iris).score_samples(iris[:3])
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])


def test_a_pickle_holds_arrays_and_opens_to_the_same_estimator(iris, fitted):
    content = pickle.dumps(fitted)
    assert b"torch" not in content
    again = pickle.loads(content)
    np.testing.assert_array_equal(again.transform(iris), fitted.transform(iris))
    np.testing.assert_array_equal(again.score_samples(iris), fitted.score_samples(iris))
    assert again.history_ == fitted.history_


def test_a_pickle_opens_after_the_parameters_have_changed(iris, fitted):
    changed = pickle.loads(pickle.dumps(fitted)).set_params(latent_dim=7, hidden=(3, 3))
    again = pickle.loads(pickle.dumps(changed))
    np.testing.assert_array_equal(again.transform(iris), fitted.transform(iris))
    assert list(again.get_feature_names_out()) == ["vaetransformer0", "vaetransformer1"]


def test_works_in_a_pipeline_and_a_grid_search():
    x, y = load_digits(return_X_y=True)
    pixels = FunctionTransformer(lambda x: (x > 7).astype(float))
    vae = VAETransformer(
        8, hidden=(64,), likelihood="bernoulli", standardize=False, epochs=15, random_state=0, device="cpu"
    )
    classifier = make_pipeline(pixels, vae, LogisticRegression(max_iter=500)).fit(x[:1200], y[:1200])
    assert classifier.score(x[1200:], y[1200:]) > 0.6
    search = GridSearchCV(VAETransformer(**QUICK).set_params(epochs=30), {"latent_dim": [1, 2]}, cv=2)
    search.fit(load_iris().data)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_patience_stops_and_the_log_says_when(iris):
    vae = VAETransformer(hidden=(8,), epochs=500, learning_rate=0.03, patience=3, random_state=0, device="cpu").fit(
        iris
    )
    assert 3 < vae.n_iter_ < 500
    assert len(vae.history_["validation_elbo"]) == vae.n_iter_


def test_a_constant_feature_and_a_single_example_are_no_trouble():
    x = np.random.RandomState(0).randn(50, 3)
    x[:, 1] = 4.0
    vae = VAETransformer(**QUICK).fit(x)
    assert np.isfinite(vae.score_samples(x)).all()
    assert np.isfinite(VAETransformer(**QUICK).fit(x[:1]).transform(x[:1])).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"latent_dim": 0}, "latent_dim is 0"),
        ({"likelihood": "gausian"}, "Did you mean 'gaussian'"),
        ({"likelihood": "bernoulli"}, "pass standardize=False"),
        ({"likelihood": "bernoulli", "standardize": False}, "the likelihood expects"),
        ({"validation_fraction": 1.0}, "validation_fraction is 1.0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"nll_samples": 0}, "nll_samples is 0"),
        ({"epochs": 0}, "epochs is 0"),
        ({"beta": -1.0}, "beta is -1"),
        ({"device": "cdua"}, "Did you mean 'cuda'"),
    ],
)
def test_a_wrong_argument_is_named(iris, arguments, message):
    with pytest.raises(ValueError, match=message):
        VAETransformer(**{**QUICK, **arguments}).fit(iris)


def test_latent_points_of_another_size_are_refused(fitted):
    with pytest.raises(ValueError, match="Z has 5 features; expected 2"):
        fitted.inverse_transform(np.zeros((1, 5)))
