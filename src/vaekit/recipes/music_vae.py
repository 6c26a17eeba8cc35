r"""MusicVAE: melodies from an LSTM that reads a code, or from one for each bar under a conductor."""

__all__ = ["music_vae", "music_vae_2bar", "music_vae_16bar", "music_vae_16bar_flat"]

import math
from typing import TYPE_CHECKING, Any

from vaekit.recipes.compose import planned
from vaekit.recipes.sharing import sharing

if TYPE_CHECKING:
    from torch import nn

    from vaekit.plan import DataSpec, Plan


@sharing(planned, without=("transform", "warmup"))
def music_vae(
    data: "DataSpec",
    decoder: "nn.Module",
    code_shape: tuple[int, int],
    *,
    bars: int = 2,
    latent_dim: int = 128,
    hidden: int = 256,
    layers: int = 1,
    decoder_hidden: int = 256,
    decoder_layers: int = 1,
    beta: float = 0.2,
    beta_rate: float = 0.0,
    free_bits: float = 0.0,
    sampling: float = 0.0,
    transpose: int = 5,
    updates: int = 20_000,
    **shared: Any,
) -> "Plan":
    """Return the plan of a VAE of melodies, whose decoder's network gives codes to an LSTM of symbols.

    Args:
        bars: Bars of a melody, of 16 steps each; the data have to have as many.
        latent_dim: Size of z.
        hidden: Units of the encoder's LSTM, in each direction.
        layers: LSTMs in the encoder, one above the other.
        decoder_hidden: Units of the LSTM that gives symbols.
        decoder_layers: LSTMs in the decoder, one above the other.
        beta: Weight of the rate, which is nowhere else than in the loss.
        beta_rate: What is left of the way to that weight from 0 after an update; 0 to start with all of it.
        free_bits: Bits of a melody's rate that cost nothing.
        sampling: Constant of the scheduled sampling, in updates: the smaller, the sooner the decoder hears itself; 0
            for never. The training loss is then no bound; what is reported is.
        transpose: Semitones by which melodies that are trained on are moved at most, each by another at every visit.
        updates: How many updates the rates above, that of the learning rate, 0.9999, and the scheduled sampling are
            laid out for: a shorter training goes through all of it faster, and a longer one slower. 50,000 and for 16
            bars 100,000 were reported, of which the learning rate is small for most; 0 to count updates as they are.
    """
    from vaekit.data.augmentation import Transpose
    from vaekit.data.transforms import Identity
    from vaekit.distributions import Conditional, DiagonalGaussian, RecurrentLikelihood, StandardNormal
    from vaekit.models import VAE
    from vaekit.networks import RecurrentEncoder
    from vaekit.objectives import FreeBits
    from vaekit.plan import Plan
    from vaekit.schedules import Constant, Exponential

    levels = _check(data, bars)
    epochs: int = max(1, shared["epochs"])
    total: int = epochs * max(1, data.size // max(1, shared["batch_size"]))
    pace = updates / total if updates else 1.0
    posterior = DiagonalGaussian(latent_dim)
    likelihood = RecurrentLikelihood(
        data.shape, levels, code_shape, decoder_hidden, decoder_layers, sampling=sampling or None, pace=pace
    )
    start_at_frequencies(likelihood.network.output, data)
    model = VAE(
        Conditional(RecurrentEncoder(data.shape, posterior.parameter_shape, levels, hidden, layers), posterior),
        Conditional(decoder, likelihood),
        StandardNormal(latent_dim),
    )

    def span(rate: float) -> float:
        """Epochs after which 1/e is left, at what is left after an update."""
        return -epochs / (math.log(rate) * pace * total)

    weight = Exponential(span(beta_rate), end=beta) if beta_rate else Constant(beta)
    model.objective = FreeBits(free_bits * math.log(2), "total", "example", beta=weight)
    return Plan(
        model,
        Identity(),
        **shared,
        schedule=Exponential(span(_LEARNING_RATE), 1.0, _FLOOR),
        augment=Transpose(transpose) if transpose else None,
        clip=1.0,
        select="last",
    )


_LEARNING_RATE = 0.9999  # what is left of the way to its end after an update
_FLOOR = 0.01  # of the learning rate


def _check(data: "DataSpec", bars: int) -> int:
    from vaekit.errors import RequestError
    from vaekit.music.tokens import STEPS_PER_BAR

    if bars < 1:
        raise RequestError(f"bars is {bars}; expected at least 1: pass --bars 2, say")
    if len(data.shape) != 1 or data.levels is None or data.suggested != "categorical":
        raise RequestError(
            f"{data.name} has examples of shape {data.shape}; expected melodies, symbols of one axis: pass --data "
            "melodies, or files of MIDI"
        )
    steps = data.shape[0]
    if steps != bars * STEPS_PER_BAR:
        whole, rest = divmod(steps, STEPS_PER_BAR)
        other = "" if rest or not whole else f", or --bars {whole}"
        raise RequestError(
            f"{data.name} has melodies of {steps} steps; expected {bars} bars of {STEPS_PER_BAR}: pass "
            f"--data-options '{{\"bars\": {bars}}}'{other}"
        )
    return data.levels


def start_at_frequencies(output: "nn.Linear", data: "DataSpec") -> None:
    r"""Set the decoder's last bias so that, before any training, symbols are about as frequent as in the data."""
    import numpy as np
    import torch

    if data.examples is None or not len(data.examples):
        return
    counts = np.bincount(np.asarray(data.examples.x[:]).astype(np.int64).ravel(), minlength=len(output.bias)) + 1.0
    with torch.no_grad():
        output.bias.copy_(torch.from_numpy(np.log(counts / counts.sum())))


def _flat(latent_dim: int) -> "tuple[nn.Module, tuple[int, int]]":
    """The code of the one part of a melody is z itself."""
    from torch import nn

    return nn.Unflatten(1, (1, latent_dim)), (1, latent_dim)


@sharing(music_vae, bars=2, beta=0.5, beta_rate=0.99999, sampling=1000.0, batch_size=128)
def music_vae_2bar(data: "DataSpec", **shared: Any) -> "Plan":
    """MusicVAE of two bars: a bidirectional LSTM reads a melody, another one writes it.

    A hierarchical latent vector model for learning long-term structure in music (Roberts et al., 2018). Their released
    model of two bars has 2,048 units a direction in its encoder, three LSTMs of 2,048 in its decoder, z of 512,
    batches of 512; its weight of the rate rises to 0.5, its scheduled sampling has the constant 1,000 and its data are
    moved by up to 5 semitones. For that pass --hidden 2048 --decoder-hidden 2048 --decoder-layers 3 --latent-dim 512
    --batch-size 512. Reported on melodies of the web: 0.986 of the symbols right given those before, 0.951 given none.

    Args:
        data: The data's shape and levels.
    """
    return music_vae(data, *_flat(shared["latent_dim"]), **shared)


@sharing(music_vae, bars=16, free_bits=256.0, batch_size=64)
def music_vae_16bar(
    data: "DataSpec",
    *,
    conductor_hidden: int = 256,
    conductor_layers: int = 1,
    embedding: int = 128,
    **shared: Any,
) -> "Plan":
    """MusicVAE of sixteen bars, hierarchical: a conductor gives each bar a code, of which alone it is made.

    A hierarchical latent vector model for learning long-term structure in music (Roberts et al., 2018). A bar knows
    nothing of the others but by its code, so that what holds for the whole melody has to be in z; and all bars are
    trained at once. Their model has two LSTMs of 2,048 units a direction in its encoder, two of 1,024 each in
    conductor and decoder, z of 512, batches of 512, and always the true symbol before: for that pass --hidden 2048
    --layers 2 --conductor-hidden 1024 --conductor-layers 2 --embedding 512 --decoder-hidden 1024 --decoder-layers 2
    --latent-dim 512 --batch-size 512. Reported on melodies of the web: 0.919 of the symbols right given those before,
    0.812 given none.

    Args:
        data: The data's shape and levels.
        conductor_hidden: Units of the conductor's LSTM, which takes one step a bar.
        conductor_layers: LSTMs in the conductor, one above the other.
        embedding: Size of the code of a bar.
    """
    from vaekit.networks import Conductor

    shape = (max(1, shared["bars"]), embedding)
    conductor = Conductor(shared["latent_dim"], shape, conductor_hidden, conductor_layers)
    return music_vae(data, conductor, shape, **shared)


@sharing(music_vae, bars=16, free_bits=256.0, batch_size=64)
def music_vae_16bar_flat(data: "DataSpec", **shared: Any) -> "Plan":
    """MusicVAE of sixteen bars, flat: one LSTM writes all of a melody, as what the hierarchical one is held against.

    A hierarchical latent vector model for learning long-term structure in music (Roberts et al., 2018). Their model
    has two LSTMs of 2,048 units a direction in its encoder, three of 2,048 in its decoder, z of 512, batches of 512,
    and always the true symbol before: for that pass --hidden 2048 --layers 2 --decoder-hidden 2048 --decoder-layers 3
    --latent-dim 512 --batch-size 512. Reported on melodies of the web: 0.883 of the symbols right given those before,
    and 0.620 given none.

    Args:
        data: The data's shape and levels.
    """
    return music_vae(data, *_flat(shared["latent_dim"]), **shared)
