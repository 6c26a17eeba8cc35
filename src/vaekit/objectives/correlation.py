r"""Objectives that charge for the total correlation of the code."""

__all__ = ["FactorVAE", "TotalCorrelation"]

from collections.abc import Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaekit.distributions.total_correlation import Aggregation, aggregate_log_prob
from vaekit.errors import RequestError
from vaekit.networks import MLP
from vaekit.objectives.adversarial import told_apart
from vaekit.objectives.base import Infers, Loss, choice, showing_latents, stopped
from vaekit.objectives.elbo import Estimator
from vaekit.objectives.penalised import Penalised, Penalties
from vaekit.schedules import Schedule


class TotalCorrelation(Penalised):
    r"""The objective of the beta-TCVAE: the rate taken apart, and each part with a weight of its own.

    .. math::
        \text{loss} = \text{distortion} + \alpha \, I_q(x; z)
        + \beta \, \mathrm{KL}(q(z) \,\|\, \textstyle\prod_j q(z_j))
        + \gamma \, \mathrm{KL}(\textstyle\prod_j q(z_j) \,\|\, p(z))

    The aggregate posterior :math:`q(z)` is estimated from the batch. The three estimates sum to the rate, so the loss
    is written as the ELBO with what the weights differ from 1: with all of them at 1 it is the ELBO, to the last bit.
    They are reported as `mutual_information`, `total_correlation` and `dimension_kl`, in nats.

    References:
        Isolating sources of disentanglement in variational autoencoders (Chen et al., 2018), equations 2 and 4.

    Arguments:
        beta: Weight of the total correlation: a number, or a schedule over epochs.
        dataset_size: Number of training examples.
        estimator: "stratified", whose estimates are of the size of what they estimate, or "weighted", as in most of
            the paper's experiments, whose are off by a constant; see `vaekit.distributions.aggregate_log_prob`.
        alpha: Weight of the information about x.
        gamma: Weight of the units' divergence from the prior.
        samples: Draws of z for each example.

    Raises:
        RequestError: If an argument is out of its range; in use, if the units' marginals are not known.

    Example:
        >>> TotalCorrelation(beta=6.0, dataset_size=60_000).weights()
        {'beta': 6.0, 'alpha': 1.0, 'gamma': 1.0}
    """

    alpha: Tensor
    gamma: Tensor

    def __init__(
        self,
        beta: float | Schedule,
        dataset_size: int,
        estimator: Aggregation = "stratified",
        alpha: float | Schedule = 1.0,
        gamma: float | Schedule = 1.0,
        samples: int = 1,
    ) -> None:
        super().__init__(beta, samples)
        self.anneal("alpha", alpha, "pass 1 for the ELBO")
        self.anneal("gamma", gamma, "pass 1 for the ELBO")
        choice("estimator", estimator, ("stratified", "weighted"))
        self.aggregation: Aggregation = estimator
        if dataset_size < 2:
            raise RequestError(f"dataset_size is {dataset_size}; expected the number of training examples, at least 2")
        self.dataset_size = dataset_size

    def charge(self, rate: Tensor, parts: Tensor | None) -> Tensor:
        """Return the mean rate, which is the three parts with weight 1."""
        return rate.mean()

    def penalties(self, z: Tensor, posterior: Distribution, prior: Distribution) -> Penalties:
        """Return the parts of the rate, with what their weights have over 1."""
        joint, units = aggregate_log_prob(posterior, z, self.dataset_size, self.aggregation)
        product = units.sum(-1)
        return {
            "mutual_information": (self.alpha - 1, (posterior.log_prob(z) - joint).mean(0)),
            "total_correlation": (self.beta - 1, (joint - product).mean(0)),
            "dimension_kl": (self.gamma - 1, (product - prior.log_prob(z)).mean(0)),
        }


class FactorVAE(Penalised):
    r"""The evidence lower bound and a charge for total correlation, which a discriminator estimates.

    .. math::
        \text{loss} = \text{distortion} + \beta \, \text{rate} + \gamma \, \mathbb E_{q(z)} \log \frac{D(z)}{1 - D(z)}

    The discriminator D learns to tell codes from codes whose every unit comes from another example, draws of
    :math:`\prod_j q(z_j)`. At its best its logit is :math:`\log q(z) - \sum_j \log q(z_j)`. It is trained in a phase of
    its own, "discriminator", by the cross-entropy; the terms of that phase are `discriminator`, in nats, which is
    :math:`\log 2` where nothing can be told, and `discriminator_accuracy`.

    The codes and the shuffled ones come from the same batch; the paper shuffles a second one. Both halves of the
    cross-entropy have the same expectation either way, and each sees every example. The discriminator has one logit
    where the paper has two, whose difference is all that counts.

    References:
        Disentangling by factorising (Kim and Mnih, 2018), algorithms 1 and 2; appendix A for the discriminator.

    Arguments:
        gamma: Weight of the total correlation: a number, or a schedule over epochs.
        latent_dim: Size of z.
        hidden: Widths of the discriminator's hidden layers.
        beta: Weight of the rate: a number, or a schedule over epochs.
        samples: Draws of z for each example.
        estimator: "analytic" or "monte-carlo"; see `ELBO`.

    Raises:
        RequestError: If an argument is out of its range.

    Example:
        >>> objective = FactorVAE(gamma=35.0, latent_dim=10)
        >>> objective.weights(), list(objective.rivals)
        ({'beta': 1.0, 'gamma': 35.0}, ['discriminator'])
    """

    gamma: Tensor

    def __init__(
        self,
        gamma: float | Schedule,
        latent_dim: int,
        hidden: Sequence[int] = (1000,) * 6,
        beta: float | Schedule = 1.0,
        samples: int = 1,
        estimator: Estimator = "analytic",
    ) -> None:
        super().__init__(beta, samples, estimator)
        self.anneal("gamma", gamma, "pass 35, say")
        self.discriminator = MLP((latent_dim,), (1,), hidden, partial(nn.LeakyReLU, 0.2))

    @property
    def rivals(self) -> dict[str, nn.Module]:
        """The discriminator."""
        return {"discriminator": self.discriminator}

    def penalties(self, z: Tensor, posterior: Distribution, prior: Distribution) -> Penalties:
        """Return the discriminator's estimate, `total_correlation`, which does not train it."""
        logits = cast(Tensor, stopped(self.discriminator, z.flatten(0, 1)))
        return {"total_correlation": (self.gamma, logits.view(z.shape[:2]).mean(0))}

    def rival_loss(self, phase: str, model: Infers, x: Tensor, context: Tensor | None = None) -> Loss:
        r"""Return the loss of the discriminator and its terms, each of shape `(n,)`.

        Arguments:
            phase: "discriminator".
            model: The model, which gets no gradient.
            x: Data, shape `(n, *data_shape)`.
            context: Context, shape `(n, ...)`.
        """
        with torch.no_grad():
            z = showing_latents(model).encode(x, context).sample()
            shuffled = z.gather(0, torch.rand_like(z).argsort(0))  # each unit by a permutation of its own
        return told_apart(self.discriminator(torch.cat([z, shuffled])).view(2, -1))
