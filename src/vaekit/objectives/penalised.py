r"""The evidence lower bound with penalties on the codes of a batch taken together."""

__all__ = ["Penalised", "Penalties"]

from abc import ABC, abstractmethod

from torch import Tensor
from torch.distributions import Distribution

from vaekit.objectives.base import Infers, Loss, showing_latents
from vaekit.objectives.elbo import ELBO

Penalties = dict[str, tuple[Tensor | float, Tensor]]


class Penalised(ELBO, ABC):
    r"""The evidence lower bound and penalties R, each with its weight.

    .. math::
        \text{loss} = \text{distortion} + \beta \, \text{rate} + \sum_r \lambda_r R_r

    A subclass gives the penalties from the draws of z, their posterior and the prior. They are reported by name,
    without their weights; one that belongs to the batch as a whole is reported for each of its examples.

    Arguments:
        beta: Weight of the rate: a number, or a schedule over epochs.
        samples: Draws of z for each example.
        estimator: "analytic" or "monte-carlo"; see `ELBO`.

    Raises:
        RequestError: If an argument is out of its range; in use, if the model does not show its draws.
    """

    def forward(self, model: Infers, x: Tensor, context: Tensor | None = None) -> Loss:
        """Return the loss and the unweighted terms, each of shape `(n,)`."""
        analytic = self.estimator == "analytic"
        inference, z, posterior, prior = showing_latents(model).latents(x, context, self.samples, analytic=analytic)
        loss, terms = self.assemble(*inference)
        for name, (weight, value) in self.penalties(z, posterior, prior).items():
            loss = loss + weight * value.mean()
            terms[name] = value.expand(len(x))
        return Loss(loss, terms)

    @abstractmethod
    def penalties(self, z: Tensor, posterior: Distribution, prior: Distribution) -> Penalties:
        r"""Return weights and values of the penalties by name.

        Arguments:
            z: Draws, shape `(k, n, latent_dim)`.
            posterior: What they were drawn from, with `batch_shape (n,)`.
            prior: The prior, with `batch_shape ()` or `(n,)`.

        Returns:
            For each penalty its weight and its value, of shape `(n,)`, or `()` where it belongs to the batch.
        """
