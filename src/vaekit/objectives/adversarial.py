r"""The distortion, and a discriminator that holds the codes to a prior."""

__all__ = ["AdversarialPrior", "told_apart"]

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vaekit.networks import MLP
from vaekit.objectives.base import Infers, Loss, showing_latents, stopped
from vaekit.objectives.reconstruction import Reconstruction
from vaekit.schedules import Schedule


class AdversarialPrior(Reconstruction):
    r"""The objective of the adversarial autoencoder: codes that a discriminator cannot tell from draws of the prior.

    .. math::
        \text{loss} = \frac1n \sum_x \big( -\log p(x \mid z) - \gamma \log D(z) \big), \qquad
        \text{loss}_D = -\tfrac12 \mathbb E_{p(z)} \log D - \tfrac12 \mathbb E_{q(z)} \log (1 - D)

    D(z) is the probability that z was drawn from the prior. Nothing is asked of the prior but draws; it may be any.
    At its best the discriminator's logit is :math:`\log p(z) - \log q(z)`, and its cross-entropy :math:`\log 2`, its
    accuracy one half, where the codes as a whole have become the prior. The encoder is trained by the non-saturating
    loss, whose gradient does not vanish where D is sure of itself.

    The paper takes three steps on a batch: encoder and decoder on the distortion, then the discriminator, then the
    encoder against it. Here the first and the last are one, the phase "bound", with a weight between them, before
    the step of the discriminator.

    The terms reported are those of `Reconstruction` and `generator`, which is :math:`-\log D(z)` without its weight;
    those of the phase "discriminator" are `discriminator`, in nats, and `discriminator_accuracy`.

    References:
        Adversarial autoencoders (Makhzani et al., 2015).
        Generative adversarial nets (Goodfellow et al., 2014), for the non-saturating loss.

    Arguments:
        latent_dim: Size of z.
        generator: Weight of the encoder's loss against the discriminator, :math:`\gamma`: a number, or a schedule.
        hidden: Widths of the discriminator's hidden layers.
        penalties: What `Reconstruction` takes.

    Raises:
        RequestError: If an argument is out of its range; in use, if the model does not show its codes.

    Example:
        >>> objective = AdversarialPrior(latent_dim=2, generator=5.0, hidden=(16,))
        >>> objective.weights(), list(objective.rivals)
        ({'generator': 5.0}, ['discriminator'])
    """

    def __init__(
        self,
        latent_dim: int,
        generator: float | Schedule = 1.0,
        hidden: Sequence[int] = (1000, 1000),
        **penalties: Any,
    ) -> None:
        super().__init__(**penalties)
        self.anneal("generator", generator, "pass 1, say")
        self.discriminator = MLP((latent_dim,), (1,), hidden, "relu")

    @property
    def rivals(self) -> dict[str, nn.Module]:
        """The discriminator."""
        return {"discriminator": self.discriminator}

    def penalties(self, decoder: nn.Module, z: Tensor) -> dict[str, Tensor]:
        """Return those of `Reconstruction`, and what the encoder loses against the discriminator."""
        logits = cast(Tensor, stopped(self.discriminator, z)).squeeze(-1)
        return {**super().penalties(decoder, z), "generator": F.softplus(-logits)}

    def rival_loss(self, phase: str, model: Infers, x: Tensor, context: Tensor | None = None) -> Loss:
        r"""Return the loss of the discriminator and its terms, each of shape `(n,)`.

        Arguments:
            phase: "discriminator".
            model: The model, which gets no gradient.
            x: Data, shape `(n, *data_shape)`.
            context: Context, shape `(n, ...)`.
        """
        autoencoder = cast(Any, showing_latents(model))
        with torch.no_grad():
            z = autoencoder.encode(self.noise(x), context).sample()
            prior = autoencoder.latent(context)
            drawn = prior.sample() if prior.batch_shape else prior.sample(z.shape[:1])
        return told_apart(self.discriminator(torch.cat([drawn, z])).view(2, -1))


def told_apart(logits: Tensor) -> Loss:
    r"""Return the cross-entropy of a discriminator between two samples of one size, and its terms, of shape `(n,)`.

    The terms are `discriminator`, in nats, which is :math:`\log 2` where nothing can be told, and
    `discriminator_accuracy`.

    Arguments:
        logits: Of being from the first sample, shape `(2, n)`: the first row for the first sample, the second for
            the second.

    Example:
        >>> told_apart(torch.tensor([[2.0], [1.0]])).terms["discriminator_accuracy"]
        tensor([0.5000])
    """
    cross_entropy = (F.softplus(-logits[0]) + F.softplus(logits[1])) / 2
    right = torch.stack([logits[0] > 0, logits[1] < 0]).to(logits).mean(0)
    return Loss(cross_entropy.mean(), {"discriminator": cross_entropy, "discriminator_accuracy": right})
