r"""The FactorVAE metric: does the code that moves least tell which factor is held still?"""

__all__ = ["factor_vae_score"]

import numpy as np
from numpy.typing import NDArray

from vaekit.data.factors import Classes, FactorizedData
from vaekit.evaluation.disentanglement.representation import (
    Encoder,
    Reals,
    Representation,
    check_points,
    held,
    repeated,
    represent,
)


def factor_vae_score(
    codes: Encoder | Representation,
    data: FactorizedData | None = None,
    *,
    batch: int = 64,
    train: int = 10_000,
    evaluation: int = 5_000,
    scale: int = 10_000,
    threshold: float = 0.05,
    repeats: int = 3,
    seed: int = 0,
) -> dict[str, float]:
    r"""Return the FactorVAE metric: the accuracy, from 0 to 1, of a majority vote over factors.

    For one vote a factor k is chosen and `batch` examples are drawn that agree in it. The vote is the code

    .. math::
        j^* = \arg\min_j \frac{\operatorname{Var}_l z_j(x_l)}{\operatorname{Var} z_j}

    that varies least, relative to its variance over the data. A code stands for the factor that most of its votes
    in training were of; the score is the part of new votes that this names rightly. Codes with a standard deviation
    below `threshold` have collapsed and do not take part. If all have, the score is 0.

    References:
        Disentangling by factorising (Kim and Mnih, 2018).

    Arguments:
        codes: From examples to codes, or a `Representation`.
        data: Data with known factors.
        batch: Examples that agree in a factor.
        train: Votes to count.
        evaluation: Votes to take the accuracy of.
        scale: Examples to take the variance of the codes from.
        threshold: Standard deviation below which a code has collapsed.
        repeats: Independent repetitions, which the score and its standard error are the mean of.
        seed: Of every draw.

    Returns:
        `factor_vae` and `factor_vae_se`.

    Example:
        >>> from vaekit.data.factors import FactorArrays
        >>> factors = np.stack(np.meshgrid(*[np.arange(5)] * 3), -1).reshape(-1, 3)
        >>> factor_vae_score(lambda x: x, FactorArrays(factors, factors), train=300, evaluation=300)
        {'factor_vae': 1.0, 'factor_vae_se': 0.0}
    """
    check_points(batch=batch, train=train, evaluation=evaluation, scale=scale)
    representation = represent(codes, data)

    def score(generator: np.random.Generator) -> dict[str, float]:
        variance = representation.sample(scale, generator)[0].var(axis=0, ddof=1)
        active = (np.sqrt(variance) >= threshold) & (variance > 0)
        if not active.any():
            return {"factor_vae": 0.0}
        learned = _votes(representation, train, batch, variance, active, generator).argmax(axis=0)
        votes = _votes(representation, evaluation, batch, variance, active, generator)
        return {"factor_vae": float(votes[learned, np.arange(len(learned))].sum() / votes.sum())}

    return repeated(score, repeats, seed)


def _votes(
    representation: Representation,
    n: int,
    batch: int,
    variance: Reals,
    active: NDArray[np.bool_],
    generator: np.random.Generator,
) -> Classes:
    """Count n votes, shape `(number of factors, number of active codes)`."""
    counts = np.zeros((len(representation.sizes), int(active.sum())), np.int64)
    for factor in held(representation, n, batch, generator):
        factors = representation.draw(len(factor) * batch, generator)
        rows, column = np.arange(len(factors)), np.repeat(factor, batch)
        factors[rows, column] = factors[rows // batch * batch, column]  # that of the first example of the batch
        within = representation(factors).reshape(len(factor), batch, -1).var(axis=1, ddof=1)
        np.add.at(counts, (factor, (within[:, active] / variance[active]).argmin(axis=1)), 1)
    return counts
