r"""The two-layer network of Burda, Grosse and Salakhutdinov."""

__all__ = ["hierarchical"]

from typing import TYPE_CHECKING, Any

from vaekit.recipes.compose import Parts, planned
from vaekit.recipes.sharing import sharing

if TYPE_CHECKING:
    from vaekit.plan import DataSpec, Plan


@sharing(planned)
def hierarchical(
    data: "DataSpec",
    *,
    k: int = 1,
    latent_dims: tuple[int, ...] = (100, 50),
    hidden: tuple[int, ...] = (200, 100),
    activation: str = "tanh",
    likelihood: str = "auto",
    **shared: Any,
) -> "Plan":
    """A variational autoencoder with two layers of latents.

    Importance weighted autoencoders (Burda, Grosse and Salakhutdinov, 2016): x, 200, 200, z1 of 100, 100, 100, z2 of
    50, with tanh. Published on dynamically binarised MNIST, after 3,280 epochs: 85.33 for k=1, 82.90 for k=50.

    Args:
        data: The data's shape and levels.
        k: Importance samples in the bound that is trained; 1 is the plain bound, and only that has a warm-up.
        latent_dims: Sizes of z1 and z2.
        hidden: Widths of the two hidden layers between x and z1, and of the two between z1 and z2.
        activation: Between layers: tanh, relu, leaky-relu, gelu, silu, elu, softplus or sigmoid.
        likelihood: As in the recipe vae.
    """
    from vaekit.distributions import Chain, Conditional, DiagonalGaussian, StandardNormal
    from vaekit.distributions import likelihood as likelihood_of
    from vaekit.errors import RequestError
    from vaekit.models import VAE
    from vaekit.networks import MLP, Leading
    from vaekit.objectives import ELBO, ImportanceWeighted
    from vaekit.recipes.build import in_units, start_at_mean

    if len(latent_dims) != 2 or len(hidden) != 2:
        raise RequestError(
            f"latent_dims are {latent_dims} and hidden {hidden}; expected two numbers of each, one for each layer: "
            "pass --latent-dims 100,50 --hidden 200,100"
        )
    if k != 1 and shared["warmup"]:
        raise RequestError(
            f"warmup is {shared['warmup']:g} with k={k}; the importance-weighted bound has no rate to weigh: pass --k 1"
        )
    (one, two), (wide, narrow) = latent_dims, hidden
    name = data.suggested if likelihood == "auto" else likelihood
    low, high, density = DiagonalGaussian(one), DiagonalGaussian(two), likelihood_of(name, data.shape)
    generator = MLP((one,), density.parameter_shape, (wide, wide), activation)
    encoder, density = in_units(data, MLP(data.shape, low.parameter_shape, (wide, wide), activation), density)
    start_at_mean(generator.output, density, data)
    model = VAE(
        Chain(
            Conditional(encoder, low),
            Conditional(MLP((one,), high.parameter_shape, (narrow, narrow), activation), high),
        ),
        Conditional(Leading(one, generator), density),
        Chain(
            StandardNormal(two),
            Conditional(MLP((two,), low.parameter_shape, (narrow, narrow), activation), low),
            reverse=True,
        ),
    )
    parts = Parts(objective=lambda weight: ELBO(weight) if k == 1 else ImportanceWeighted(k))
    return planned(data, model, parts, name, **(shared if k == 1 else {**shared, "warmup": 0.0}))
