r"""What an export says of a run, and the examples of it that an export is tried on."""

__all__ = ["said_of", "some_examples"]

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vaekit import __version__
from vaekit.data.transforms import pairs
from vaekit.errors import RequestError

if TYPE_CHECKING:
    from vaekit.runs import Run

_EXAMPLES = 64


def said_of(run: "Run") -> dict[str, str]:
    r"""Return what the exported files say of where they come from: words that no path or name of a user is in."""
    config = run.config
    likelihood = getattr(getattr(run.plan.model, "decoder", None), "head", None)
    return {
        "vaekit": __version__,
        "recipe": str(config["recipe"] or "custom"),
        "data": str(config["spec"]["name"]),
        "levels": str(config["spec"]["levels"]),
        "transform": run.plan.transform.describe(),
        "likelihood": type(likelihood).__name__ if likelihood is not None else "unknown",
    }


def some_examples(run: "Run") -> tuple[Tensor | None, Tensor | None]:
    r"""Return the first test examples as the model sees them, and their contexts; None where the data are gone."""
    try:
        data = run.data
    except RequestError:  # a run that was moved without its data is still exported, and tried on noise
        return None, None
    split = data.test if len(data.test) else data.train
    given = split.given if run.model.conditional else None
    x, told = next(iter(pairs(split.x[:_EXAMPLES], run.plan.transform, None if given is None else given[:_EXAMPLES])))
    return x, None if told is None else torch.as_tensor(told)
