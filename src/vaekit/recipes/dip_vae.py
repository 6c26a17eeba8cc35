r"""The variational autoencoder whose codes are uncorrelated."""

__all__ = ["dip_vae"]

from typing import TYPE_CHECKING, Any, Literal

from vaekit.recipes.compose import Parts, compose
from vaekit.recipes.sharing import sharing

if TYPE_CHECKING:
    from vaekit.plan import DataSpec, Plan


@sharing(compose, latent_dim=10)
def dip_vae(
    data: "DataSpec",
    *,
    variant: Literal["i", "ii"] = "ii",
    off_diagonal: float = 10.0,
    diagonal: float = 10.0,
    **shared: Any,
) -> "Plan":
    """The DIP-VAE: the covariance of the codes is held to the identity.

    Variational inference of disentangled latent concepts from unlabeled observations (Kumar, Sattigeri and
    Balakrishnan, 2018).

    Args:
        data: The data's shape and levels.
        variant: i, on the means of the posterior, or ii, on its draws.
        off_diagonal: What a covariance costs, squared.
        diagonal: What a variance off 1 costs, squared.
    """
    from vaekit.objectives import DIP

    return compose(data, Parts(objective=lambda weight: DIP(variant, off_diagonal, diagonal, beta=weight)), **shared)
