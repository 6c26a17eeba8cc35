r"""The default: a variational autoencoder for any data."""

__all__ = ["vae"]

import math
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from vaekit.plan import DataSpec, Plan


def vae(
    data: "DataSpec",
    *,
    latent_dim: int = 24,
    network: Literal["auto", "mlp", "conv"] = "auto",
    hidden: tuple[int, ...] | None = None,
    channels: tuple[int, ...] = (32, 64, 64),
    activation: str = "leaky-relu",
    likelihood: str = "auto",
    transform: str = "auto",
    beta: float = 1.0,
    warmup: float | None = None,
    cycles: int = 1,
    estimator: Literal["analytic", "monte-carlo"] = "analytic",
    samples: int = 1,
    epochs: int = 20,
    batch_size: int = 100,
    learning_rate: float = 1e-3,
) -> "Plan":
    """A variational autoencoder with sensible defaults for your data.

    Trained with Adam, its learning rate falling along a cosine. Small examples get a multilayer perceptron, larger
    images a convolutional network. Sources: Auto-Encoding Variational Bayes (Kingma and Welling, 2014); beta-VAE
    (Higgins et al., 2017) for the weight on the rate.

    Args:
        data: The data's shape and levels.
        latent_dim: Size of z; units that the data do not need stay inactive.
        network: mlp, conv, or auto, which takes mlp up to 1,024 numbers an example and conv for larger images.
        hidden: Widths of the fully connected layers of the encoder; the decoder has them in reverse. By default
            one of 256 for conv, and for an mlp two of four times the numbers in an example, at most 500.
        channels: Channels of the encoder's convolutions; the decoder has them in reverse.
        activation: Between layers: tanh, relu, leaky-relu, gelu, silu, elu, softplus or sigmoid.
        likelihood: bernoulli, continuous-bernoulli, gaussian (variance learned), gaussian-pixel (variance learned
            for each pixel), squared-error (variance 1), or auto.
        transform: What the likelihood describes: scale (to 0..1), binarise (drawn anew every batch), dequantise, or
            auto, which binarises for bernoulli and scales otherwise.
        beta: Weight of the rate; 1 trains the bound itself.
        warmup: Epochs over which the weight rises from 0 to beta, so that units are not switched off before they are
            of use; 0 for none. By default a fifth of the epochs, at most 4, and none where the weight is cyclical.
        cycles: How often it rises; each rise is followed by as many epochs at full weight.
        estimator: analytic takes the KL divergence in closed form, monte-carlo from the draws.
        samples: Draws of z for each example.
        epochs: Passes over the training data.
        batch_size: Examples in a step.
        learning_rate: Adam's first step size.
    """
    from vaekit.errors import RequestError, nearest
    from vaekit.objectives import ELBO
    from vaekit.plan import Plan
    from vaekit.recipes.build import conv_vae, mlp_vae, rate_schedule, transform_for
    from vaekit.schedules import Cosine

    networks = ("auto", "mlp", "conv")
    if network not in networks:
        raise RequestError(
            f"unknown network {network!r}; expected one of {', '.join(networks)}.{nearest(network, networks)}"
        )
    name = data.suggested if likelihood == "auto" else likelihood
    if warmup is None:
        warmup = min(4.0, max(epochs, 0) / 5) if cycles == 1 else 0.0
    objective = ELBO(rate_schedule(beta, warmup, cycles), samples, estimator)
    size = math.prod(data.shape)
    dense = network == "mlp" or (network == "auto" and (len(data.shape) != 3 or size <= 1024))
    if hidden is None:  # an empty one asks for no hidden layer
        hidden = 2 * (min(500, 4 * size),) if dense else (256,)
    if dense:
        model = mlp_vae(data, latent_dim, hidden, activation, name, objective)
    else:
        model = conv_vae(data, latent_dim, channels, hidden, activation, name, objective)
    return Plan(
        model,
        transform_for(data, transform, name),
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        schedule=Cosine(epochs, floor=0.01),
    )
