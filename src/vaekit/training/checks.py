r"""What is checked before a training begins, and before anything is written."""

__all__ = ["check_fit", "likelihood_support"]

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch.distributions import constraints

from vaekit.errors import RequestError
from vaekit.models.base import LatentVariableModel, seeded
from vaekit.plan import Plan

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vaekit.data import Dataset
    from vaekit.data.rows import Rows


def check_fit(plan: Plan, data: "Dataset", processes: int = 1, seed: int = 0) -> None:
    r"""Check that data can be trained on as planned.

    Arguments:
        plan: The plan.
        data: The data.
        processes: Number of processes that share a batch.
        seed: Of the transform's draws.

    Raises:
        RequestError: If a batch is larger than the training data or cannot be shared evenly, or data, once
            transformed, lie outside the support of the model's likelihood.
    """
    rows = len(data.train) + (len(data.validation) if plan.train_on == "all" else 0)
    if plan.batch_size > rows:
        raise RequestError(
            f"batch_size is {plan.batch_size} but there are {rows} training examples: pass --batch-size {rows} or less"
        )
    if plan.batch_size % processes:
        raise RequestError(
            f"batch_size is {plan.batch_size}, shared by {processes} processes; expected a multiple of {processes}: "
            f"pass --batch-size {plan.batch_size // processes * processes or processes}"
        )
    for name, split in data.splits.items():
        if plan.model.conditional and split.given is None and len(split):
            raise RequestError(
                f"the model describes data given a context, but the {name} split of {data.name} has neither labels nor "
                "contexts: pass data that have them, such as mnist, or a model without a context"
            )
        # Of data that are read as they are needed, one block has to do: all of them can be hours of reading.
        x = split.x if isinstance(split.x, np.ndarray) else split.x[:1000]
        _check_domain(plan, name, x, split.given if plan.model.conditional else None, seed)


@torch.no_grad()
def _check_domain(plan: Plan, name: str, x: "Rows", context: "NDArray[Any] | None", seed: int) -> None:
    from vaekit.data.transforms import pairs

    device = next((p.device for p in plan.model.parameters()), torch.device("cpu"))
    before = 0
    for block, given in pairs(x, plan.transform, context, seed, device):
        support = likelihood_support(plan.model, block[:1], None if given is None else given[:1])
        if support is None:
            return
        inside = support.check(block).reshape(len(block), -1).all(1)
        if not bool(inside.all()):
            row = int((~inside).nonzero()[0])
            low, high = float(block[row].min()), float(block[row].max())
            raise RequestError(
                f"{name} example {before + row} runs from {low:g} to {high:g} after the transform "
                f"({plan.transform.describe()}); the likelihood expects {_in_words(support)}: choose another "
                "--likelihood, or rescale the data"
            )
        before += len(block)


@torch.no_grad()
def likelihood_support(
    model: LatentVariableModel, x: torch.Tensor, context: torch.Tensor | None = None
) -> constraints.Constraint | None:
    r"""Return where a model's likelihood lives, entry by entry, or None for a model that does not decode.

    Arguments:
        model: The model.
        x: A few examples, shape `(n, *data_shape)`.
        context: What a conditional model is told of them, shape `(n, ...)`.
    """
    decode, encode = getattr(model, "decode", None), getattr(model, "encode", None)
    if decode is None or encode is None:
        return None
    training = model.training
    model.eval()
    with seeded(0):
        support = decode(encode(x, context).mean, context).support
    model.train(training)
    while isinstance(support, constraints.independent):
        support = support.base_constraint
    return cast(constraints.Constraint, support)


def _in_words(support: constraints.Constraint) -> str:
    names = {
        constraints.boolean: "zeros and ones",
        constraints.unit_interval: "numbers from 0 to 1",
        constraints.real: "finite numbers",
        constraints.positive: "numbers above 0",
    }
    return names.get(support, str(support))
