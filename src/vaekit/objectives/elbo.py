r"""The evidence lower bound, and what may be charged for the rate."""

__all__ = ["ELBO", "Estimator"]

import math
from typing import Literal

import torch
from torch import Tensor, nn

from vaekit.errors import RequestError, nearest
from vaekit.objectives.base import Infers, Loss, draws
from vaekit.schedules import Constant, Schedule

Estimator = Literal["analytic", "monte-carlo"]


class ELBO(nn.Module):
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
    monitor = "elbo"

    def __init__(self, beta: float | Schedule = 1.0, samples: int = 1, estimator: Estimator = "analytic") -> None:
        super().__init__()
        self.schedule: Schedule = Constant(float(beta)) if isinstance(beta, int | float) else beta
        self.samples = draws(samples)
        if estimator not in ("analytic", "monte-carlo"):
            hint = nearest(estimator, ("analytic", "monte-carlo"))
            raise RequestError(f"unknown estimator {estimator!r}; expected 'analytic' or 'monte-carlo'.{hint}")
        for weight in (self.schedule(0.0), self.schedule(self.schedule.settled)):
            if not 0 <= weight < math.inf:
                raise RequestError(f"beta is {weight}; expected a finite weight of at least 0: pass 1 for the ELBO")
        self.estimator = estimator
        # A tensor, so that a compiled step sees one program whatever the weight.
        self.register_buffer("beta", torch.tensor(self.schedule(0.0)), persistent=False)

    @property
    def settled(self) -> float:
        """The epoch from which beta is constant."""
        return self.schedule.settled

    def advance(self, epoch: float) -> None:
        """Set beta for a time in epochs."""
        if not isinstance(self.schedule, Constant):
            self.beta.fill_(self.schedule(epoch))

    def weights(self) -> dict[str, float]:
        """Present value of beta."""
        return {"beta": float(self.beta)}

    def forward(self, model: Infers, x: Tensor, context: Tensor | None = None) -> Loss:
        """Return the loss and the unweighted terms, in nats, each of shape `(n,)`."""
        distortion, rate, parts = model.infer(x, context, self.samples, analytic=self.estimator == "analytic")
        return self.assemble(distortion.mean(0), rate.mean(0), None if parts is None else parts.mean(0))

    def assemble(self, distortion: Tensor, rate: Tensor, parts: Tensor | None) -> Loss:
        r"""Return the loss of distortions and rates, each of shape `(n,)`, and of the rate's parts, `(n, d)`."""
        terms = {"elbo": -(distortion + rate), "rate": rate, "distortion": distortion}
        return Loss(distortion.mean() + self.charge(rate, parts), terms)

    def charge(self, rate: Tensor, parts: Tensor | None) -> Tensor:
        r"""Return what the loss charges for the rate, a scalar: here :math:`\beta` times its mean over examples."""
        return self.beta * rate.mean()
