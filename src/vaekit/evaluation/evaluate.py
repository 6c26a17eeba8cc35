r"""One call for everything that is reported of a model."""

__all__ = ["Evaluation", "evaluate_model"]

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress

from vaekit.data import Dataset
from vaekit.data.transforms import Transform
from vaekit.errors import RequestError, nearest
from vaekit.evaluation.likelihood import likelihood_metrics
from vaekit.evaluation.posterior import Codes, codes, posterior_metrics
from vaekit.models import VAE
from vaekit.training.acceleration import keep_freed_memory


@dataclass(frozen=True)
class Evaluation:
    r"""What is reported of a model on one split, and the codes it was read from."""

    metrics: dict[str, Any]
    codes: Codes


def evaluate_model(
    model: VAE,
    data: Dataset,
    transform: Transform,
    *,
    split: str = "test",
    samples: Sequence[int] = (1000,),
    limit: int | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: bool = False,
) -> Evaluation:
    r"""Measure a model on a split: bound, rate, distortion, NLL, active units, with the protocol in words.

    Arguments:
        model: The model.
        data: The data set.
        transform: From data as stored to what the likelihood describes.
        split: "train", "validation" or "test".
        samples: Numbers of importance samples.
        limit: Use at most so many of the first examples; None for all.
        seed: Of every draw.
        device: Where to compute.
        progress: Show a progress bar.

    Raises:
        RequestError: If there is no such split, or it is empty.
    """
    if split not in data.splits:
        raise RequestError(
            f"split is {split!r}; expected one of {', '.join(data.splits)}.{nearest(split, data.splits)}"
        )
    x = data.splits[split].x[:limit]
    if not len(x):
        raise RequestError(f"the {split} split of {data.name} is empty: pass --split with another one")
    if torch.device(device).type == "cpu":
        keep_freed_memory()
    begun = time.monotonic()
    console = Console(stderr=True)
    # Off a terminal the bar would leave an empty line.
    with Progress(console=console, disable=not (progress and console.is_terminal), transient=True) as bar:
        task = bar.add_task(f"likelihood of {len(x):,} {split} examples, k={max(samples, default=0):,}", total=len(x))
        metrics: dict[str, Any] = dict(
            likelihood_metrics(
                model,
                x,
                transform,
                samples=samples,
                seed=seed,
                device=device,
                advance=lambda done: bar.advance(task, done),
            )
        )
    encoded = codes(model, x, transform, seed=seed, device=device)
    metrics |= posterior_metrics(encoded)
    metrics |= {
        "images": len(x),
        "seed": seed,
        "seconds": round(time.monotonic() - begun, 2),
        "protocol": _protocol(data, transform, split, len(x), samples, seed),
    }
    return Evaluation(metrics, encoded)


def _protocol(data: Dataset, transform: Transform, split: str, n: int, samples: Sequence[int], seed: int) -> str:
    whole = n == len(data.splits[split])
    parts = [
        f"{data.name}, {'all' if whole else 'the first'} {n:,} {split} examples",
        transform.describe() + (f" drawn once, seed {seed}" if transform.random else ""),
        "bound with one draw of z",
    ]
    if samples:
        parts.append(f"NLL by {max(samples):,} importance samples from the posterior")
    return "; ".join([*parts, "nats an example, ± is one standard error over examples"])
