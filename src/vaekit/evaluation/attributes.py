r"""What a linear classifier reads of an example's attributes from its code."""

__all__ = ["attribute_metrics"]

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vaekit.data import Split
from vaekit.data.transforms import Transform, view
from vaekit.errors import RequestError
from vaekit.evaluation.generation import expected
from vaekit.evaluation.posterior import codes
from vaekit.models import VAE

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)  # inverse strengths that the validation examples choose from
FEWEST = 5  # examples with and without an attribute, in each split, or it is left out


def attribute_metrics(
    model: VAE,
    splits: tuple[Split, Split, Split],
    names: Sequence[str],
    transform: Transform,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    advance: Callable[[int], object] | None = None,
) -> dict[str, Any]:
    r"""Return how well a linear classifier on the codes tells attributes, beside principal components and a guess.

    For each attribute a logistic regression is fitted to the posterior means of the training examples; the strength
    of its penalty, one for all attributes, is what does best in validation. Principal components of the data, as
    many as the code has units, are read in the same way, and say what a linear code would have; the guess is the more
    frequent answer in training. An attribute that fewer than 5 examples of a split have, or lack, is left out.

    Plain accuracy is what is published. Most attributes are rare, where a guess does well by it already; balanced
    accuracy, the mean of the shares told among those who have an attribute and among those who have not, is 0.5 for
    any guess.

    References:
        Deep feature consistent variational autoencoder (Hou, Shen, Sun and Qiu, 2017), section 4.4.

    Arguments:
        model: The model.
        splits: Training, validation and test examples, whose contexts are attributes, 0 or 1.
        names: Of the attributes.
        transform: From data as stored to what the likelihood describes.
        seed: Of every draw.
        device: Where to encode.
        advance: Called with the number of examples done.

    Returns:
        `attribute_accuracy` and `attribute_balanced_accuracy`, means over attributes; each with `_pca`, and the first
        with `_guess`; `_se`, the standard error over test examples, of the first; `attributes`, how many they are;
        `attribute_accuracy_by_attribute`; and the `protocol`.

    Raises:
        RequestError: If there are no attributes, none that is frequent enough, or the model is told them.
    """
    if model.conditional:
        raise RequestError("the model is told the attributes; expected one whose codes know of nothing but x")
    told = [split.context for split in splits]
    if any(part is None or part.ndim != 2 or part.shape[1] != len(names) for part in told):
        raise RequestError("the data have no attributes; expected some that have, such as a folder of CelebA")
    answers = [np.asarray(part, bool) for part in told]
    kept = np.all([(a.sum(0) >= FEWEST) & ((~a).sum(0) >= FEWEST) for a in answers], axis=0)
    if not kept.any():
        raise RequestError(
            f"no attribute has {FEWEST} examples with it and {FEWEST} without in each split: pass more examples"
        )
    answers = [a[:, kept] for a in answers]
    features = []
    for split in splits:
        features.append(codes(model, split.x, transform, seed=seed, device=device).mean)
        if advance is not None:
            advance(len(split.x))
    read = _read(features, answers)
    components = _read(_components(splits, expected(transform), features[0].shape[1], seed), answers)
    guess = answers[2] == (answers[0].mean(0) > 0.5)
    right = read == answers[2]
    mine = right.mean(1)
    return {
        "attribute_accuracy": float(mine.mean()),
        "attribute_accuracy_se": float(mine.std(ddof=1)) / math.sqrt(len(mine)),
        "attribute_accuracy_pca": float((components == answers[2]).mean()),
        "attribute_accuracy_guess": float(guess.mean()),
        "attribute_balanced_accuracy": _balanced(read, answers[2]),
        "attribute_balanced_accuracy_pca": _balanced(components, answers[2]),
        "attributes": int(kept.sum()),
        "attribute_accuracy_by_attribute": {
            name: round(float(share), 4)
            for name, share in zip(np.asarray(names)[kept].tolist(), right.mean(0), strict=True)
        },
        "protocol": f"{int(kept.sum())} of {len(names)} attributes, those with {FEWEST} examples on both sides; "
        f"logistic regression on the posterior means of {len(answers[0]):,} training examples, its penalty chosen by "
        f"{len(answers[1]):,} validation examples, read on {len(answers[2]):,} test examples; pca: as many principal "
        "components in place of the code; ± is one standard error over examples",
    }


def _read(features: Sequence[NDArray[Any]], answers: Sequence[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """Tell the attributes of the last features, shape `(n, attributes)`, by what was learnt from the first."""
    from sklearn.linear_model import LogisticRegression

    centre, spread = features[0].mean(0), features[0].std(0) + 1e-6
    train, validation, test = ((part - centre) / spread for part in features)
    best: tuple[float, list[Any]] = (-1.0, [])
    for strength in PENALTIES:
        readers = [LogisticRegression(C=strength, max_iter=1000).fit(train, answer) for answer in answers[0].T]
        found = np.stack([reader.predict(validation) for reader in readers], axis=1)
        best = max(best, (float((found == answers[1]).mean()), readers), key=lambda pair: pair[0])
    return np.stack([reader.predict(test) for reader in best[1]], axis=1)


def _components(splits: Sequence[Split], transform: Transform, size: int, seed: int) -> list[NDArray[np.float64]]:
    from sklearn.decomposition import PCA

    x = [torch.cat([block.flatten(1) for block in view(split.x, transform)]).numpy() for split in splits]
    pca = PCA(min(size, *x[0].shape), random_state=seed).fit(x[0])
    return [pca.transform(part) for part in x]


def _balanced(found: NDArray[np.bool_], answers: NDArray[np.bool_]) -> float:
    right = found == answers
    with_it = (right & answers).sum(0) / answers.sum(0)
    without = (right & ~answers).sum(0) / (~answers).sum(0)
    return float((with_it + without).mean() / 2)
