r"""What an objective is, and what it asks of a model."""

__all__ = [
    "Adversarial",
    "HasLatents",
    "Inference",
    "Infers",
    "Latents",
    "Loss",
    "Objective",
    "choice",
    "draws",
    "showing_latents",
    "stopped",
]

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, cast

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaekit.errors import RequestError, nearest


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

    def encode(self, x: Tensor, context: Tensor | None = None) -> Distribution:
        """Return the posterior of z; see `vaekit.models.VAE.encode`."""
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


class Adversarial(Objective, Protocol):
    r"""An objective with networks of its own, each trained against the model in a phase that has its name.

    In the phase "bound" the objective is called as any other, and must give these networks no gradient; in each
    other phase `rival_loss` is called, which must give the model none.
    """

    @property
    def rivals(self) -> dict[str, nn.Module]:
        """The networks by name, which is the name of their phase."""
        ...

    def rival_loss(self, phase: str, model: Infers, x: Tensor, context: Tensor | None = None) -> Loss:
        """Return the loss that a network is trained with, and its terms."""
        ...


def showing_latents(model: Infers) -> HasLatents:
    r"""Return a model, or raise a `RequestError` if it does not show its draws of z."""
    if not hasattr(model, "latents"):
        raise RequestError(
            f"{type(model).__name__} does not show its draws of z, which this objective looks at; expected a model "
            "with latents(): use a VAE, or an objective of the rate alone, such as ELBO"
        )
    return cast(HasLatents, model)


def stopped(module: nn.Module, *arguments: Tensor) -> Any:
    r"""Call a module so that gradients pass through it to its arguments, and not to its parameters.

    Example:
        >>> module = nn.Linear(1, 1)
        >>> z = torch.ones(1, 1, requires_grad=True)
        >>> stopped(module, z).sum().backward()
        >>> z.grad is None, module.weight.grad is None
        (False, True)
    """
    parameters = {name: parameter.detach() for name, parameter in module.named_parameters()}
    return torch.func.functional_call(module, parameters, arguments)


def choice(name: str, given: str, known: Sequence[str]) -> str:
    r"""Return one of several known words, or raise a `RequestError` if it is none of them."""
    if given not in known:
        expected = " or ".join(map(repr, known))
        raise RequestError(f"unknown {name} {given!r}; expected {expected}.{nearest(str(given), known)}")
    return given


def draws(samples: int) -> int:
    r"""Return a number of draws of z, or raise a `RequestError` if it is less than 1."""
    if samples < 1:
        raise RequestError(f"samples is {samples}; expected at least 1 draw of z: pass 1 or more")
    return samples
