r"""What users call: train a recipe or a model of their own, and evaluate a run."""

__all__ = ["evaluate", "train"]

import inspect
import json
import os
import shlex
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch.distributions import constraints

from vaekit import recipes
from vaekit.data import Dataset, catalogue, load_dataset
from vaekit.data.transforms import Transform, default_transform
from vaekit.distributed import is_main_process
from vaekit.errors import Interrupted, RequestError, nearest
from vaekit.evaluation import Evaluation, evaluate_model
from vaekit.models.base import LatentVariableModel, seeded
from vaekit.models.vae import VAE
from vaekit.plan import DataSpec, Plan
from vaekit.report.run import report_run
from vaekit.runs import FORMAT, Run, RunState, arguments_of, environment
from vaekit.storage import sweep
from vaekit.training import fit
from vaekit.training.checks import check_fit, likelihood_support

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")

# What every training takes, and the defaults; `config.json` keeps them under "training".
SETTINGS: dict[str, Any] = {
    "seed": 0,
    "devices": 1,
    "strategy": "auto",
    "precision": "32-true",
    "compile": "auto",
    "clip": None,
    "patience": None,
    "nll_samples": 100,
}


def train(
    recipe: str | LatentVariableModel | Plan,
    data: str | os.PathLike[str] | Dataset | np.ndarray[Any, Any] | None = None,
    *,
    out: str | os.PathLike[str] | None = None,
    seed: int = 0,
    devices: int | str = 1,
    strategy: str = "auto",
    precision: str = "32-true",
    compile: bool | str = "auto",
    clip: float | None = None,
    patience: int | None = None,
    nll_samples: int = 100,
    resume: bool = False,
    force: bool = False,
    progress: bool = True,
    data_options: dict[str, Any] | None = None,
    on_epoch: Callable[[dict[str, float]], None] | None = None,
    **arguments: Any,
) -> Run:
    r"""Train a model, evaluate it on the test split and write the run directory.

    Arguments:
        recipe: A recipe's name; or a model of your own, whose parts are any modules that return distributions; or a
            `Plan`, which says everything.
        data: What `vaekit.load_dataset` takes; by default "mnist".
        out: The run directory; by default `runs/RECIPE`.
        seed: Of every random draw.
        devices: How many devices, or "auto" for all.
        strategy: How they share the work, such as "ddp".
        precision: "32-true", "bf16-mixed" or "16-mixed".
        compile: Compile the training step: True, False, or "auto" to do so when it is expected to pay.
        clip: Largest norm of the gradient.
        patience: Epochs without a better validation bound before training stops.
        nll_samples: Importance samples for the test NLL; 0 leaves it out.
        resume: Go on with the unfinished run in `out`, as it was started; an argument that differs is refused. A
            finished run is returned as it is.
        force: Write over the run in `out`.
        progress: Show progress.
        data_options: Options of the data's loader.
        on_epoch: Called at the end of every epoch with the new row of `history.csv`, by column.
        arguments: The recipe's own arguments, or those of `Plan` for a model, whose `transform` is by default what
            suits its likelihood.

    Raises:
        RequestError: If the request cannot be met; nothing is written then.
        Diverged: If the loss becomes infinite or NaN.
        Interrupted: If the process was asked to stop, after everything was saved.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run = train("vae", "digits", out=folder, epochs=2, latent_dim=2, nll_samples=10, progress=False)
        ...     sorted(path.name for path in run.directory.iterdir() if "tfevents" not in path.name)
        ['checkpoints', 'config.json', 'figures', 'history.csv', 'metrics.json', 'model.safetensors', 'report.html']
    """
    name = recipe.replace("_", "-") if isinstance(recipe, str) else "custom"
    run = Run(out if out is not None else f"runs/{name}")
    arguments = dict(arguments)
    for key, value in (("clip", clip), ("patience", patience)):
        if value is not None and isinstance(recipe, str) and key in _defaults(name):
            arguments[key] = value  # a recipe has the last word on what it has a default for
    settings: dict[str, Any] = {
        "seed": seed,
        "devices": devices,
        "strategy": strategy,
        "precision": precision,
        "compile": compile,
        "clip": None if "clip" in arguments else clip,
        "patience": None if "patience" in arguments else patience,
        "nll_samples": nll_samples,
    }
    if resume:
        arguments, settings, dataset = _resumed(run, name, arguments, settings, data, data_options)
        if isinstance(recipe, Plan):
            arguments = {}  # the plan has them, and is compared below
        if run.state is RunState.COMPLETE:
            run.attach_data(dataset)
            return run
    else:
        if is_main_process():  # the others are started by the first, which has begun to write by then
            run.check_free(force=force)
        dataset = load_dataset("mnist" if data is None else data, **(data_options or {}))
    _check_settings(settings)
    fabric = _fabric(settings)
    with seeded(settings["seed"]):
        plan = _plan(recipe, dataset, arguments)
        plan = plan.with_options(clip=settings["clip"], patience=settings["patience"])
    config = _config(name, recipe, plan, dataset, arguments, settings, run)
    if resume:
        run.check_same(name, config["arguments"])
    check_fit(plan, dataset, fabric.world_size, settings["seed"])
    # Nothing is written before this line, and a request that gets here can be met.
    fabric.launch()
    if fabric.is_global_zero:
        if not resume:
            run.create(config, force=force)
        sweep(run.directory)
    fabric.barrier()
    started = (run.directory / "checkpoints" / "last.safetensors").exists()
    if run.state is RunState.TRAINED and not started:
        raise RequestError(
            f"{run.directory} has a trained model but no checkpoint: finish it with `vaekit evaluate {run.directory}`"
        )
    outcome = fit(
        plan,
        dataset,
        directory=run.directory,
        seed=settings["seed"],
        fabric=fabric,
        compile=settings["compile"],
        resume=started,
        progress=progress,
        on_epoch=on_epoch,
        checked=True,
    )
    run.attach(plan)
    run.attach_data(dataset)
    if fabric.is_global_zero:
        run.write_model(outcome.model.state_dict())
        if isinstance(plan.model, VAE):
            try:
                evaluation = evaluate_model(
                    plan.model,
                    dataset,
                    plan.transform,
                    samples=curve(settings["nll_samples"]),
                    seed=settings["seed"],
                    device=fabric.device,
                    progress=progress,
                )
                _finish(run, {"training": outcome.facts, "test": evaluation.metrics}, evaluation, "test")
            except KeyboardInterrupt:
                raise Interrupted("stopped during the evaluation of the trained model") from None
    fabric.barrier()  # so that what is written is there for every process
    return run


def evaluate(
    run: str | os.PathLike[str] | Run,
    data: str | os.PathLike[str] | Dataset | np.ndarray[Any, Any] | None = None,
    *,
    split: str = "test",
    nll_samples: int = 1000,
    limit: int | None = None,
    seed: int = 0,
    progress: bool = True,
    data_options: dict[str, Any] | None = None,
) -> dict[str, Any]:
    r"""Evaluate a trained run, add the numbers to its `metrics.json` and write its report anew.

    Arguments:
        run: The run directory.
        data: Other data than those it was trained on; the numbers are then returned and not kept.
        split: "train", "validation" or "test".
        nll_samples: Importance samples for the NLL; 0 leaves it out.
        limit: Use at most so many of the first examples.
        seed: Of every draw.
        progress: Show progress.
        data_options: Options of the data's loader.

    Returns:
        The numbers by name, in nats, with the protocol in words.

    Raises:
        RequestError: If there is no finished run, or the data do not fit it.
    """
    run = run if isinstance(run, Run) else Run(run)
    run.require_trained()
    _check_settings({**SETTINGS, "seed": seed, "nll_samples": nll_samples})
    if limit is not None and limit < 1:
        raise RequestError(f"limit is {limit}; expected at least 1 example: pass --limit 1000, say")
    dataset = run.dataset(data, **(data_options or {}))
    plan = run.plan
    fabric = Fabric(devices=1)
    plan.model.to(fabric.device)
    evaluation = evaluate_model(
        run.model,
        dataset,
        plan.transform,
        split=split,
        samples=curve(nll_samples),
        limit=limit,
        seed=seed,
        device=fabric.device,
        progress=progress,
    )
    if data is None:
        metrics = run.metrics if run.state is RunState.COMPLETE else {}
        key = split if limit is None else f"{split}_first_{limit}"
        _finish(run, {**metrics, key: evaluation.metrics}, evaluation, key)
    return evaluation.metrics


def curve(most: int) -> tuple[int, ...]:
    r"""Return the numbers of importance samples at which the bound is reported: 1, 5, 50, 500, ... up to `most`.

    Example:
        >>> curve(5000), curve(1000), curve(0)
        ((1, 5, 50, 500, 5000), (1, 5, 50, 500, 1000), ())
    """
    steps: Sequence[int] = [k for k in (1, 5, 50, 500, 5000, 50000) if k < most]
    return (*steps, most) if most else ()


def _finish(run: Run, metrics: dict[str, Any], evaluation: Evaluation, key: str) -> None:
    # The metrics come last: a run directory that has them is whole.
    report_run(run, metrics, evaluation if key == "test" else None)
    run.write_json("metrics.json", metrics)


def _check_settings(settings: dict[str, Any]) -> None:
    """Raise a `RequestError` for a setting out of its range."""
    precision, seed, samples = settings["precision"], settings["seed"], settings["nll_samples"]
    if precision not in PRECISIONS:
        raise RequestError(
            f"precision is {precision!r}; expected one of {', '.join(PRECISIONS)}.{nearest(str(precision), PRECISIONS)}"
        )
    if not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise RequestError(f"seed is {seed!r}; expected an integer from 0 to 2^32 - 1: pass --seed 0")
    if samples < 0:
        raise RequestError(f"nll_samples is {samples}; expected 0 or more importance samples: pass 0 for none")


def _fabric(settings: dict[str, Any]) -> Fabric:
    devices, strategy, precision = (settings[key] for key in ("devices", "strategy", "precision"))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*AMP with fp16 is not supported on CPU.*")  # refused below
        try:
            fabric = Fabric(devices=devices, strategy=strategy, precision=precision)
        except (ValueError, TypeError, RuntimeError, ImportError) as error:
            raise RequestError(
                f"devices={devices!r} with strategy={strategy!r} cannot be had here ({str(error).partition('. ')[0]}): "
                "pass --devices 1, or --strategy auto"
            ) from None
    if precision == "16-mixed" and fabric.device.type == "cpu":
        raise RequestError("precision is '16-mixed', which a CPU does not have: pass --precision bf16-mixed")
    return fabric


def _plan(recipe: str | LatentVariableModel | Plan, data: Dataset, arguments: dict[str, Any]) -> Plan:
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


def _suited(model: LatentVariableModel, data: Dataset) -> Transform:
    """Return the transform that makes of the data what the model's likelihood describes."""
    grey = default_transform(data, "gaussian")
    support = likelihood_support(model, grey(torch.from_numpy(data.train.x[:1])))
    return default_transform(data, "bernoulli") if support is constraints.boolean else grey


def _check_known(recipe: str, arguments: Iterable[str], known: Sequence[str]) -> None:
    for name in arguments:
        if name not in known:
            raise RequestError(
                f"{recipe} has no argument {name!r}; expected one of {', '.join(known)}.{nearest(name, known)}"
            )


def _numbers(plan: Plan) -> dict[str, Any]:
    """What a plan says in numbers and words, for the record of a model of one's own."""
    values = {field.name: getattr(plan, field.name) for field in fields(plan)}
    return {name: value for name, value in values.items() if isinstance(value, int | float | str | tuple | None)}


def _config(
    name: str,
    recipe: str | LatentVariableModel | Plan,
    plan: Plan,
    data: Dataset,
    arguments: dict[str, Any],
    settings: dict[str, Any],
    run: Run,
) -> dict[str, Any]:
    named = isinstance(recipe, str)
    # A name wins over a path of the same spelling, here as where data are loaded.
    path = data.reference and data.reference.lower().replace("_", "-") not in catalogue()
    config = {
        "format": FORMAT,
        "recipe": name if named else None,
        "arguments": {**_defaults(name), **arguments}
        if named
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
        "versions": environment(),
        "training": settings,
    }
    return {**config, "command": _command(config, run)}


def _defaults(name: str) -> dict[str, Any]:
    parameters = inspect.signature(recipes.get(name)).parameters
    return {key: p.default for key, p in parameters.items() if p.default is not inspect.Parameter.empty}


def _command(config: dict[str, Any], run: Run) -> str:
    """The shell command that gives this run again, or nothing if no command does."""
    data = config["data"]
    if config["recipe"] is None or not data["reference"]:
        return ""
    words = ["vaekit", "train", config["recipe"], "--data", data["reference"]]
    if data["options"]:
        words += ["--data-options", json.dumps(data["options"])]
    defaults = {**SETTINGS, **_defaults(config["recipe"])}
    for option, value in {**config["training"], **config["arguments"]}.items():
        if value != defaults[option] and value is not None:
            words += _words(option.replace("_", "-"), value)
    return shlex.join([*words, "--out", str(run.directory)])


def _words(option: str, value: Any) -> list[str]:
    if option == "compile":
        value = {True: "yes", False: "no"}.get(value, value)
    if isinstance(value, bool):
        return [f"--{option}" if value else f"--no-{option}"]
    if isinstance(value, list | tuple):
        return [f"--{option}", ",".join(map(str, value))]
    return [f"--{option}", str(value)]


def _resumed(
    run: Run,
    name: str,
    arguments: dict[str, Any],
    settings: dict[str, Any],
    data: Any,
    options: dict[str, Any] | None,
) -> tuple[dict[str, Any], dict[str, Any], Dataset]:
    """Return the arguments, the settings and the data of the run to resume; what is asked for must not differ."""
    if run.state is RunState.ABSENT:
        raise RequestError(f"no run at {run.directory} to resume: train it first, without --resume")
    config = run.config
    run.check_same(name, {**arguments, **{key: v for key, v in settings.items() if v != SETTINGS[key]}})
    arguments = {**arguments_of(config), **arguments}
    arguments.pop("model", None)
    if data is None:
        return arguments, {**SETTINGS, **config["training"]}, run.data
    dataset = load_dataset(data, **(options or {}))
    if dataset.fingerprint != config["data"]["fingerprint"]:
        raise RequestError(
            f"the data are not those that the run to resume was started with ({config['data']['name']}): leave them "
            "out, or start over with --force"
        )
    return arguments, {**SETTINGS, **config["training"]}, dataset
