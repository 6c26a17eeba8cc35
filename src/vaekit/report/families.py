r"""The headline of each family of metrics that was measured: its numbers, with their errors and what to read beside."""

__all__ = ["FamilyTable", "families"]

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from vaekit.report.text import MINUS, with_error


class FamilyTable(NamedTuple):
    r"""What a page shows of one family.

    Attributes:
        heading: Its name.
        rows: A label, the number with its error, what stands beside it, and the number to the last digit.
        beside: What the third column is; empty where there is none.
        protocol: How it was measured, and a warning if there is one.
    """

    heading: str
    rows: list[tuple[str, str, str, str]]
    beside: str
    protocol: str


# Of each family its heading, what stands beside its numbers, and the numbers to show.
_HEADLINES: dict[str, tuple[str, str, dict[str, str]]] = {
    "annealed": (
        "Likelihood by annealing",
        "by importance sampling",
        {
            "nll_ais": "NLL by annealed importance sampling, nats",
            "bits_per_dim_ais": "Bits per dimension by annealing",
            "bdmc_gap": "Gap between both bounds on data of the model's own, nats",
        },
    ),
    "aggregate": (
        "What the rate is spent on",
        "",
        {
            "mutual_information": "Mutual information of code and example, nats",
            "total_correlation": "Total correlation of the units, nats",
            "dimension_kl": "Dimension-wise KL to the prior, nats",
        },
    ),
    "prior_match": (
        "Codes against the prior",
        "",
        {
            "prior_accuracy": "Accuracy of a classifier between codes and draws of the prior, 0.5 for a match",
            "prior_mmd": "Maximum mean discrepancy, squared",
            "prior_mmd_p": "Chance of as large a discrepancy in a match",
        },
    ),
    "code_use": (
        "Use of the code",
        "",
        {"code_gain": "What a code is worth against that of another example, nats"},
    ),
    "amortisation": (
        "Amortisation",
        "",
        {"amortisation_gap": "What a posterior refined for each example gains, nats"},
    ),
    "reconstruction": (
        "Reconstruction",
        "",
        {
            "mse": "Mean squared error",
            "psnr": "PSNR, decibels",
            "ssim": "SSIM",
            "perceptual": "Perceptual distance",
            "sharpness": "Sharpness, gradient energy over the data's",
        },
    ),
    "accuracy": (
        "Symbols that come back",
        "",
        {
            "teacher_forced": "Given the true ones before",
            "free_running": "Running freely",
            "sampled": "Drawn",
            "notes_free_running": "Notes, running freely",
            "chance": "The most common symbol always",
        },
    ),
    "generation": (
        "Generation",
        "real against real",
        {
            "frechet_distance": "Fréchet distance",
            "frechet_distance_extrapolated": "Fréchet distance, extrapolated",
            "kernel_distance": "Kernel distance",
            "precision": "Precision",
            "recall": "Recall",
            "density": "Density",
            "coverage": "Coverage",
        },
    ),
    "conditioning": (
        "What was told is drawn",
        "real examples",
        {
            "class_agreement": "Samples read as the class that was told",
            "transfer_agreement": "Codes decoded as another class, read as that",
        },
    ),
    "classification": (
        "Categories as classes",
        "",
        {
            "classification_error": "Error of the category as the class",
            "cluster_error": "Error, each category named after its surest validation example",
            "majority_error": "Error, each category named after most validation examples in it",
        },
    ),
    "attributes": (
        "What a linear classifier reads from the code",
        "principal components",
        {
            "attribute_accuracy": "Accuracy, mean over attributes",
            "attribute_balanced_accuracy": "Balanced accuracy, mean over attributes",
        },
    ),
    "disentanglement": (
        "Disentanglement",
        "",
        {
            "beta_vae": "β-VAE metric",
            "factor_vae": "FactorVAE metric",
            "mig": "Mutual information gap",
            "dci_disentanglement": "DCI disentanglement",
            "dci_completeness": "DCI completeness",
            "dci_informativeness": "DCI informativeness",
            "sap": "SAP",
            "modularity": "Modularity",
        },
    ),
}


def families(test: Mapping[str, Any]) -> list[FamilyTable]:
    r"""Return a table for each family of a split that was measured, in the order in which they are measured.

    Arguments:
        test: What was measured of the split, families being mappings in it.

    Example:
        >>> [table] = families({"generation": {"frechet_distance": 0.43, "frechet_distance_real": 0.01}})
        >>> table.heading, table.beside, table.rows
        ('Generation', 'real against real', [('Fréchet distance', '0.43', '0.01', '0.43')])
    """
    tables = []
    for name, (heading, beside, labels) in _HEADLINES.items():
        numbers = test.get(name)
        if not isinstance(numbers, Mapping):
            continue
        rows = []
        for key, label in labels.items():
            if not _is_number(numbers.get(key)):
                continue
            partner = ""
            for other in (f"{key}_real", f"{key}_pca"):
                if _is_number(numbers.get(other)):
                    partner = _shown(numbers, other)
            if key == "nll_ais" and _is_number(numbers.get("nll_importance")):
                k = f" (k = {numbers['nll_samples']:,})" if "nll_samples" in numbers else ""
                partner = _shown(numbers, "nll_importance") + k
            rows.append((label, _shown(numbers, key), partner, str(numbers[key])))
        if rows:
            said = [str(numbers[part]) for part in ("protocol", "warning") if numbers.get(part)]
            seen = beside if any(row[2] for row in rows) else ""
            tables.append(FamilyTable(heading, rows, seen, " · ".join(said)))
    return tables


def _shown(numbers: Mapping[str, Any], key: str) -> str:
    """A number with its error; without one, small numbers keep their digits."""
    value, error = numbers[key], numbers.get(f"{key}_se")
    if _is_number(error) and error:
        return with_error(value, error)
    return with_error(value) if abs(value) >= 0.01 or not value else f"{value:.3g}".replace("-", MINUS)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
