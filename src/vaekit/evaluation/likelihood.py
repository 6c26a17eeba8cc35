r"""The likelihood of held-out data: the bound, its two terms, and the importance-weighted estimate."""

__all__ = ["has_density", "likelihood_metrics"]

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from vaekit.data.transforms import Transform, view
from vaekit.models.base import LatentVariableModel, seed_of, seeded
from vaekit.training.acceleration import compiling_pays


def has_density(model: LatentVariableModel, x: Tensor) -> bool:
    r"""Whether the model's posterior has a density, so that there are a bound and importance weights."""
    encode = getattr(model, "encode", None)
    return encode is None or getattr(encode(x), "has_density", True)


def mean_and_error(values: Tensor) -> tuple[float, float]:
    r"""Return the mean over examples and its standard error, :math:`s / \sqrt n`.

    Example:
        >>> mean_and_error(torch.tensor([1.0, 3.0]))
        (2.0, 1.0)
    """
    values = values.double()
    error = values.std().item() / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return values.mean().item(), error


@torch.no_grad()
def likelihood_metrics(
    model: LatentVariableModel,
    x: NDArray[Any],
    transform: Transform,
    *,
    samples: Sequence[int] = (1000,),
    seed: int = 0,
    device: torch.device | str = "cpu",
    compile: bool | str = "auto",
    advance: Callable[[int], object] | None = None,
) -> dict[str, float | int]:
    r"""Return the bound, rate, distortion and negative log-likelihood of data, in nats, with standard errors.

    The draws of a block of 1000 examples depend on the seed and the block's number alone.

    Arguments:
        model: The model.
        x: Data as stored, shape `(n, *data_shape)`.
        transform: From data as stored to what the likelihood describes.
        samples: Numbers of importance samples; the largest gives `nll`, all of them give `bound_K`.
        seed: Of the transform's draws and of the posterior's.
        device: Where to compute.
        compile: Compile inference: True, False, or "auto" to do so when it is expected to pay.
        advance: Called with the number of examples done.

    Returns:
        `elbo`, `rate`, `distortion`, each with its `_se`, the standard error over examples; `nll` with `nll_se` and
        `nll_samples`; `bound_K` and `bound_K_se` for each K in `samples`, when there are several. A model whose
        posterior has no density has a `distortion` alone.
    """
    terms: dict[str, list[Tensor]] = {"rate": [], "distortion": []}
    bounds: list[Tensor] = []
    if compile == "auto":
        work = sum(p.numel() for p in model.parameters()) * len(x) * max(samples, default=0)
        compile = compiling_pays(work / 2, torch.device(device))  # about half of the parameters decode
    infer = torch.compile(model.infer, dynamic=False) if compile and samples else None
    was_training = model.training
    model.eval()
    dense = True
    for number, block in enumerate(view(x, transform, seed, device)):
        with seeded(seed_of(seed, number)):
            dense = has_density(model, block[:1])
            distortion, rate = model.infer(block, analytic=True)
            terms["distortion"].append(distortion.mean(0))
            terms["rate"].append(rate.mean(0))
            # Small parts, so that progress shows while a block of long estimates is under way.
            for part in block.split(100) if dense and samples else ():
                bounds.append(model.importance_bounds(part, samples, compiled=infer))
                if advance is not None:
                    advance(len(part))
    model.train(was_training)
    rate, distortion = torch.cat(terms["rate"]), torch.cat(terms["distortion"])
    named = (
        {"elbo": -(rate + distortion), "rate": rate, "distortion": distortion} if dense else {"distortion": distortion}
    )
    result: dict[str, float | int] = {}
    for name, values in named.items():
        result[name], result[f"{name}_se"] = mean_and_error(values)
    if bounds:
        table = torch.cat(bounds, dim=1)
        most = int(torch.tensor(samples).argmax())
        nll, result["nll_se"] = mean_and_error(table[most])
        result |= {"nll": -nll, "nll_samples": samples[most]}
        if len(samples) > 1:
            for k, row in zip(samples, table, strict=True):
                result[f"bound_{k}"], result[f"bound_{k}_se"] = mean_and_error(row)
    return result
