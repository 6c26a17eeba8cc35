r"""The conditional variational autoencoder."""

__all__ = ["cvae"]

from typing import TYPE_CHECKING, Any, Literal

from vaekit.recipes.compose import Parts, compose
from vaekit.recipes.sharing import sharing

if TYPE_CHECKING:
    from torch import nn

    from vaekit.plan import DataSpec, Plan


@sharing(compose, latent_dim=16, warmup=0.0)
def cvae(
    data: "DataSpec", *, prior: Literal["standard", "conditional"] = "standard", beta: float = 3.0, **shared: Any
) -> "Plan":
    """A conditional variational autoencoder: of images given their class, or whatever else is known of them.

    Learning structured output representation using deep conditional generative models (Sohn, Lee and Yan, 2015);
    Semi-supervised learning with deep generative models (Kingma et al., 2014). The context, a label, a vector or an
    image, reaches encoder, prior and decoder alike. With the standard prior z is what the context does not tell, the
    style: decoded with another context, it stays.

    Args:
        data: The data's shape and levels, and their classes or contexts.
        prior: standard, N(0, I) whatever the context; or conditional, a Gaussian that a network gives for it.
        beta: Weight of the rate. 1 trains the bound itself, for the best likelihood; above it the code holds less, so
            that samples are what was told, and styles go through the classes.
    """
    from vaekit.distributions import ConditionalPrior, DiagonalGaussian
    from vaekit.networks import MLP
    from vaekit.recipes.build import context_of

    def given_context(latent_dim: int, encoder: "nn.Module", context_dim: int) -> "nn.Module":
        head = DiagonalGaussian(latent_dim)
        return ConditionalPrior(MLP((context_dim,), head.parameter_shape, (128,)), head)

    own = given_context if prior == "conditional" else None
    return compose(data, Parts(prior=own, context=context_of(data), beta=beta), **shared)
