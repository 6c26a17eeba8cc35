r"""A number with the protocol it was measured by: the two make a column of a comparison."""

__all__ = [
    "BETTER",
    "DENSITY",
    "Measurement",
    "better",
    "data_clause",
    "is_headline",
    "measurements",
    "shown_clause",
]

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Better = Literal["lower", "higher"]

# Which way is better; None where neither is in itself, but the number is wanted in a table all the same.
BETTER: dict[str, Better | None] = {
    "nll": "lower",
    "elbo": "higher",
    "rate": None,
    "distortion": None,
    "bits_per_dim": "lower",
    "active_units": None,
    "nll_ais": "lower",
    "nll_importance": "lower",
    "bits_per_dim_ais": "lower",
    "encoder_elbo": "higher",
    "refined_elbo": "higher",
    "mse": "lower",
    "seen_mse": "lower",
    "psnr": "higher",
    "ssim": "higher",
    "perceptual": "lower",
    "frechet_distance": "lower",
    "frechet_distance_extrapolated": "lower",
    "kernel_distance": "lower",
    "precision": "higher",
    "recall": "higher",
    "density": "higher",
    "coverage": "higher",
    "class_agreement": "higher",
    "transfer_agreement": "higher",
    "beta_vae": "higher",
    "factor_vae": "higher",
    "mig": "higher",
    "dci_disentanglement": "higher",
    "dci_completeness": "higher",
    "dci_informativeness": "higher",
    "sap": "higher",
    "modularity": "higher",
}
_BOUND = re.compile(r"bound_\d+")

# Of bits there are probabilities; a likelihood of real numbers has densities instead, and its nats another meaning.
DENSITY = "a density of bits"
_NATS = r"(train_|encoder_|refined_)?elbo|(shuffled_)?distortion|nll(_ais|_importance)?|bound_\d+|bdmc_(lower|upper)"

# Clauses of a protocol that are about some of its numbers only: the family, or None for any; how the clause begins;
# which names. A clause that is not listed is taken to be about all: what is not known here keeps numbers apart.
_ABOUT = [
    (family, re.compile(start), re.compile(names))
    for family, start, names in (
        ("", "NLL by ", r"nll|bits_per_dim|ess(_low)?"),
        (None, DENSITY, _NATS),
        ("annealed", "both bounds on ", r"bdmc_\w+"),
        ("annealed", "nll_importance by ", "nll_importance"),
        ("reconstruction", "the model sees", "seen_mse"),
        ("reconstruction", "SSIM with ", "ssim"),
        ("reconstruction", "perceptual distance", "perceptual"),
        ("reconstruction", "sharpness is ", "sharpness"),
        ("reconstruction", "no ", ""),
        ("generation", "real: ", r"\w+_real"),
        ("generation", "Fréchet distance ", r"frechet_\w+"),
        ("generation", "kernel distance ", r"kernel_\w+"),
        ("conditioning", "transfers: ", "transfer_agreement"),
        ("attributes", "pca: ", r"attribute_\w+_pca"),
        ("generation", "k = ", r"(precision|recall|density|coverage)(_real)?"),
        ("disentanglement", "β-VAE ", "beta_vae"),
        ("disentanglement", "FactorVAE ", "factor_vae"),
        ("disentanglement", "MIG ", "mig"),
        ("disentanglement", "DCI ", r"dci_\w+"),
        ("disentanglement", "SAP ", "sap"),
        ("disentanglement", "modularity ", "modularity"),
    )
]
# These look at the data as stored, or at codes, whatever the likelihood is a density of.
_AS_STORED = (
    "reconstruction",
    "generation",
    "conditioning",
    "attributes",
    "classification",
    "prior_match",
    "disentanglement",
)
_SEED = re.compile(r"\bseed (\d+)\b")
_RESULT = re.compile(r", and at that limit: [^;]*")  # what came out, which is no part of how it was measured
_BITS = ("bits as stored", "dynamic binarisation")


@dataclass(frozen=True)
class Measurement:
    r"""A number of a run.

    Arguments:
        family: Its family in `metrics.json`; empty for those that are in none.
        name: Its name there.
        value: What was measured.
        error: Its standard error; None if it has none.
        protocol: How it was measured, clause by clause, without seeds.
        seeds: Those that the sentence of its family names.
    """

    family: str
    name: str
    value: float
    error: float | None
    protocol: tuple[str, ...]
    seeds: frozenset[int] = frozenset()

    @property
    def metric(self) -> tuple[str, str]:
        """What was measured, however it was."""
        return self.family, self.name


def better(name: str) -> Better | None:
    r"""Return which way a number is better; None if neither is, or it is not known.

    Example:
        >>> better("nll"), better("bound_50"), better("rate")
        ('lower', 'higher', None)
    """
    return "higher" if _BOUND.fullmatch(name) else BETTER.get(name)


def is_headline(measurement: Measurement) -> bool:
    r"""Whether a number belongs in a table that was not asked for certain numbers.

    Those with an error do, and those whose direction is known; a setting, a count and the curve of bounds do not.
    """
    known = measurement.error is not None or measurement.name in BETTER
    return known and not _BOUND.fullmatch(measurement.name)


def measurements(numbers: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[Measurement]:
    r"""Yield the numbers of one split that have a protocol, those in families too.

    The protocol is the family's sentence, of which a number gets the clauses that are about it; and from the run's
    configuration the fingerprint of the data, and what of them the model sees. A sentence says which seed the draws
    were made from. Another seed is another draw by the same protocol, so that is left open.

    Arguments:
        numbers: What `metrics.json` holds for the split.
        config: What `config.json` holds.

    Example:
        >>> config = {"data": {"name": "mnist", "fingerprint": "d1", "transform": "bits as stored"}}
        >>> numbers = {"rate": 25.0, "rate_se": 0.1, "protocol": "mnist, 500 examples; bits as stored; seed 3"}
        >>> [found] = measurements(numbers, config)
        >>> found.protocol, sorted(found.seeds)
        (('data d1', '500 examples', 'bits as stored', 'seed #'), [3])
    """
    yield from _family("", numbers, config)


def data_clause(config: Mapping[str, Any]) -> str:
    r"""Return the clause that says which data a run has."""
    return f"data {config['data']['fingerprint'][:12]}"


def shown_clause(clause: str, names: Mapping[str, str], drawn: Iterable[int]) -> str:
    r"""Return a clause for people: data with their name, draws with their seeds.

    Example:
        >>> shown_clause("data 7e2c", {"data 7e2c": "digits"}, []), shown_clause("drawn once, seed #", {}, [3, 0])
        ('digits (data 7e2c)', 'drawn once, seed 0, 3')
    """
    if clause in names:
        return f"{names[clause]} ({clause})"
    return clause.replace("seed #", "seed " + ", ".join(map(str, sorted(drawn))))


def _family(family: str, numbers: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[Measurement]:
    if isinstance(numbers.get("protocol"), str):
        clauses = _clauses(family, numbers["protocol"], config)
        seeds = frozenset(map(int, _SEED.findall(numbers["protocol"])))
        for name, value in numbers.items():
            if _is_number(value) and not name.endswith("_se"):
                error: Any = numbers.get(f"{name}_se")
                error = float(error) if _is_number(error) else None
                about = tuple(clause for clause in clauses if _is_about(clause, family, name))
                yield Measurement(family, name, float(value), error, about, seeds)
    for name, value in numbers.items():
        if isinstance(value, Mapping):
            yield from _family(f"{family}.{name}".strip("."), value, config)


def _clauses(family: str, sentence: str, config: Mapping[str, Any]) -> list[str]:
    data = config["data"]
    sentence = _SEED.sub("seed #", _RESULT.sub("", sentence)).removeprefix(f"{data['name']}, ")
    clauses = [data_clause(config), *sentence.split("; ")]
    seen = data.get("transform")
    if seen and family.split(".")[0] not in _AS_STORED:
        if not any(seen in clause for clause in clauses):
            clauses.insert(1, seen)
        if seen in _BITS and _is_density(config) and not any(clause.startswith(DENSITY) for clause in clauses):
            clauses.append(DENSITY)
    return clauses


def _is_density(config: Mapping[str, Any]) -> bool:
    """Whether the likelihood is one of real numbers. A record that names none is taken at its word about bits."""
    chosen = config.get("arguments", {}).get("likelihood")
    chosen = config.get("spec", {}).get("suggested") if chosen == "auto" else chosen
    return chosen not in (None, "bernoulli")


def _is_about(clause: str, family: str, name: str) -> bool:
    for whose, start, names in _ABOUT:
        if whose in (None, family) and start.match(clause):
            return names.fullmatch(name) is not None
    return True


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
