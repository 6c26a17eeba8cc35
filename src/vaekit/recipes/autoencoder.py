r"""The autoencoder, plain, denoising or contractive."""

__all__ = ["Density", "autoencoder", "density_parts"]

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from vaekit.recipes.compose import Parts, compose
from vaekit.recipes.sharing import sharing

if TYPE_CHECKING:
    from torch import nn

    from vaekit.objectives import Reconstruction
    from vaekit.plan import DataSpec, Plan

Density = Literal["none", "gaussian", "mixture", "flow"]
EXACT = 8  # units of the code up to which the contraction is exact


def density_parts(objective: "Reconstruction", density: str) -> Parts:
    r"""Return the parts of an autoencoder whose prior is fitted to the codes after the training.

    Arguments:
        objective: What is minimised.
        density: "gaussian", "mixture" of 10 components, "flow" of splines, or "none", which leaves N(0, I).

    Raises:
        RequestError: If there is no such density.
    """
    from functools import partial

    from vaekit.distributions import FullMixturePrior, Point
    from vaekit.objectives.base import choice
    from vaekit.stages import ExPostDensity

    def flow(latent_dim: int) -> "nn.Module":
        from vaekit.distributions.fitted_flow import FittedFlow

        return FittedFlow(latent_dim)

    kinds: dict[str, Callable[[int], nn.Module]] = {
        "gaussian": partial(FullMixturePrior, components=1),
        "mixture": partial(FullMixturePrior, components=10),
        "flow": flow,
    }
    if choice("density", density, ("none", *kinds)) == "none":
        return Parts(posterior=Point, objective=lambda _: objective)
    return Parts(
        posterior=Point,
        prior=lambda latent_dim, encoder, context_dim: kinds[density](latent_dim),
        objective=lambda _: objective,
        plan={"stages": (ExPostDensity(),)},
    )


@sharing(compose, without=("warmup",))
def autoencoder(
    data: "DataSpec",
    *,
    noise: Literal["none", "gaussian", "masking"] = "none",
    noise_level: float = 0.25,
    contraction: float = 0.0,
    density: Density = "mixture",
    **shared: Any,
) -> "Plan":
    """An autoencoder: a code without a rate, and a density of the codes fitted afterwards.

    Extracting and composing robust features with denoising autoencoders (Vincent et al., 2008) for the noise;
    Contractive auto-encoders (Rifai et al., 2011) for the contraction; From variational to deterministic autoencoders
    (Ghosh et al., 2020) for the density, without which there is nothing to sample from. It gives no likelihood: a
    point has no density.

    Args:
        data: The data's shape and levels.
        noise: On what the encoder sees in training: gaussian, masking (entries set to 0), or none.
        noise_level: The Gaussian's standard deviation, or the share that is masked.
        contraction: Weight of the squared norm of the encoder's Jacobian, which is exact up to 8 units of the code
            and estimated from one random direction for more.
        density: Of the codes, fitted after the training: gaussian, with a full covariance; mixture, of 10 such; flow,
            of splines; or none, to sample from N(0, I), of which the codes know nothing.
    """
    from vaekit.objectives import Reconstruction
    from vaekit.objectives.base import choice
    from vaekit.objectives.reconstruction import GaussianNoise, Masking

    kinds = {"none": None, "gaussian": GaussianNoise, "masking": Masking}
    kind = kinds[choice("noise", noise, tuple(kinds))]
    probes = None if shared["latent_dim"] <= EXACT else 1
    objective = Reconstruction(
        contraction=contraction, probes=probes, noise=None if kind is None else kind(noise_level)
    )
    return compose(data, density_parts(objective, density), **shared, warmup=0.0)
