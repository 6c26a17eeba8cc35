r"""The record of a training: its defaults, its command, its way back to a plan."""

import inspect
import shlex
from pathlib import Path

import pytest

from vaekit import api, recipes
from vaekit.cli import COMMANDS
from vaekit.cli.parsing import add_arguments, parse, parser_for
from vaekit.data import from_arrays, load_dataset
from vaekit.errors import RequestError
from vaekit.plan import DataSpec
from vaekit.record import arguments_of, defaults_of, make_record, plan_of


def record_of(data, recipe="vae", *, settings=None, **arguments):
    plan = recipes.get(recipe)(DataSpec.of(data), **arguments)
    settings = {**api.SETTINGS, **(settings or {})}
    return make_record(
        recipe, plan, data, arguments=arguments, settings=settings, defaults=api.SETTINGS, directory=Path("runs/a b")
    )


def test_settings_are_the_keywords_of_train_that_say_how_and_not_where():
    assert list(api.SETTINGS) == [
        "seed", "devices", "strategy", "precision", "compile", "clip", "patience", "nll_samples",
    ]  # fmt: skip
    parameters = inspect.signature(api.train).parameters
    assert all(parameters[name].default == value for name, value in api.SETTINGS.items())


def test_the_command_says_what_is_not_the_default_and_nothing_else():
    data = load_dataset("digits")
    assert record_of(data)["command"] == "vaekit train vae --data digits --out 'runs/a b'"
    settings = {"seed": 3, "devices": "auto", "compile": False, "clip": 0.5}
    command = record_of(data, settings=settings, hidden=(8, 6), latent_dim=2)["command"]
    assert set(command.removesuffix(" --out 'runs/a b'").split(" --")[1:]) == {
        "data digits", "seed 3", "devices auto", "compile no", "clip 0.5", "latent-dim 2", "hidden 8,6",
    }  # fmt: skip


def test_the_command_is_read_back_as_it_was_meant():
    settings = {"seed": 3, "devices": "auto", "compile": True, "clip": 0.5, "precision": "bf16-mixed", "patience": 4}
    command = record_of(load_dataset("swiss-roll", n=50), settings=settings, hidden=(8,), warmup=0.5)["command"]
    words = shlex.split(command)[3:]
    parser = parser_for("vaekit train vae", recipes.get("vae"), skip={"data"})
    add_arguments(parser, api.train, skip={"recipe", "on_epoch"}, group="more")
    given = parse(parser, words, explicit_only=True)
    assert given == {
        **settings, "hidden": (8,), "warmup": 0.5, "data": "swiss-roll", "data_options": {"n": 50}, "out": "runs/a b",
    }  # fmt: skip


def test_arrays_and_models_have_no_command():
    data = from_arrays([[0.0, 1.0]] * 20)
    assert record_of(data)["command"] == ""
    plan = plan_of(record_of(data))
    record = make_record(None, plan, data, arguments={}, settings={}, defaults={}, directory=Path("x"))
    assert (record["command"], record["recipe"], record["arguments"]["model"]) == ("", None, "VAE")
    assert record["arguments"]["epochs"] == plan.epochs


def test_a_plan_comes_back_from_its_record():
    record = record_of(load_dataset("digits"), latent_dim=3, hidden=(7,))
    record["arguments"]["hidden"] = [7]  # as JSON has it
    assert arguments_of(record)["hidden"] == (7,)
    plan = plan_of(record)
    assert plan.model.prior().event_shape == (3,)
    assert plan.epochs == defaults_of("vae")["epochs"]
    with pytest.raises(RequestError, match="unknown recipe"):
        plan_of({**record, "recipe": "vea"})


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_answers_help_from_its_signature(name, capsys):
    with pytest.raises(SystemExit, match="0"):
        parse(parser_for(name, COMMANDS[name], skip={"on_epoch"}), ["--help"])
    out = capsys.readouterr().out
    for parameter in inspect.signature(COMMANDS[name]).parameters.values():
        shown = parameter.name.upper() if parameter.default is parameter.empty else parameter.name.replace("_", "-")
        assert parameter.kind is parameter.VAR_KEYWORD or parameter.name == "on_epoch" or shown in out
