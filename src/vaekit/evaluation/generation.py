r"""How good the images are that a model draws: distances to real ones in a feature space, and overlap with them."""

__all__ = ["expected", "generation_metrics"]

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaekit.data.rows import Rows, Subset
from vaekit.data.transforms import Binarise, Dequantise, Scale, Transform, view
from vaekit.errors import RequestError
from vaekit.evaluation.features import FeatureNet, feature_net, features_of, suggest_features
from vaekit.evaluation.frechet import EXTRAPOLATED, RECOMMENDED, extrapolated_frechet_distance, frechet_distance
from vaekit.evaluation.kernel import kernel_distance
from vaekit.evaluation.manifolds import manifold_metrics
from vaekit.models.base import LatentVariableModel, seed_of

BLOCK = 1000


@dataclass(frozen=True)
class _Middle:
    """The middle of each level: what uniform dequantisation is on average."""

    levels: int
    random = False

    def __call__(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return (x.float() + 0.5) / self.levels

    def describe(self) -> str:
        return f"the middles of {self.levels} levels in [0, 1]"


def expected(transform: Transform) -> Transform:
    r"""Return the mean of a random transform, given the stored values, where it is known.

    Example:
        >>> expected(Binarise(256))
        Scale(levels=256)
    """
    if isinstance(transform, Binarise):
        return Scale(transform.levels)
    return _Middle(transform.levels) if isinstance(transform, Dequantise) else transform


@torch.no_grad()
def generation_metrics(
    model: LatentVariableModel | Tensor | NDArray[Any],
    real: Rows,
    transform: Transform,
    *,
    others: Rows | None = None,
    context: NDArray[Any] | None = None,
    features: str | FeatureNet | None = None,
    n: int = 10_000,
    k: int = 5,
    mean: bool | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    names: tuple[str, str] = ("real", "other real"),
    advance: Callable[[int], object] | None = None,
) -> dict[str, Any]:
    r"""Compare what a model draws with real data, and real data with real data beside it.

    Three sets of one size: generated examples, real ones as the reference, and other real ones in the model's place.
    The last give each number's `_real`, which a perfect model would have: distances are not 0 there and precision is
    not 1, and a model is good in so far as its numbers come near these. With `others`, say validation data beside
    test data, the sets are as large as they can be, and the difference between the two splits counts as it does for
    the model, which has learnt from the one and is held against the other. Without, the real data are halved.

    Model and reference must be of one kind, or a perfect model would not do well. Images are compared in the mean:
    the mean of p(x|z), clamped to [0, 1], with the mean of what the model was shown, that is grey levels if these
    were binarised. Where the data are bits as stored there are no grey levels, and where values are compared rather
    than images their spread matters: there x is drawn from p(x|z), and held against the data as the model sees them.
    Nothing is rounded to bytes.

    Arguments:
        model: A model to draw from, or examples that were drawn, in the space that the transform leads to.
        real: Data to hold them against, as stored, shape `(m, *shape)`; drawn from at random if there are more than n.
        transform: From data as stored to what the likelihood describes.
        others: Other real data, as stored, of which `real` has none.
        context: What a conditional model is told of the real data, shape `(m, ...)`: it draws for the same contexts.
        features: A feature net or its name: see `feature_net`. By default that which suits the shape.
        n: At most so many of each.
        k: Neighbours, for precision and the like.
        mean: Compare means (True) or draws (False), against the default above.
        seed: Of all that is drawn.
        device: Where to draw and to take features; the rest is computed on the CPU in float64.
        names: What to call `real` and `others` in the protocol.
        advance: Called with the number of examples done, of `3 * images` in all.

    Returns:
        `frechet_distance`, `kernel_distance`, `precision`, `recall`, `density` and `coverage`, each with its standard
        error `_se`, and each with `_real` and `_real_se`; so too `frechet_distance_extrapolated` to infinitely many
        examples, if there are enough for that; `images`, how many there are in each set; `features` and
        `features_sha256`; `neighbours`; `seed`; and the `protocol` in words.

    Raises:
        RequestError: If there are too few examples for a covariance, the shapes differ, the features do not suit, or
            images are not in [0, 1].

    Example:
        >>> rng = np.random.default_rng(0)
        >>> real, drawn = rng.normal(size=(400, 2)).astype(np.float32), rng.normal(size=(200, 2)) + 1
        >>> from vaekit.data.transforms import Identity
        >>> found = generation_metrics(drawn, real, Identity())
        >>> found["images"], found["frechet_distance"] > 1.5 > 0.1 > found["frechet_distance_real"]
        (200, True)
    """
    shape = real.shape[1:]
    net = feature_net(suggest_features(shape) if features is None else features, shape).to(device)
    drawn = None if isinstance(model, LatentVariableModel) else torch.as_tensor(model)
    for given in (drawn, others):
        if given is not None and tuple(given.shape[1:]) != tuple(shape):
            raise RequestError(
                f"examples of shape {tuple(given.shape[1:])} were given; expected {tuple(shape)}, that of the real data"
            )
    kept, other = _choose(real, others, min(n, len(drawn)) if drawn is not None else n, seed)
    count = len(kept)
    if count <= net.dim:
        raise RequestError(
            f"there are {count:,} examples in each set and {net.dim} {net.name} features; expected at least "
            f"{net.dim + 1:,}, and better {RECOMMENDED * net.dim:,}: give more examples"
            + (", pass others," if others is None else "")
            + " or choose features of fewer dimensions"
        )
    bits = isinstance(transform, (Binarise, Scale)) and transform.levels == 2
    mean = not (bits or net.name == "values") if mean is None else mean
    seen = expected(transform) if mean else transform
    if isinstance(model, LatentVariableModel):
        limits = None if net.name == "values" else (0.0, 1.0)
        told = None if context is None else context[_order(len(real), seed)[:count]]
        source = _sample(model, count, shape, mean, limits, seed, told, device)
    else:
        # At random, like the real ones: they may come in an order. Not clamped: bytes given by mistake shall not pass.
        rows = torch.from_numpy(np.random.RandomState(seed % 2**32).permutation(len(model))[:count])
        source = (torch.as_tensor(model)[part].float() for part in rows.split(BLOCK))
    generated = features_of(net, (x.to(device) for x in source), advance=advance)
    reference = features_of(net, view(kept, seen, seed, device), advance=advance)
    beside = features_of(net, view(other, seen, seed + 1, device), advance=advance)

    result: dict[str, Any] = _scores(generated, reference, k, seed)
    for name, value in _scores(beside, reference, k, seed).items():
        result[name.removesuffix("_se") + "_real" + ("_se" if name.endswith("_se") else "")] = value
    kind = "given examples" if drawn is not None else "means of p(x|z)" if mean else "draws of x from p(x|z)"
    protocol = [
        f"{count:,} {kind}" + (" clamped to [0, 1]" if drawn is None and net.name != "values" else ""),
        f"against {count:,} of {len(real):,} {names[0]} examples, {seen.describe()}",
        f"real: {count:,} of {len(real if others is None else others):,} {names[others is not None]} examples"
        + (" apart from these" if others is None else "")
        + " in the model's place",
        f"seed {seed}",
        net.describe(),
        f"Fréchet distance with unbiased covariances, biased upwards at {count:,} examples",
        "kernel distance cubic, unbiased, of all pairs",
        f"k = {k} neighbours",
        "± is one standard error, by jackknife",
    ]
    return result | {
        "images": count,
        "features": net.name,
        "features_sha256": net.sha256,
        "neighbours": k,
        "seed": seed,
        "protocol": "; ".join(protocol),
    }


def _scores(sample: Tensor, reference: Tensor, k: int, seed: int) -> dict[str, float]:
    """Return every number of one sample of features against another."""
    result = dict(zip(("frechet_distance", "frechet_distance_se"), frechet_distance(sample, reference), strict=True))
    if len(sample) >= EXTRAPOLATED * (sample.shape[1] + 1):
        value, error = extrapolated_frechet_distance(sample, reference, seed=seed)
        result |= {"frechet_distance_extrapolated": value, "frechet_distance_extrapolated_se": error}
    result |= zip(("kernel_distance", "kernel_distance_se"), kernel_distance(sample, reference), strict=True)
    return result | manifold_metrics(sample, reference, k=k, seed=seed)


def _order(n: int, seed: int) -> NDArray[Any]:
    """The order in which the real examples are drawn."""
    return np.random.RandomState(seed % 2**32).permutation(n)


def _choose(real: Rows, others: Rows | None, n: int, seed: int) -> tuple[Rows, Rows]:
    """Draw two disjoint sets of one size, at most n: splits can be ordered by class, so their heads will not do."""
    if n < 1:
        raise RequestError(f"n is {n}; expected at least 1 example: pass 10000, say")
    order = _order(len(real), seed)
    if others is None:
        count = min(n, len(real) // 2)
        rest, others = order[count : 2 * count], real
    else:
        count = min(n, len(real), len(others))
        rest = np.random.RandomState((seed + 1) % 2**32).permutation(len(others))[:count]
    # In the order of the file: it is read front to back.
    return Subset(real, np.sort(order[:count])), Subset(others, np.sort(rest))


def _sample(
    model: LatentVariableModel,
    count: int,
    shape: tuple[int, ...],
    mean: bool,
    limits: tuple[float, float] | None,
    seed: int,
    context: NDArray[Any] | None,
    device: torch.device | str,
) -> Iterator[Tensor]:
    """Draw from a model in blocks, each with a seed of its own, in evaluation mode."""
    was_training = model.training
    model.eval()
    try:
        for number, start in enumerate(range(0, count, BLOCK)):
            given = None if context is None else torch.as_tensor(context[start : start + BLOCK]).to(device)
            x = model.sample(min(BLOCK, count - start), given, mean=mean, seed=seed_of(seed, number))
            if tuple(x.shape[1:]) != tuple(shape):
                raise RequestError(
                    f"the model draws examples of shape {tuple(x.shape[1:])}; expected {tuple(shape)}, that of the "
                    "real data: evaluate it on data like those it was trained on"
                )
            yield x.float() if limits is None else x.float().clamp(*limits)
    finally:
        model.train(was_training)
