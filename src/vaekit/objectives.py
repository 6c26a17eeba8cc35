r"""Objectives: the bounds that training maximises."""

__all__ = ["ELBO", "ImportanceWeighted", "Inference", "Infers", "Loss", "Objective"]

import math
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from vaekit.errors import RequestError, nearest
from vaekit.schedules import Constant, Schedule

Estimator = Literal["analytic", "monte-carlo"]


class Inference(NamedTuple):
    r"""What one pass of inference gives, in nats, shape `(k, n)` for k draws of z for each of n examples.

    With sampled rates, :math:`\log w = -(\text{distortion} + \text{rate}) = \log p(x, z) - \log q(z \mid x)` are the
    log importance weights.

    Attributes:
        distortion: :math:`-\log p(x \mid z)`, shape `(k, n)`.
        rate: :math:`\log q(z \mid x) - \log p(z)`, shape `(k, n)`, or its expectation in closed form, shape `(1, n)`.
    """

    distortion: Tensor
    rate: Tensor


class Infers(Protocol):
    r"""What an objective asks of a model: draw z for each example and weigh it."""

    def infer(self, x: Tensor, context: Tensor | None = None, samples: int = 1, *, analytic: bool = False) -> Inference:
        """Return distortions and rates; see `vaekit.models.LatentVariableModel.infer`."""
        ...


class Loss(NamedTuple):
    r"""What an objective returns.

    Attributes:
        loss: The scalar to minimise: weighted, annealed, averaged over examples.
        terms: Named terms in nats, each of shape `(n,)`, never weighted or annealed.
    """

    loss: Tensor
    terms: dict[str, Tensor]


class Objective(Protocol):
    r"""A bound or divergence to minimise.

    `monitor` names the term, higher is better, by which weights are selected; `settled` is the epoch from which the
    loss no longer changes its meaning; `advance` sets annealed weights for a time in epochs, and `weights` tells
    their present values for the log.
    """

    monitor: str

    @property
    def settled(self) -> float:
        """The epoch from which annealed weights are constant."""
        ...

    def advance(self, epoch: float) -> None:
        """Set annealed weights for a time."""
        ...

    def weights(self) -> dict[str, float]:
        """Present values of annealed weights."""
        ...

    def __call__(self, model: Infers, x: Tensor, context: Tensor | None = None) -> Loss:
        """Return the loss and its terms."""
        ...


def _at_least_one(name: str, value: int) -> int:
    if value < 1:
        raise RequestError(f"{name} is {value}; expected at least 1 draw of z: pass 1 or more")
    return value


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
        self.samples = _at_least_one("samples", samples)
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
        distortion, rate = model.infer(x, context, self.samples, analytic=self.estimator == "analytic")
        distortion, rate = distortion.mean(0), rate.mean(0)
        terms = {"elbo": -(distortion + rate), "rate": rate, "distortion": distortion}
        return Loss((distortion + self.beta * rate).mean(), terms)


class ImportanceWeighted(nn.Module):
    r"""The importance-weighted bound, which tightens as the number of draws k grows.

    .. math::
        \mathcal L_k(x) = \mathbb E \log \frac1k \sum_{i=1}^k \frac{p(x, z_i)}{q(z_i \mid x)} ,
        \qquad \mathcal L_1 = \text{ELBO} \le \mathcal L_k \le \log p(x)

    Its gradient weighs each draw by its share :math:`w_i / \sum_j w_j`: most weight on the *best* draw.

    References:
        Importance weighted autoencoders (Burda, Grosse and Salakhutdinov, 2016).

    Arguments:
        samples: Draws of z for each example, k above.

    Raises:
        RequestError: If `samples` is less than 1.

    Example:
        >>> ImportanceWeighted(samples=50).monitor
        'bound'
    """

    monitor = "bound"
    settled = 0.0

    def __init__(self, samples: int = 50) -> None:
        super().__init__()
        self.samples = _at_least_one("samples", samples)

    def advance(self, epoch: float) -> None:
        """Nothing is annealed."""

    def weights(self) -> dict[str, float]:
        """Nothing is annealed."""
        return {}

    def forward(self, model: Infers, x: Tensor, context: Tensor | None = None) -> Loss:
        """Return the loss and the terms; `bound` is the bound itself, the others are those of the plain ELBO."""
        distortion, rate = model.infer(x, context, self.samples)
        bound = torch.logsumexp(-(distortion + rate), dim=0) - math.log(self.samples)
        distortion, rate = distortion.mean(0), rate.mean(0)
        terms = {"bound": bound, "elbo": -(distortion + rate), "rate": rate, "distortion": distortion}
        return Loss(-bound.mean(), terms)
