r"""What users call: train a recipe or a model of their own, evaluate a run, load its model.

The command line takes its options, their defaults and their help from these signatures and docstrings, and answers
`--help` from them: what is heavy is imported inside.
"""

__all__ = ["evaluate", "load", "train"]

import contextlib
import inspect
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from vaekit.distributed import is_main_process
from vaekit.errors import Interrupted, RequestError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np

    from vaekit.data import Dataset
    from vaekit.evaluation import Evaluation
    from vaekit.models import VAE, LatentVariableModel
    from vaekit.plan import Plan
    from vaekit.runs import Run

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
Split = Literal["train", "validation", "test"]


def train(
    recipe: "str | LatentVariableModel | Plan",
    data: "str | os.PathLike[str] | Dataset | np.ndarray[Any, Any] | None" = None,
    *,
    data_options: dict[str, Any] | None = None,
    out: str | os.PathLike[str] | None = None,
    seed: int = 0,
    devices: int | Literal["auto"] = 1,
    strategy: str = "auto",
    precision: Precision = "32-true",
    compile: bool | Literal["auto"] = "auto",
    clip: float | None = None,
    patience: int | None = None,
    nll_samples: int = 100,
    resume: bool = False,
    force: bool = False,
    progress: bool = True,
    on_epoch: "Callable[[dict[str, float]], None] | None" = None,
    **arguments: Any,
) -> "Run":
    r"""Train a recipe on your data, evaluate it, write a run directory with its report.

    Arguments:
        recipe: A recipe's name; or a model of your own, whose parts are any modules that return distributions; or a
            `Plan`, which says everything.
        data: A name that `vaekit datasets` lists, or a path to a .npy or .npz file, a table (.csv, .tsv,
            .parquet) or a folder of images; by default mnist. In Python also an array or a `Dataset`.
        data_options: Options of the data's loader, such as {"size": 64} for a folder of images; in a shell, in quotes.
        out: The run directory; by default runs/RECIPE.
        seed: Of every random draw; the same seed gives the same run.
        devices: How many devices share the work; auto takes all.
        strategy: How they share it, such as ddp.
        precision: Of the arithmetic: 32 bits, or 16 where they do and 32 elsewhere, as bfloat16 or float16.
        compile: Compile the training step; auto does when it is expected to pay.
        clip: Largest norm of the gradient.
        patience: Epochs without a better validation bound before training stops.
        nll_samples: Importance samples for the test NLL at the end; 0 leaves it out.
        resume: Go on with an unfinished run, to the bit. Its arguments need not be repeated, and cannot be changed. A
            finished run stays as it is.
        force: Write over the run that is there.
        progress: Show progress: a bar on a terminal, and elsewhere a line now and then.
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
    given = locals()
    settings = {name: given[name] for name in SETTINGS}

    from vaekit.data import load_dataset
    from vaekit.evaluation import evaluate_model
    from vaekit.models import VAE
    from vaekit.models.base import seeded
    from vaekit.plan import Plan
    from vaekit.record import defaults_of, make_record
    from vaekit.request import curve, plan_for, resumed
    from vaekit.runs import Run, RunState
    from vaekit.stages import run_stages
    from vaekit.storage import sweep
    from vaekit.training import fit
    from vaekit.training.checks import check_fit
    from vaekit.training.engine import engine_for

    named = recipe.replace("_", "-") if isinstance(recipe, str) else None
    name = named or "custom"
    run = Run(out if out is not None else f"runs/{name}")
    own = defaults_of(named) if named else {}
    for key in settings.keys() & own.keys():  # a recipe has the last word on what it has a default for
        if settings[key] != SETTINGS[key]:
            arguments[key], settings[key] = settings[key], SETTINGS[key]
    if resume:
        asked = {key: value for key, value in settings.items() if value != SETTINGS[key]}
        arguments, settings, dataset = resumed(run, name, arguments, asked, data, data_options or {})
        settings = {**SETTINGS, **settings}
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
    with seeded(settings["seed"]):
        plan = plan_for(recipe, dataset, arguments)
        plan = plan.with_options(clip=settings["clip"], patience=settings["patience"])
    engine = engine_for(
        settings["devices"], settings["strategy"], settings["precision"], phases=len(plan.model.phases())
    )
    config = make_record(
        named, plan, dataset, arguments=arguments, settings=settings, defaults=SETTINGS, directory=run.directory
    )
    if resume:
        run.check_same(name, config["arguments"])
    check_fit(plan, dataset, engine.world_size, settings["seed"])
    # Nothing is written before this line, and a request that gets here can be met.
    engine.launch()
    with contextlib.ExitStack() as claims:
        if engine.global_rank == 0:
            claims.enter_context(run.claim())
            if not resume:
                run.create(config, force=force)
            sweep(run.directory)
        engine.barrier()
        started = (run.directory / "checkpoints" / "last.safetensors").exists()
        if run.state is RunState.TRAINED and not started:
            raise RequestError(
                f"{run.directory} has a trained model but no checkpoint: finish it with "
                f"`vaekit evaluate {run.directory}`"
            )
        outcome = fit(
            plan,
            dataset,
            directory=run.directory,
            seed=settings["seed"],
            engine=engine,
            compile=settings["compile"],
            resume=started,
            progress=progress,
            on_epoch=on_epoch,
            checked=True,
        )
        try:  # in every process, so that all have the same model
            stages = run_stages(
                plan.stages,
                outcome.model,
                dataset,
                plan.transform,
                seed=settings["seed"],
                device=engine.device,
                progress=progress and engine.global_rank == 0,
            )
        except KeyboardInterrupt:
            raise Interrupted("stopped after the last epoch, in a stage that comes after it") from None
        run.attach(plan)
        run.attach_data(dataset)
        if engine.global_rank == 0:
            run.write_model(outcome.model.state_dict())
            if isinstance(plan.model, VAE):
                try:
                    evaluation = evaluate_model(
                        plan.model,
                        dataset,
                        plan.transform,
                        samples=curve({**settings, **config["arguments"]}["nll_samples"]),
                        seed=settings["seed"],
                        device=engine.device,
                        progress=progress,
                        log=_bounds(outcome.history, outcome.facts["best_epoch"]),
                    )
                    found = {"training": outcome.facts} | ({"stages": stages} if stages else {})
                    _finish(run, {**found, "test": evaluation.metrics}, evaluation)
                except KeyboardInterrupt:
                    raise Interrupted("stopped during the evaluation of the trained model") from None
        engine.barrier()  # so that what is written is there for every process
    return run


# What `train` takes beside the recipe's own arguments and keeps in `config.json`, and the defaults.
SETTINGS: dict[str, Any] = {
    name: parameter.default
    for name, parameter in inspect.signature(train).parameters.items()
    if name not in ("recipe", "data", "data_options", "out", "resume", "force", "progress", "on_epoch", "arguments")
}


def evaluate(
    run: "str | os.PathLike[str] | Run",
    data: "str | os.PathLike[str] | Dataset | np.ndarray[Any, Any] | None" = None,
    *,
    data_options: dict[str, Any] | None = None,
    split: Split = "test",
    metrics: str = "all",
    nll_samples: int = 1000,
    annealed: int = 50,
    generated: int = 10_000,
    features: str = "auto",
    disentanglement: Literal["brief", "published"] = "brief",
    limit: int | None = None,
    seed: int = 0,
    beside: "str | os.PathLike[str] | Run | None" = None,
    out: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    r"""Measure a trained run: likelihood, posterior, reconstruction, generation, disentanglement, with their errors.

    The numbers are added to the run's `metrics.json`, and its report is written anew. Each family of metrics says
    its protocol; numbers of unlike protocols are not comparable.

    Arguments:
        run: The run directory.
        data: Other data than those it was trained on; the numbers are then not kept in the run.
        data_options: Options of the data's loader, such as {"size": 64} for a folder of images; in a shell, in quotes.
        split: Which split of the data.
        metrics: Families between commas, of likelihood, annealed, aggregate, prior-match, code-use, amortisation,
            reconstruction, accuracy, generation, conditioning, classification, attributes, disentanglement; all takes
            those that apply.
        nll_samples: Importance samples for the NLL, k; 0 leaves it out.
        annealed: Examples whose NLL is also estimated by annealed importance sampling, the first ones.
        generated: Samples to hold against as many real examples.
        features: Network in whose features samples are compared: auto for the one that suits the data, mnist,
            squeezenet, or inception:PATH with weights that you have.
        disentanglement: Its size: brief, for a first look; published, with as many examples as published scores.
        limit: Use at most so many of the first examples.
        seed: Of every random draw.
        beside: Another run on data of the same shape, whose reconstructions the report shows beside this one's.
        out: Write the numbers to this JSON file too.
        progress: Show progress.

    Returns:
        The numbers by name, in nats, with the protocol in words.

    Raises:
        RequestError: If there is no finished run, or the data do not fit it.
    """
    _check_settings({**SETTINGS, "seed": seed, "nll_samples": nll_samples})
    for name, value in (("annealed", annealed), ("generated", generated), ("limit", limit)):
        if value is not None and value < 1:
            raise RequestError(f"{name} is {value}; expected at least 1 example: pass --{name} 1000, say")
    if out is not None and (Path(out).is_dir() or not Path(out).parent.is_dir()):
        raise RequestError(f"--out is {str(out)!r}; expected a file in a folder that exists: pass another name")

    from vaekit.evaluation import diagnose, evaluate_model
    from vaekit.request import curve
    from vaekit.runs import Run, RunState
    from vaekit.storage import write_json
    from vaekit.training.engine import SingleDevice

    run = run if isinstance(run, Run) else Run(run)
    run.require_trained()
    other = beside if isinstance(beside, Run) or beside is None else Run(beside)
    if other is not None:
        other.require_trained()
        if other.data.shape != run.data.shape:
            raise RequestError(
                f"{other.directory} has examples of shape {other.data.shape}; expected {run.data.shape}, as in "
                f"{run.directory}: pass a run on the same data"
            )
    dataset = run.dataset(data, **(data_options or {}))
    plan = run.plan
    device = SingleDevice().device
    plan.model.to(device)
    known = run.metrics if run.state is RunState.COMPLETE else {}
    log = _bounds(run.history, known.get("training", {}).get("best_epoch")) if data is None else {}
    evaluation = evaluate_model(
        run.model,
        dataset,
        plan.transform,
        metrics=metrics.split(","),
        split=split,
        samples=curve(nll_samples),
        annealed=annealed,
        generated=generated,
        features=features,
        disentanglement=disentanglement,
        limit=limit,
        seed=seed,
        device=device,
        progress=progress,
        log=log,
    )
    if data is None:
        key = split if limit is None else f"{split}_first_{limit}"
        # Families that were measured before stay: each has its own protocol. Those of the likelihood stand at the top.
        before = known.get(key, {})
        if "protocol" in evaluation.metrics:
            before = {name: part for name, part in before.items() if isinstance(part, dict) and "protocol" in part}
        found = {**before, **evaluation.metrics}
        found["warnings"] = diagnose({**log, **found})
        _finish(run, {**known, key: found}, evaluation if key == "test" else None, other)
    if out is not None:
        write_json(Path(out), evaluation.metrics)
    return evaluation.metrics


def load(run: "str | os.PathLike[str] | Run", *, model: "VAE | None" = None) -> "VAE":
    r"""Return the trained model of a run, ready to use, exactly as it was after training.

    Arguments:
        run: The run directory.
        model: A model like the one that was trained, where that was made in Python; its weights are replaced.

    Raises:
        RequestError: If there is no finished run, or the model is not like the one that was trained.
    """
    from vaekit.runs import Run

    run = run if isinstance(run, Run) else Run(run)
    if model is None:
        return run.model
    run.load_weights(model)
    return model


def _bounds(history: "Mapping[str, Sequence[float]]", epoch: int | None) -> dict[str, float]:
    """The bounds in training and validation of an epoch, by default the last, as far as the log has them."""
    epochs = list(history.get("epoch", ()))
    if not epochs:
        return {}
    row = epochs.index(epoch) if epoch in epochs else -1
    return {name: history[name][row] for name in ("train_elbo", "validation_elbo") if name in history}


def _finish(run: "Run", metrics: dict[str, Any], evaluation: "Evaluation | None", beside: "Run | None" = None) -> None:
    from vaekit.report.run import report_run

    # The metrics come last: a run directory that has them is whole.
    report_run(run, metrics, evaluation, beside)
    run.write_json("metrics.json", metrics)


def _check_settings(settings: Mapping[str, Any]) -> None:
    """Raise a `RequestError` for a setting out of its range."""
    precision, seed, samples = settings["precision"], settings["seed"], settings["nll_samples"]
    if precision not in (known := get_args(Precision)):
        raise RequestError(
            f"precision is {precision!r}; expected one of {', '.join(known)}.{nearest(str(precision), known)}"
        )
    if not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise RequestError(f"seed is {seed!r}; expected an integer from 0 to 2^32 - 1: pass --seed 0")
    if samples < 0:
        raise RequestError(f"nll_samples is {samples}; expected 0 or more importance samples: pass 0 for none")
