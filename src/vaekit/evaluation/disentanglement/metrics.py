r"""All disentanglement metrics of a model, with the protocol in words."""

__all__ = ["BRIEF", "METRICS", "disentanglement_metrics"]

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vaekit.data import Dataset
from vaekit.data.factors import FactorizedData, known_factors
from vaekit.data.transforms import Transform
from vaekit.errors import RequestError, nearest
from vaekit.evaluation.disentanglement.beta_vae import beta_vae_score
from vaekit.evaluation.disentanglement.dci import dci_scores
from vaekit.evaluation.disentanglement.factor_vae import factor_vae_score
from vaekit.evaluation.disentanglement.mutual_information import mig_score, modularity_score
from vaekit.evaluation.disentanglement.representation import Representation, check_points
from vaekit.evaluation.disentanglement.sap import sap_score
from vaekit.evaluation.disentanglement.thinned import Thinned
from vaekit.evaluation.posterior import codes
from vaekit.models import VAE

PUBLISHED = (10_000, 5_000, 64, 20)  # points to learn from and to score on, examples in a point, bins
BRIEF: dict[str, int] = {"train": 1000, "evaluation": 500, "combinations": 20_000}
METRICS = ("beta-vae", "factor-vae", "mig", "dci", "sap", "modularity")


def disentanglement_metrics(
    model: VAE,
    data: Dataset | FactorizedData,
    transform: Transform,
    *,
    metrics: Sequence[str] = METRICS,
    train: int = 10_000,
    evaluation: int = 5_000,
    batch: int = 64,
    bins: int = 20,
    combinations: int | None = None,
    continuous: bool = True,
    repeats: int = 3,
    seed: int = 0,
    device: torch.device | str = "cpu",
    advance: Callable[[int], object] | None = None,
) -> dict[str, Any]:
    r"""Return the disentanglement metrics of a model's codes, the means of its posterior.

    The examples are drawn from all combinations of factors, whatever split they are in, as the papers do, and each is
    encoded once. The defaults are the protocol of the shared comparison, whose β-VAE and FactorVAE metrics ask for
    three million examples: on sprites all 737,280 are rendered and encoded, once. `BRIEF` is for a first look: a tenth
    of the examples, from a grid of at most 20,000 combinations (see `Thinned`). Its scores are not comparable with
    published ones, and the protocol says so.

    The standard errors are over draws of examples. They do not tell how much another training would differ, which
    is more: compare several seeds.

    References:
        Challenging common assumptions in the unsupervised learning of disentangled representations
        (Locatello et al., 2019).

    Arguments:
        model: The model.
        data: Data with known factors, or a dataset made of them.
        transform: From data as stored to what the model sees.
        metrics: Which ones, of "beta-vae", "factor-vae", "mig", "dci", "sap", "modularity".
        train: Examples, or points, that each metric learns from or counts.
        evaluation: Examples, or points, that accuracies are taken of.
        batch: Examples in a point of the β-VAE and FactorVAE metrics.
        bins: Bins of a code for mutual information.
        combinations: At most so many combinations of factors, by leaving out classes; by default there are all.
        continuous: Take SAP by squared correlation, as its paper does, rather than by the linear classifier of the
            shared comparison.
        repeats: Independent repetitions.
        seed: Of every draw.
        device: Where to encode.
        advance: Called with the number of examples encoded.

    Returns:
        `beta_vae`, `factor_vae`, `mig`, `dci_disentanglement`, `dci_completeness`, `dci_informativeness`, `sap` and
        `modularity`, each with its `_se`; `latent_dim`, `factors`, `seed`, and `protocol` in words.

    Raises:
        RequestError: If the data have no known factors, fewer than two of them vary, or a metric is not known.
    """
    for name in metrics:
        if name not in METRICS:
            raise RequestError(
                f"metric is {name!r}; expected one of {', '.join(METRICS)}.{nearest(name.lower(), METRICS)}"
            )
    check_points(train=train, evaluation=evaluation, batch=batch, bins=bins)

    def encode(x: NDArray[Any]) -> NDArray[np.float32]:
        return codes(model, x, transform, seed=seed, device=device).mean

    whole = known_factors(data)
    shown = whole if combinations is None else Thinned(whole, combinations)
    representation = Representation(encode, shown, advance=advance)
    drawn: dict[str, Any] = {"repeats": repeats, "seed": seed}
    learned = drawn | {"train": train, "evaluation": evaluation}
    result: dict[str, Any] = {}
    if "beta-vae" in metrics:
        result |= beta_vae_score(representation, pairs=batch, **learned)
    if "factor-vae" in metrics:
        result |= factor_vae_score(representation, batch=batch, scale=train, **learned)
    if "mig" in metrics:
        result |= mig_score(representation, train=train, bins=bins, **drawn)
    if "dci" in metrics:
        result |= dci_scores(representation, **learned)
    if "sap" in metrics:
        result |= sap_score(representation, continuous=continuous, **learned)
    if "modularity" in metrics:
        result |= modularity_score(representation, train=train, bins=bins, **drawn)
    example = representation.sample(1, np.random.default_rng(seed))[0]
    sizes = _sizes(representation.sizes)
    if tuple(shown.factor_sizes) != tuple(whole.factor_sizes):
        sizes += f" of {_sizes(whole.factor_sizes)} classes, evenly spaced"
    return result | {
        "latent_dim": example.shape[1],
        "factors": list(representation.names),
        "seed": seed,
        "protocol": _protocol(
            data,
            transform,
            representation.names,
            sizes,
            metrics,
            train,
            evaluation,
            batch,
            bins,
            continuous,
            repeats,
            seed,
        ),
    }


def _sizes(sizes: Sequence[int]) -> str:
    return " × ".join(str(size) for size in sizes if size > 1)


def _protocol(
    data: Dataset | FactorizedData,
    transform: Transform,
    names: Sequence[str],
    sizes: str,
    metrics: Sequence[str],
    train: int,
    evaluation: int,
    batch: int,
    bins: int,
    continuous: bool,
    repeats: int,
    seed: int,
) -> str:
    name = data.name if isinstance(data, Dataset) else type(data).__name__
    published = (train, evaluation, batch, bins) == PUBLISHED and " of " not in sizes
    details = {
        "beta-vae": f"β-VAE {batch} pairs a point",
        "factor-vae": f"FactorVAE {batch} examples a vote",
        "mig": f"MIG {bins} bins",
        "dci": "DCI by extremely randomised trees",
        "sap": "SAP by " + ("squared correlation" if continuous else "linear SVM"),
        "modularity": f"modularity {bins} bins",
    }
    return "; ".join(
        [
            f"{name}, factors {', '.join(names)} ({sizes}), drawn from all combinations",
            "posterior means",
            transform.describe(),
            f"{train:,} points to learn from, {evaluation:,} to score on, "
            + (
                "as in the shared comparison of Locatello et al. (2019)" if published else "not as scores are published"
            ),
            *(details[metric] for metric in METRICS if metric in metrics),
            f"mean of {repeats} draws from seed {seed}, ± is one standard error over draws",
        ]
    )
