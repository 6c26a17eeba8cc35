r"""Whether a code's category is the class: the error of a classifier, and that of a clustering."""

__all__ = ["classification_metrics", "cluster_names"]

import copy
import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from vaekit.data import Split
from vaekit.data.transforms import Transform, view
from vaekit.distributions.category_style import CategoryStyle
from vaekit.errors import RequestError
from vaekit.evaluation.generation import expected
from vaekit.evaluation.posterior import evaluating
from vaekit.models import VAE


@torch.no_grad()
def classification_metrics(
    model: VAE,
    named: Split,
    test: Split,
    transform: Transform,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    advance: Callable[[int], object] | None = None,
) -> dict[str, Any]:
    r"""Return how often the most likely category, :math:`\arg\max_k q(y = k \mid x)`, is of another class.

    Where training was shown labels, the categories are the classes, and `classification_error` needs no more. As
    clusters they are named after examples that training did not see, in two ways: each after the class of the one
    example that is surest to be in it, :math:`\arg\max_x q(y = k \mid x)`, which takes one label a cluster; and each
    after the class of most of the examples in it, which takes all their labels and flatters many small clusters.

    References:
        Adversarial autoencoders (Makhzani et al., 2015), sections 5 and 6, for the first two.

    Arguments:
        model: A model whose encoder's head is a `vaekit.distributions.CategoryStyle`.
        named: Examples with labels, by which clusters are named: those of validation.
        test: Examples with labels, other than these, to count errors of.
        transform: From data as stored to what the likelihood describes; its random ones are replaced by what they
            give on average.
        seed: Of every draw.
        device: Where to encode.
        advance: Called with the number of examples done, of `len(named) + len(test)` in all.

    Returns:
        `classification_error`, where there were labels, `cluster_error` and `majority_error`, shares from 0 to 1,
        each with its `_se`; `clusters_used`, those with a test example; `confidence`, the mean probability of the
        most likely category; `clusters`; and the `protocol`.

    Raises:
        RequestError: If the code has no category, or there are no labels.
    """
    head = getattr(model.encoder, "head", None)
    if not isinstance(head, CategoryStyle):
        raise RequestError("the code has no category to read as a class; expected one: train the recipe aae-semi")
    if test.labels is None or named.labels is None or not len(named) or (test.labels < 0).any():
        raise RequestError(
            "there are no labels to compare categories with; expected one for each example of test and validation: "
            "pass data that have them"
        )
    seen = expected(transform)

    def read(split: Split) -> NDArray[np.float64]:
        # In double precision: in single the probabilities of many examples round to 1, and none is the surest.
        exact, found = copy.deepcopy(head).cpu().double(), []
        for block in view(split.x, seen, seed, device):
            found.append(exact(network(block).cpu().double()).mean[:, : head.categories])
            if advance is not None:
                advance(len(block))
        return np.asarray(torch.cat(found).numpy())

    with evaluating(model):
        network = cast(torch.nn.Module, model.encoder.network)
        names, probabilities = cluster_names(read(named), named.labels), read(test)
    category = probabilities.argmax(1)
    wrong = {"cluster_error": names[0][category] != test.labels, "majority_error": names[1][category] != test.labels}
    taught = bool(getattr(model.objective, "supervised", False))
    if taught:
        wrong = {"classification_error": category != test.labels, **wrong}
    result: dict[str, Any] = {}
    for name, errors in wrong.items():
        share = float(errors.mean())
        result[name], result[f"{name}_se"] = share, math.sqrt(share * (1 - share) / len(errors))
    told = "the category is the class, by the labels shown in training; as clusters, " if taught else ""
    return result | {
        "clusters": head.categories,
        "clusters_used": len(np.unique(category)),
        "confidence": float(probabilities.max(1).mean()),
        "protocol": f"most likely category of {len(test):,} examples, {seen.describe()}; {told}"
        f"cluster_error: each named after the surest of {len(named):,} validation examples, in double precision; "
        "majority_error: after most of those in it; shares, ± is one standard error",
    }


def cluster_names(
    probabilities: NDArray[np.floating[Any]], labels: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    r"""Name clusters after labelled examples, by the surest example of each and by most of those in it.

    A cluster that is the most likely one of no example gets, in the second way too, the name of its surest.

    Arguments:
        probabilities: Of each cluster for each example, shape `(n, clusters)`.
        labels: Of the examples, shape `(n,)`.

    Returns:
        Two arrays of classes, each of shape `(clusters,)`.

    Example:
        >>> probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8]])
        >>> cluster_names(probabilities, np.array([5, 7, 7, 1]))
        (array([5, 1]), array([7, 1]))
    """
    surest = labels[probabilities.argmax(0)]
    votes = np.zeros((probabilities.shape[1], int(labels.max()) + 1), np.int64)
    np.add.at(votes, (probabilities.argmax(1), labels), 1)
    return surest, np.where(votes.sum(1) > 0, votes.argmax(1), surest)
