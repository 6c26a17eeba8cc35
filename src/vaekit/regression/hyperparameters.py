r"""A kernel's hyperparameters by the marginal likelihood of the codes."""

__all__ = ["MarginalLikelihood", "fit_to_outputs", "maximise_marginal", "principal", "runs"]

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from vaekit.data.transforms import Transform
from vaekit.distributions.gaussian_process import GaussianProcess
from vaekit.models.base import LatentVariableModel
from vaekit.models.regression import VAERegression
from vaekit.regression.prediction import observed

if TYPE_CHECKING:
    from vaekit.data import Dataset, Split

_BLOCK = 128  # points in a block; a factor costs the cube of it
_ROWS = 1024  # in all blocks
_NOISE = 1e-2  # of outputs, to begin with
_LEVEL = 0.01  # nats per number that a smoother kernel must gain
_AXES = 16  # principal axes of outputs that are looked at; they hold nearly all that moves smoothly

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

    def likelihood() -> Tensor:
        return torch.stack([process.log_marginal(x, z, v) for x, z, v in blocks]).sum() / count

    return _climb(process, likelihood, [], steps)


def fit_to_outputs(process: GaussianProcess, blocks: Sequence[tuple[Tensor, Tensor]], steps: int = 20) -> float:
    r"""Set a process's kernel to what makes outputs likeliest, and return their noise as a part of their variance.

    Outputs are taken to be centred, with one variance and one noise for all entries, which are found as well. Blocks
    are taken as independent. It is what a Gaussian process on the outputs is fitted by.

    Of the kernel "matern" the smoothness is chosen too: the roughest of those that are within 0.01 nats per number of
    the likeliest, since between its observations a rough curve claims less.

    Arguments:
        process: The Gaussian process, whose points have variances that are "noise".
        blocks: Inputs and outputs, shapes `(n, d)` and `(n, m)`.
        steps: Iterations, at most.

    Example:
        >>> x = torch.linspace(0, 20, 60)[:, None]
        >>> process = GaussianProcess(length_scale=1.0)
        >>> noise = fit_to_outputs(process, [(x, 5 * torch.sin(x))])
        >>> 1.5 < process.kernel.lengthscale.item() < 4, noise < 1e-3
        (True, True)
    """
    count = sum(y.numel() for _, y in blocks)
    spread = (sum(float(y.double().square().sum()) for _, y in blocks) / max(count, 1)) ** 0.5
    if not spread > 0:
        return _NOISE

    def fitted() -> tuple[float, float]:
        """The likelihood that is reached, and the noise."""
        variance = torch.zeros((), dtype=torch.float64, requires_grad=True)  # logarithms
        noise = torch.full((), math.log(_NOISE), dtype=torch.float64, requires_grad=True)

        def likelihood() -> Tensor:
            scale = spread * (0.5 * variance).exp()
            # Below a millionth a noise says nothing that the jitter does not.
            part = noise.exp().clamp_min(1e-6)
            found = [process.log_marginal(x, y.double() / scale, part.expand(len(x), 1)) for x, y in blocks]
            mean: Tensor = torch.stack(found).sum() / count - scale.log()
            return mean

        reached = _climb(process, likelihood, [variance, noise], steps)
        return reached, float(noise.detach().exp().clamp(1e-6, 10.0))

    kernel: Any = process.kernel
    if not hasattr(kernel, "smoothness"):
        return fitted()[1]
    start, tried = copy.deepcopy(kernel.state_dict()), []
    for smoothness in kernel.choices:
        kernel.load_state_dict(start)
        kernel.smoothness = smoothness
        tried.append((*fitted(), copy.deepcopy(kernel.state_dict())))
    best = max(reached for reached, _, _ in tried)
    _, noise, state = next(found for found in tried if found[0] >= best - _LEVEL)
    kernel.load_state_dict(state)
    return noise


def _climb(process: GaussianProcess, likelihood: Callable[[], Tensor], others: list[Tensor], steps: int) -> float:
    """Maximise over the kernel's parameters and others, or leave them as they are, and return the maximum."""
    parameters = [*process.kernel.parameters(), *others]
    before = [p.detach().clone() for p in parameters]
    optimizer = torch.optim.LBFGS(parameters, max_iter=steps, max_eval=2 * steps, line_search_fn="strong_wolfe")

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

    Blocks are runs of rows of one sequence, spread over the data. A named kernel has a length scale
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
        blocks = [(x[s], z[s], None if v is None else v[s]) for s in runs(data.train)]
        found = {"log_marginal": maximise_marginal(model.process, blocks, self.steps)}
        scale = getattr(model.process.kernel, "lengthscale", None)
        return found if scale is None else {**found, "length_scale": float(scale.mean())}


def runs(split: "Split") -> list[slice]:
    r"""Return runs of rows of one sequence, of at most 128, spread over a split, about 1,024 rows in all."""
    spans = split.spans.values() or [slice(0, len(split))]
    starts = [slice(a, min(a + _BLOCK, span.stop)) for span in spans for a in range(span.start, span.stop, _BLOCK)]
    mean = sum(s.stop - s.start for s in starts) / max(len(starts), 1)
    count = min(len(starts), max(1, round(_ROWS / max(mean, 1.0))))
    return [starts[i] for i in torch.linspace(0, len(starts) - 1, count).round().int()]


def principal(split: "Split") -> list[tuple[slice, Tensor]]:
    r"""Return runs of rows, and the outputs in them along the split's principal axes, centred, shape `(n, m)`."""
    parts = [
        (run, torch.from_numpy(np.asarray(split.x[run], np.float64).reshape(run.stop - run.start, -1)))
        for run in runs(split)
    ]
    whole = torch.cat([y for _, y in parts])
    centre = whole.mean(0)
    # Of few rows with many entries: the small one of the two matrices of products is taken apart.
    axes = torch.linalg.svd(whole - centre, full_matrices=False).Vh[:_AXES].T
    return [(run, (y - centre) @ axes) for run, y in parts]
