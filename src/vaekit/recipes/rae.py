r"""The regularised autoencoder."""

__all__ = ["rae"]

from typing import TYPE_CHECKING, Any

from vaekit.recipes.autoencoder import Density, density_parts
from vaekit.recipes.compose import compose
from vaekit.recipes.sharing import sharing

if TYPE_CHECKING:
    from vaekit.plan import DataSpec, Plan


@sharing(compose, without=("warmup",), latent_dim=16)
def rae(
    data: "DataSpec",
    *,
    code: float = 6.4e-3,
    decoder: float = 5.1e-5,
    density: Density = "mixture",
    **shared: Any,
) -> "Plan":
    """RAE-L2: an autoencoder held in bounds by the size of its code and of its decoder's weights.

    From variational to deterministic autoencoders (Ghosh et al., 2020). Published on MNIST, 16 units, batches of 100,
    100 epochs, Fréchet distances in Inception's features of reconstructions, samples of N(0, I) and of a mixture
    of 10: RAE-L2 10.53, 22.22, 8.69; AE 12.95, 58.73, 10.66; VAE 18.26, 19.21, 17.66. Their loss is the mean squared
    error of 1,024 pixels: for that pass --likelihood squared-error. The default weights are theirs, 1e-4 on the mean
    square of 16 units and 1e-7 on the decoder, in nats. It gives no likelihood: a point has no density.

    Args:
        data: The data's shape and levels.
        code: Weight of half the squared length of the code.
        decoder: Weight of the squared length of the decoder's weights, biases left out.
        density: Of the codes, fitted after the training: gaussian, with a full covariance; mixture, of 10 such; flow,
            of splines; or none, to sample from N(0, I).
    """
    from vaekit.objectives import Reconstruction

    return compose(data, density_parts(Reconstruction(code, decoder), density), **shared, warmup=0.0)
