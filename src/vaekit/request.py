r"""From what was asked for to what a training needs: a plan for the data, the run to go on with."""

__all__ = ["curve", "plan_for", "resumed"]

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from torch.distributions import constraints

from vaekit import recipes
from vaekit.data import Dataset, load_dataset
from vaekit.data.transforms import Transform, default_transform
from vaekit.errors import RequestError, nearest
from vaekit.models.base import LatentVariableModel
from vaekit.plan import DataSpec, Plan
from vaekit.record import arguments_of
from vaekit.runs import Run, RunState
from vaekit.training.checks import likelihood_support


def plan_for(recipe: str | LatentVariableModel | Plan, data: Dataset, arguments: Mapping[str, Any]) -> Plan:
    r"""Return the plan of a recipe, or of a model of one's own, for some data.

    Arguments:
        recipe: A recipe's name, a model, or a plan, which is returned.
        data: The data.
        arguments: The recipe's own arguments, or those of `Plan` for a model.

    Raises:
        RequestError: If there is no such recipe or argument, or a value is out of its range.
    """
    if isinstance(recipe, Plan):
        if arguments:
            raise RequestError(f"a plan was given with arguments {', '.join(arguments)}: set them in the plan")
        return recipe
    if isinstance(recipe, LatentVariableModel):
        known = [field.name for field in fields(Plan) if field.name != "model"]
        _check_known("a model of your own", arguments, known)
        return Plan(recipe, **{"transform": _suited(recipe, data), **arguments})
    function = recipes.get(recipe)
    _check_known(recipe, arguments, [name for name in inspect.signature(function).parameters if name != "data"])
    return function(DataSpec.of(data), **arguments)


def resumed(
    run: Run, name: str, arguments: Mapping[str, Any], settings: Mapping[str, Any], data: Any, options: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any], Dataset]:
    r"""Return the arguments, the settings and the data that the run to resume was started with.

    Arguments:
        run: The run to resume.
        name: The recipe asked for, "custom" for none.
        arguments: Its arguments that were given.
        settings: The settings that were given.
        data: The data, where they were given.
        options: Of their loader.

    Raises:
        RequestError: If there is no run, or what is given differs from what it was started with.
    """
    if run.state is RunState.ABSENT:
        raise RequestError(f"no run at {run.directory} to resume: train it first, without --resume")
    config = run.config
    run.check_same(name, {**arguments, **settings})
    arguments = {**arguments_of(config), **arguments}
    arguments.pop("model", None)
    if data is None:
        return arguments, config["training"], run.data
    dataset = load_dataset(data, **options)
    if dataset.fingerprint != config["data"]["fingerprint"]:
        raise RequestError(
            f"the data are not those that the run to resume was started with ({config['data']['name']}): leave them "
            "out, or start over with --force"
        )
    return arguments, config["training"], dataset


def curve(most: int) -> tuple[int, ...]:
    r"""Return the numbers of importance samples at which the bound is reported: 1, 5, 50, 500, ... up to `most`.

    Example:
        >>> curve(5000), curve(1000), curve(0)
        ((1, 5, 50, 500, 5000), (1, 5, 50, 500, 1000), ())
    """
    return (*(k for k in (1, 5, 50, 500, 5000, 50000) if k < most), most) if most else ()


def _suited(model: LatentVariableModel, data: Dataset) -> Transform:
    """Return the transform that makes of the data what the model's likelihood describes."""
    if data.suggested == "categorical":
        return default_transform(data, data.suggested)
    grey = default_transform(data, "gaussian")
    support = likelihood_support(model, grey(torch.from_numpy(np.asarray(data.train.x[:1]))))
    return default_transform(data, "bernoulli") if support is constraints.boolean else grey


def _check_known(recipe: str, arguments: Iterable[str], known: Sequence[str]) -> None:
    for name in arguments:
        if name not in known:
            raise RequestError(
                f"{recipe} has no argument {name!r}; expected one of {', '.join(known)}.{nearest(name, known)}"
            )
