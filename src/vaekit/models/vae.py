r"""The variational autoencoder."""

__all__ = ["VAE"]

from typing import cast

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaekit.distributions.rates import closed_rate, sampled_rate
from vaekit.errors import RequestError
from vaekit.models.base import LatentVariableModel
from vaekit.objectives import ELBO, Inference, Latents, Objective


def _repeat(x: Tensor | None, samples: int) -> Tensor | None:
    """Put `samples` copies of a batch one after the other on its batch axis."""
    return x if x is None or samples == 1 else x.expand(samples, *x.shape).flatten(0, 1)


def _check_batch(whose: str, distribution: Distribution, n: int) -> None:
    # Without this, a part that forgets to join its axes gives sums over the wrong ones, or an error far from it.
    if distribution.batch_shape != (n,):
        raise RequestError(
            f"{whose} distribution has batch shape {tuple(distribution.batch_shape)} and event shape "
            f"{tuple(distribution.event_shape)}; expected batch shape ({n},), one distribution for each row: "
            "join the other axes with torch.distributions.Independent"
        )


class VAE(LatentVariableModel):
    r"""A variational autoencoder: any encoder, decoder and prior, and an objective that ties them.

    Any module whose `forward(x, context=None)` (for a prior `forward(context=None)`) returns a
    `torch.distributions.Distribution` is a part. Parts see one batch axis: draws of z are laid out as more rows.

    References:
        Auto-Encoding Variational Bayes (Kingma and Welling, 2014).
        Stochastic backpropagation and approximate inference in deep generative models (Rezende et al., 2014).

    Arguments:
        encoder: :math:`q(z \mid x, c)`, with `batch_shape (n,)`, `event_shape (latent_dim,)`.
        decoder: :math:`p(x \mid z, c)`, with `batch_shape (n,)` and the data's shape as `event_shape`.
        prior: :math:`p(z \mid c)`, with `event_shape (latent_dim,)`.
        objective: What to minimise; by default minus the evidence lower bound.
        context: What becomes of a context before it reaches the three parts, as `OneHot` of class numbers or an
            `Embedding` of images; with one the model is conditional. The parts of a model without one get a context
            as it is given.

    Raises:
        RequestError: In use, if a conditional model is given no context.

    Example:
        >>> from vaekit.distributions import Bernoulli, Conditional, DiagonalGaussian, StandardNormal
        >>> from vaekit.networks import MLP
        >>> posterior, likelihood = DiagonalGaussian(2), Bernoulli((784,))
        >>> model = VAE(
        ...     Conditional(MLP((784,), posterior.parameter_shape), posterior),
        ...     Conditional(MLP((2,), likelihood.parameter_shape), likelihood),
        ...     StandardNormal(2),
        ... )
        >>> x = torch.bernoulli(torch.full((16, 784), 0.5))
        >>> model.elbo(x).shape, model.encode(x).mean.shape, model.sample(4).shape
        (torch.Size([16]), torch.Size([16, 2]), torch.Size([4, 784]))
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        prior: nn.Module,
        objective: Objective | None = None,
        context: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.prior = prior
        self.objective = ELBO() if objective is None else objective
        self.context_network = context

    @property
    def conditional(self) -> bool:
        """Whether the model describes data given a context, which all of its methods then have to be told."""
        return self.context_network is not None

    def encode(self, x: Tensor, context: Tensor | None = None) -> Distribution:
        """Return the posterior of z for data x, shape `(n, *data_shape)`; its mean is the code."""
        return self._encode(x, self._embedded(context))

    def decode(self, z: Tensor, context: Tensor | None = None) -> Distribution:
        """Return the distribution of x for latent points z, shape `(n, latent_dim)`."""
        return self._decode(z, self._embedded(context))

    def latent(self, context: Tensor | None = None) -> Distribution:
        """Return the prior of z: one distribution, or with a context one for each of its rows."""
        return self._prior(self._embedded(context))

    @torch.no_grad()
    def reconstruct(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return the mean of p(x|z) at the mean of q(z|x): the same for the same x, always."""
        return self.decode(self.encode(x, context).mean, context).mean

    def coordinates(self, z: Tensor) -> Tensor:
        """Return vectors, shape `(n, size)`, for latents, to be shown in pictures: here the latents themselves."""
        return z

    def infer(self, x: Tensor, context: Tensor | None = None, samples: int = 1, *, analytic: bool = False) -> Inference:
        """Draw z from the posterior and weigh it; see `LatentVariableModel.infer`."""
        return self.latents(x, context, samples, analytic=analytic).inference

    def latents(self, x: Tensor, context: Tensor | None = None, samples: int = 1, *, analytic: bool = False) -> Latents:
        r"""Draw z from the posterior and weigh it, and return the draws and their distributions too.

        Arguments:
            x: Data, shape `(n, *data_shape)`.
            context: Context, shape `(n, ...)`.
            samples: Draws of z for each example.
            analytic: Give the rate in closed form where there is one.

        Raises:
            RequestError: If a part's distribution does not have one entry for each row.
        """
        c = self._embedded(context)
        q, prior = self._encode(x, c), self._prior(c)
        _check_batch("the encoder's", q, len(x))
        if len(prior.batch_shape):
            _check_batch("the prior's", prior, len(x))
        together = getattr(q, "rsample_and_log_prob", None)  # of a flow, which knows the density of its own draw
        z, log_q = (q.rsample((samples,)), None) if together is None else together((samples,))
        p = self._decode(z.flatten(0, 1), _repeat(c, samples))
        _check_batch("the decoder's", p, samples * len(x))
        distortion = -p.log_prob(cast(Tensor, _repeat(x, samples))).view(samples, -1)
        if analytic:
            try:
                rate, parts = closed_rate(q, prior)
                parts = None if parts is None else parts.unsqueeze(0)
                return Latents(Inference(distortion, rate.expand(1, -1), parts), z, q, prior)
            except NotImplementedError:  # no closed form for this pair: the sampled rate estimates the same thing
                pass
        return Latents(Inference(distortion, *sampled_rate(q, prior, z, log_q)), z, q, prior)

    def generate(self, n: int, context: Tensor | None = None, *, mean: bool = True) -> Tensor:
        """Draw z from the prior and x from the decoder."""
        c = self._embedded(context)
        prior = self._prior(c)
        p = self._decode(prior.sample((n,) if not prior.batch_shape else ()), c)
        # What has no mean, as symbols have none, is always drawn: one decoding of each z would be all it can say.
        return p.mean if mean and getattr(p, "has_mean", True) else p.sample()

    def _embedded(self, context: Tensor | None) -> Tensor | None:
        if self.context_network is None:
            return context
        if context is None:
            raise RequestError(
                "this model is conditional and was given no context; expected one for each example, such as class "
                "numbers: pass context="
            )
        return cast(Tensor, self.context_network(context))

    def _encode(self, x: Tensor, c: Tensor | None) -> Distribution:
        return cast(Distribution, self.encoder(x) if c is None else self.encoder(x, c))

    def _decode(self, z: Tensor, c: Tensor | None) -> Distribution:
        return cast(Distribution, self.decoder(z) if c is None else self.decoder(z, c))

    def _prior(self, c: Tensor | None) -> Distribution:
        return cast(Distribution, self.prior() if c is None else self.prior(c))
