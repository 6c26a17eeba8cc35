r"""The variational autoencoder with a planar-flow posterior."""

__all__ = ["planar_flow"]

from typing import TYPE_CHECKING, Any

from vaekit.recipes.compose import Parts, compose
from vaekit.recipes.sharing import sharing

if TYPE_CHECKING:
    from vaekit.plan import DataSpec, Plan


@sharing(compose, latent_dim=40)
def planar_flow(data: "DataSpec", *, transforms: int = 10, **shared: Any) -> "Plan":
    """A posterior bent by planar flows.

    Variational inference with normalizing flows (Rezende and Mohamed, 2015). Published on statically binarised MNIST,
    with 80 transforms: at most 85.10.

    Args:
        data: The data's shape and levels.
        transforms: Length of the flow. Long ones take minutes to compile: beyond some twenty pass --compile no.
    """
    from vaekit.distributions.flows import FlowPosterior

    return compose(data, Parts(posterior=lambda latent_dim: FlowPosterior(latent_dim, "planar", transforms)), **shared)
