r"""The run directory: everything about one training, complete and readable without unpickling anything."""

__all__ = ["Run", "RunState", "load"]

import json
import os
import shutil
import sys
from collections.abc import Mapping
from enum import Enum
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from vaekit import recipes
from vaekit.data import Dataset, load_dataset
from vaekit.errors import RequestError
from vaekit.models.vae import VAE
from vaekit.plan import DataSpec, Plan
from vaekit.training.checkpoint import replace_file
from vaekit.training.history import read_history

FORMAT = 1


class RunState(Enum):
    r"""How far a run directory has come."""

    ABSENT = "absent"
    FOREIGN = "foreign"  # a folder with something else in it
    UNFINISHED = "unfinished"
    TRAINED = "trained"
    COMPLETE = "complete"


class Run:
    r"""A run directory, `runs/NAME/`.

    Arguments:
        directory: Where it is.

    Example:
        >>> Run("runs/none").state
        <RunState.ABSENT: 'absent'>
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = Path(directory)

    def __repr__(self) -> str:
        return f"<Run {str(self.directory)!r}: {self.state.value}>"

    @property
    def state(self) -> RunState:
        """How far it has come. Each file that this looks for is written whole or not at all."""
        if not self.directory.exists() or (self.directory.is_dir() and not any(self.directory.iterdir())):
            return RunState.ABSENT
        if not (self.directory / "config.json").is_file():
            return RunState.FOREIGN
        if not (self.directory / "model.safetensors").is_file():
            return RunState.UNFINISHED
        return RunState.COMPLETE if (self.directory / "metrics.json").is_file() else RunState.TRAINED

    @property
    def config(self) -> dict[str, Any]:
        """What was asked for, as `config.json` has it."""
        return self._json("config.json")

    @property
    def metrics(self) -> dict[str, Any]:
        """What was measured, as `metrics.json` has it."""
        return self._json("metrics.json")

    @property
    def history(self) -> dict[str, list[float]]:
        """The log, a list a column."""
        return read_history(self.directory / "history.csv")

    @cached_property
    def plan(self) -> Plan:
        """The plan, rebuilt from the configuration, with the weights that training selected."""
        plan = self._untrained()
        plan.model.load_state_dict(self._weights())
        plan.model.eval()
        return plan

    @property
    def model(self) -> VAE:
        """The trained model."""
        model = self.plan.model
        assert isinstance(model, VAE)
        return model

    @cached_property
    def data(self) -> Dataset:
        """The data it was trained on, loaded again and checked to be the same.

        Raises:
            RequestError: If they cannot be loaded, or have changed.
        """
        entry = self.config["data"]
        if not entry["reference"]:
            raise RequestError(
                f"{self.directory} was trained on arrays in memory, which a run does not keep: pass the data"
            )
        data = load_dataset(entry["reference"], **entry["options"])
        if data.fingerprint != entry["fingerprint"]:
            raise RequestError(
                f"the data at {entry['reference']} are not those that {self.directory} was trained on: restore them, "
                "or pass other data on purpose with --data"
            )
        return data

    def attach(self, plan: Plan) -> None:
        """Use a plan whose model was made in Python, which a run directory cannot rebuild."""
        self.__dict__["plan"] = plan

    def attach_data(self, data: Dataset) -> None:
        """Use data that are in memory already."""
        self.__dict__["data"] = data

    def create(self, config: Mapping[str, Any], *, force: bool = False) -> None:
        """Make the directory, empty but for the configuration.

        Raises:
            RequestError: If there is something, and `force` is not given or it is no run directory.
        """
        self.check_free(force=force)
        if self.state is not RunState.ABSENT:
            shutil.rmtree(self.directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.write_json("config.json", config)

    def check_free(self, *, force: bool = False) -> None:
        """Raise a `RequestError` unless `create` may go ahead."""
        state = self.state
        if self.directory.exists() and not self.directory.is_dir():
            raise RequestError(f"{self.directory} is a file; expected a folder to write the run to: pass another --out")
        if state is RunState.FOREIGN:
            raise RequestError(
                f"{self.directory} exists and is no run directory; nothing in it is touched: pass another --out"
            )
        if state is not RunState.ABSENT and not force:
            done = {
                RunState.UNFINISHED: "an unfinished run: go on with --resume",
                RunState.TRAINED: "a run that lacks its evaluation: finish it with --resume",
                RunState.COMPLETE: "a finished run: pass another --out",
            }[state]
            raise RequestError(f"{self.directory} holds {done}, or start over with --force")

    def require_trained(self) -> None:
        """Raise a `RequestError` that says what is missing unless there is a trained model."""
        state, where = self.state, self.directory
        if state is RunState.ABSENT:
            known = sorted(str(p.parent) for p in where.parent.glob("*/config.json"))
            hint = f" Runs there: {', '.join(known[:8])}." if known else ""
            raise RequestError(f"no run at {where}; expected a run directory, as `vaekit train` makes it.{hint}")
        if state is RunState.FOREIGN:
            raise RequestError(f"{where} is no run directory, it has no config.json: pass one that `vaekit train` made")
        if state is RunState.UNFINISHED:
            recipe = self.config.get("recipe") or "RECIPE"
            raise RequestError(
                f"{where} holds an unfinished run, it has no model.safetensors: finish it with "
                f"`vaekit train {recipe} --out {where} --resume`"
            )

    def write_model(self, state: Mapping[str, Tensor]) -> None:
        """Write the weights that training selected."""
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
        replace_file(self.directory / "model.safetensors", lambda path: save_file(tensors, path))

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a JSON file, atomically."""
        text = json.dumps(content, indent=2, allow_nan=False) + "\n"
        replace_file(self.directory / name, lambda path: path.write_text(text))

    def _untrained(self) -> Plan:
        self.require_trained()
        config = self.config
        if config.get("recipe") is None:
            raise RequestError(
                f"{self.directory} was trained from Python with a model of its own: build the same model and load it "
                "with vaekit.load(run, model=model)"
            )
        function = recipes.get(config["recipe"])
        return function(DataSpec.from_json(config["spec"]), **arguments_of(config))

    def _weights(self) -> dict[str, Tensor]:
        self.require_trained()
        path = self.directory / "model.safetensors"
        try:
            weights: dict[str, Tensor] = load_file(path)
        except SafetensorError as error:
            raise RequestError(f"{path} is damaged ({error}): train again, or restore the file") from None
        return weights

    def _json(self, name: str) -> dict[str, Any]:
        path = self.directory / name
        try:
            content: dict[str, Any] = json.loads(path.read_text())
        except FileNotFoundError:
            raise RequestError(f"{path} does not exist; expected a run directory, as `vaekit train` makes it") from None
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise RequestError(f"{path} is damaged ({error}): train again with --force, or restore the file") from None
        return content


def arguments_of(config: Mapping[str, Any]) -> dict[str, Any]:
    r"""Return a recipe's arguments from a configuration, lists as the tuples they were."""
    return {name: tuple(v) if isinstance(v, list) else v for name, v in config["arguments"].items()}


def load(run: str | os.PathLike[str] | Run, *, model: VAE | None = None) -> VAE:
    r"""Return the trained model of a run, ready to use, exactly as it was after training.

    Arguments:
        run: The run directory.
        model: A model like the one that was trained, where that was made in Python; its weights are replaced.

    Raises:
        RequestError: If there is no finished run, or the model is not like the one that was trained.
    """
    run = run if isinstance(run, Run) else Run(run)
    if model is None:
        return run.model
    try:
        model.load_state_dict(run._weights())
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise RequestError(f"the model does not fit the weights in {run.directory}: {reason}") from None
    return model.eval()


def environment() -> dict[str, Any]:
    r"""Return the versions and the machine, for the record."""
    names = ("vaekit", "torch", "numpy", "lightning-fabric", "scikit-learn")
    versions = {name: metadata.version(name) for name in names}
    return {"python": ".".join(map(str, sys.version_info[:3])), **versions, "cpus": os.cpu_count() or 0}
