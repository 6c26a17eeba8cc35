r"""What codes and factors tell of each other: the mutual information gap, and modularity."""

__all__ = ["entropies", "mig_score", "modularity_score", "mutual_information"]

import numpy as np
from numpy.typing import ArrayLike

from vaekit.data.factors import Classes, FactorizedData, Integers
from vaekit.evaluation.disentanglement.representation import (
    Encoder,
    Reals,
    Representation,
    check_points,
    repeated,
    represent,
)


def mutual_information(codes: ArrayLike, factors: Integers, bins: int = 20) -> Reals:
    r"""Return the mutual information of each code with each factor, in nats, shape `(latent_dim, number of factors)`.

    .. math::
        I(z_j; v_k) = \sum_{b, c} p(b, c) \log \frac{p(b, c)}{p(b) \, p(c)}

    over the bins b of a code and the classes c of a factor, with p the frequencies. Bins are of one width, from the
    least to the greatest value of the code. The frequencies of n examples put it too high, by about
    (bins - 1)(classes - 1) / 2n for a code that carries nothing.

    Arguments:
        codes: Codes, shape `(n, latent_dim)`.
        factors: Classes, shape `(n, number of factors)`.
        bins: Number of bins.

    Example:
        >>> factors = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
        >>> (mutual_information(factors, factors, bins=2) / np.log(2)).round(6).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    check_points(bins=bins)
    codes, factors = np.asarray(codes, np.float64), np.asarray(factors)
    result = np.empty((codes.shape[1], factors.shape[1]))
    for j, code in enumerate(codes.T):
        binned = _binned(code, bins)
        for k, factor in enumerate(factors.T):
            result[j, k] = _information(binned, factor, bins)
    return result


def _binned(code: Reals, bins: int) -> Classes:
    edges = np.histogram_bin_edges(code, bins)
    return np.searchsorted(edges[1:-1], code, side="right").astype(np.int64)


def _information(a: Integers, b: Integers, size: int) -> float:
    joint = np.bincount(b.astype(np.int64) * size + a, minlength=size * (int(b.max()) + 1)).reshape(-1, size) / len(a)
    independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    present = joint > 0
    if min(joint.any(axis=0).sum(), joint.any(axis=1).sum()) < 2:
        return 0.0  # exactly: of a constant, rounding would leave 1e-17, and modularity divides by it
    return max(0.0, float((joint[present] * np.log(joint[present] / independent[present])).sum()))


def entropies(factors: Integers) -> Reals:
    r"""Return the entropy of each factor, in nats, shape `(number of factors,)`.

    Example:
        >>> np.exp(entropies(np.array([[0, 0], [1, 0], [2, 0], [3, 0]]))).round(6).tolist()
        [4.0, 1.0]
    """
    frequencies = [np.bincount(column) / len(column) for column in np.asarray(factors).T]
    return np.array([-(p[p > 0] * np.log(p[p > 0])).sum() for p in frequencies])


def mig_score(
    codes: Encoder | Representation,
    data: FactorizedData | None = None,
    *,
    train: int = 10_000,
    bins: int = 20,
    repeats: int = 3,
    seed: int = 0,
) -> dict[str, float]:
    r"""Return the mutual information gap, from 0 to 1.

    .. math::
        \mathrm{MIG} = \frac1K \sum_{k=1}^K \frac{1}{H(v_k)} \Bigl( I(z_{(1)}; v_k) - I(z_{(2)}; v_k) \Bigr)

    the gap between the code that tells most of a factor and the one that tells second most, relative to the factor's
    entropy. The second is nothing where there is one code only.

    References:
        Isolating sources of disentanglement in variational autoencoders (Chen et al., 2018).

    Arguments:
        codes: From examples to codes, or a `Representation`.
        data: Data with known factors.
        train: Examples to count.
        bins: Bins of a code, see `mutual_information`.
        repeats: Independent repetitions, which the score and its standard error are the mean of.
        seed: Of every draw.

    Returns:
        `mig` and `mig_se`.

    Example:
        >>> from vaekit.data.factors import FactorArrays
        >>> factors = np.stack(np.meshgrid(*[np.arange(5)] * 3), -1).reshape(-1, 3)
        >>> mig_score(lambda x: x, FactorArrays(factors, factors))["mig"] > 0.99
        True
    """
    check_points(train=train, bins=bins)
    representation = represent(codes, data)

    def score(generator: np.random.Generator) -> dict[str, float]:
        z, factors = representation.sample(train, generator)
        return {"mig": _gap(mutual_information(z, factors, bins), entropies(factors))}

    return repeated(score, repeats, seed)


def _gap(information: Reals, entropy: Reals) -> float:
    ordered = np.sort(np.pad(information, ((1, 0), (0, 0))), axis=0)  # a row of zeros, should there be one code only
    return float(((ordered[-1] - ordered[-2]) / entropy).mean())


def modularity_score(
    codes: Encoder | Representation,
    data: FactorizedData | None = None,
    *,
    train: int = 10_000,
    bins: int = 20,
    repeats: int = 3,
    seed: int = 0,
) -> dict[str, float]:
    r"""Return the modularity, from 0 to 1: does a code carry one factor only?

    .. math::
        \frac1d \sum_{j=1}^d \left( 1 - \frac{\sum_{k \ne k_j} I(z_j; v_k)^2}{(K - 1) \max_k I(z_j; v_k)^2} \right)

    with :math:`k_j` the factor that code j tells most of. A code that is constant counts as 0; one of pure noise does
    not, since its estimated information is small with every factor but not equally so. Compare only codes of like
    number, and read it beside a score that asks whether the factors are found at all.

    References:
        Learning deep disentangled embeddings with the F-statistic loss (Ridgeway and Mozer, 2018).

    Arguments:
        codes: From examples to codes, or a `Representation`.
        data: Data with known factors.
        train: Examples to count.
        bins: Bins of a code, see `mutual_information`.
        repeats: Independent repetitions, which the score and its standard error are the mean of.
        seed: Of every draw.

    Returns:
        `modularity` and `modularity_se`.

    Example:
        >>> from vaekit.data.factors import FactorArrays
        >>> factors = np.stack(np.meshgrid(*[np.arange(5)] * 3), -1).reshape(-1, 3)
        >>> modularity_score(lambda x: x, FactorArrays(factors, factors))["modularity"] > 0.99
        True
    """
    check_points(train=train, bins=bins)
    representation = represent(codes, data)

    def score(generator: np.random.Generator) -> dict[str, float]:
        return {"modularity": _modularity(mutual_information(*representation.sample(train, generator), bins))}

    return repeated(score, repeats, seed)


def _modularity(information: Reals) -> float:
    squared = information**2
    most = squared.max(axis=1)
    others = (squared.sum(axis=1) - most) / (information.shape[1] - 1)
    return float(np.where(most > 0, 1 - others / np.where(most > 0, most, 1), 0).mean())
