r"""A kernel's hyperparameters by the marginal likelihood of the codes."""

__all__ = ["MarginalLikelihood", "maximise_marginal"]

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vaekit.data.transforms import Transform
from vaekit.distributions.gaussian_process import GaussianProcess
from vaekit.models.base import LatentVariableModel
from vaekit.models.regression import VAERegression
from vaekit.regression.prediction import observed

if TYPE_CHECKING:
    from vaekit.data import Dataset

_BLOCK = 128  # points in a block; a factor costs the cube of it
_BLOCKS = 8

Points = tuple[Tensor, Tensor, Tensor | None]


def maximise_marginal(process: GaussianProcess, blocks: Sequence[Points], steps: int = 12) -> float:
    r"""Set a process's kernel to the maximum of the log marginal likelihood, and return that, in nats per number.

    Blocks of points are taken as independent: the sum of their likelihoods is what is maximised, by L-BFGS, from the
    hyperparameters that the kernel has. Where that leads nowhere better the kernel stays as it is.

    Arguments:
        process: The Gaussian process.
        blocks: Inputs, points and their variances, or None: shapes `(n, d)`, `(n, latent_dim)`, `(n, latent_dim)`.
        steps: Iterations, at most.

    Example:
        >>> x = torch.linspace(0, 20, 60)[:, None]
        >>> process = GaussianProcess(length_scale=1.0)
        >>> _ = maximise_marginal(process, [(x, torch.sin(x), torch.full_like(x, 1e-4))])
        >>> 1.5 < process.kernel.lengthscale.item() < 4
        True
    """
    count = sum(z.numel() for _, z, _ in blocks)
    parameters = list(process.kernel.parameters())
    before = [p.detach().clone() for p in parameters]
    optimizer = torch.optim.LBFGS(parameters, max_iter=steps, max_eval=2 * steps, line_search_fn="strong_wolfe")

    def likelihood() -> Tensor:
        return torch.stack([process.log_marginal(x, z, v) for x, z, v in blocks]).sum() / count

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = -likelihood()
        loss.backward()
        return loss

    with torch.no_grad():
        first = float(likelihood())
    process.kernel.requires_grad_(True)
    try:
        with torch.enable_grad():
            optimizer.step(closure)
    finally:
        process.kernel.requires_grad_(False)
        for p in parameters:
            p.grad = None
    with torch.no_grad():
        finite = all(bool(torch.isfinite(p).all()) for p in parameters)
        last = float(likelihood()) if finite else float("-inf")
        if last >= first:
            return last
        for p, old in zip(parameters, before, strict=True):
            p.copy_(old)
    return first


@dataclass(frozen=True)
class MarginalLikelihood:
    r"""The stage that fits the kernel of a regression to the codes of the training data; see `maximise_marginal`.

    Blocks are runs of rows of one sequence, as many as eight, spread over the data. A named kernel has a length scale
    and no variance of its own: that is 1, as of the prior N(0, I) that the codes are held to.
    """

    name: str = "kernel"
    steps: int = 12

    def fit(
        self,
        model: LatentVariableModel,
        data: "Dataset",
        transform: Transform,
        seed: int,
        device: torch.device,
        advance: Callable[[float], object],
    ) -> dict[str, float]:
        """Set the kernel, and return the marginal likelihood and the length scale where there is one."""
        assert isinstance(model, VAERegression)
        y, given = observed([data.train], transform, seed=seed, device=device)
        with torch.no_grad():
            z, v = model.codes(y, given)
            x = model.inputs.positions(given)
        spans = data.train.spans.values() or [slice(0, len(z))]
        starts = [(a, min(a + _BLOCK, span.stop)) for span in spans for a in range(span.start, span.stop, _BLOCK)]
        starts = [starts[i] for i in torch.linspace(0, len(starts) - 1, min(_BLOCKS, len(starts))).round().int()]
        blocks = [(x[a:b], z[a:b], None if v is None else v[a:b]) for a, b in starts]
        found = {"log_marginal": maximise_marginal(model.process, blocks, self.steps)}
        scale = getattr(model.process.kernel, "lengthscale", None)
        return found if scale is None else {**found, "length_scale": float(scale.mean())}
