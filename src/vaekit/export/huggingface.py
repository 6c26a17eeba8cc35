r"""A folder to share as a model repository: weights, configuration, and a model card of the run's numbers."""

__all__ = ["huggingface"]

import json
import os
import shutil
from typing import TYPE_CHECKING, Any

from vaekit import __version__
from vaekit.data import catalogue
from vaekit.errors import RequestError
from vaekit.export.folder import whole_folder
from vaekit.export.provenance import said_of
from vaekit.storage import write_json

if TYPE_CHECKING:
    from vaekit.runs import Run

_SHOWN = {  # of the evaluation, what they are called on the card
    "elbo": "ELBO, nats an example",
    "rate": "Rate, KL(q(z\\|x) ‖ p(z)), nats",
    "distortion": "Distortion, −E log p(x\\|z), nats",
    "nll": "Negative log-likelihood, importance-weighted, nats",
    "active_units": "Active units",
}


def huggingface(run: "Run", folder: str | os.PathLike[str], *, force: bool = False) -> None:
    r"""Write `config.json`, `model.safetensors` and a model card, `README.md`; `vaekit.load` reads the folder.

    It is laid out as repositories of models are on the Hugging Face Hub, and nothing is sent there. Of the
    configuration, the paths of data and of the run stay behind.

    Arguments:
        run: The run, trained.
        folder: Where the folder is to be.
        force: Replace another export.

    Raises:
        RequestError: If there is no trained run, or the folder cannot be written.
    """
    run.require_trained()
    config = {name: value for name, value in run.config.items() if name != "command"}
    known = config["data"]["reference"] in catalogue()
    config["data"] = {
        name: value for name, value in config["data"].items() if known or name not in ("reference", "options")
    } | ({} if known else {"reference": "", "options": {}})
    metrics = _metrics(run)
    with whole_folder(folder, {"kind": "huggingface", **said_of(run)}, force=force) as (place, _):
        write_json(place / "config.json", config)
        shutil.copyfile(run.directory / "model.safetensors", place / "model.safetensors")
        if metrics:
            write_json(place / "metrics.json", metrics)
        (place / "README.md").write_text(_card(config, metrics, run.plan.transform.describe()), encoding="utf-8")


def _metrics(run: "Run") -> dict[str, Any]:
    try:
        return run.metrics
    except RequestError:  # trained, and not evaluated
        return {}


def _card(config: dict[str, Any], metrics: dict[str, Any], transform: str) -> str:
    data, spec, recipe = config["data"], config["spec"], config["recipe"] or "a model made in Python"
    front = [
        "---",
        "library_name: vaekit",
        "tags:",
        "  - variational-autoencoder",
        f"  - {config['recipe'] or 'custom'}",
    ]
    if len(spec["shape"]) == 3:
        front.append("pipeline_tag: unconditional-image-generation")
    lines = [
        *front,
        "---",
        "",
        f"# {recipe} of {spec['name']}",
        "",
        f"A variational autoencoder, trained with vaekit {config['versions'].get('vaekit', __version__)} by the recipe "
        f"`{recipe}` on {spec['name']}: {data['train']:,} examples of shape {'×'.join(map(str, spec['shape']))}, seen "
        f"as: {transform}.",
        *([f"Data: {data['source']}."] if data.get("source") else []),
        *([f"Splits: {data['note']}."] if data.get("note") else []),
        "",
        "```python",
        "import vaekit",
        "",
        'model = vaekit.load("path/to/this/folder")',
        "x = model.sample(16, seed=0)",
        "```",
        "",
        *_results(metrics),
        "## Training",
        "",
        "| argument | value |",
        "|---|---|",
        *[f"| {name} | `{json.dumps(value)}` |" for name, value in config["arguments"].items()],
        f"| seed | `{config['training'].get('seed')}` |",
        "",
        "## Limits",
        "",
        "What it draws is like its training data, faults of these included. The likelihood of an example says how well "
        "the model describes it, not whether it is real.",
        "",
    ]
    return "\n".join(lines)


def _results(metrics: dict[str, Any]) -> list[str]:
    test = metrics.get("test")
    if not test:
        return ["The model has not been evaluated.", ""]
    rows = [f"| {words} | {_number(test, name)} |" for name, words in _SHOWN.items() if test.get(name) is not None]
    note = f" The likelihood is from {test['nll_samples']:,} draws an example." if test.get("nll") is not None else ""
    return ["## Results on the test split", "", "| | |", "|---|---|", *rows, "", f"± is the standard error.{note}", ""]


def _number(test: dict[str, Any], name: str) -> str:
    value, error = test[name], test.get(f"{name}_se")
    if isinstance(value, int):
        return str(value)
    return f"{value:.2f}" + ("" if error is None else f" ± {error:.2f}")
