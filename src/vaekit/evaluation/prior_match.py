r"""Whether the codes of the data, taken together, are draws of the prior."""

__all__ = ["prior_match_metrics", "two_sample_classifier", "two_sample_discrepancy"]

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaekit.data.rows import Rows
from vaekit.data.transforms import Transform, pairs
from vaekit.distributions.discrepancy import kernel_matrix
from vaekit.errors import RequestError
from vaekit.evaluation.posterior import evaluating, random_rows
from vaekit.models import VAE
from vaekit.models.base import seed_of, seeded

COMPARED = 1000  # of each sample, in the discrepancy, whose cost is their square
FEWEST = 20  # of each sample, or a classifier learns nothing


@torch.no_grad()
def prior_match_metrics(
    model: VAE,
    x: Rows,
    transform: Transform,
    *,
    context: NDArray[Any] | None = None,
    permutations: int = 500,
    seed: int = 0,
    device: torch.device | str = "cpu",
    advance: Callable[[int], object] | None = None,
) -> dict[str, Any]:
    r"""Tell the codes of the data, draws of :math:`q(z) = \frac1n \sum_i q(z \mid x_i)`, from draws of the prior.

    There is one draw of the posterior for each example and as many of the prior, for the same contexts if there are
    any. Nothing is asked of either but draws, so that it serves a point posterior and a prior of any shape. If the
    two are one distribution the accuracy is 0.5 and the discrepancy 0 but for noise; what the decoder makes of draws
    of the prior is then what it was trained on.

    References:
        Adversarial autoencoders (Makhzani et al., 2015), for what is looked at.
        Revisiting classifier two-sample tests (Lopez-Paz and Oquab, 2017), for the accuracy.
        A kernel two-sample test (Gretton et al., 2012), for the discrepancy.

    Arguments:
        model: The model.
        x: Data as stored, shape `(n, *data_shape)`.
        transform: From data as stored to what the likelihood describes.
        context: What a conditional model is told of them, shape `(n, ...)`.
        permutations: Of the two samples, for the discrepancy's p-value.
        seed: Of every draw.
        device: Where to encode.
        advance: Called with the number of examples done.

    Returns:
        `prior_accuracy` of `two_sample_classifier` with its `_se`; `prior_mmd` of `two_sample_discrepancy`, with
        `prior_mmd_null`, its standard deviation between halves of the two samples together, and `prior_mmd_p`; and
        the `protocol`.

    Raises:
        RequestError: If there are too few examples.

    Example:
        >>> from vaekit.data.transforms import Identity
        >>> from vaekit.distributions import Conditional, DiagonalGaussian, Gaussian, StandardNormal
        >>> encoder = Conditional(torch.nn.Linear(2, 4), DiagonalGaussian(2))
        >>> for parameter in encoder.parameters():
        ...     _ = torch.nn.init.zeros_(parameter)  # q(z|x) is the prior, whatever x
        >>> model = VAE(encoder, Conditional(torch.nn.Linear(2, 2), Gaussian((2,))), StandardNormal(2))
        >>> m = prior_match_metrics(model, np.zeros((2000, 2), np.float32), Identity())
        >>> abs(m["prior_accuracy"] - 0.5) < 3 * m["prior_accuracy_se"], m["prior_mmd_p"] > 0.01
        (True, True)
    """
    codes, drawn = [], []
    with evaluating(model):
        for number, (block, given) in enumerate(pairs(x, transform, context, seed, device)):
            with seeded(seed_of(seed, number)):
                codes.append(model.encode(block, given).sample().cpu())
                prior = model.latent(given)
                drawn.append((prior.sample() if prior.batch_shape else prior.sample((len(block),))).cpu())
            if advance is not None:
                advance(len(block))
    z, p = torch.cat(codes).flatten(1), torch.cat(drawn).flatten(1)
    accuracy, error = two_sample_classifier(z, p, seed)
    rows = random_rows(len(z), COMPARED, seed)
    discrepancy, spread, chance = two_sample_discrepancy(z[rows], p[rows], permutations, seed)
    return {
        "prior_accuracy": accuracy,
        "prior_accuracy_se": error,
        "prior_mmd": discrepancy,
        "prior_mmd_null": spread,
        "prior_mmd_p": chance,
        "protocol": f"one draw of q(z|x) for each of {len(z):,} examples against as many of the prior, seed {seed}; "
        "prior_accuracy: of gradient-boosted trees, fitted to half of both and tried on the other, 0.5 where nothing "
        f"can be told, ± is one standard error; prior_mmd: squared, unbiased, inverse multiquadric, {len(rows):,} of "
        f"each; prior_mmd_p: share of {permutations:,} permutations with as large a one",
    }


def two_sample_classifier(x: Tensor, y: Tensor, seed: int = 0) -> tuple[float, float]:
    r"""Return the accuracy of a classifier that tells two samples of one size apart, and its standard error.

    Gradient-boosted trees are fitted to a random half of both samples, with early stopping within it, and tried on
    the rest. Where both are of one distribution the accuracy is 0.5 in expectation, for any classifier. That of the
    best is :math:`\frac12 + \frac12 \mathrm{TV}` for the total variation distance of the two, from 0 to 1, and that of
    this one, which need not be the best, is no more.

    Arguments:
        x: Points, shape `(n, d)`.
        y: Points, shape `(n, d)`.
        seed: Of the halves, and of early stopping.

    Raises:
        RequestError: If there are too few points, or not as many in both.

    Example:
        >>> x = torch.randn(1000, 2, generator=torch.Generator().manual_seed(0))
        >>> near, far = two_sample_classifier(x[:500], x[500:]), two_sample_classifier(x[:500], x[500:] + 9)
        >>> abs(near[0] - 0.5) < 3 * near[1], far[0] > 0.98
        (True, True)
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    _check(x, y)
    features = torch.cat([x, y]).double().numpy()
    first = np.repeat([True, False], len(x))
    # Half of each: the halves of all would not be half and half, and what is rarer in one is more in the other, so
    # that a classifier that knows nothing does worse than chance.
    order = np.random.RandomState(seed).permutation(len(x))
    fitted = np.zeros(len(x), bool)
    fitted[order[: len(x) // 2]] = True
    fitted = np.tile(fitted, 2)
    classifier = HistGradientBoostingClassifier(early_stopping=True, random_state=seed)
    right = classifier.fit(features[fitted], first[fitted]).predict(features[~fitted]) == first[~fitted]
    share = float(right.mean())
    return share, math.sqrt(max(share * (1 - share), 1 / len(right)) / len(right))


def two_sample_discrepancy(x: Tensor, y: Tensor, permutations: int = 500, seed: int = 0) -> tuple[float, float, float]:
    r"""Return the maximum mean discrepancy of two samples of one size, its spread without a difference, and p.

    The two are put together and parted at random many times. Of the discrepancies between such parts, which come of
    chance alone, the standard deviation is the spread, and p the share, with that at hand counted, that are as large.

    References:
        A kernel two-sample test (Gretton et al., 2012).

    Arguments:
        x: Points, shape `(n, d)`.
        y: Points, shape `(n, d)`.
        permutations: How many times.
        seed: Of the permutations.

    Raises:
        RequestError: If there are too few points, or not as many in both.

    Example:
        >>> x = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
        >>> value, spread, p = two_sample_discrepancy(x[:100], x[100:] + 1)
        >>> value > 10 * spread, round(p, 3)
        (True, 0.002)
    """
    _check(x, y)
    n = len(x)
    points = torch.cat([x, y]).double()
    matrix = kernel_matrix(points, points)
    matrix.fill_diagonal_(0)
    random = np.random.RandomState(seed)
    order = np.stack([np.arange(2 * n), *(random.permutation(2 * n) for _ in range(permutations))], axis=1)
    part = torch.from_numpy((order < n).astype(np.float64))  # a column for each way to part them, the first as given
    within = sum((one * (matrix @ one)).sum(0) for one in (part, 1 - part))
    values = within / (n * (n - 1)) - (matrix.sum() - within) / n**2
    return float(values[0]), float(values[1:].std()), float((values >= values[0] - 1e-12).double().mean())


def _check(x: Tensor, y: Tensor) -> None:
    if x.shape != y.shape or x.dim() != 2 or len(x) < FEWEST:
        raise RequestError(
            f"samples have shapes {tuple(x.shape)} and {tuple(y.shape)}; expected two of one shape (n, d), of at least "
            f"{FEWEST} points: pass more examples"
        )
