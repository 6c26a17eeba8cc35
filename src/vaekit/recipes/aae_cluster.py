r"""The adversarial autoencoder that clusters."""

__all__ = ["aae_cluster"]

from typing import TYPE_CHECKING, Any

from vaekit.recipes.aae_semi import categorical_parts
from vaekit.recipes.compose import compose
from vaekit.recipes.sharing import sharing

if TYPE_CHECKING:
    from vaekit.plan import DataSpec, Plan


@sharing(compose, without=("warmup", "latent_dim"), hidden=(600, 600), activation="relu", epochs=60)
def aae_cluster(
    data: "DataSpec",
    *,
    categories: int = 30,
    style_dim: int = 3,
    category_generator: float = 2.0,
    style_generator: float = 1.0,
    warmup: float | None = None,
    noise_level: float = 0.3,
    rival_hidden: tuple[int, ...] = (200, 200),
    rival_learning_rate: float = 5e-4,
    **shared: Any,
) -> "Plan":
    """Adversarial autoencoder that clusters: its code is one of several categories, by softmax, and the style.

    Adversarial autoencoders (Makhzani et al., 2015), section 6: the recipe aae-semi without a label. One
    discriminator holds the categories to one-hot vectors, all equally likely, another the style to N(0, I). Reported
    on MNIST with 16 and 30 categories: 9.55 and 4.10 % of the test digits in a cluster of another digit, each cluster
    being named after the validation digit that is surest to be in it. `vaekit evaluate --metrics classification`
    tells ours.

    Args:
        data: The data's shape and levels.
        categories: Number of clusters.
        style_dim: Units of the style. The default was chosen on MNIST by how many digits are in wrong clusters, which
            takes labels; without them there is no telling.
        category_generator: Weight of the encoder's loss against the discriminator of categories.
        style_generator: Weight of its loss against the discriminator of styles.
        warmup: Epochs over which category_generator rises from 0; by default 1, or half of all if that is less.
        noise_level: Standard deviation of the noise on what the encoder sees in training.
        rival_hidden: Widths of the hidden layers of each discriminator.
        rival_learning_rate: Adam's first step size for the discriminators.
    """
    parts = categorical_parts(
        categories,
        style_dim,
        (category_generator, style_generator),
        rival_hidden,
        rival_learning_rate,
        noise_level,
        min(1.0, max(shared["epochs"], 0) / 2) if warmup is None else warmup,
    )
    return compose(data, parts, **shared, latent_dim=categories + style_dim, warmup=0.0)
