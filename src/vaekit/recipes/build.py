r"""What the recipes share: parts put together, in the data's units, and a decoder that starts at their mean."""

__all__ = [
    "Decoder",
    "Encoder",
    "bound_of",
    "context_of",
    "in_units",
    "networks",
    "rate_schedule",
    "start_at_mean",
    "transform_for",
]

import math
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from vaekit.data.transforms import Binarise, Dequantise, Scale, Transform, default_transform
from vaekit.distributions import Gaussian, InUnits, Likelihood
from vaekit.errors import RequestError, nearest
from vaekit.networks import MLP, ConvDecoder, ConvEncoder, OneHot, ResidualDecoder, ResidualEncoder, Standardised
from vaekit.objectives import ELBO, ImportanceWeighted, Objective
from vaekit.plan import DataSpec
from vaekit.schedules import Constant, Cyclical, Linear, Schedule

_IMAGE_CONTEXT = 64  # numbers that an image is told in
Encoder = MLP | ConvEncoder | ResidualEncoder
Decoder = MLP | ConvDecoder | ResidualDecoder


def networks(
    kind: str,
    data_shape: Sequence[int],
    posterior_shape: Sequence[int],
    latent_dim: int,
    likelihood_shape: Sequence[int],
    *,
    hidden: Sequence[int] = (500,),
    channels: Sequence[int] = (32, 64, 64),
    activation: str = "relu",
    blocks: int = 2,
    glorot: bool = False,
    context_dim: int = 0,
    decoder_told: bool = True,
) -> tuple[Encoder, Decoder]:
    r"""Return an encoder's network and a decoder's, which retraces it.

    Arguments:
        kind: "mlp", "conv" or "resnet".
        data_shape: Shape of one example.
        posterior_shape: Shape of the posterior's parameters.
        latent_dim: Size of z.
        likelihood_shape: Shape of the likelihood's parameters.
        hidden: Widths of the fully connected layers of the encoder.
        channels: Channels of its convolutions.
        activation: Between layers.
        blocks: Residual blocks at each size of the image.
        glorot: Initialise as Glorot and Bengio (2010); for an mlp.
        context_dim: Size of a context vector.
        decoder_told: Whether the decoder gets it too.

    Raises:
        RequestError: If there is no such kind of network, or it does not take data of this shape.
    """
    kinds = ("mlp", "conv", "resnet")
    back, rehidden = tuple(reversed(channels)), tuple(reversed(hidden))
    told = context_dim if decoder_told else 0
    if kind not in kinds:
        raise RequestError(
            f"unknown network {kind!r}; expected one of auto, {', '.join(kinds)}.{nearest(kind, ('auto', *kinds))}"
        )
    if kind == "mlp":
        return (
            MLP(data_shape, posterior_shape, hidden, activation, glorot=glorot, context_dim=context_dim),
            MLP((latent_dim,), likelihood_shape, rehidden, activation, glorot=glorot, context_dim=told),
        )
    if kind == "conv":
        return (
            ConvEncoder(data_shape, posterior_shape, channels, hidden, activation, context_dim=context_dim),
            ConvDecoder((latent_dim,), likelihood_shape, back, rehidden, activation, context_dim=told),
        )
    return (
        ResidualEncoder(
            data_shape, posterior_shape, channels, hidden, activation, blocks=blocks, context_dim=context_dim
        ),
        ResidualDecoder((latent_dim,), likelihood_shape, back, rehidden, activation, blocks=blocks, context_dim=told),
    )


def context_of(data: DataSpec) -> tuple[nn.Module, int]:
    r"""Return what makes a vector of the data's context, and the vector's size.

    Labels become one-hot vectors and vectors stay; an image goes through a convolutional network that is learned.

    Raises:
        RequestError: If the data have neither labels nor contexts.
    """
    shape = data.context_shape
    if shape is None:
        if data.classes is None:
            raise RequestError(
                f"{data.name} has neither labels nor contexts to condition on; expected class numbers for the "
                "examples, or vectors or images: pass data that have them, such as mnist"
            )
        return OneHot(data.classes), data.classes
    if len(shape) == 3:
        return ConvEncoder(shape, (_IMAGE_CONTEXT,), (32, 64)), _IMAGE_CONTEXT
    return nn.Flatten(), math.prod(shape)


def in_units(data: DataSpec, encoder: nn.Module, density: Likelihood) -> tuple[nn.Module, Likelihood]:
    r"""Return an encoder's network and a likelihood that work in standard deviations from the data's mean.

    Entries of a vector have each their own, for one may be a price and the next an age; numbers of other shapes, such
    as images, have one for all. An entry that never changes is counted in ones. Levels are fractions already, and
    stay as they are, and so do likelihoods that are no Gaussians.
    """
    if data.levels is not None or not isinstance(density, Gaussian):
        return encoder, density
    shape = data.shape if len(data.shape) == 1 else (1,) * len(data.shape)
    mean, deviation = np.zeros(shape), np.ones(shape)
    if data.mean is not None and data.deviation is not None:
        mean, deviation = data.mean, data.deviation
        if len(data.shape) > 1:
            deviation = np.full(shape, math.sqrt(np.square(deviation).mean() + mean.var()))
            mean = np.full(shape, mean.mean())
        moves = deviation > 8 * np.finfo(np.float32).eps * np.abs(mean)  # by more than rounding
        deviation = np.where(moves, deviation, 1.0)
    origin, unit = (torch.from_numpy(numbers).float() for numbers in (mean, deviation))
    return Standardised(encoder, origin, unit), InUnits(density, origin.clone(), unit.clone())


@torch.no_grad()
def start_at_mean(output: nn.Module, head: Likelihood, data: DataSpec) -> None:
    r"""Set the decoder's last bias so that, before any training, it describes the mean of the data.

    A likelihood with logits gets those of the mean, which for the continuous Bernoulli is only near it. The last
    convolution has one bias for each channel, which gets the channel's mean.

    References:
        Importance weighted autoencoders (Burda, Grosse and Salakhutdinov, 2016), whose published code does this.
    """
    if data.mean is None:
        return
    mean = np.asarray(data.mean, dtype=np.float64)
    if isinstance(head, InUnits):
        mean = (mean - head.origin.double().numpy()) / head.unit.double().numpy()
    if cast(Tensor, output.bias).numel() < mean.size:
        mean = mean.mean((1, 2))
    if head.from_logits:
        mean = np.clip(mean, 1e-3, 1 - 1e-3)
        mean = np.log(mean / (1 - mean))
    bias = cast(Tensor, output.bias)
    bias.zero_()
    bias[: mean.size] = torch.from_numpy(mean.ravel()).to(bias)


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


def bound_of(k: int, warmup: float | None) -> tuple[Callable[[Schedule], Objective], float | None]:
    r"""Return the bound of k importance samples, from the weight of the rate, and the warm-up that it can have.

    Raises:
        RequestError: If the rate of several samples is to be weighed: their bound has none.
    """
    if k == 1:
        return ELBO, warmup
    if warmup:
        raise RequestError(
            f"warmup is {warmup:g} with k={k}; the importance-weighted bound has no rate to weigh: pass --k 1"
        )
    return lambda _: ImportanceWeighted(k), 0.0
