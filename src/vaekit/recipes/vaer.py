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

_REAL = ("gaussian", "gaussian-pixel", "squared-error")  # likelihoods of real numbers
Kernel = Literal["matern", "matern-1/2", "matern-3/2", "matern-5/2", "rbf"]


@sharing(compose, epochs=200, latent_dim=8, warmup=0.0)
def vaer(
    data: "DataSpec",
    *,
    kernel: Kernel = "matern",
    length_scale: float = 1.5,
    residuals: bool = True,
    variances: Literal["noise", "scale", "none"] = "noise",
    hyperparameters: Literal["fixed", "outputs", "codes"] = "outputs",
    inducing: int | None = None,
    weight: float = 1.0,
    fine_tune: float = 0.8,
    keep: int = 2,
    noise: Literal["own", "decoder"] = "own",
    window: int = 50,
    beta: float = 1.0,
    **shared: Any,
) -> "Plan":
    """VAER: regression of high-dimensional outputs by a Gaussian process in the latent space of a VAE.

    Variational auto-encoded regression (Yoo et al., 2017), in its two stages: the auto-encoder by itself, then
    fine-tuned through the regression, on windows of rows of which some are hidden and regressed from the others. The
    published kernel is --kernel rbf --variances scale --hyperparameters fixed. Its paper has no table that could be
    read; its batches, weights and length scale are ours. It wants an .npz file with outputs x, inputs c, a row each.

    Args:
        data: The data's shape and levels.
        kernel: Of the Gaussian process: rbf, matern-1/2, matern-3/2 or matern-5/2; or matern, whose smoothness is
            chosen by the marginal likelihood of the outputs, and is 5/2 where hyperparameters are fixed.
        length_scale: Of the kernel, in distances of neighbouring inputs, where that is fixed, or to begin with.
        residuals: Regress, by a process of its own, what the decoder leaves of outputs that are real numbers.
        variances: How a code's posterior variance enters: noise, added to the diagonal; scale, the published kernel;
            none, codes are exact.
        hyperparameters: Of the kernels: fixed; outputs, by the marginal likelihood of the outputs before training; or
            codes, of these before and, in latent space, of the codes afterwards.
        inducing: Number of inducing points, for sequences of more rows; the exact solve by default.
        weight: Of the regression in fine-tuning; 0 for an autoencoder with a Gaussian process fitted afterwards.
        fine_tune: Part of the epochs that fine-tune.
        keep: One row in so many of a batch is kept in fine-tuning; the others are hidden, and regressed from it.
        noise: Of the regression in fine-tuning: its own, the likeliest, or the decoder's, as published.
        window: Rows of a sequence that stay together in a batch.
        beta: Weight of the rate after its warm-up.
    """
    import numpy as np
    import torch

    from vaekit.data.order import Windows
    from vaekit.distributions.gaussian_process import GaussianProcess
    from vaekit.models import VAERegression
    from vaekit.networks.inputs import Inputs
    from vaekit.objectives import LatentRegression
    from vaekit.regression import Calibration, MarginalLikelihood, fit_to_outputs, principal
    from vaekit.schedules import Switch

    if not 0 < fine_tune <= 1:
        raise RequestError(f"fine_tune is {fine_tune}; expected a part of the epochs, above 0 and at most 1: pass 0.8")
    inputs = Inputs.of(data)
    process = GaussianProcess(kernel, length_scale=length_scale, variances=variances, inducing=inducing)
    density = data.suggested if shared["likelihood"] == "auto" else shared["likelihood"]
    left = (
        GaussianProcess(kernel, length_scale=length_scale, inducing=inducing)
        if residuals and density in _REAL
        else None
    )
    # Outputs are centred as the model sees them; a saved model has its own.
    center = torch.zeros(data.shape) if data.mean is None else torch.from_numpy(np.asarray(data.mean)).float()
    ratio = 1e-2
    if hyperparameters != "fixed" and data.examples is not None and len(data.examples) > 1:
        smooth = GaussianProcess(kernel, length_scale=length_scale)
        given = torch.from_numpy(np.asarray(data.examples.given, np.float64))
        where = inputs.positions(given)
        ratio = fit_to_outputs(smooth, [(where[run], y) for run, y in principal(data.examples)])
        for each in (process, left):
            if each is not None:
                each.kernel.load_state_dict(smooth.kernel.state_dict())
    joins = Switch((1 - fine_tune) * shared["epochs"], after=weight)

    def model(encoder: "nn.Module", decoder: "nn.Module", prior: "nn.Module") -> "VAERegression":
        model = VAERegression(encoder, decoder, prior, inputs, process, residuals=left, center=center)
        model.noise.fill_(ratio)
        return model

    def objective(rate: "Schedule") -> "LatentRegression":
        return LatentRegression(rate, joins, keep=keep, noise=noise)

    fitted = (MarginalLikelihood(),) if hyperparameters == "codes" else ()
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
