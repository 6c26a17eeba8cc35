r"""The description: all that the page knows of a model, as JSON. The live page and the static one read the same."""

__all__ = ["VERSION", "describe", "description_of"]

import base64
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from vaekit.data.rows import take
from vaekit.errors import RequestError
from vaekit.evaluation.posterior import codes as encode
from vaekit.evaluation.posterior import random_rows
from vaekit.explorer.projection import Projection, project
from vaekit.explorer.subject import Subject, class_names, subject_of
from vaekit.latent import attribute_vector

if TYPE_CHECKING:
    from vaekit.models import VAE
    from vaekit.runs import Run

VERSION = 1

_BYTES = 2**24  # of codes that a page loads; more units, fewer points
_CLASSES = 30  # that can be told apart by colour or be sliders
_MEASURED = 400  # examples of which something is measured

Array = NDArray[np.float32]


def describe(
    run: "Run | VAE | str | os.PathLike[str]",
    points: int = 10_000,
    seed: int = 0,
    method: str = "auto",
    *,
    data: Any = None,
) -> dict[str, Any]:
    r"""Describe a model for the page of the explorer: everything but its networks.

    Arrays are base64 of little-endian float32. The keys:

    - `version`, `title`, `settings`: the format, and what to call the model;
    - `view`: how a decoded example is shown: `kind`, `shape`, and `low` and `high`, the decoder's values that are shown
      as 0 and 1, of vectors whose entries have units of their own those of each;
    - `latent`: `dim`, `units` from the most informative to the least, each with `index`, `rate` (mean KL in nats, or
      None), `mean`, `low`, `high` (the span of its slider), and `prior`, "standard-normal" or None;
    - `map`: `method`, `points` (n, 2), `codes` (n, d), `rows` (of the test split), `labels`, `classes`, and for a
      linear map `mean` and `axes`, with which a place (a, b) is the latent point mean + a·axes[0] + b·axes[1];
    - `attributes`: `name`, `vector` (of length 1), `spread`: strength s moves z by s·spread·vector, and strength 1 is
      from the mean without the attribute to the mean with it, or for a quantity one standard deviation of it;
    - `classes`: what a conditional model may be told, by name, or None.

    Arguments:
        run: A run, its directory, or a model.
        points: How many examples of the test split are on the map.
        seed: Of the choice of these, and of what is random in the map.
        method: How codes are laid out; see `vaekit.explorer.projection.project`.
        data: Other data than the run's; needed for a model.

    Raises:
        RequestError: If there is no trained run, nothing shows its data, or its latents are not vectors.
    """
    return description_of(subject_of(run, data), points, seed, method)


def description_of(subject: Subject, points: int = 10_000, seed: int = 0, method: str = "auto") -> dict[str, Any]:
    r"""Describe a subject; see `describe`."""
    if points < 2:
        raise RequestError(f"points is {points}; expected at least 2: pass --points 10000")
    view, split = subject.view, subject.examples
    rows = random_rows(len(split), min(points, max(1000, _BYTES // (4 * subject.latent_dim))), seed)
    told = split.given[rows] if subject.model.conditional and split.given is not None else None
    found = encode(
        subject.model, take(split.x, rows), subject.transform, context=told, seed=seed, device=subject.device
    )
    codes = found.mean
    if not np.isfinite(codes).all():
        raise RequestError("the encoder gives codes that are not finite: train again with a smaller --learning-rate")
    labels = None if split.labels is None else split.labels[rows]
    return {
        "version": VERSION,
        "title": subject.title,
        "settings": subject.settings,
        "view": view.describe(),
        "latent": {
            "dim": codes.shape[1],
            "units": _units(codes, found.unit_rates),
            "prior": "standard-normal" if _is_standard_normal(subject) else None,
        },
        "map": {
            **_map(project(codes, method, seed)),
            "codes": _packed(codes),
            "rows": rows.tolist(),
            "labels": None if labels is None else labels.tolist(),
            "classes": None if labels is None else class_names(subject.data, int(labels.max(initial=0)) + 1),
        },
        "attributes": _attributes(subject, codes, rows),
        "classes": subject.context_names,
    }


def _units(codes: Array, rates: NDArray[np.float64] | None) -> list[dict[str, Any]]:
    """Describe each unit, the most informative first: by its rate, or where there is none by its codes' variance."""
    information = codes.var(0) if rates is None else rates
    mean, spread = codes.mean(0), codes.std(0)
    return [
        {
            "index": int(index),
            "rate": None if rates is None else round(float(rates[index]), 4),
            "mean": float(mean[index]),
            # Wide enough for the prior and for the codes, wherever these lie.
            "low": float(min(-3.0, mean[index] - 3 * spread[index])),
            "high": float(max(3.0, mean[index] + 3 * spread[index])),
        }
        for index in np.argsort(-information, kind="stable")
    ]


def _map(projection: Projection) -> dict[str, Any]:
    return {
        "method": projection.method,
        "points": _packed(projection.points),
        "mean": projection.mean.tolist(),
        "axes": None if projection.axes is None else projection.axes.tolist(),
        "explained": projection.explained,
    }


def _attributes(subject: Subject, codes: Array, rows: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Describe the directions of what the data tell of the examples, and of what is measured of them."""
    split = subject.examples
    known: dict[str, NDArray[Any]] = {}
    if not subject.model.conditional:  # what the model is told it need not keep in z
        names = getattr(subject.data, "context_names", ())
        if split.context is not None and split.context.ndim == 2:
            known |= {name: split.context[rows, column] > 0.5 for column, name in enumerate(names)}
        if split.labels is not None and (subject.data.classes or 0) <= _CLASSES:
            labels = split.labels[rows]
            names = class_names(subject.data, int(labels.max(initial=0)) + 1)
            known |= {name: labels == number for number, name in enumerate(names)}
    found = [_attribute(name, codes, values) for name, values in known.items()]
    seen = random_rows(len(rows), _MEASURED, 0)
    measured = subject.view.measured(subject.shown(np.asarray(split.x[rows[seen]])))
    found += [_attribute(name, codes[seen], values) for name, values in measured.items()]
    return [attribute for attribute in found if attribute is not None]


def _attribute(name: str, codes: Array, values: NDArray[Any]) -> dict[str, Any] | None:
    measured = np.isfinite(values)
    try:
        step = attribute_vector(torch.from_numpy(codes[measured]).double(), values[measured])
    except RequestError:  # it does not vary here
        return None
    length = float(step.norm())
    return {"name": name, "vector": (step / length).tolist(), "spread": length}


def _is_standard_normal(subject: Subject) -> bool:
    from vaekit.distributions import StandardNormal

    return isinstance(getattr(subject.model, "prior", None), StandardNormal)


def _packed(array: Array) -> str:
    return base64.b64encode(np.ascontiguousarray(array, dtype="<f4").tobytes()).decode()
