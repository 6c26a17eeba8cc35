r"""Kingma and Welling's network on MNIST."""

__all__ = ["aevb"]

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from vaekit.plan import DataSpec, Plan


def aevb(
    data: "DataSpec",
    *,
    latent_dim: int = 2,
    hidden: int = 500,
    likelihood: str = "auto",
    estimator: Literal["analytic", "monte-carlo"] = "analytic",
    samples: int = 1,
    epochs: int = 100,
    batch_size: int = 100,
    learning_rate: float = 1e-3,
    patience: int = 3,
) -> "Plan":
    """The network of the paper that began it: 784-500-2 with tanh, stopped early.

    Auto-Encoding Variational Bayes (Kingma and Welling, 2014), with Adam in place of Adagrad and a two-dimensional
    latent space that can be looked at. The paper draws its step size from 0.01, 0.02 and 0.1, which suit Adagrad;
    pass --learning-rate 0.01 to see what Adam makes of it.

    Args:
        data: The data's shape and levels.
        latent_dim: Size of z.
        hidden: Width of the one hidden layer of encoder and decoder.
        likelihood: As in the recipe vae.
        estimator: analytic is the paper's estimator B, monte-carlo its estimator A.
        samples: Draws of z for each example, the paper's L.
        epochs: At most so many passes over the training data.
        batch_size: Examples in a step, the paper's M.
        learning_rate: Adam's step size.
        patience: Epochs without a better validation bound before training stops.
    """
    from vaekit.objectives import ELBO
    from vaekit.plan import Plan
    from vaekit.recipes.build import mlp_vae, transform_for

    name = data.suggested if likelihood == "auto" else likelihood
    return Plan(
        mlp_vae(data, latent_dim, (hidden,), "tanh", name, ELBO(1.0, samples, estimator)),
        transform_for(data, "auto", name),
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        patience=patience,
    )
