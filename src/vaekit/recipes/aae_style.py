r"""The adversarial autoencoder that is told the label."""

__all__ = ["aae_style"]

from typing import TYPE_CHECKING, Any, Literal

from vaekit.recipes.aae import adversarial_parts
from vaekit.recipes.compose import compose
from vaekit.recipes.sharing import sharing

if TYPE_CHECKING:
    from vaekit.plan import DataSpec, Plan


@sharing(compose, without=("warmup",), latent_dim=15, epochs=100)
def aae_style(
    data: "DataSpec",
    *,
    encoder: Literal["deterministic", "gaussian"] = "deterministic",
    generator: float = 30.0,
    rival_hidden: tuple[int, ...] = (1000, 1000),
    **shared: Any,
) -> "Plan":
    """Adversarial autoencoder whose decoder is told the label, so that the code holds the style alone.

    Adversarial autoencoders (Makhzani et al., 2015), section 4, with 15 units. All codes together are held to one
    prior, N(0, I), and there is no room in it for a label that the decoder has already. As in the recipe cvae the
    encoder is told too, where the paper's is not.

    Args:
        data: The data's shape and levels, and their classes or contexts.
        encoder: deterministic, whose codes are points; or gaussian, which draws them.
        generator: Weight of the encoder's loss against the discriminator, which is a nat or so where the distortion of
            an image is a hundred.
        rival_hidden: Widths of the discriminator's hidden layers.
    """
    from vaekit.recipes.build import context_of

    parts = adversarial_parts(
        shared["latent_dim"], "gaussian", encoder, generator, rival_hidden, context=context_of(data)
    )
    return compose(data, parts, **shared, warmup=0.0)
