r"""The bound, trained through a regression in latent space."""

__all__ = ["LatentRegression", "Regresses", "is_real"]

import math
from typing import Literal, Protocol, cast

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from vaekit.distributions.gaussian_process import variance_of
from vaekit.errors import RequestError
from vaekit.objectives.base import HasLatents, Infers, Loss, showing_latents
from vaekit.objectives.elbo import ELBO, Estimator
from vaekit.schedules import Schedule


class Regresses(HasLatents, Protocol):
    r"""A model that says what the posteriors at some inputs tell of z at others."""

    def regress_latent(self, mean: Tensor, variance: Tensor | None, given: Tensor, new: Tensor) -> Distribution:
        """Return the distribution of z at new inputs; see `vaekit.models.VAERegression.regress_latent`."""
        ...

    def residual(self, x: Tensor, mean: Tensor, given: Tensor, new: Tensor) -> Distribution | None:
        """Return what the decoder leaves at new inputs; see `vaekit.models.VAERegression.residual`."""
        ...

    def decode(self, z: Tensor, context: Tensor | None = None) -> Distribution:
        """Return the distribution of x for latent points; see `vaekit.models.VAE.decode`."""
        ...


class LatentRegression(ELBO):
    r"""The evidence lower bound, and the likelihood of frames that are hidden and regressed from those that are not.

    .. math::
        \text{loss} = -\text{ELBO} - w(t)\, \mathbb E_{z_* \sim p(z_* \mid Z, X, x_*)} \log p(y_* \mid z_*)

    In each batch every so-many-th row is kept, from a random one on, and the others are hidden; z at their inputs is
    drawn from the Gaussian process given the posteriors of those kept, and what it decodes to, with what the model
    says of residuals, is held against the hidden rows. The process
    has no weights to train: the gradient goes through its solve into encoder and decoder, until latent space is a
    place where regression is right. The bound is taken over all rows of a batch, the regression over the hidden ones,
    each as a mean. The batch should be made of windows, `vaekit.data.order.Windows`, so that hidden rows have
    neighbours on both sides, as the frames have that are asked for later.

    Only rows that are trained on are ever hidden: what a protocol holds out never enters.

    What is regressed over a gap is far less sure than what is reconstructed, and a decoder whose noise has to serve
    both would get one that is too large for codes to say anything small. So with `noise="own"` the regression has a
    normal distribution of its own, with the variance that is likeliest for the hidden rows of the batch, and the term
    is :math:`\tfrac D2 \log 2\pi e \, \mathrm{mean} (y_* - \hat y_*)^2`; with "decoder", as published, it has the
    decoder's.

    The term `regression` is :math:`-\mathbb E \log p(y_* \mid z_*)`, unweighted, in nats per hidden row, the same
    for every row of a batch.

    References:
        Variational autoencoded regression (Yoo et al., 2017). There the bound is over the observed rows alone.

    Arguments:
        beta: Weight of the rate: a number, or a schedule over epochs.
        weight: Weight w of the regression: a number, or a schedule, which is 0 until fine-tuning begins.
        keep: Which rows are not hidden: one in so many, at least 2.
        noise: "own" or "decoder", see above; of bits it is the decoder's.
        samples: Draws of z, and of z at the hidden rows.
        estimator: "analytic" or "monte-carlo"; see `ELBO`.

    Raises:
        RequestError: If an argument is out of its range; in use, if the model does not regress.

    Example:
        >>> LatentRegression(weight=2.0).weights()
        {'beta': 1.0, 'regression': 2.0}
    """

    regression: Tensor

    def __init__(
        self,
        beta: float | Schedule = 1.0,
        weight: float | Schedule = 1.0,
        *,
        keep: int = 2,
        noise: Literal["own", "decoder"] = "own",
        samples: int = 1,
        estimator: Estimator = "analytic",
    ) -> None:
        super().__init__(beta, samples, estimator)
        if keep < 2:
            raise RequestError(f"keep is {keep}; expected to keep one row in 2 or more: pass 2")
        if noise not in ("own", "decoder"):
            raise RequestError(f"unknown noise {noise!r}; expected own or decoder: pass own")
        self.keep, self.noise = keep, noise
        self.anneal("regression", weight, "pass 1 for the published loss")

    def forward(self, model: Infers, x: Tensor, context: Tensor | None = None) -> Loss:
        """Return the loss and the unweighted terms, in nats, each of shape `(n,)`."""
        if context is None or not hasattr(model, "regress_latent"):
            raise RequestError(
                f"{type(model).__name__} does not regress; expected a VAERegression and inputs for each example: use "
                "the recipe vaer, or the objective ELBO"
            )
        regresses = cast(Regresses, showing_latents(model))
        latents = regresses.latents(x, context, self.samples, analytic=self.estimator == "analytic")
        bound = self.assemble(*latents.inference)
        regression = self._regression(regresses, latents.posterior, x, context)
        terms = {**bound.terms, "regression": regression.expand(len(x))}
        return Loss(bound.loss + self.regression * regression, terms)

    def _regression(self, model: Regresses, q: Distribution, x: Tensor, context: Tensor) -> Tensor:
        """The mean of minus the log-likelihood of hidden rows; of a single row, given nothing."""
        rows = torch.arange(len(x), device=x.device)
        chosen = (rows - torch.randint(self.keep, (), device=x.device)) % self.keep == 0
        seen, hidden = rows[chosen], rows[~chosen]
        if not len(hidden):  # a batch of a single row
            seen, hidden = hidden, seen
        variance = variance_of(q)
        known = None if variance is None else variance[seen]
        p = model.regress_latent(q.mean[seen], known, context[seen], context[torch.cat([seen, hidden])])
        own = p.mean[: len(seen)]
        drawn = p.rsample((self.samples,))[:, len(seen) :]
        found = model.decode(drawn.flatten(0, 1))
        left = model.residual(x[seen], own, context[seen], context[hidden])
        target = (x[hidden] if left is None else x[hidden] - left.mean).repeat(self.samples, *(1,) * (x.ndim - 1))
        if self.noise == "decoder" or not is_real(found):
            return -found.log_prob(target).mean()
        error = (target - found.mean).square().mean()
        return 0.5 * x[0].numel() * (2 * math.pi * math.e * error).log()


def is_real(p: Distribution) -> bool:
    r"""Whether a distribution is one of real numbers, entry by entry.

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> is_real(Independent(Normal(torch.zeros(2), torch.ones(2)), 1))
        True
    """
    support = p.support
    while isinstance(support, constraints.independent):
        support = support.base_constraint
    return support is constraints.real
