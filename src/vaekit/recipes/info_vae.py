r"""The variational autoencoder that keeps the information in its code."""

__all__ = ["info_vae"]

from typing import TYPE_CHECKING, Any, Literal

from vaekit.recipes.compose import Parts, compose
from vaekit.recipes.sharing import sharing

if TYPE_CHECKING:
    from vaekit.plan import DataSpec, Plan


@sharing(compose, without=("warmup",), latent_dim=10)
def info_vae(
    data: "DataSpec",
    *,
    alpha: float = 0.0,
    scale: float = 10.0,
    kernel: Literal["rbf", "imq"] = "imq",
    **shared: Any,
) -> "Plan":
    """InfoVAE: the codes as a whole, and not each for itself, are held to the prior by a kernel discrepancy.

    InfoVAE: balancing learning and inference in variational autoencoders (Zhao, Song and Ermon, 2019); with alpha 1
    its MMD-VAE, which is also the Wasserstein autoencoder (Tolstikhin et al., 2018) of this kernel.

    Args:
        data: The data's shape and levels.
        alpha: Information that is wanted in the code: 1 - alpha weighs the rate.
        scale: The paper's lambda; alpha + scale - 1 weighs the discrepancy.
        kernel: rbf or imq, the inverse multiquadric.
    """
    from vaekit.objectives import InfoVAE

    # Where the rate has no weight, the bound says nothing about which weights to keep.
    plan = {"select": "last"} if alpha == 1 else {}
    parts = Parts(objective=lambda _: InfoVAE(alpha, scale, kernel), plan=plan)
    return compose(data, parts, **shared, warmup=0.0)
