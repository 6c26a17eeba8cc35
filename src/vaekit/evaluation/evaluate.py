r"""One call for everything that is reported of a model."""

__all__ = ["Evaluation", "evaluate_model"]

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress

from vaekit.data import Dataset
from vaekit.data.transforms import Transform
from vaekit.errors import RequestError, nearest
from vaekit.evaluation.codes import code_metrics, has_codes, require_vectors
from vaekit.evaluation.collapse import diagnose
from vaekit.evaluation.families import FAMILIES, Subject, chosen, takes_hours
from vaekit.evaluation.posterior import Codes, codes, posterior_metrics
from vaekit.models import VAE, VectorQuantized
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
    metrics: Sequence[str] = ("likelihood",),
    split: str = "test",
    samples: Sequence[int] = (1000,),
    annealed: int = 50,
    generated: int = 10_000,
    features: str = "auto",
    disentanglement: str = "brief",
    limit: int | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: bool = False,
    log: Mapping[str, float] | None = None,
) -> Evaluation:
    r"""Measure a model on a split, with the protocol of each family of metrics in words.

    The likelihood's numbers and the active units, or the use of the codes of a discrete model, stand at the top; every
    other family is a dictionary of its own under its name. With "all", a family that does not apply to the model or
    its data is left out, and `left_out` says why; one that is asked for by name has to apply.

    Arguments:
        model: The model.
        data: The data set.
        transform: From data as stored to what the likelihood describes.
        metrics: Names in `vaekit.evaluation.FAMILIES`, or "all".
        split: "train", "validation" or "test".
        samples: Numbers of importance samples.
        annealed: Examples of the annealed importance sampling, the first ones.
        generated: Samples to hold against as many examples.
        features: The feature net of generation and perceptual distance: "auto" for the one that suits, "mnist",
            "squeezenet", "inception:PATH".
        disentanglement: "brief", or "published" for the numbers of examples of published comparisons.
        limit: Use at most so many of the first examples.
        seed: Of every draw.
        device: Where to compute.
        progress: Show a progress bar.
        log: `train_elbo` and `validation_elbo` of the weights, where training has logged them, for the warnings.

    Raises:
        RequestError: If there is no such split or family, the split is empty, or a family does not apply.
    """
    families = chosen(metrics)
    if disentanglement not in (sizes := ("brief", "published")):
        raise RequestError(
            f"disentanglement is {disentanglement!r}; expected one of {', '.join(sizes)}."
            f"{nearest(disentanglement, sizes)}"
        )
    if split not in data.splits:
        raise RequestError(
            f"split is {split!r}; expected one of {', '.join(data.splits)}.{nearest(split, data.splits)}"
        )
    x = data.splits[split].x[:limit]
    if not len(x):
        raise RequestError(f"the {split} split of {data.name} is empty: pass --split with another one")
    given = data.splits[split].given
    if model.conditional and given is None:
        raise RequestError(
            f"the model is conditional, but the {split} split of {data.name} has neither labels nor contexts: pass "
            "data that have them"
        )
    context = given[: len(x)] if model.conditional and given is not None else None
    device = torch.device(device)
    if device.type == "cpu":
        keep_freed_memory()
    subject = Subject(
        model,
        data,
        x,
        transform,
        split,
        () if has_codes(model) else samples,  # every draw of a certain code is the same
        annealed,
        generated,
        features,
        seed,
        device,
        disentanglement == "published",
        context,
    )
    begun = time.monotonic()
    result: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    console = Console(stderr=True)
    # Off a terminal the bar would leave an empty line.
    with Progress(console=console, disable=not (progress and console.is_terminal), transient=True) as bar:
        for name in families:
            if "all" in metrics and (reason := takes_hours(name, subject)):
                left_out[name] = reason
                continue
            task = bar.add_task(_task(name, subject, split), total=FAMILIES[name].total(subject))
            start = time.monotonic()
            try:
                require_vectors(name, model)
                numbers = FAMILIES[name].measure(subject, lambda done, task=task: bar.advance(task, done))  # type: ignore[misc]
            except RequestError as error:
                if "all" not in metrics:
                    raise
                left_out[name] = str(error)
                continue
            finally:
                bar.remove_task(task)
            if name == "likelihood":
                result |= numbers
            else:
                result[name.replace("-", "_")] = numbers | {"seconds": round(time.monotonic() - start, 2)}
    encoded = codes(model, x, transform, context=context, seed=seed, device=device)
    if isinstance(model, VectorQuantized):
        result |= code_metrics(model, x, transform, context=context, seed=seed, device=device)
    else:
        result |= posterior_metrics(encoded)
    result |= {"images": len(x), "seed": seed}
    if "likelihood" in families:
        reason = result.pop("not_comparable", "")
        result["protocol"] = _protocol(subject, result, reason)
        result["seconds"] = round(time.monotonic() - begun, 2)
    if left_out:
        result["left_out"] = left_out
    result["warnings"] = diagnose({**(log or {}), **result})
    return Evaluation(result, encoded)


def _task(name: str, of: Subject, split: str) -> str:
    if name == "likelihood":
        return f"likelihood of {len(of.x):,} {split} examples, k={max(of.samples, default=0):,}"
    return name


def _protocol(of: Subject, result: dict[str, Any], reason: str) -> str:
    data, transform, split, samples, seed, n = of.data, of.transform, of.split, of.samples, of.seed, len(of.x)
    whole = n == len(data.splits[split])
    given = "" if of.context is None else ", each given its " + ("label" if of.context.ndim == 1 else "context")
    parts = [
        f"{data.name}, {'all' if whole else 'the first'} {n:,} {split} examples{given}",
        transform.describe() + (f" drawn once, seed {seed}" if transform.random else ""),
    ]
    if "elbo" in result:
        certain = has_codes(of.model)
        parts.append("bound with the code, which is certain" if certain else "bound with one draw of z")
    elif "rate" not in result:
        parts.append("no likelihood, for the posterior is a point")
    if reason:
        parts.append(reason)
    if "nll" in result:
        parts.append(f"NLL by {max(samples):,} importance samples from the posterior")
    return "; ".join([*parts, "nats an example, ± is one standard error over examples"])
