r"""What an objective is, and what it asks of a model."""

__all__ = ["HasLatents", "Inference", "Infers", "Latents", "Loss", "Objective", "draws"]

from typing import NamedTuple, Protocol

from torch import Tensor
from torch.distributions import Distribution

from vaekit.errors import RequestError


class Inference(NamedTuple):
    r"""What one pass of inference gives, in nats, shape `(k, n)` for k draws of z for each of n examples.

    With sampled rates, :math:`\log w = -(\text{distortion} + \text{rate}) = \log p(x, z) - \log q(z \mid x)` are the
    log importance weights.

    Attributes:
        distortion: :math:`-\log p(x \mid z)`, shape `(k, n)`.
        rate: :math:`\log q(z \mid x) - \log p(z)`, shape `(k, n)`, or its expectation in closed form, shape `(1, n)`.
        parts: The rate taken apart, shape `(k, n, d)` or `(1, n, d)`: unit by unit where posterior and prior both
            factorise, layer by layer where there are several; None where it is of one piece.
    """

    distortion: Tensor
    rate: Tensor
    parts: Tensor | None = None


class Latents(NamedTuple):
    r"""Inference with what it was made of, for objectives that look at the draws themselves.

    Attributes:
        inference: Distortions and rates.
        z: The draws, shape `(k, n, latent_dim)`.
        posterior: :math:`q(z \mid x)`, one for each example.
        prior: :math:`p(z)`.
    """

    inference: Inference
    z: Tensor
    posterior: Distribution
    prior: Distribution


class Infers(Protocol):
    r"""What an objective asks of a model: draw z for each example and weigh it."""

    def infer(self, x: Tensor, context: Tensor | None = None, samples: int = 1, *, analytic: bool = False) -> Inference:
        """Return distortions and rates; see `vaekit.models.LatentVariableModel.infer`."""
        ...


class HasLatents(Infers, Protocol):
    r"""A model that also shows its draws of z and the distributions they came from."""

    def latents(self, x: Tensor, context: Tensor | None = None, samples: int = 1, *, analytic: bool = False) -> Latents:
        """Return the draws with their distortions and rates; see `vaekit.models.VAE.latents`."""
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

    An objective with networks of its own that are trained against the model (an adversary) has `rivals`, these by
    name, and `rival_loss`; see `vaekit.objectives.Adversarial`.
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


def draws(samples: int) -> int:
    r"""Return a number of draws of z, or raise a `RequestError` if it is less than 1."""
    if samples < 1:
        raise RequestError(f"samples is {samples}; expected at least 1 draw of z: pass 1 or more")
    return samples
