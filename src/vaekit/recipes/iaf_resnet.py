r"""The residual network with an inverse autoregressive flow."""

__all__ = ["iaf_resnet"]

from typing import TYPE_CHECKING, Any

from vaekit.recipes.compose import Parts, compose
from vaekit.recipes.sharing import sharing

if TYPE_CHECKING:
    from vaekit.distributions import Posterior
    from vaekit.plan import DataSpec, Plan


@sharing(
    compose,
    latent_dim=32,
    network="resnet",
    channels=(16, 32, 32),
    hidden=(450,),
    activation="elu",
    learning_rate=2e-3,
)
def iaf_resnet(data: "DataSpec", *, transforms: int = 2, width: int = 320, blocks: int = 2, **shared: Any) -> "Plan":
    """A deep residual network whose posterior is an inverse autoregressive flow.

    Improving variational inference with inverse autoregressive flow (Kingma et al., 2016), in its spirit on the scale
    that the arguments say. Published on dynamically binarised MNIST: 81.08 with a diagonal posterior; 79.10 with a
    flow of 8 transforms, 1,920 wide (128 importance samples).

    Args:
        data: The data's shape and levels.
        transforms: Length of the flow; 0 for the diagonal posterior.
        width: Hidden units of each of its autoregressive networks.
        blocks: Residual blocks at each size of the image.
    """
    from vaekit.distributions import DiagonalGaussian
    from vaekit.distributions.flows import FlowPosterior

    def posterior(latent_dim: int) -> "Posterior":
        if not transforms:
            return DiagonalGaussian(latent_dim)
        return FlowPosterior(latent_dim, "iaf", transforms, hidden=(width,))

    return compose(data, Parts(posterior=posterior, blocks=blocks), **shared)
