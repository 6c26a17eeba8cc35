r"""The β-VAE metric: can a linear classifier tell which factor two examples share from how their codes differ?"""

__all__ = ["beta_vae_score"]

import numpy as np

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


def beta_vae_score(
    codes: Encoder | Representation,
    data: FactorizedData | None = None,
    *,
    pairs: int = 64,
    train: int = 10_000,
    evaluation: int = 5_000,
    standardise: bool = False,
    repeats: int = 3,
    seed: int = 0,
) -> dict[str, float]:
    r"""Return the β-VAE metric: the accuracy, from 0 to 1, with which the shared factor is told.

    For one point a factor is chosen, and `pairs` pairs of examples are drawn that agree in it and in nothing else
    but by chance. The point is

    .. math::
        \bar\delta = \frac1L \sum_{l=1}^L |z(x_l) - z(x'_l)|

    and a logistic regression tells the factor from it. Chance is one over the number of factors.

    The defaults are those of the shared comparison of Locatello et al. Its penalty, 1 in scikit-learn's units, acts
    on weights, so that the score moves a little with the scale of the codes; `standardise` takes that away.

    References:
        beta-VAE: Learning basic visual concepts with a constrained variational framework (Higgins et al., 2017).
        Challenging common assumptions in the unsupervised learning of disentangled representations
        (Locatello et al., 2019).

    Arguments:
        codes: From examples to codes, or a `Representation`.
        data: Data with known factors.
        pairs: Pairs that a point averages over, L above.
        train: Points to train the classifier on.
        evaluation: Points to take the accuracy of.
        standardise: Bring each coordinate of the points to variance 1 first.
        repeats: Independent repetitions, which the score and its standard error are the mean of.
        seed: Of every draw.

    Returns:
        `beta_vae` and `beta_vae_se`.

    Example:
        >>> from vaekit.data.factors import FactorArrays
        >>> factors = np.stack(np.meshgrid(*[np.arange(5)] * 3), -1).reshape(-1, 3)
        >>> data = FactorArrays(factors, factors)
        >>> beta_vae_score(lambda x: x, data, train=300, evaluation=300)["beta_vae"] > 0.9
        True
    """
    check_points(pairs=pairs, train=train, evaluation=evaluation)
    representation = represent(codes, data)
    from sklearn.linear_model import LogisticRegression  # slow to import
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def score(generator: np.random.Generator) -> dict[str, float]:
        regression = LogisticRegression(max_iter=1000)
        classifier = make_pipeline(StandardScaler(), regression) if standardise else regression
        classifier.fit(*_points(representation, train, pairs, generator))
        return {"beta_vae": float(classifier.score(*_points(representation, evaluation, pairs, generator)))}

    return repeated(score, repeats, seed)


def _points(
    representation: Representation, n: int, pairs: int, generator: np.random.Generator
) -> tuple[Reals, Classes]:
    """Draw n points, shape `(n, latent_dim)`, and the factor that each is of, shape `(n,)`."""
    shared, differences = held(representation, n, pairs, generator), []
    for factor in shared:
        first = representation.draw(len(factor) * pairs, generator)
        second = representation.draw(len(factor) * pairs, generator)
        rows, column = np.arange(len(first)), np.repeat(factor, pairs)
        second[rows, column] = first[rows, column]
        difference = np.abs(representation(first) - representation(second))
        differences.append(difference.reshape(len(factor), pairs, -1).mean(axis=1))
    return np.concatenate(differences), np.concatenate(shared)
