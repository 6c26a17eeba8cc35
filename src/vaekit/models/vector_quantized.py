r"""The vector-quantised variational autoencoder."""

__all__ = ["VectorQuantized"]

from collections.abc import Callable, Iterator
from typing import cast

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaekit.distributions.codes import CertainCode
from vaekit.distributions.quantisers import Quantised, Quantiser
from vaekit.models.base import ROWS
from vaekit.models.vae import VAE
from vaekit.objectives import Inference, Objective
from vaekit.objectives.commitment import Commitment

FIRST_LOOK = 1000  # examples that a codebook is started from


class VectorQuantized(VAE):
    r"""A variational autoencoder whose latents are a grid of codes.

    The encoder's features are quantised, and the posterior of the codes is certain: :math:`q(z \mid x) = 1` for one
    grid. So the rate is :math:`-\log p(z)`, :math:`h w \log K` nats under a uniform prior of h·w codes of K values,
    and distortion plus rate bounds :math:`-\log p(x)` as in any VAE; `encode`, `decode`, `sample`, `elbo` and the
    evaluation work as for any other, with latents that are whole numbers. What is continuous in between is seen by
    the objective alone, which takes gradients straight through the quantiser.

    The prior is not trained with the rest: it is uniform, or one that a stage fits to the codes when they are final.
    A context is told to the prior alone, for the codes say all of x.

    References:
        Neural discrete representation learning (van den Oord, Vinyals and Kavukcuoglu, 2017).

    Arguments:
        encoder: From x to features, shape `(n, quantiser.dim, *positions)`.
        quantiser: From features to codes, and from codes to what they stand for.
        decoder: :math:`p(x \mid z)` given what the codes stand for, shape `(n, quantiser.dim, *positions)`.
        prior: :math:`p(z \mid c)` over codes, with `event_shape quantiser.grid(positions)`.
        objective: What to minimise; by default `vaekit.objectives.Commitment`.
        context: What becomes of a context before it reaches the prior; with one the model is conditional.

    Raises:
        RequestError: In use, if features and codebook do not fit, or a conditional model is given no context.

    Example:
        >>> from vaekit.distributions import Bernoulli, Conditional, MovingCodebook, UniformCodes
        >>> from vaekit.networks import FeatureDecoder, FeatureEncoder
        >>> likelihood = Bernoulli((1, 28, 28))
        >>> model = VectorQuantized(
        ...     FeatureEncoder((1, 28, 28), 16),
        ...     MovingCodebook(64, 16),
        ...     Conditional(FeatureDecoder(16, likelihood.parameter_shape), likelihood),
        ...     UniformCodes((7, 7), 64),
        ... )
        >>> x = torch.bernoulli(torch.full((5, 1, 28, 28), 0.5))
        >>> model.encode(x).mean.shape, model.encode(x).mean.dtype, model.sample(4).shape
        (torch.Size([5, 7, 7]), torch.int64, torch.Size([4, 1, 28, 28]))
    """

    def __init__(
        self,
        encoder: nn.Module,
        quantiser: Quantiser,
        decoder: nn.Module,
        prior: nn.Module,
        objective: Objective | None = None,
        context: nn.Module | None = None,
    ) -> None:
        super().__init__(encoder, decoder, prior, Commitment() if objective is None else objective, context)
        self.quantiser = quantiser

    def quantise(self, x: Tensor) -> Quantised:
        """Return the features of data x, shape `(n, *data_shape)`, with their codes and what these stand for."""
        return cast(Quantised, self.quantiser(self.encoder(x)))

    @property
    def first_look(self) -> int:
        """How many examples `prepare` wants to see before the first step: those that a codebook is started from."""
        return FIRST_LOOK if self.quantiser.starts else 0

    @torch.no_grad()
    def prepare(self, x: Tensor, context: Tensor | None = None) -> None:
        """Start the codebook from features of the untrained encoder."""
        self.quantiser.start(self.encoder(x))

    def coordinates(self, z: Tensor) -> Tensor:
        """Return what codes stand for on average over the positions, shape `(n, quantiser.dim)`."""
        embedded = self.quantiser.embed(z)
        return embedded.reshape(*embedded.shape[:2], -1).mean(2)

    @torch.no_grad()
    def importance_weights(
        self,
        x: Tensor,
        samples: int,
        context: Tensor | None = None,
        *,
        rows: int = ROWS,
        compiled: Callable[..., Inference] | None = None,
    ) -> Iterator[Tensor]:
        """Yield log importance weights, shape `(samples, few)`: every draw is the same code, and has the same."""
        one = super().importance_weights(x, min(samples, 1), context, rows=rows, compiled=compiled)
        for weights in one:
            yield weights.expand(samples, -1)

    def _encode(self, x: Tensor, c: Tensor | None) -> Distribution:
        codes = self.quantise(x).codes
        return CertainCode(codes, codes.dim() - 1)

    def _decode(self, z: Tensor, c: Tensor | None) -> Distribution:
        return cast(Distribution, self.decoder(self.quantiser.embed(z)))
