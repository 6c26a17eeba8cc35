r"""Kingma and Welling's network on MNIST."""

__all__ = ["aevb"]

from typing import TYPE_CHECKING, Any, Literal

from vaekit.recipes.compose import Parts, compose
from vaekit.recipes.sharing import sharing

if TYPE_CHECKING:
    from vaekit.plan import DataSpec, Plan


@sharing(compose, without=("network", "channels", "warmup"), latent_dim=2, hidden=(500,), activation="tanh", epochs=100)
def aevb(
    data: "DataSpec",
    *,
    estimator: Literal["analytic", "monte-carlo"] = "analytic",
    samples: int = 1,
    patience: int = 3,
    **shared: Any,
) -> "Plan":
    """The network of the paper that began it: 784-500-2 with tanh, stopped early.

    Auto-Encoding Variational Bayes (Kingma and Welling, 2014), with Adam in place of Adagrad and a two-dimensional
    latent space that can be looked at. The paper draws its step size from 0.01, 0.02 and 0.1, which suit Adagrad;
    pass --learning-rate 0.01 to see what Adam makes of it.

    Args:
        data: The data's shape and levels.
        estimator: analytic is the paper's estimator B, monte-carlo its estimator A.
        samples: Draws of z for each example, the paper's L.
        patience: Epochs without a better validation bound before training stops.
    """
    from vaekit.objectives import ELBO
    from vaekit.schedules import Constant

    parts = Parts(
        objective=lambda weight: ELBO(weight, samples, estimator), plan={"patience": patience, "schedule": Constant()}
    )
    return compose(data, parts, network="mlp", warmup=0.0, **shared)
