r"""The families of metrics: what can be measured of a model, each with its own protocol."""

__all__ = ["DEFAULT", "FAMILIES", "Family", "Subject", "chosen", "takes_hours"]

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray

from vaekit.data import Dataset, Split
from vaekit.data.rows import Rows
from vaekit.data.transforms import Transform
from vaekit.errors import RequestError, nearest
from vaekit.evaluation.accuracy import accuracy_metrics, require_numbers
from vaekit.evaluation.aggregate import aggregate_metrics
from vaekit.evaluation.amortisation import amortisation_metrics
from vaekit.evaluation.annealed import annealed_metrics
from vaekit.evaluation.collapse import code_use_metrics
from vaekit.evaluation.likelihood import likelihood_metrics
from vaekit.evaluation.reconstruction import has_pictures, reconstruction_metrics
from vaekit.models import VAE

DRAWS = 2000  # of z from the aggregate posterior
CODES = 1000  # examples that are decoded from another's code
REFINED = 100  # examples whose posteriors are refined
SIMULATED = 32  # examples of the check of annealing

Advance = Callable[[int], object]
Numbers = dict[str, Any]


@dataclass(frozen=True)
class Subject:
    r"""What is measured, and how much work it may be.

    Arguments:
        model: The model.
        data: Its data.
        x: The examples to measure it on, as stored.
        transform: From data as stored to what the likelihood describes.
        split: What these examples are of the data.
        samples: Numbers of importance samples.
        annealed: Examples of the annealed importance sampling.
        generated: Samples to hold against as many examples.
        features: Name of the feature net for generation and perceptual distance, "auto" for the one that suits.
        seed: Of every draw.
        device: Where to compute.
        published: Measure disentanglement at the size of published comparisons, rather than briefly.
        context: What a conditional model is told of the examples, shape `(n, ...)`.
    """

    model: VAE
    data: Dataset
    x: Rows
    transform: Transform
    split: str = "test"
    samples: Sequence[int] = (1000,)
    annealed: int = 50
    generated: int = 10_000
    features: str = "auto"
    seed: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    published: bool = False
    context: NDArray[Any] | None = None

    @property
    def common(self) -> dict[str, Any]:
        """The options that every family has."""
        return {"context": self.context, "seed": self.seed, "device": self.device}


class Family(NamedTuple):
    r"""A family of metrics: a line on what it tells, how to measure it, and how many examples that goes through."""

    summary: str
    measure: Callable[[Subject, Advance], Numbers]
    total: Callable[[Subject], int | None]


def _likelihood(of: Subject, advance: Advance) -> Numbers:
    return dict(likelihood_metrics(of.model, of.x, of.transform, samples=of.samples, advance=advance, **of.common))


def _annealed(of: Subject, advance: Advance) -> Numbers:
    x, common = of.x[: of.annealed], of.common
    common["context"] = None if of.context is None else of.context[: of.annealed]
    numbers = annealed_metrics(of.model, x, of.transform, simulated=SIMULATED, advance=advance, **common)
    if of.samples:
        # Of the same examples, so that the two differ by what the bound lacks and not by who was looked at.
        k = max(of.samples)
        bound = likelihood_metrics(of.model, x, of.transform, samples=(k,), **common)
        if "nll" in bound:
            numbers |= {"nll_importance": bound["nll"], "nll_importance_se": bound["nll_se"], "nll_samples": k}
            numbers["protocol"] += f"; nll_importance by {k:,} importance samples of the same examples"
    return numbers


def _reconstruction(of: Subject, advance: Advance) -> Numbers:
    require_numbers("reconstruction", of.data)
    net = None
    if has_pictures(of.x, of.transform):
        from vaekit.evaluation.features import feature_net, suggest_features

        name = suggest_features(of.data.shape) if of.features == "auto" else of.features
        net = feature_net(name).to(of.device) if name != "values" else None
    return reconstruction_metrics(of.model, of.x, of.transform, features=net, advance=advance, **of.common)


def _others(of: Subject) -> Rows:
    """Data that the model was chosen by, but not fitted to: they say what a perfect model would have."""
    return of.data.validation.x if of.split == "test" else of.x[:0]


def _drawn(of: Subject) -> int:
    """Return the size of each of the three sets of generation."""
    rows = [of.x, others] if len(others := _others(of)) else [of.x[: len(of.x) // 2]]
    return min(of.generated, *map(len, rows))


def _generation(of: Subject, advance: Advance) -> Numbers:
    from vaekit.evaluation.generation import generation_metrics

    require_numbers("generation", of.data)
    others = _others(of)
    numbers: Numbers = generation_metrics(
        of.model,
        of.x,
        of.transform,
        features=None if of.features == "auto" else of.features,
        others=others if len(others) else None,
        names=(of.split, "validation"),
        n=of.generated,
        advance=advance,
        **of.common,
    )
    return numbers


def _conditioning(of: Subject, advance: Advance) -> Numbers:
    from vaekit.evaluation.conditioning import conditioning_metrics

    whole = of.data.splits[of.split]
    test = Split(of.x, None if whole.labels is None else whole.labels[: len(of.x)])
    features = None if of.features == "auto" else of.features
    numbers: Numbers = conditioning_metrics(
        of.model,
        of.data.train,
        test,
        of.transform,
        features=features,
        seed=of.seed,
        device=of.device,
        advance=advance,
    )
    return numbers


def _prior_match(of: Subject, advance: Advance) -> Numbers:
    from vaekit.evaluation.prior_match import prior_match_metrics

    return prior_match_metrics(of.model, of.x, of.transform, advance=advance, **of.common)


def _classification(of: Subject, advance: Advance) -> Numbers:
    from vaekit.evaluation.classification import classification_metrics

    whole = of.data.splits[of.split]
    if of.split == "validation":
        raise RequestError("clusters are named after the validation examples: measure another split")
    test = Split(of.x, None if whole.labels is None else whole.labels[: len(of.x)])
    options: dict[str, Any] = {"seed": of.seed, "device": of.device, "advance": advance}
    return classification_metrics(of.model, of.data.validation, test, of.transform, **options)


def _attributes(of: Subject, advance: Advance) -> Numbers:
    from vaekit.evaluation.attributes import attribute_metrics

    names = getattr(of.data, "context_names", ())
    test = of.data.splits[of.split]
    test = Split(of.x, context=None if test.context is None else test.context[: len(of.x)])
    splits = (of.data.train, of.data.validation, test)
    options: dict[str, Any] = {"seed": of.seed, "device": of.device, "advance": advance}
    return attribute_metrics(of.model, splits, names, of.transform, **options)


def _disentanglement(of: Subject, advance: Advance) -> Numbers:
    from vaekit.evaluation.disentanglement import BRIEF, disentanglement_metrics

    if of.context is not None:
        raise RequestError(
            "the model is conditional; disentanglement is measured of codes that know of nothing but x: leave this "
            "family out for this model"
        )
    size: dict[str, Any] = {"continuous": False} if of.published else BRIEF
    common: dict[str, Any] = {"seed": of.seed, "device": of.device}
    return disentanglement_metrics(of.model, of.data, of.transform, advance=advance, **size, **common)


FAMILIES: dict[str, Family] = {
    "likelihood": Family(
        "bound, rate, distortion and NLL by importance sampling, with the effective sample size; bits per dimension",
        _likelihood,
        lambda of: len(of.x),
    ),
    "annealed": Family(
        "NLL by annealed importance sampling, and the gap of its bounds on data of the model's own",
        _annealed,
        lambda of: min(of.annealed, len(of.x)) + SIMULATED,
    ),
    "aggregate": Family(
        "mutual information, total correlation and dimension-wise KL of the aggregate posterior",
        lambda of, advance: aggregate_metrics(of.model, of.x, of.transform, draws=DRAWS, advance=advance, **of.common),
        lambda of: DRAWS,
    ),
    "prior-match": Family(
        "accuracy of a classifier, and the maximum mean discrepancy, between codes of data and draws of the prior",
        _prior_match,
        lambda of: len(of.x),
    ),
    "code-use": Family(
        "what the decoder loses with the code of another example",
        lambda of, advance: code_use_metrics(of.model, of.x, of.transform, images=CODES, advance=advance, **of.common),
        lambda of: min(CODES, len(of.x)),
    ),
    "amortisation": Family(
        "what a posterior refined for each example gains over the encoder's",
        lambda of, advance: amortisation_metrics(
            of.model, of.x, of.transform, images=REFINED, advance=advance, **of.common
        ),
        lambda of: min(REFINED, len(of.x)),
    ),
    "reconstruction": Family(
        "squared error, PSNR, SSIM, perceptual distance and sharpness of reconstructions",
        _reconstruction,
        lambda of: len(of.x),
    ),
    "accuracy": Family(
        "share of a sequence's symbols that come back, given the true ones before them, and running freely",
        lambda of, advance: accuracy_metrics(of.model, of.x, of.transform, advance=advance, **of.common),
        lambda of: len(of.x),
    ),
    "generation": Family(
        "Fréchet and kernel distance, precision, recall, density and coverage of samples, beside real against real",
        _generation,
        lambda of: 3 * _drawn(of),
    ),
    "conditioning": Family(
        "how often a classifier reads what a conditional model draws as the class it was told",
        _conditioning,
        lambda of: 3 * len(of.x),
    ),
    "classification": Family(
        "error of the most likely category of a code as the class, and as a cluster named after few labels",
        _classification,
        lambda of: len(of.data.validation) + len(of.x),
    ),
    "attributes": Family(
        "how well a linear classifier tells attributes from the codes, beside principal components",
        _attributes,
        lambda of: len(of.data.train) + len(of.data.validation) + len(of.x),
    ),
    "disentanglement": Family(
        "β-VAE, FactorVAE, MIG, DCI, SAP and modularity scores, for data with known factors",
        _disentanglement,
        lambda of: None,
    ),
}
DEFAULT = tuple(FAMILIES)


_GRADIENTS = ("annealed", "amortisation")  # take hundreds of gradients through the decoder, or more


def takes_hours(name: str, of: Subject) -> str:
    r"""Say why a family is not measured unless it is asked for by name; empty if it is.

    A recurrent decoder takes one step a symbol for each of the gradients that some families follow.
    """
    if name not in _GRADIENTS or of.data.suggested != "categorical":
        return ""
    few = ", with few examples (--annealed 2)" if name == "annealed" else ""
    return f"it follows many gradients through a decoder that goes symbol by symbol: ask for {name} by name{few}"


def chosen(names: Iterable[str]) -> tuple[str, ...]:
    r"""Return the families that were asked for, in the order in which they are measured; "all" stands for every one.

    Raises:
        RequestError: If there is none of a name.

    Example:
        >>> chosen(["reconstruction", "likelihood"])
        ('likelihood', 'reconstruction')
    """
    names = [name.strip().lower().replace("_", "-") for name in names]
    for name in names:
        if name != "all" and name not in FAMILIES:
            known = ["all", *FAMILIES]
            raise RequestError(f"metrics has {name!r}; expected one of {', '.join(known)}.{nearest(name, known)}")
    return DEFAULT if "all" in names else tuple(name for name in FAMILIES if name in names)
