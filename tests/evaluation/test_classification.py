r"""The error of categories: of perfect ones, permuted ones, and ones that are wrong in a known way."""

import numpy as np
import pytest
import torch
from torch import nn

from vaekit.data import Split
from vaekit.data.transforms import Identity
from vaekit.distributions import CategoryStyle, CategoryStylePrior, Conditional, DiagonalGaussian, Gaussian
from vaekit.errors import RequestError
from vaekit.evaluation.classification import classification_metrics, cluster_names
from vaekit.models import VAE
from vaekit.objectives import AdversarialCategories, Labelled


class Logits(nn.Module):
    """A network whose category is the one that x names, moved by a permutation, as sure as x says."""

    def __init__(self, permutation):
        super().__init__()
        self.permutation = torch.as_tensor(permutation)

    def forward(self, x):
        one_hot = nn.functional.one_hot(self.permutation[x[:, 0].long()], len(self.permutation))
        return torch.cat([one_hot * x[:, 1:], torch.zeros(len(x), 1)], dim=1)


def reader(permutation, taught=False):
    n = len(permutation)
    known = Labelled(torch.zeros(1, 2), torch.zeros(1, dtype=torch.int64), Identity()) if taught else None
    objective = AdversarialCategories(n, 1, known, hidden=(4,))
    decoder = Conditional(nn.Linear(n + 1, 2), Gaussian((2,), variance=1.0))
    return VAE(Conditional(Logits(permutation), CategoryStyle(n, 1)), decoder, CategoryStylePrior(n, 1), objective)


def split(categories, labels=None, sure=9.0):
    x = np.stack([np.asarray(categories, np.float32), np.broadcast_to(sure, len(categories))], axis=1)
    return Split(x.astype(np.float32), np.asarray(categories if labels is None else labels, np.int64))


RANDOM = np.random.default_rng(0)
DIGITS = RANDOM.integers(10, size=500)


@pytest.mark.parametrize("permutation", [range(10), RANDOM.permutation(10)])
def test_clusters_that_are_the_classes_by_other_numbers_have_no_error(permutation):
    found = classification_metrics(reader(permutation), split(DIGITS[:200]), split(DIGITS[200:]), Identity())
    assert found["cluster_error"] == found["majority_error"] == 0
    assert (found["clusters"], found["clusters_used"]) == (10, 10)
    assert "classification_error" not in found


def test_classes_that_were_taught_are_not_named_anew():
    permutation = [1, 0, *range(2, 10)]
    found = classification_metrics(
        reader(permutation, taught=True), split(DIGITS[:200]), split(DIGITS[200:]), Identity()
    )
    assert found["cluster_error"] == 0
    swapped = float((DIGITS[200:] < 2).mean())
    assert found["classification_error"] == pytest.approx(swapped)
    assert found["classification_error_se"] == pytest.approx(np.sqrt(swapped * (1 - swapped) / 300))
    right = classification_metrics(reader(range(10), taught=True), split(DIGITS[:200]), split(DIGITS[200:]), Identity())
    assert right["classification_error"] == 0


def test_other_numbers_for_the_classes_change_no_error_of_clusters():
    labels = np.where(RANDOM.random(500) < 0.2, RANDOM.integers(10, size=500), DIGITS)
    order = RANDOM.permutation(10)
    sure = RANDOM.uniform(1, 9, size=500)
    errors = []
    for truth in (labels, order[labels]):
        parts = (split(DIGITS[part], truth[part], sure[part]) for part in (slice(200), slice(200, None)))
        errors.append(classification_metrics(reader(range(10)), *parts, Identity()))
    assert errors[0] == errors[1]
    assert 0.1 < errors[0]["majority_error"] < 0.3


def test_of_examples_whose_probability_rounds_to_one_the_surest_names_the_cluster():
    # In single precision all of them have a probability of exactly 1.
    assert torch.tensor([19.0, 0.0]).softmax(0)[0] == torch.tensor([25.0, 0.0]).softmax(0)[0] == 1
    named = split([0, 0, 0, 1], [7, 7, 1, 2], sure=np.array([19.0, 20.0, 25.0, 30.0]))
    found = classification_metrics(reader(range(2)), named, split([0, 0, 1], [1, 1, 2]), Identity())
    assert found["cluster_error"] == 0
    assert found["majority_error"] == pytest.approx(2 / 3)


def test_a_cluster_is_named_after_its_surest_example_alone():
    # Nine of ten examples in the cluster are sevens, and the surest is a one.
    named = split([0] * 10, [7] * 9 + [1], [2.0] * 9 + [5.0])
    test = split([0] * 4, [7, 7, 7, 1])
    found = classification_metrics(reader([0, 1]), named, test, Identity())
    assert (found["cluster_error"], found["majority_error"]) == (0.75, 0.25)
    assert found["clusters_used"] == 1
    assert found["confidence"] == pytest.approx(1 / (1 + np.exp(-9.0)))


def test_names_of_clusters_that_nothing_is_in():
    probabilities = np.array([[0.8, 0.2, 0.0], [0.7, 0.0, 0.3]])
    surest, most = cluster_names(probabilities, np.array([4, 6]))
    assert surest.tolist() == [4, 4, 6]
    assert most[1:].tolist() == [4, 6]


def test_wrong_requests():
    data = split(DIGITS)
    with pytest.raises(RequestError, match="no labels to compare"):
        classification_metrics(reader(range(10)), data, Split(data.x), Identity())
    posterior = DiagonalGaussian(2)
    plain = VAE(Conditional(nn.Linear(2, 4), posterior), nn.Identity(), posterior.default_prior())
    with pytest.raises(RequestError, match="the code has no category"):
        classification_metrics(plain, data, data, Identity())
