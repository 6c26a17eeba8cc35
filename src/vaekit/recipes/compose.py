r"""Parts put together to a plan: what nearly every recipe ends in, and the arguments they share."""

__all__ = ["Parts", "compose", "planned"]

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from vaekit.recipes.sharing import sharing

if TYPE_CHECKING:
    from torch import nn

    from vaekit.distributions import Likelihood
    from vaekit.distributions.posteriors import Posterior
    from vaekit.models import VAE
    from vaekit.objectives import Objective
    from vaekit.plan import DataSpec, Plan
    from vaekit.schedules import Schedule

Network = Literal["auto", "mlp", "conv", "resnet"]


@dataclass(frozen=True)
class Parts:
    r"""What tells one system from another; by default the plain VAE.

    Arguments:
        posterior: From the latent size to a posterior head; by default a diagonal Gaussian.
        prior: From the latent size, the encoder and the size of a context to a prior; by default N(0, I).
        objective: From the weight of the rate over time to an objective; by default the ELBO.
        likelihood: From the shape of x to a likelihood head; by default the one that is named.
        context: What a context becomes before it reaches the parts, and how many numbers that is.
        beta: Weight of the rate after its warm-up.
        cycles: How often it rises.
        blocks: Residual blocks at each size of the image.
        glorot: Initialise as Glorot and Bengio (2010).
        model: From encoder, decoder and prior to a model that is told the context as it is given; by default a VAE
            that makes of it what `context` says, for all of its parts.
        decoder_told: Whether the decoder takes the context too.
        plan: Other arguments of the plan.
    """

    posterior: "Callable[[int], Posterior] | None" = None
    prior: "Callable[[int, nn.Module, int], nn.Module] | None" = None
    objective: "Callable[[Schedule], Objective] | None" = None
    likelihood: "Callable[[tuple[int, ...]], Likelihood] | None" = None
    context: "tuple[nn.Module, int] | None" = None
    beta: float = 1.0
    cycles: int = 1
    blocks: int = 2
    glorot: bool = False
    model: "Callable[[nn.Module, nn.Module, nn.Module], VAE] | None" = None
    decoder_told: bool = True
    plan: Mapping[str, Any] = field(default_factory=dict)


def planned(
    data: "DataSpec",
    model: "VAE",
    parts: Parts,
    likelihood_name: str,
    *,
    transform: str = "auto",
    warmup: float | None = None,
    epochs: int = 20,
    batch_size: int = 100,
    learning_rate: float = 1e-3,
) -> "Plan":
    """Return the plan of a model, trained with Adam, its learning rate falling along a cosine.

    Args:
        transform: What the likelihood describes: scale (to 0..1), binarise (drawn anew every batch), dequantise, or
            auto, which binarises for bernoulli and scales otherwise.
        warmup: Epochs over which the weight of the rate rises from 0, so that units are not switched off before they
            are of use; 0 for none. By default a fifth of the epochs, at most 4, and none where the weight is cyclical.
        epochs: Passes over the training data.
        batch_size: Examples in a step.
        learning_rate: Adam's first step size.
    """
    from vaekit.objectives import ELBO
    from vaekit.plan import Plan
    from vaekit.recipes.build import rate_schedule, transform_for
    from vaekit.schedules import Cosine

    if warmup is None:
        warmup = min(4.0, max(epochs, 0) / 5) if parts.cycles == 1 else 0.0
    model.objective = (parts.objective or ELBO)(rate_schedule(parts.beta, warmup, parts.cycles))
    options = {
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "schedule": Cosine(max(epochs, 1), floor=0.01),
    }
    return Plan(model, transform_for(data, transform, likelihood_name), **{**options, **parts.plan})


@sharing(planned)
def compose(
    data: "DataSpec",
    parts: Parts,
    *,
    latent_dim: int = 24,
    network: Network = "auto",
    hidden: tuple[int, ...] | None = None,
    channels: tuple[int, ...] = (32, 64, 64),
    activation: str = "leaky-relu",
    likelihood: str = "auto",
    standardise: bool = True,
    **shared: Any,
) -> "Plan":
    """Return the plan of a model made of parts.

    Args:
        latent_dim: Size of z; units that the data do not need stay inactive.
        network: mlp, conv, resnet (convolutions in residual blocks), or auto, which takes mlp up to 1,024 numbers an
            example and conv for larger images.
        hidden: Widths of the fully connected layers of the encoder; the decoder has them in reverse. By default
            one of 256 after convolutions, and for an mlp two of four times the numbers in an example, at most 500.
        channels: Channels of the encoder's convolutions; the decoder has them in reverse.
        activation: Between layers: tanh, relu, leaky-relu, gelu, silu, elu, softplus or sigmoid.
        likelihood: bernoulli, continuous-bernoulli, gaussian (variance learned), gaussian-pixel (variance learned
            for each pixel), squared-error (variance 1), or auto.
        standardise: Where the data are real numbers and the likelihood a Gaussian, let the networks count in standard
            deviations from the mean, of each entry of a vector, or of all numbers of an image: a variance of 1 is one
            of these. Densities and samples are in the data's own units all the same.
    """
    from vaekit.distributions import Conditional, DiagonalGaussian
    from vaekit.distributions import likelihood as likelihood_of
    from vaekit.models import VAE
    from vaekit.recipes.build import in_units, networks, start_at_mean

    name = data.suggested if likelihood == "auto" else likelihood
    posterior = (parts.posterior or DiagonalGaussian)(latent_dim)
    density = parts.likelihood(data.shape) if parts.likelihood else likelihood_of(name, data.shape)
    size = math.prod(data.shape)
    if network == "auto":
        network = "mlp" if len(data.shape) != 3 or size <= 1024 else "conv"
    if hidden is None:  # an empty one asks for no hidden layer
        hidden = 2 * (min(500, 4 * size),) if network == "mlp" else (256,)
    context, context_dim = parts.context or (None, 0)
    inner, outer = networks(
        network,
        data.shape,
        posterior.parameter_shape,
        latent_dim,
        density.parameter_shape,
        hidden=hidden,
        channels=channels,
        activation=activation,
        blocks=parts.blocks,
        glorot=parts.glorot,
        context_dim=context_dim,
        decoder_told=parts.decoder_told,
    )
    seen: nn.Module = inner
    if standardise:
        seen, density = in_units(data, inner, density)
    start_at_mean(outer.output, density, data)
    encoder, decoder = Conditional(seen, posterior), Conditional(outer, density)
    prior = posterior.default_prior() if parts.prior is None else parts.prior(latent_dim, encoder, context_dim)
    model = parts.model(encoder, decoder, prior) if parts.model else VAE(encoder, decoder, prior, context=context)
    return planned(data, model, parts, name, **shared)
