r"""The deep recurrent attentive writer."""

__all__ = ["draw"]

from typing import TYPE_CHECKING, Any

from vaekit.recipes.compose import planned
from vaekit.recipes.sharing import sharing

if TYPE_CHECKING:
    from vaekit.plan import DataSpec, Plan


@sharing(planned, warmup=0.0, epochs=14, learning_rate=3e-3)
def draw(
    data: "DataSpec",
    *,
    glimpses: int = 10,
    latent_dim: int = 100,
    hidden: int = 256,
    attention: bool = True,
    read: int = 2,
    write: int = 5,
    likelihood: str = "auto",
    clip: float | None = 5.0,
    nll_samples: int = 10,
    **shared: Any,
) -> "Plan":
    """DRAW: a canvas drawn step by step through a window of attention, by two recurrent networks that take turns.

    DRAW: A recurrent neural network for image generation (Gregor et al., 2015). Published on binarised MNIST with
    Adam, 64 glimpses, 256 hidden units, 100 latents a glimpse, a window of 2 by 2 to read and of 5 by 5 to write: a
    bound of at most 80.97 nats, and without attention 87.40. For these pass --data mnist-static --glimpses 64 and
    many more epochs, on a GPU. The defaults take a core about half an hour.

    Args:
        data: The data's shape and levels: images.
        glimpses: Steps, each with a latent of its own.
        latent_dim: Size of the latent of one glimpse.
        hidden: Size of the encoder's and of the decoder's memory.
        attention: Read and write through windows; otherwise all of the image at once.
        read: Filters along a side of the window that is read.
        write: Filters along a side of the window that is written.
        likelihood: bernoulli, continuous-bernoulli, gaussian (variance learned), gaussian-pixel (variance learned
            for each pixel), squared-error (variance 1), or auto.
        clip: Largest norm of the gradient.
        nll_samples: Importance samples for the test NLL at the end, each of which is a pass through all glimpses.
    """
    from vaekit.distributions import likelihood as likelihood_of
    from vaekit.errors import RequestError
    from vaekit.models import DRAW, DrawDecoder, DrawEncoder
    from vaekit.recipes.build import start_at_mean
    from vaekit.recipes.compose import Parts

    if len(data.shape) != 3:
        raise RequestError(
            f"{data.name} has examples of shape {data.shape}; expected images, (channels, height, width), to draw: "
            "pass --data mnist-static, say, or use the recipe vae"
        )
    for name, value in (("glimpses", glimpses), ("latent-dim", latent_dim), ("hidden", hidden)):
        if value < 1:
            raise RequestError(f"{name} is {value}; expected at least 1: pass --{name} 10, say")
    name = data.suggested if likelihood == "auto" else likelihood
    density = likelihood_of(name, data.shape)
    encoder = DrawEncoder(data.shape, latent_dim, hidden, read if attention else None)
    decoder = DrawDecoder(density, latent_dim, glimpses, hidden, write if attention else None)
    start_at_mean(decoder.canvas, density, data)
    return planned(data, DRAW(encoder, decoder), Parts(plan={"clip": clip}), name, **shared)
