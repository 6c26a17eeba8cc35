r"""Variational auto-encoded regression."""

__all__ = ["vaer"]

from typing import TYPE_CHECKING, Any, Literal

from vaekit.errors import RequestError
from vaekit.recipes.compose import Parts, compose
from vaekit.recipes.sharing import sharing

if TYPE_CHECKING:
    from torch import nn

    from vaekit.models import VAERegression
    from vaekit.objectives import LatentRegression
    from vaekit.plan import DataSpec, Plan
    from vaekit.schedules import Schedule

Kernel = Literal["rbf", "matern-1/2", "matern-3/2", "matern-5/2"]


@sharing(compose, epochs=200, latent_dim=8, warmup=0.0)
def vaer(
    data: "DataSpec",
    *,
    kernel: Kernel = "rbf",
    length_scale: float = 1.5,
    variances: Literal["noise", "scale", "none"] = "noise",
    hyperparameters: Literal["fixed", "marginal"] = "marginal",
    inducing: int | None = None,
    weight: float = 1.0,
    fine_tune: float = 0.5,
    every: int = 2,
    window: int = 50,
    beta: float = 1.0,
    **shared: Any,
) -> "Plan":
    """VAER: regression of high-dimensional outputs by a Gaussian process in the latent space of a VAE.

    Variational auto-encoded regression (Yoo et al., 2017), in its two stages: the auto-encoder by itself, then
    fine-tuned through the regression, on windows of rows of which some are hidden and regressed from the others. The
    published kernel is --variances scale with --hyperparameters fixed. Its paper has no table that could be read; its
    batches, weights and length scale are ours. It wants an .npz file with outputs x, inputs c, one row each.

    Args:
        data: The data's shape and levels.
        kernel: Of the Gaussian process: rbf, matern-1/2, matern-3/2 or matern-5/2.
        length_scale: Of the kernel, in distances of neighbouring inputs.
        variances: How a code's posterior variance enters: noise, added to the diagonal; scale, the published kernel;
            none, codes are exact.
        hyperparameters: Of the kernel after training: fixed as they are, or by the marginal likelihood of the codes.
        inducing: Number of inducing points, for sequences of more rows; the exact solve by default.
        weight: Of the regression in fine-tuning; 0 for an autoencoder with a Gaussian process fitted afterwards.
        fine_tune: Part of the epochs that fine-tune.
        every: One row in so many of a batch is hidden, and regressed from the others.
        window: Rows of a sequence that stay together in a batch.
        beta: Weight of the rate after its warm-up.
    """
    from vaekit.data.order import Windows
    from vaekit.distributions.gaussian_process import GaussianProcess
    from vaekit.models import VAERegression
    from vaekit.networks.inputs import Inputs
    from vaekit.objectives import LatentRegression
    from vaekit.regression import Calibration, MarginalLikelihood
    from vaekit.schedules import Switch

    if not 0 < fine_tune <= 1:
        raise RequestError(f"fine_tune is {fine_tune}; expected a part of the epochs, above 0 and at most 1: pass 0.5")
    inputs = Inputs.of(data)
    process = GaussianProcess(kernel, length_scale=length_scale, variances=variances, inducing=inducing)
    joins = Switch((1 - fine_tune) * shared["epochs"], after=weight)

    def model(encoder: "nn.Module", decoder: "nn.Module", prior: "nn.Module") -> "VAERegression":
        return VAERegression(encoder, decoder, prior, inputs, process)

    def objective(rate: "Schedule") -> "LatentRegression":
        return LatentRegression(rate, joins, every=every)

    fitted = (MarginalLikelihood(),) if hyperparameters == "marginal" else ()
    parts = Parts(
        model=model,
        objective=objective,
        context=(inputs, inputs.size),
        decoder_told=False,
        beta=beta,
        plan={"order": Windows(window), "stages": (*fitted, Calibration()), "select": "last"},
    )
    shared["batch_size"] = min(shared["batch_size"], data.size or shared["batch_size"])
    return compose(data, parts, **shared)
