r"""The default: a variational autoencoder for any data."""

__all__ = ["vae"]

from typing import TYPE_CHECKING, Any, Literal

from vaekit.recipes.compose import Parts, compose
from vaekit.recipes.sharing import sharing

if TYPE_CHECKING:
    from vaekit.plan import DataSpec, Plan


@sharing(compose)
def vae(
    data: "DataSpec",
    *,
    posterior: str = "gaussian",
    beta: float = 1.0,
    cycles: int = 1,
    estimator: Literal["analytic", "monte-carlo"] = "analytic",
    samples: int = 1,
    **shared: Any,
) -> "Plan":
    """A variational autoencoder with sensible defaults for your data.

    Trained with Adam, its learning rate falling along a cosine. Small examples get a multilayer perceptron, larger
    images a convolutional network. Sources: Auto-Encoding Variational Bayes (Kingma and Welling, 2014); beta-VAE
    (Higgins et al., 2017) for the weight on the rate.

    Args:
        data: The data's shape and levels.
        posterior: gaussian, full-gaussian, laplace, student-t, logistic, kumaraswamy, gumbel-softmax, log-normal,
            gamma or dirichlet; the prior lives in the same space, for the Gaussians N(0, I).
        beta: Weight of the rate; 1 trains the bound itself.
        cycles: How often it rises; each rise is followed by as many epochs at full weight.
        estimator: analytic takes the KL divergence in closed form, monte-carlo from the draws.
        samples: Draws of z for each example.
    """
    from vaekit.distributions import posterior as posterior_of
    from vaekit.objectives import ELBO

    return compose(
        data,
        Parts(
            posterior=lambda latent_dim: posterior_of(posterior, latent_dim),
            objective=lambda weight: ELBO(weight, samples, estimator),
            beta=beta,
            cycles=cycles,
        ),
        **shared,
    )
