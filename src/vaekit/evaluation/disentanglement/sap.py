r"""Separated attribute predictability: how much better does the best code predict a factor than the second best?"""

__all__ = ["sap_score"]

import numpy as np

from vaekit.data.factors import Classes, FactorizedData
from vaekit.evaluation.disentanglement.representation import (
    Encoder,
    Reals,
    Representation,
    check_points,
    repeated,
    represent,
)


def sap_score(
    codes: Encoder | Representation,
    data: FactorizedData | None = None,
    *,
    train: int = 10_000,
    evaluation: int = 5_000,
    continuous: bool = True,
    standardise: bool = False,
    repeats: int = 3,
    seed: int = 0,
) -> dict[str, float]:
    r"""Return the separated attribute predictability, from 0 to 1.

    .. math::
        \mathrm{SAP} = \frac1K \sum_{k=1}^K \bigl( S_{(1)k} - S_{(2)k} \bigr)

    the gap between the code that predicts a factor best and the second best, with :math:`S_{jk}` the squared
    correlation of code j and factor k, the coefficient of determination of a linear regression. So the paper has it
    for factors that are ordered, and so perfect codes score 1. A factor whose classes have no order is taken in that
    of their numbers.

    Without `continuous`, :math:`S_{jk}` is the accuracy on new examples of a linear support vector machine that tells
    the class of factor k from code j alone, as in the shared comparison of Locatello et al. It finds hardly more than
    the two ends of one ordered code, so that even perfect codes of a factor with many classes have a small gap;
    published scores of a tenth are high. Its penalty acts on weights, so that the score moves with the scale of the
    codes; `standardise` takes that away.

    References:
        Variational inference of disentangled latent concepts from unlabeled observations (Kumar, Sattigeri and
        Balakrishnan, 2018).
        Challenging common assumptions in the unsupervised learning of disentangled representations
        (Locatello et al., 2019).

    Arguments:
        codes: From examples to codes, or a `Representation`.
        data: Data with known factors.
        train: Examples to train on.
        evaluation: Examples to take the accuracy of a classifier of.
        continuous: Take factors as numbers and score by squared correlation, rather than by a linear classifier.
        standardise: Bring each code to variance 1 before it is classified.
        repeats: Independent repetitions, which the score and its standard error are the mean of.
        seed: Of every draw.

    Returns:
        `sap` and `sap_se`.

    Example:
        >>> from vaekit.data.factors import FactorArrays
        >>> factors = np.stack(np.meshgrid(*[np.arange(5)] * 3), -1).reshape(-1, 3)
        >>> sap_score(lambda x: x, FactorArrays(factors, factors))["sap"] > 0.99
        True
    """
    check_points(train=train, evaluation=evaluation)
    representation = represent(codes, data)

    def score(generator: np.random.Generator) -> dict[str, float]:
        z, factors = representation.sample(train, generator)
        if continuous:
            return {"sap": _gap(_determination(z, factors))}
        new = representation.sample(evaluation, generator)
        return {"sap": _gap(_accuracy(z, factors, *new, standardise=standardise))}

    return repeated(score, repeats, seed)


def _gap(scores: Reals) -> float:
    ordered = np.sort(np.pad(scores, ((1, 0), (0, 0))), axis=0)  # a row of zeros, should there be one code only
    return float((ordered[-1] - ordered[-2]).mean())


def _determination(codes: Reals, factors: Classes) -> Reals:
    """Return squared correlations, shape `(latent_dim, number of factors)`; those of a constant are 0."""
    z, v = codes - codes.mean(axis=0), factors - factors.mean(axis=0)
    spread = np.outer((z**2).sum(axis=0), (v**2).sum(axis=0))
    # A code that is constant but for rounding has no correlation worth the name.
    moves = z.std(axis=0) > 1e-12 * np.abs(codes).max(axis=0, initial=0)
    return np.where(moves[:, None], (z.T @ v) ** 2 / np.where(spread > 0, spread, 1), 0)


def _accuracy(codes: Reals, factors: Classes, new_codes: Reals, new_factors: Classes, *, standardise: bool) -> Reals:
    """Return accuracies on new examples, shape `(latent_dim, number of factors)`."""
    from sklearn.pipeline import make_pipeline  # slow to import
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import LinearSVC

    scores = np.empty((codes.shape[1], factors.shape[1]))
    for j in range(codes.shape[1]):
        for k in range(factors.shape[1]):
            # It needs no random numbers, but draws one from NumPy's global state where it is given none.
            machine = LinearSVC(C=0.01, class_weight="balanced", random_state=0)
            classifier = make_pipeline(StandardScaler(), machine) if standardise else machine
            classifier.fit(codes[:, [j]], factors[:, k])
            scores[j, k] = classifier.score(new_codes[:, [j]], new_factors[:, k])
    return scores
