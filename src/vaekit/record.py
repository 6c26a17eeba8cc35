r"""The record of a training, `config.json`: what was asked for, of which data, with which versions."""

__all__ = ["FORMAT", "KEYS", "arguments_of", "defaults_of", "make_record", "plan_of"]

import inspect
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import fields
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from vaekit import recipes
from vaekit.data import Dataset, catalogue
from vaekit.plan import DataSpec, Plan

FORMAT = 1
KEYS = {"format", "recipe", "arguments", "spec", "data", "versions", "training"}


def make_record(
    recipe: str | None,
    plan: Plan,
    data: Dataset,
    *,
    arguments: Mapping[str, Any],
    settings: Mapping[str, Any],
    defaults: Mapping[str, Any],
    directory: Path,
) -> dict[str, Any]:
    r"""Return everything that was asked for, with the shell command that gives the run again.

    Arguments:
        recipe: The recipe's name; None for a model or a plan made in Python.
        plan: The plan.
        data: The data.
        arguments: The recipe's own arguments that were given.
        settings: The settings of the training, all of them.
        defaults: Their defaults, which the command leaves out.
        directory: Of the run.
    """
    # A name wins over a path of the same spelling, here as where data are loaded.
    path = data.reference and data.reference.lower().replace("_", "-") not in catalogue()
    record = {
        "format": FORMAT,
        "recipe": recipe,
        "arguments": {**defaults_of(recipe), **arguments}
        if recipe
        else {"model": type(plan.model).__name__, **_numbers(plan)},
        "spec": DataSpec.of(data).to_json(),
        "data": {
            "name": data.name,
            "reference": str(Path(data.reference).expanduser().resolve()) if path else data.reference,
            "options": data.options,
            "fingerprint": data.fingerprint,
            "note": data.note,
            "source": data.source,
            "train": len(data.train),
            "validation": len(data.validation),
            "test": len(data.test),
            "transform": plan.transform.describe(),
        },
        "versions": _environment(),
        "training": dict(settings),
    }
    return {**record, "command": _command(record, defaults, directory)}


def defaults_of(recipe: str) -> dict[str, Any]:
    r"""Return a recipe's arguments and their defaults.

    Raises:
        RequestError: If there is no such recipe.

    Example:
        >>> defaults_of("vae")["latent_dim"]
        24
    """
    parameters = inspect.signature(recipes.get(recipe)).parameters
    return {name: p.default for name, p in parameters.items() if p.default is not inspect.Parameter.empty}


def arguments_of(record: Mapping[str, Any]) -> dict[str, Any]:
    r"""Return a recipe's arguments from a record, lists as the tuples they were."""
    return {name: tuple(v) if isinstance(v, list) else v for name, v in record["arguments"].items()}


def plan_of(record: Mapping[str, Any]) -> Plan:
    r"""Return the plan of a record that names a recipe; its model has no trained weights yet.

    Raises:
        RequestError: If there is no such recipe.
        TypeError, KeyError, AttributeError: If the record does not describe a model of it.
    """
    return recipes.get(record["recipe"])(DataSpec.from_json(record["spec"]), **arguments_of(record))


def _numbers(plan: Plan) -> dict[str, Any]:
    """What a plan says in numbers and words, for the record of a model of one's own."""
    values = {field.name: getattr(plan, field.name) for field in fields(plan) if field.name != "stages"}
    return {name: value for name, value in values.items() if isinstance(value, int | float | str | tuple | None)}


def _environment() -> dict[str, Any]:
    """The versions and the machine."""
    names = ("vaekit", "torch", "numpy", "lightning-fabric", "scikit-learn")
    versions = {name: metadata.version(name) for name in names}
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
    machine = {"processor": _processor(), "cpus": os.cpu_count() or 0, "gpu": gpu, "commit": _commit()}
    return {"python": ".".join(map(str, sys.version_info[:3])), **versions, **machine}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _commit() -> str | None:
    """The commit of the source, with a plus if files differ from it; None for an installed package."""
    source = Path(__file__).parent
    if not (source.parents[1] / ".git").exists():
        return None
    try:
        said = subprocess.run(
            ["git", "describe", "--always", "--abbrev=10", "--dirty=+"], cwd=source, capture_output=True, text=True
        )
    except OSError:
        return None
    return said.stdout.strip() or None


def _command(record: dict[str, Any], defaults: Mapping[str, Any], directory: Path) -> str:
    """The shell command that gives this run again, or nothing if no command does."""
    data = record["data"]
    if record["recipe"] is None or not data["reference"]:
        return ""
    words = ["vaekit", "train", record["recipe"], "--data", data["reference"]]
    if data["options"]:
        words += ["--data-options", json.dumps(data["options"])]
    defaults = {**defaults, **defaults_of(record["recipe"])}
    for option, value in {**record["training"], **record["arguments"]}.items():
        if value != defaults[option] and value is not None:
            words += _words(option.replace("_", "-"), value, defaults[option])
    return shlex.join([*words, "--out", str(directory)])


def _words(option: str, value: Any, default: Any) -> list[str]:
    if isinstance(value, bool) and isinstance(default, bool):
        return [f"--{option}" if value else f"--no-{option}"]
    if isinstance(value, bool):
        return [f"--{option}", "yes" if value else "no"]
    if isinstance(value, list | tuple):
        return [f"--{option}", ",".join(map(str, value))]
    return [f"--{option}", str(value)]
