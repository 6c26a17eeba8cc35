r"""What the recipes share: parts put together, and a decoder that starts at the data's mean."""

__all__ = ["conv_vae", "mlp_vae", "rate_schedule", "start_at_mean", "transform_for"]

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn

from vaekit.data.transforms import Binarise, Dequantise, Scale, Transform, default_transform
from vaekit.distributions import Conditional, DiagonalGaussian, Likelihood, StandardNormal, likelihood
from vaekit.errors import RequestError, nearest
from vaekit.models import VAE
from vaekit.networks import MLP, ConvDecoder, ConvEncoder
from vaekit.objectives import Objective
from vaekit.plan import DataSpec
from vaekit.schedules import Constant, Cyclical, Linear, Schedule


def mlp_vae(
    data: DataSpec,
    latent_dim: int,
    hidden: Sequence[int],
    activation: str,
    likelihood_name: str,
    objective: Objective,
    *,
    glorot: bool = False,
) -> VAE:
    r"""A VAE of two multilayer perceptrons; the decoder's hidden layers are the encoder's in reverse."""
    posterior, model = DiagonalGaussian(latent_dim), likelihood(likelihood_name, data.shape)
    encoder = MLP(data.shape, posterior.parameter_shape, hidden, activation, glorot=glorot)
    decoder = MLP((latent_dim,), model.parameter_shape, tuple(reversed(hidden)), activation, glorot=glorot)
    start_at_mean(decoder.output, model, data)
    return VAE(Conditional(encoder, posterior), Conditional(decoder, model), StandardNormal(latent_dim), objective)


def conv_vae(
    data: DataSpec,
    latent_dim: int,
    channels: Sequence[int],
    hidden: Sequence[int],
    activation: str,
    likelihood_name: str,
    objective: Objective,
) -> VAE:
    r"""A VAE of two convolutional networks; the decoder retraces the encoder."""
    posterior, model = DiagonalGaussian(latent_dim), likelihood(likelihood_name, data.shape)
    back = tuple(reversed(channels))
    encoder = ConvEncoder(data.shape, posterior.parameter_shape, channels, hidden, activation)
    decoder = ConvDecoder((latent_dim,), model.parameter_shape, back, tuple(reversed(hidden)), activation)
    return VAE(Conditional(encoder, posterior), Conditional(decoder, model), StandardNormal(latent_dim), objective)


@torch.no_grad()
def start_at_mean(output: nn.Linear, head: Likelihood, data: DataSpec) -> None:
    r"""Set the decoder's last bias so that, before any training, it describes the mean of the data.

    A likelihood with logits gets those of the mean, which for the continuous Bernoulli is only near it.

    References:
        Importance weighted autoencoders (Burda, Grosse and Salakhutdinov, 2016), whose published code does this.
    """
    if data.mean is None:
        return
    mean = np.asarray(data.mean, dtype=np.float64)
    if head.from_logits:
        mean = np.clip(mean, 1e-3, 1 - 1e-3)
        mean = np.log(mean / (1 - mean))
    output.bias.zero_()
    output.bias[: mean.size] = torch.from_numpy(mean.ravel()).to(output.bias)


def transform_for(data: DataSpec, name: str, likelihood_name: str) -> Transform:
    r"""Return a transform by name; "auto" gives what suits the data and the likelihood."""
    if name == "auto":
        return default_transform(data, likelihood_name)
    known: dict[str, Callable[[int], Transform]] = {"scale": Scale, "binarise": Binarise, "dequantise": Dequantise}
    if name not in known:
        raise RequestError(f"unknown transform {name!r}; expected auto, {', '.join(known)}.{nearest(name, known)}")
    if data.levels is None:
        raise RequestError(
            f"transform {name!r} is for bytes or bits; {data.name} holds real numbers: pass --transform auto"
        )
    return known[name](data.levels)


def rate_schedule(beta: float, warmup: float, cycles: int) -> Schedule:
    r"""Return the weight of the rate over time: constant, one linear rise, or several."""
    if cycles < 1:
        raise RequestError(f"cycles is {cycles}; expected at least 1 rise of the weight: pass 1 or more")
    if not warmup:
        if cycles > 1:
            raise RequestError(
                f"cycles is {cycles} but warmup is 0, so the weight never rises: pass --warmup 5, say, or --cycles 1"
            )
        return Constant(beta)
    if cycles > 1:
        return Cyclical(period=2 * warmup, cycles=cycles, end=beta)
    return Linear(epochs=warmup, end=beta)
