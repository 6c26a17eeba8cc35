r"""Whether a conditional model draws what it was told to."""

__all__ = ["conditioning_metrics"]

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaekit.data import Split
from vaekit.data.transforms import Transform, pairs, view
from vaekit.errors import RequestError
from vaekit.evaluation.features import FeatureNet, feature_net, features_of, suggest_features
from vaekit.evaluation.generation import expected
from vaekit.evaluation.posterior import evaluating, random_rows
from vaekit.models import VAE
from vaekit.models.base import seed_of
from vaekit.networks import OneHot

FITTED = 10_000  # examples that the reader of classes is fitted to


@torch.no_grad()
def conditioning_metrics(
    model: VAE,
    train: Split,
    test: Split,
    transform: Transform,
    *,
    features: str | FeatureNet | None = None,
    fitted: int = FITTED,
    seed: int = 0,
    device: torch.device | str = "cpu",
    advance: Callable[[int], object] | None = None,
) -> dict[str, Any]:
    r"""Return how often a classifier of real examples reads what a model draws as the class it was told.

    The classifier is a logistic regression on the features of a frozen network, fitted to real training examples. It
    reads three things: real test examples, which says how far it can be trusted; samples, one for the label of each
    test example; and *transfers*, the codes of test examples decoded as another class, drawn at random. If z held
    the class too, the transfers would be read as the class they came from.

    References:
        Semi-supervised learning with deep generative models (Kingma et al., 2014), for the separation of class and
        style.

    Arguments:
        model: A model that is conditional on classes.
        train: What the classifier is fitted to, with labels.
        test: What it is checked on, with labels.
        transform: From data as stored to what the likelihood describes.
        features: A feature net or its name: see `feature_net`. By default that which suits the shape.
        fitted: Fit the classifier to at most so many examples.
        seed: Of all that is drawn.
        device: Where to draw and to take features.
        advance: Called with the number of examples done, of `3 * len(test)` in all.

    Returns:
        `class_agreement` and `transfer_agreement`, shares from 0 to 1; `class_agreement_real`, the classifier's own
        accuracy; each with its `_se`; `class_agreement_by_class`, a list; and the `protocol`.

    Raises:
        RequestError: If the model is not conditional on classes, the data have no labels, or they are no images.
    """
    network = model.context_network
    if not isinstance(network, OneHot):
        raise RequestError("the model is not conditional on classes; expected one that is: train the recipe cvae")
    if train.labels is None or test.labels is None:
        raise RequestError("there are no labels to read; expected a class for each example: pass data that have them")
    from sklearn.linear_model import LogisticRegression

    shape = tuple(test.x.shape[1:])
    net = feature_net(suggest_features(shape) if features is None else features, shape).to(device)
    seen = expected(transform)
    chosen = random_rows(len(train), fitted, seed)
    real = features_of(net, view(train.x[chosen], seen, seed, device)).numpy()
    centre, spread = real.mean(0), real.std(0) + 1e-6
    reader = LogisticRegression(max_iter=1000, C=0.1).fit((real - centre) / spread, train.labels[chosen])

    def read(images: Iterator[Tensor]) -> NDArray[np.int64]:
        found = features_of(net, images, advance=advance).numpy()
        return np.asarray(reader.predict((found - centre) / spread))

    other = _others(test.labels, network.size, seed)
    with evaluating(model):
        drawn = read(_drawn(model, test.labels, seed, device))
        moved = read(_moved(model, test, other, transform, seed, device))
    own = read(view(test.x, seen, seed, device))
    result: dict[str, Any] = {}
    for name, right in (
        ("class_agreement", drawn == test.labels),
        ("transfer_agreement", moved == other),
        ("class_agreement_real", own == test.labels),
    ):
        share = float(right.mean())
        result[name], result[f"{name}_se"] = share, math.sqrt(share * (1 - share) / len(right))
    result["class_agreement_by_class"] = [
        round(float((drawn == label)[test.labels == label].mean()), 4) if (test.labels == label).any() else None
        for label in range(network.size)
    ]
    return result | {
        "protocol": f"means of p(x|z, c) in [0, 1] for the labels of {len(test):,} examples, z from the prior; "
        f"transfers: their codes, decoded as another class; read by a logistic regression on {net.describe()} of "
        f"{len(chosen):,} training examples, {seen.describe()}; seed {seed}; ± is one standard error"
    }


def _others(labels: NDArray[np.int64], classes: int, seed: int) -> NDArray[np.int64]:
    """Another class for each example, at random."""
    step = np.random.RandomState(seed % 2**32).randint(1, max(classes, 2), len(labels))
    return np.asarray((labels + step) % classes)


def _drawn(model: VAE, labels: NDArray[np.int64], seed: int, device: torch.device | str) -> Iterator[Tensor]:
    for number, told in enumerate(torch.from_numpy(labels).split(1000)):
        yield model.sample(len(told), told.to(device), seed=seed_of(seed, number)).float().clamp(0, 1)


def _moved(
    model: VAE, test: Split, other: NDArray[np.int64], transform: Transform, seed: int, device: torch.device | str
) -> Iterator[Tensor]:
    done = 0
    for block, told in pairs(test.x, transform, test.labels, seed, device):
        to = torch.from_numpy(other[done : done + len(block)]).to(device)
        done += len(block)
        yield model.decode(model.encode(block, told).mean, to).mean.float().clamp(0, 1)
