r"""The adversarial autoencoder."""

__all__ = ["aae", "adversarial_parts"]

from typing import TYPE_CHECKING, Any, Literal

from vaekit.recipes.compose import Parts, compose
from vaekit.recipes.sharing import sharing

if TYPE_CHECKING:
    from torch import nn

    from vaekit.plan import DataSpec, Plan


def adversarial_parts(
    latent_dim: int,
    prior: str,
    encoder: str,
    generator: float,
    rival_hidden: tuple[int, ...],
    context: "tuple[nn.Module, int] | None" = None,
) -> Parts:
    r"""Return the parts of an adversarial autoencoder.

    Arguments:
        latent_dim: Size of z.
        prior: "gaussian", "mixture" or "swiss-roll".
        encoder: "deterministic" or "gaussian".
        generator: Weight of the encoder's loss against the discriminator.
        rival_hidden: Widths of the discriminator's hidden layers.
        context: What a context becomes, and how many numbers that is.

    Raises:
        RequestError: If there is no such prior or encoder.
    """
    from vaekit.distributions import DiagonalGaussian, Point, StandardNormal
    from vaekit.distributions.shaped import FlowerPrior, SwissRollPrior
    from vaekit.objectives import AdversarialPrior
    from vaekit.objectives.base import choice

    priors = {"gaussian": StandardNormal, "mixture": FlowerPrior, "swiss-roll": SwissRollPrior}
    encoders = {"deterministic": Point, "gaussian": DiagonalGaussian}
    shape = priors[choice("prior", prior, tuple(priors))]
    return Parts(
        posterior=encoders[choice("encoder", encoder, tuple(encoders))],
        prior=lambda latent_dim, encoder, context_dim: shape(latent_dim=latent_dim),
        objective=lambda _: AdversarialPrior(latent_dim, generator, rival_hidden),
        context=context,
        # The best reconstruction is not the best match of the prior, and averages over a long time do not follow one
        # who moves.
        plan={"select": "last", "phases": {"discriminator": {"betas": (0.5, 0.999)}}},
    )


@sharing(compose, without=("warmup",), latent_dim=2, epochs=100)
def aae(
    data: "DataSpec",
    *,
    prior: Literal["gaussian", "mixture", "swiss-roll"] = "gaussian",
    encoder: Literal["deterministic", "gaussian"] = "deterministic",
    generator: float = 30.0,
    rival_hidden: tuple[int, ...] = (1000, 1000),
    **shared: Any,
) -> "Plan":
    """Adversarial autoencoder: a discriminator holds the codes to a prior of any shape.

    Adversarial autoencoders (Makhzani et al., 2015). Of the prior nothing is needed but draws. The discriminator's
    accuracy is in the log; it falls to one half as the codes become the prior. With the deterministic encoder there
    is no likelihood: a point has no density.

    Args:
        data: The data's shape and levels.
        prior: gaussian, N(0, I); or in the plane mixture, of 10 Gaussians like petals, or swiss-roll.
        encoder: deterministic, whose codes are points; or gaussian, which draws them.
        generator: Weight of the encoder's loss against the discriminator, which is a nat or so where the distortion of
            an image is a hundred.
        rival_hidden: Widths of the discriminator's hidden layers.
    """
    parts = adversarial_parts(shared["latent_dim"], prior, encoder, generator, rival_hidden)
    return compose(data, parts, **shared, warmup=0.0)
