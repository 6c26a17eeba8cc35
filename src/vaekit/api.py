r"""What users call: train a recipe or a model of their own, and evaluate a run."""

__all__ = ["evaluate", "train"]

import inspect
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from lightning_fabric import Fabric

from vaekit import recipes
from vaekit.data import Dataset, load_dataset
from vaekit.data.transforms import default_transform
from vaekit.errors import RequestError, nearest
from vaekit.evaluation import Evaluation, evaluate_model
from vaekit.models.base import LatentVariableModel, seeded
from vaekit.models.vae import VAE
from vaekit.plan import DataSpec, Plan
from vaekit.report.run import report_run
from vaekit.runs import FORMAT, Run, RunState, arguments_of, environment
from vaekit.training import fit

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed", "64-true")


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
        precision: "32-true", "bf16-mixed", "16-mixed" or "64-true".
        compile: Compile the training step: True, False, or "auto" to do so when it is expected to pay.
        clip: Largest norm of the gradient.
        patience: Epochs without a better validation bound before training stops.
        nll_samples: Importance samples for the test NLL; 0 leaves it out.
        resume: Go on with the unfinished run in `out`. Arguments are those that it was started with.
        force: Write over the run in `out`.
        progress: Show progress.
        data_options: Options of the data's loader.
        arguments: The recipe's own arguments, or those of `Plan` for a model.

    Raises:
        RequestError: If the request cannot be met; nothing is written then.
        Interrupted: If the process was asked to stop, after everything was saved.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run = train("vae", "digits", out=folder, epochs=2, latent_dim=2, nll_samples=10, progress=False)
        ...     sorted(path.name for path in run.directory.iterdir() if "tfevents" not in path.name)
        ['checkpoints', 'config.json', 'figures', 'history.csv', 'metrics.json', 'model.safetensors', 'report.html']
    """
    name = recipe.replace("_", "-") if isinstance(recipe, str) else "custom"
    if precision not in PRECISIONS:
        raise RequestError(
            f"precision is {precision!r}; expected one of {', '.join(PRECISIONS)}.{nearest(precision, PRECISIONS)}"
        )
    run = Run(out if out is not None else f"runs/{name}")
    child = "LOCAL_RANK" in os.environ and os.environ["LOCAL_RANK"] != "0"  # started by a run that has checked it all
    stored: dict[str, Any] | None = None
    if resume:
        if run.state is RunState.ABSENT:
            raise RequestError(f"no run at {run.directory} to resume: train it first, without --resume")
        stored = run.config
        if run.state is RunState.COMPLETE:
            return run
        arguments, data, data_options, seed, settings = _resumed(stored, name, arguments, data, data_options, seed)
        clip, patience, nll_samples, precision = (
            settings[key] for key in ("clip", "patience", "nll_samples", "precision")
        )
    elif not child:
        run.check_free(force=force)

    dataset = load_dataset("mnist" if data is None else data, **(data_options or {}))
    if nll_samples < 0:
        raise RequestError(f"nll_samples is {nll_samples}; expected 0 or more importance samples: pass 0 for none")
    with seeded(seed):
        plan = _plan(recipe, dataset, arguments).with_options(clip=clip, patience=patience)
    _check_batch(plan, dataset)
    fabric = Fabric(devices=devices, strategy=strategy, precision=cast(Any, precision))
    fabric.launch()
    if stored is None and fabric.is_global_zero:
        config = _config(name, recipe, plan, dataset, arguments)
        config["training"] = {
            "seed": seed,
            "devices": devices,
            "strategy": strategy,
            "precision": precision,
            "clip": clip,
            "patience": patience,
            "nll_samples": nll_samples,
        }
        config["command"] = _command(config, run)
        run.create(config, force=force)
    fabric.barrier()
    started = run.state is RunState.TRAINED or (run.directory / "checkpoints" / "last.safetensors").exists()
    outcome = fit(
        plan,
        dataset,
        directory=run.directory,
        seed=seed,
        fabric=fabric,
        compile=compile,
        resume=resume and started,
        progress=progress,
    )
    run.attach(plan)
    run.attach_data(dataset)
    if fabric.is_global_zero:
        run.write_model(outcome.model.state_dict())
        model = plan.model
        if isinstance(model, VAE):
            evaluation = evaluate_model(
                model,
                dataset,
                plan.transform,
                samples=curve(nll_samples),
                seed=seed,
                device=fabric.device,
                progress=progress,
            )
            _finish(run, {"training": outcome.facts, "test": evaluation.metrics}, evaluation, "test")
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
    if nll_samples < 0:
        raise RequestError(f"nll_samples is {nll_samples}; expected 0 or more importance samples: pass 0 for none")
    if limit is not None and limit < 1:
        raise RequestError(f"limit is {limit}; expected at least 1 example: pass --limit 1000, say")
    dataset = run.data if data is None else load_dataset(data, **(data_options or {}))
    plan = run.plan
    wanted = tuple(run.config["spec"]["shape"])
    if dataset.shape != wanted:
        raise RequestError(f"the data have shape {dataset.shape}; expected {wanted}, as in training: pass other --data")
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


def _plan(recipe: str | LatentVariableModel | Plan, data: Dataset, arguments: dict[str, Any]) -> Plan:
    if isinstance(recipe, Plan):
        if arguments:
            raise RequestError(f"a plan was given with arguments {sorted(arguments)}: set them in the plan")
        return recipe
    if isinstance(recipe, LatentVariableModel):
        arguments.setdefault("transform", default_transform(data, data.suggested))
        return Plan(recipe, **arguments)
    function = recipes.get(recipe)
    known = [name for name in inspect.signature(function).parameters if name != "data"]
    for name in arguments:
        if name not in known:
            raise RequestError(
                f"{recipe} has no argument {name!r}; expected one of {', '.join(known)}.{nearest(name, known)}"
            )
    return function(DataSpec.of(data), **arguments)


def _check_batch(plan: Plan, data: Dataset) -> None:
    rows = len(data.train) + (len(data.validation) if plan.train_on == "all" else 0)
    if plan.batch_size > rows:
        raise RequestError(
            f"batch_size is {plan.batch_size} but there are {rows} training examples: pass --batch-size {rows} or less"
        )


def _config(
    name: str, recipe: str | LatentVariableModel | Plan, plan: Plan, data: Dataset, arguments: dict[str, Any]
) -> dict[str, Any]:
    named = isinstance(recipe, str)
    return {
        "format": FORMAT,
        "recipe": name if named else None,
        "arguments": {**_defaults(name), **arguments} if named else {"model": type(plan.model).__name__},
        "spec": DataSpec.of(data).to_json(),
        "data": {
            "name": data.name,
            "reference": str(Path(data.reference).resolve()) if Path(data.reference).exists() else data.reference,
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
    }


def _defaults(name: str) -> dict[str, Any]:
    parameters = inspect.signature(recipes.get(name)).parameters
    return {key: p.default for key, p in parameters.items() if p.default is not inspect.Parameter.empty}


def _command(config: dict[str, Any], run: Run) -> str:
    """The shell command that gives this run again."""
    if config["recipe"] is None:
        return ""
    words = ["vaekit", "train", config["recipe"], "--data", config["data"]["reference"] or "ARRAYS"]
    defaults = _defaults(config["recipe"])
    asked = {k: v for k, v in config["arguments"].items() if v != defaults[k]}
    signature = inspect.signature(train).parameters
    asked |= {k: v for k, v in config["training"].items() if v != signature[k].default}
    for option, value in asked.items():
        text = str(list(value)) if isinstance(value, tuple) else str(value)
        words += [f"--{option.replace('_', '-')}", text]
    return shlex.join([*words, "--out", str(run.directory)])


def _resumed(
    stored: dict[str, Any],
    name: str,
    arguments: dict[str, Any],
    data: Any,
    data_options: dict[str, Any] | None,
    seed: int,
) -> tuple[dict[str, Any], Any, dict[str, Any], int, dict[str, Any]]:
    """Return what the run was started with; what is asked for now must not differ."""
    if stored["recipe"] not in (name, None):
        raise RequestError(f"the run to resume is of recipe {stored['recipe']!r}, not {name!r}: name that one")
    was = arguments_of(stored)
    for key, value in arguments.items():
        if stored["recipe"] is not None and key in was and was[key] != value:
            raise RequestError(
                f"{key} is {value!r} but the run to resume has {was[key]!r}: leave it out, or start over with --force"
            )
    reference = stored["data"]["reference"]
    if not reference and data is None:
        raise RequestError("the run to resume was trained on arrays in memory: pass the same arrays again")
    dataset = (
        load_dataset(reference, **stored["data"]["options"])
        if reference
        else load_dataset(data, **(data_options or {}))
    )
    if dataset.fingerprint != stored["data"]["fingerprint"]:
        raise RequestError(
            f"the data are not those that the run was started with ({stored['data']['name']}): restore them"
        )
    kept = was if stored["recipe"] is not None else arguments
    return kept, dataset, {}, stored["training"]["seed"], stored["training"]
