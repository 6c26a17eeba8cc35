r"""The evidence lower bound, and what may be charged for the rate."""

__all__ = ["ELBO", "Bound", "Estimator"]

from typing import Literal

from torch import Tensor

from vaekit.objectives.annealed import Annealed
from vaekit.objectives.base import Infers, Loss, choice, draws
from vaekit.schedules import Schedule

Estimator = Literal["analytic", "monte-carlo"]


class Bound(Annealed):
    r"""What the objectives made of a rate and a distortion share: the loss is the distortion and a charge for the rate.

    A subclass says what it charges (`charge`). The terms reported, `elbo`, `rate` and `distortion`, are never
    weighted: `elbo` is minus their plain sum.

    Arguments:
        samples: Draws of z for each example.
        estimator: "analytic" takes the rate in closed form where there is one, "monte-carlo" from the draws.

    Raises:
        RequestError: If an argument is out of its range.
    """

    monitor = "elbo"

    def __init__(self, samples: int = 1, estimator: Estimator = "analytic") -> None:
        super().__init__()
        self.samples = draws(samples)
        self.estimator = choice("estimator", estimator, ("analytic", "monte-carlo"))

    def forward(self, model: Infers, x: Tensor, context: Tensor | None = None) -> Loss:
        """Return the loss and the unweighted terms, in nats, each of shape `(n,)`."""
        return self.assemble(*model.infer(x, context, self.samples, analytic=self.estimator == "analytic"))

    def assemble(self, distortion: Tensor, rate: Tensor, parts: Tensor | None) -> Loss:
        r"""Return the loss of draws: distortions and rates, shape `(k, n)`, and the rate's parts, `(k, n, d)`."""
        distortion, rate, parts = distortion.mean(0), rate.mean(0), None if parts is None else parts.mean(0)
        terms = {"elbo": -(distortion + rate), "rate": rate, "distortion": distortion}
        return Loss(distortion.mean() + self.charge(rate, parts), terms)

    def charge(self, rate: Tensor, parts: Tensor | None) -> Tensor:
        r"""Return what the loss charges for rates, shape `(n,)`, of parts `(n, d)`: here their mean over examples."""
        return rate.mean()


class ELBO(Bound):
    r"""The evidence lower bound, with a weight on the rate that may change with time.

    .. math::
        \text{loss} = \frac1n \sum_x \Big( \underbrace{-\mathbb E_{q(z \mid x)} \log p(x \mid z)}_{\text{distortion}}
        + \beta(t) \underbrace{\mathrm{KL}(q(z \mid x) \,\|\, p(z))}_{\text{rate}} \Big)

    The terms reported, `elbo`, `rate` and `distortion`, are never weighted: `elbo` is minus their plain sum.

    References:
        Auto-Encoding Variational Bayes (Kingma and Welling, 2014), estimators A (Monte Carlo) and B (analytic).
        beta-VAE (Higgins et al., 2017), for the weight.

    Arguments:
        beta: Weight of the rate: a number, or a schedule over epochs.
        samples: Draws of z for each example, L in the paper.
        estimator: "analytic" takes the rate in closed form where there is one, estimator B. "monte-carlo" takes it
            from the draws, estimator A.

    Raises:
        RequestError: If an argument is out of its range.

    Example:
        >>> from vaekit.schedules import Linear
        >>> objective = ELBO(beta=Linear(epochs=10))
        >>> objective.advance(5.0)
        >>> objective.weights()
        {'beta': 0.5}
    """

    beta: Tensor

    def __init__(self, beta: float | Schedule = 1.0, samples: int = 1, estimator: Estimator = "analytic") -> None:
        super().__init__(samples, estimator)
        self.anneal("beta", beta, "pass 1 for the ELBO")

    @property
    def schedule(self) -> Schedule:
        """The schedule of beta."""
        return self.schedules["beta"]

    def charge(self, rate: Tensor, parts: Tensor | None) -> Tensor:
        r"""Return what the loss charges for the rate, a scalar: here :math:`\beta` times its mean over examples."""
        return self.beta * rate.mean()
