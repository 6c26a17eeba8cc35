r"""The command line: parse, call, print. Heavy imports happen inside commands, so that `--help` answers at once."""

__all__ = ["main"]

import argparse
import inspect
import logging
import os
import re
import sys
import textwrap
import types
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Union, get_args, get_origin

from vaekit.distributed import is_main_process
from vaekit.errors import Diverged, Interrupted, RequestError, nearest

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    r"""Run the command line and return its exit status: 0 done, 2 the request is wrong, 130 interrupted and saved.

    Example:
        >>> main(["recipies"])
        2
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        status = _dispatch(words)
        sys.stdout.flush()
        return status
    except (Diverged, Interrupted) as error:
        if not is_main_process():  # it says the same, and would be killed if this one failed
            return 0
        if isinstance(error, Diverged):
            return _complain("error", error, 2)
        return _complain("interrupted", f"{error}; go on with the same command and --resume", INTERRUPTED)
    except RequestError as error:
        return _complain("error", error, 2)
    except KeyboardInterrupt:
        training = words[:1] == ["train"]
        hint = "at once; go on from the last checkpoint with the same command and --resume" if training else "at once"
        return _complain("interrupted", hint, INTERRUPTED) if is_main_process() else INTERRUPTED
    except BrokenPipeError:  # the reader of a pipe has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _complain(kind: str, message: object, status: int) -> int:
    print(f"{kind}: " + " ".join(str(message).split()), file=sys.stderr)
    return status


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0
    if words[0] == "--version":
        from vaekit import __version__

        print(f"vaekit {__version__}")
        return 0
    name, rest = words[0], words[1:]
    if name not in COMMANDS:
        raise RequestError(f"unknown command {name!r}; expected one of {', '.join(COMMANDS)}.{nearest(name, COMMANDS)}")
    if name == "train":
        return _train(rest)
    command = COMMANDS[name]
    values = _parse(_parser(f"vaekit {name}", command), rest)
    given = inspect.signature(command).parameters.values()
    positional = [values.pop(p.name) for p in given if p.kind is inspect.Parameter.POSITIONAL_ONLY]
    command(*positional, **values)
    return 0


def _overview() -> str:
    lines = ["usage: vaekit COMMAND [ARGUMENT ...]", "", inspect.getdoc(sys.modules["vaekit"]).split("\n")[0], ""]  # type: ignore[union-attr]
    lines += [f"  {name:<13}{(inspect.getdoc(command) or '').splitlines()[0]}" for name, command in COMMANDS.items()]
    lines += [
        "",
        "vaekit COMMAND --help explains a command; vaekit train RECIPE --help a recipe and all its arguments.",
    ]
    return "\n".join(lines)


# Commands. Their signatures are their arguments, their docstrings their help.


def train_help() -> None:
    """Train a recipe on your data, evaluate it, write a run directory with its report."""


def list_recipes() -> None:
    """List the recipes: named systems, with their source."""
    from vaekit import recipes

    _print_table(("recipe", "what it is"), recipes.catalogue().items())


def list_datasets() -> None:
    """List the data sets that are always there; --data also takes a path."""
    from vaekit import data

    _print_table(("data", "what it is"), data.catalogue().items())
    print("\nor a path: a .npy or .npz file, or a folder of images whose subfolders, if any, are classes")


def evaluate(
    run: str,
    /,
    data: str | None = None,
    split: Literal["train", "validation", "test"] = "test",
    nll_samples: int = 1000,
    limit: int | None = None,
    seed: int = 0,
    out: str | None = None,
) -> None:
    """Measure a trained run: bound, rate, distortion, NLL in nats with their errors, active units.

    Args:
        run: The run directory.
        data: Other data than those it was trained on; the numbers are then printed and not kept in the run.
        split: Which split of the data.
        nll_samples: Importance samples for the NLL, k; 0 leaves it out.
        limit: Use at most so many of the first examples.
        seed: Of every random draw.
        out: Write the numbers to this JSON file too.
    """
    import json
    from pathlib import Path

    from vaekit.api import evaluate as evaluate_run
    from vaekit.storage import replace_file

    if out is not None and (Path(out).is_dir() or not Path(out).parent.is_dir()):
        raise RequestError(f"--out is {out!r}; expected a file in a folder that exists: pass another name")
    metrics = evaluate_run(run, data, split=split, nll_samples=nll_samples, limit=limit, seed=seed)
    _print_metrics({split: metrics})
    if out is not None:
        replace_file(Path(out), lambda path: path.write_text(json.dumps(metrics, indent=2) + "\n"))


def sample(
    run: str, /, n: int = 64, noise: bool = False, seed: int = 0, out: str | None = None, force: bool = False
) -> None:
    """Draw new examples from a trained run, to a picture (.png) or an array (.npy).

    Args:
        run: The run directory.
        n: How many.
        noise: Draw x from the likelihood too, instead of showing its mean.
        seed: Of every random draw.
        out: The file, .png or .npy; by default samples.png in the run directory.
        force: Write over the file.
    """
    from vaekit.commands import sample as call

    print(call(run, n, noise=noise, seed=seed, out=out, force=force))


def reconstruct(
    run: str,
    /,
    data: str | None = None,
    split: Literal["train", "validation", "test"] = "test",
    n: int = 20,
    out: str | None = None,
    force: bool = False,
) -> None:
    """Encode and decode examples, to a picture of originals above reconstructions (.png) or an array (.npy).

    Args:
        run: The run directory.
        data: Other data than those it was trained on.
        split: Which split of the data.
        n: How many of the first examples; 0 for all.
        out: The file, .png or .npy; by default reconstructions.png in the run directory.
        force: Write over the file.
    """
    from vaekit.commands import reconstruct as call

    print(call(run, data=data, split=split, n=n, out=out, force=force))


def encode(
    run: str,
    /,
    data: str | None = None,
    split: Literal["train", "validation", "test"] = "test",
    out: str | None = None,
    force: bool = False,
) -> None:
    """Encode data: posterior means and standard deviations, and labels where there are any, to an .npz file.

    Args:
        run: The run directory.
        data: Other data than those it was trained on.
        split: Which split of the data.
        out: The file, .npz; by default codes.npz in the run directory.
        force: Write over the file.
    """
    from vaekit.commands import encode as call

    print(call(run, data=data, split=split, out=out, force=force))


def decode(run: str, codes: str, /, out: str | None = None, force: bool = False) -> None:
    """Decode latent points from an .npy file, or the means of an .npz file that encode made.

    Args:
        run: The run directory.
        codes: The file: an array of shape (n, latent_dim).
        out: The file, .png or .npy; by default decoded.png in the run directory.
        force: Write over the file.
    """
    from vaekit.commands import decode as call

    print(call(run, codes, out=out, force=force))


COMMANDS: dict[str, Callable[..., None]] = {
    "recipes": list_recipes,
    "datasets": list_datasets,
    "train": train_help,
    "evaluate": evaluate,
    "sample": sample,
    "reconstruct": reconstruct,
    "encode": encode,
    "decode": decode,
}


def training_options(
    *,
    data: str = "mnist",
    data_options: dict[str, Any] | None = None,
    out: str | None = None,
    seed: int = 0,
    devices: int | Literal["auto"] = 1,
    strategy: str = "auto",
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true",
    compile: Literal["auto", "yes", "no"] = "auto",
    clip: float | None = None,
    patience: int | None = None,
    nll_samples: int = 100,
    resume: bool = False,
    force: bool = False,
    progress: bool = True,
) -> dict[str, Any]:
    """Options of every training.

    Args:
        data: A name that `vaekit datasets` lists, or a path to an .npy or .npz file or a folder of images.
        data_options: Options of the data's loader as JSON, such as '{"size": 64}' for a folder of images.
        out: The run directory; by default runs/RECIPE.
        seed: Of every random draw; the same seed gives the same run.
        devices: How many devices share the work; auto takes all.
        strategy: How they share it, such as ddp.
        precision: Of the arithmetic: 32 bits, or 16 where they do and 32 elsewhere, as bfloat16 or float16.
        compile: Compile the training step; auto does when it is expected to pay.
        clip: Largest norm of the gradient.
        patience: Epochs without a better validation bound before training stops.
        nll_samples: Importance samples for the test NLL at the end; 0 leaves it out.
        resume: Go on with an unfinished run, to the bit. Its arguments need not be repeated, and cannot be changed.
        force: Write over the run that is there.
        progress: Show progress: a bar on a terminal, and elsewhere a line now and then.
    """
    return dict(locals())


def _train(words: list[str]) -> int:
    from vaekit import recipes

    if not words or words[0] in ("-h", "--help"):
        lines = ["usage: vaekit train RECIPE [--data NAME_OR_PATH] [--out DIRECTORY] [ARGUMENT ...]", "", "recipes:"]
        lines += [f"  {name:<13}{line}" for name, line in recipes.catalogue().items()]
        print("\n".join([*lines, "", "vaekit train RECIPE --help explains every argument of a recipe."]))
        return 0
    if words[0].startswith("-"):
        raise RequestError(f"the first argument of train is {words[0]!r}; expected a recipe, as in `vaekit train vae`")
    name = words[0]
    function = recipes.get(name)
    parser = _parser(f"vaekit train {name}", function, skip={"data"})
    own = set(inspect.signature(function).parameters) - {"data"}
    _add(parser, training_options, skip=own, group="options of every training")
    values = _parse(parser, words[1:], explicit_only="--resume" in words)
    if "compile" in values:
        values["compile"] = {"auto": "auto", "yes": True, "no": False}[values["compile"]]
    from vaekit.api import train
    from vaekit.distributed import leave
    from vaekit.runs import Run, RunState

    # That all is well is no news.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    run = Run(values.get("out") or f"runs/{name.replace('_', '-')}")
    done = bool(values.get("resume")) and run.state is RunState.COMPLETE
    if values.get("resume") and run.state is not RunState.ABSENT:
        run.check_same(name.replace("_", "-"), values)  # train cannot tell a default from the same value given
    try:
        run = train(name, values.pop("data", None), **values)
    finally:
        leave()
    if is_main_process():
        if done:
            print(f"{run.directory} holds a finished run; nothing is left to do")
        _print_metrics(run.metrics)
        print(f"\nreport: {run.directory / 'report.html'}")
    return 0


# Parsing, on jsonargparse: types and help come from signatures and docstrings.


def _parser(prog: str, function: Callable[..., Any], skip: set[str] | None = None) -> "ArgumentParser":
    import jsonargparse

    class Formatter(jsonargparse.DefaultHelpFormatter):
        def _get_help_string(self, action: Any) -> str:
            default = action.default
            shown = isinstance(default, str | int | float | tuple) and not isinstance(default, bool)
            shown = shown and default != argparse.SUPPRESS
            if not action.option_strings or not shown:
                return str(action.help or "")
            text = ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
            return f"{action.help} [{text}]".replace("%", "%%")

        def _fill_text(self, text: str, width: int, indent: str) -> str:
            paragraphs = re.split(r"\n\s*\n", text)
            return "\n\n".join(textwrap.fill(" ".join(p.split()), width, break_on_hyphens=False) for p in paragraphs)

        def _split_lines(self, text: str, width: int) -> list[str]:
            return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)

    class Parser(jsonargparse.ArgumentParser):
        hints: dict[str, Any] = {}  # noqa: RUF012 - every parser gets its own below

        def error(self, message: str, ex: Exception | None = None) -> NoReturn:
            raise RequestError(_readable(message, self, self.hints))

    doc = inspect.getdoc(function) or ""
    parser = Parser(
        prog=prog,
        description=doc.partition("\nArgs:")[0].strip(),
        epilog="Defaults are in [brackets].",
        formatter_class=Formatter,
        default_env=False,
        allow_abbrev=False,
    )
    parser.hints = {}
    _add(parser, function, skip=skip or set(), group="arguments")
    words = [name.upper() for name, p in inspect.signature(function).parameters.items() if p.kind is p.POSITIONAL_ONLY]
    parser.usage = " ".join([prog, *words, "[--ARGUMENT VALUE ...]"])
    return parser


def _add(parser: Any, function: Callable[..., Any], skip: set[str], group: str) -> None:
    """Add a function's parameters, with hyphens on the command line where the name has underscores."""
    target = parser.add_argument_group(group)
    from docstring_parser import parse

    described = {
        p.arg_name: " ".join((p.description or "").split()) for p in parse(inspect.getdoc(function) or "").params
    }
    hints = _hints(function)
    parser.hints |= hints
    for name, parameter in inspect.signature(function).parameters.items():
        if name in skip:
            continue
        hint, text, default, flag = hints[name], described.get(name, ""), parameter.default, name.replace("_", "-")
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            target.add_argument(name, type=hint, help=text, metavar=name.upper())
        elif hint is bool and default:
            negated = f"Do not {text[:1].lower()}{text[1:]}"
            target.add_argument(f"--no-{flag}", dest=name, action="store_false", default=True, help=negated)
        elif hint is bool:
            target.add_argument(f"--{flag}", dest=name, action="store_true", default=False, help=text)
        else:
            options: dict[str, Any] = {"type": _widths if _is_widths(hint) else hint, "default": default, "help": text}
            if get_origin(hint) is not Literal:
                options["metavar"] = _metavar(name, hint)
            target.add_argument(f"--{flag}", dest=name, **options)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    # Annotations in quotes name heavy types, of parameters that are never on the command line.
    return {name: hint for name, hint in function.__annotations__.items() if not isinstance(hint, str)}


def _kinds(hint: Any) -> tuple[Any, ...]:
    """The alternatives of a hint, without None."""
    union = get_origin(hint) in (Union, types.UnionType)
    return tuple(kind for kind in (get_args(hint) if union else (hint,)) if kind is not type(None))


def _is_widths(hint: Any) -> bool:
    return _kinds(hint) == (tuple[int, ...],)


def _widths(given: Any) -> tuple[int, ...]:
    """Read whole numbers between commas; brackets around them are welcome."""
    return tuple(map(int, given.strip("[]() ").split(","))) if isinstance(given, str) else tuple(given)


def _metavar(name: str, hint: Any) -> str:
    if _is_widths(hint):
        return "N,N,..."
    if name in ("out", "data"):
        return {"out": "PATH", "data": "NAME_OR_PATH"}[name]
    named: dict[Any, str] = {int: "N", float: "X", str: "NAME"}
    return "|".join("|".join(_choices(kind)) or named.get(kind, "JSON") for kind in _kinds(hint))


def _choices(kind: Any) -> tuple[str, ...]:
    return tuple(map(str, get_args(kind))) if get_origin(kind) is Literal else ()


def _expected(hint: Any) -> str:
    """Say in words what a parameter takes."""
    if _is_widths(hint):
        return "whole numbers between commas, such as 300,300"
    named: dict[Any, str] = {int: "a whole number", float: "a number", str: "a word"}
    kinds = _kinds(hint)
    words = [named.get(kind, "JSON in braces, such as '{\"size\": 64}'") for kind in kinds if not _choices(kind)]
    choices = [choice for kind in kinds for choice in _choices(kind)]
    if choices:
        words.append(f"one of {', '.join(choices)}" if len(choices) > 1 else choices[0])
    return " or ".join(words)


def _parse(parser: "ArgumentParser", words: list[str], *, explicit_only: bool = False) -> dict[str, Any]:
    namespace = parser.parse_args(words, defaults=not explicit_only)
    return dict(vars(namespace).items())


def _readable(message: str, parser: "ArgumentParser", hints: dict[str, Any]) -> str:
    """Make one line of a parser's complaint, with the nearest known argument where one is unknown."""
    text = " ".join(message.split())
    known = [option for action in parser._actions for option in action.option_strings if option.startswith("--")]
    known = [option for option in known if not option.startswith(("--print_", "--help"))]
    for marker in ("Unrecognized arguments:", "unrecognized arguments:"):
        if marker in text:
            word = text.split(marker)[1].split()[0].partition("=")[0]
            return f"unknown argument {word!r}; {parser.prog} --help lists those it takes.{nearest(word, known)}"
    found = re.match(r'.*Parser key "(\w+)": .*(?:Got|Given) value: (.*)$', text)
    found = found or re.match(r"argument --([\w-]+): invalid \w+ value: (.*)$", text)
    if found:
        name, value = found[1].replace("-", "_"), found[2].strip("'\"")
        choices = [choice for kind in _kinds(hints[name]) for choice in _choices(kind)]
        return (
            f"--{name.replace('_', '-')} is {value!r}; expected {_expected(hints[name])}: see {parser.prog} --help."
            f"{nearest(value, choices)}"
        )
    return f"{text[:1].lower()}{text[1:]}; see {parser.prog} --help"


# Printing.


def _print_table(header: tuple[str, str], rows: Any) -> None:
    rows = list(rows)
    width = max(len(name) for name, _ in [header, *rows]) + 2
    for name, line in [header, *rows]:
        print(f"{name:<{width}}{line}")


def _print_metrics(metrics: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    for split, numbers in metrics.items():
        if split == "training":
            continue
        table = Table(title=f"{split}: {numbers['images']:,} examples", title_justify="left")
        table.add_column("")
        table.add_column("nats", justify="right")
        table.add_column("±", justify="right")
        names = {"elbo": "ELBO", "rate": "rate, KL(q‖p)", "distortion": "distortion, −E log p(x|z)"}
        names["nll"] = f"NLL, {numbers.get('nll_samples', 0):,} importance samples"
        for key, label in names.items():
            if key in numbers:
                table.add_row(label, *("–" if v is None else f"{v:.2f}" for v in (numbers[key], numbers[f"{key}_se"])))
        Console().print(table)
        print(f"active units: {numbers['active_units']} of {numbers['latent_dim']}")
        print(f"protocol: {numbers['protocol']}")
    if "training" in metrics:
        facts = metrics["training"]
        compiled = "compiled" if facts["compiled"] else "not compiled: too short to pay for it"
        print(
            f"training: {facts['epochs']} epochs in {facts['elapsed_seconds']:.0f} s, "
            f"{facts['images_per_second']:,.0f} images/s ({compiled}), best epoch {facts['best_epoch']}"
        )
