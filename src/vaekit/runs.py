r"""The run directory: everything about one training, complete and readable without unpickling anything."""

__all__ = ["Run", "RunState"]

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import Module

from vaekit.data import Dataset, load_dataset
from vaekit.errors import RequestError
from vaekit.models.vae import VAE
from vaekit.plan import DataSpec, Plan
from vaekit.record import FORMAT, KEYS, plan_of
from vaekit.storage import check_writable, is_litter, plain, replace_file, sole_writer, write_json
from vaekit.training.history import read_history


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
        if not self.directory.exists():
            return RunState.ABSENT
        if not self.directory.is_dir():
            return RunState.FOREIGN
        if all(is_litter(path) for path in self.directory.iterdir()):
            return RunState.ABSENT
        if not self._is_ours():
            return RunState.FOREIGN
        if not (self.directory / "model.safetensors").is_file():
            return RunState.UNFINISHED
        return RunState.COMPLETE if (self.directory / "metrics.json").is_file() else RunState.TRAINED

    @property
    def config(self) -> dict[str, Any]:
        """What was asked for, as `config.json` has it."""
        config = self._json("config.json")
        missing = sorted(KEYS - config.keys())
        if missing:
            raise RequestError(f"{self.directory / 'config.json'} lacks {', '.join(missing)}: restore the file")
        if config["format"] != FORMAT:
            raise RequestError(
                f"{self.directory} has format {config['format']!r}; this vaekit reads format {FORMAT}: "
                f"use the one that made it, {config['versions'].get('vaekit', 'unknown')}"
            )
        return config

    @property
    def metrics(self) -> dict[str, Any]:
        """What was measured, as `metrics.json` has it."""
        return self._json("metrics.json")

    @property
    def history(self) -> dict[str, list[float]]:
        """The log, a list a column."""
        path = self.directory / "history.csv"
        try:
            return read_history(path)
        except FileNotFoundError:
            raise RequestError(f"{path} does not exist; training writes it: restore the file") from None
        except (ValueError, KeyError, TypeError) as error:
            raise RequestError(f"{path} is damaged ({error}); expected numbers: restore the file") from None

    @cached_property
    def plan(self) -> Plan:
        """The plan, rebuilt from the configuration, with the weights that training selected."""
        plan = self._untrained()
        self.load_weights(plan.model)
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

    def dataset(self, data: Any = None, **options: Any) -> Dataset:
        r"""Return other data that the model can take, or by default the data it was trained on.

        Raises:
            RequestError: If their shape is not that of the training data, or their values are stored otherwise.
        """
        if data is None:
            return self.data
        dataset = load_dataset(data, **options)
        spec = DataSpec.from_json(self.config["spec"])
        if dataset.shape != spec.shape:
            raise RequestError(
                f"{dataset.name} has examples of shape {dataset.shape}; expected {spec.shape}, as in training: "
                "pass other --data"
            )
        if dataset.levels != spec.levels:
            has, wanted = (f"{n} levels" if n else "real numbers" for n in (dataset.levels, spec.levels))
            raise RequestError(
                f"{dataset.name} holds {has}; expected {wanted}, as in training: convert the data, or pass other --data"
            )
        return dataset

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
        with self._writing():
            self.directory.mkdir(parents=True, exist_ok=True)
            for path in self.directory.iterdir():  # and not the directory itself, which may be a link
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            self.write_json("config.json", config)

    @contextmanager
    def claim(self) -> Iterator[None]:
        """Make the directory, if there is none, and let no other process write to it inside the block.

        Raises:
            RequestError: If it cannot be made, or another process has it.
        """
        with self._writing():
            self.directory.mkdir(parents=True, exist_ok=True)
        with sole_writer(self.directory):
            yield

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RequestError(f"{self.directory} cannot be written ({error.strerror}): pass another --out") from None

    def check_free(self, *, force: bool = False) -> None:
        """Raise a `RequestError` unless `create` may go ahead."""
        check_writable(self.directory)
        state = self.state
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

    def check_same(self, recipe: str, given: Mapping[str, Any]) -> None:
        """Raise a `RequestError` if what is asked of a run to resume is not what it was started with."""
        config = self.config
        was = config["recipe"] or "custom"
        if was != recipe:
            named = f"of recipe {was!r}" if config["recipe"] else "of a model made in Python"
            asked = f"recipe {recipe!r}" if recipe != "custom" else "a model made in Python"
            raise RequestError(f"the run to resume in {self.directory} is {named}; expected that, not {asked}")
        stored = {**config["training"], **config["arguments"]}
        for name, value in plain(given).items():
            if name in stored and stored[name] != value:
                raise RequestError(
                    f"{name} is {value!r} but the run to resume has {stored[name]!r}: leave it out, or start over with "
                    "--force"
                )

    def require_trained(self) -> None:
        """Raise a `RequestError` that says what is missing unless there is a trained model."""
        state, where = self.state, self.directory
        if state is RunState.ABSENT:
            known = sorted(str(p.parent) for p in where.parent.glob("*/config.json"))
            hint = f" Runs there: {', '.join(known[:8])}." if known else ""
            raise RequestError(f"no run at {where}; expected a run directory, as `vaekit train` makes it.{hint}")
        if state is RunState.FOREIGN:
            if (where / "config.json").is_file():
                _ = self.config  # says what is wrong with it
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

    def load_weights(self, model: Module) -> None:
        """Give a model the weights that training selected, and put it in evaluation mode.

        Raises:
            RequestError: If there are none, or they are damaged, or the model is not like the one that was trained.
        """
        self.require_trained()
        path = self.directory / "model.safetensors"
        try:
            model.load_state_dict(load_file(path))
        except (SafetensorError, OSError, ValueError) as error:
            raise RequestError(f"{path} is damaged ({error}): restore the file, or train again with --force") from None
        except RuntimeError as error:
            raise RequestError(f"the model does not fit the weights in {path}: {error}") from None
        model.eval()

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a JSON file, atomically; numbers that are not finite become null."""
        write_json(self.directory / name, content)

    def _untrained(self) -> Plan:
        self.require_trained()
        config = self.config
        if config.get("recipe") is None:
            raise RequestError(
                f"{self.directory} was trained from Python with a model of its own: build the same model and load it "
                "with vaekit.load(run, model=model)"
            )
        try:
            return plan_of(config)
        except (TypeError, KeyError, AttributeError) as error:
            raise RequestError(
                f"{self.directory / 'config.json'} does not describe a model of recipe {config['recipe']!r} ({error}): "
                "restore the file"
            ) from None

    def _is_ours(self) -> bool:
        """Whether `config.json` is one of ours: other tools' model folders have a file of that name too."""
        try:
            return self._json("config.json").keys() >= KEYS
        except RequestError:
            return False

    def _json(self, name: str) -> dict[str, Any]:
        path = self.directory / name
        try:
            content: dict[str, Any] = json.loads(path.read_text())
        except FileNotFoundError:
            raise RequestError(f"{path} does not exist; expected a run directory, as `vaekit train` makes it") from None
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise RequestError(f"{path} is damaged ({error}): restore the file, or pass another run") from None
        if not isinstance(content, dict):
            raise RequestError(f"{path} is damaged (it holds no JSON object): restore the file, or pass another run")
        return content
