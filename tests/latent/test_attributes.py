import numpy as np
import pytest
import torch

from vaekit.errors import RequestError
from vaekit.latent import analogy, attribute_vector, move, orthogonalise

METHODS = ["difference", "classifier"]


def clusters(n=400, d=4, seed=0):
    """Codes with an attribute along the first unit, and another, correlated with it, along the second."""
    rng = np.random.default_rng(seed)
    first = rng.random(n) < 0.5
    second = np.where(rng.random(n) < 0.85, first, ~first)
    z = 0.5 * rng.normal(size=(n, d))
    z[:, 0] += 3 * first
    z[:, 1] += 3 * second
    return torch.from_numpy(z), first, second


def test_two_clusters_by_hand():
    codes = torch.tensor([[0.0, 0.0], [2.0, 0.0], [1.0, 5.0], [1.0, 7.0]])
    assert attribute_vector(codes, [0, 0, 1, 1]).tolist() == [0.0, 6.0]
    assert attribute_vector(codes, torch.tensor([True, True, False, False])).tolist() == [0.0, -6.0]
    assert attribute_vector(codes, [0, 0, 1, 1], others=[torch.tensor([1.0, 1.0])]).tolist() == [-3.0, 3.0]


def test_a_quantity_by_hand():
    # z = 2 y along the first unit; y has standard deviation sqrt(2).
    y = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    codes = torch.tensor([[2 * v + 1, 3.0] for v in y], dtype=torch.float64)
    for method in METHODS:
        torch.testing.assert_close(
            attribute_vector(codes, y, method), torch.tensor([2 * 2**0.5, 0.0]).double(), atol=1e-6, rtol=0
        )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("quantity", [False, True])
def test_strength_one_is_as_far_as_the_means_are_apart(method, quantity):
    codes, first, _ = clusters()
    labels = first + 0.3 * np.random.default_rng(1).normal(size=len(first)) if quantity else first
    v = attribute_vector(codes, labels, method)
    if quantity:
        standard = (labels - labels.mean()) / labels.std()
        step = torch.from_numpy((codes.numpy() * standard[:, None]).mean(0))
    else:
        step = codes[first].mean(0) - codes[~first].mean(0)
    torch.testing.assert_close(step @ v / v.norm(), v.norm())


def test_the_classifier_discounts_what_only_goes_with_the_attribute():
    codes, first, _ = clusters()
    difference, classifier = (attribute_vector(codes, first, method) for method in METHODS)
    assert difference[1] / difference[0] > 0.5  # the other attribute is there more often than not
    assert abs(classifier[1] / classifier[0]) < 0.3


def test_the_classifiers_normal_is_that_of_its_boundary_in_standardised_codes():
    # Of two Gaussian clusters with one covariance the best boundary has the normal C^-1 (mean1 - mean0).
    rng = np.random.default_rng(0)
    mix = np.array([[1.0, 0.0], [0.8, 0.6]])
    z = np.concatenate([rng.normal(size=(20_000, 2)) @ mix.T, rng.normal(size=(20_000, 2)) @ mix.T + [1.0, 0.0]])
    z = z * [1.0, 10.0]
    v = attribute_vector(torch.from_numpy(z), np.arange(40_000) >= 20_000, "classifier").numpy()
    scale = z.std(0)
    normal = scale * np.linalg.solve(mix @ mix.T * np.outer([1, 10], [1, 10]), [1.0, 0.0]) * scale
    np.testing.assert_allclose(v / np.linalg.norm(v), normal / np.linalg.norm(normal), atol=0.02)


@pytest.mark.parametrize("method", METHODS)
def test_what_is_left_beside_others_has_no_product_with_them(method):
    codes, first, second = clusters()
    other = attribute_vector(codes, second)
    alike = torch.stack([other, 2 * other, torch.eye(4).double()[3]])  # dependent ones are no obstacle
    v = attribute_vector(codes, first, method, others=alike)
    assert (alike @ v).abs().max() < 1e-12
    assert v[0] > 0.5


def test_orthogonalise_takes_away_the_projection_on_the_span():
    generator = torch.Generator().manual_seed(0)
    v, others = torch.randn(6, generator=generator).double(), torch.randn(3, 6, generator=generator).double()
    weights = torch.linalg.lstsq(others.T, v).solution
    torch.testing.assert_close(orthogonalise(v, others), v - weights @ others)
    torch.testing.assert_close(orthogonalise(v, 1e-9 * others), orthogonalise(v, others))
    with pytest.raises(RequestError, match="nothing is left"):
        orthogonalise(others.sum(0), others)


def test_a_unit_that_never_moves_is_no_obstacle():
    codes, first, _ = clusters()
    codes[:, 2] = 0
    assert attribute_vector(codes, first, "classifier")[2] == 0


def test_move_goes_by_the_strength_from_where_it_is(identity):
    model, z, v = identity(2), torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([0.0, 3.0])
    points, x = move(model, z, v, [-1.0, 0.0, 2.0])
    torch.testing.assert_close(points, torch.tensor([[[1.0, -1], [1, 2], [1, 8]], [[0, -3], [0, 0], [0, 6]]]))
    torch.testing.assert_close(x, points)


def test_a_minus_a_plus_c_is_c(identity):
    a, b, c = torch.randn(3, 5, 2, generator=torch.Generator().manual_seed(0))
    assert (analogy(identity(2), a, a, c).z == c).all()
    torch.testing.assert_close(analogy(identity(2), a, b, c).x, a - b + c)


BAD = {
    "expected \\(n, latent_dim\\) and \\(n,\\)": [0, 1],
    "alike": [1, 1, 1, 1],
    "labels == 3": [0, 1, 2, 3],
    "not all finite": [0.0, float("nan"), 1.0, 2.0],
    "finite numbers": ["a", "b", "a", "b"],
}


@pytest.mark.parametrize("words", BAD)
def test_labels_that_are_no_attribute_are_refused(words):
    with pytest.raises(RequestError, match=words):
        attribute_vector(torch.randn(4, 2, generator=torch.Generator().manual_seed(0)), BAD[words])


def test_other_requests_that_make_no_vector_are_refused():
    codes = torch.tensor([[0.0, 1.0], [0.0, 2.0]])
    with pytest.raises(RequestError, match="method is 'means'"):
        attribute_vector(codes, [0, 1], "means")
    with pytest.raises(RequestError, match="nowhere"):
        attribute_vector(torch.ones(4, 2), [0, 1, 0, 1])
