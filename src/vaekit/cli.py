r"""The command line: parse, call, print. Heavy imports happen inside commands, so that `--help` answers at once."""

__all__ = ["main"]

import inspect
import re
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from vaekit.errors import RequestError, nearest

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
        return _dispatch(words)
    except RequestError as error:
        return _complain(str(error), 2)
    except KeyboardInterrupt:
        return _complain("interrupted", INTERRUPTED)
    except BrokenPipeError:
        return 0
    except Exception as error:
        if type(error).__name__ == "Interrupted" and type(error).__module__ == "vaekit.training.loop":
            return _complain(f"{error}; everything is saved: go on with the same command and --resume", INTERRUPTED)
        raise


def _complain(message: str, status: int) -> int:
    print("error: " + " ".join(message.split()), file=sys.stderr)
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
    from vaekit.training.checkpoint import replace_file

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
    devices: int = 1,
    strategy: str = "auto",
    precision: Literal["32-true", "bf16-mixed", "16-mixed", "64-true"] = "32-true",
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
        data_options: Options of the data's loader, such as '{"size": 64}' for a folder of images.
        out: The run directory; by default runs/RECIPE.
        seed: Of every random draw; the same seed gives the same run.
        devices: How many devices share the work.
        strategy: How they share it, such as ddp.
        precision: Of the arithmetic.
        compile: Compile the training step; auto does when it is expected to pay.
        clip: Largest norm of the gradient.
        patience: Epochs without a better validation bound before training stops.
        nll_samples: Importance samples for the test NLL at the end; 0 leaves it out.
        resume: Go on with an unfinished run, to the bit; its arguments need not be repeated.
        force: Write over the run directory.
        progress: Show a progress bar.
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
    choices: dict[str, bool | str] = {"auto": "auto", "yes": True, "no": False}
    compile = choices[values.pop("compile", "auto")]
    data = values.pop("data", None)
    from vaekit.api import train

    run = train(name, data, compile=compile, **values)
    from vaekit.distributed import is_main_process

    if is_main_process():
        _print_metrics(run.metrics)
        print(f"\nreport: {run.directory / 'report.html'}")
    return 0


# Parsing, on jsonargparse: types and help come from signatures and docstrings.


def _parser(prog: str, function: Callable[..., Any], skip: set[str] | None = None) -> "ArgumentParser":
    import jsonargparse

    class Parser(jsonargparse.ArgumentParser):
        def error(self, message: str, ex: Exception | None = None) -> NoReturn:
            raise RequestError(_readable(message, self))

    doc = inspect.getdoc(function) or ""
    parser = Parser(
        prog=prog,
        description=doc.partition("\nArgs:")[0].strip(),
        formatter_class=jsonargparse.DefaultHelpFormatter,
        add_help=True,
        default_env=False,
        allow_abbrev=False,
    )
    _add(parser, function, skip=skip or set(), group="arguments")
    return parser


def _add(parser: "ArgumentParser", function: Callable[..., Any], skip: set[str], group: str) -> None:
    """Add a function's parameters, with hyphens on the command line where the name has underscores."""
    target = parser.add_argument_group(group)
    from docstring_parser import parse

    described = {
        p.arg_name: " ".join((p.description or "").split()) for p in parse(inspect.getdoc(function) or "").params
    }
    hints = inspect.get_annotations(function, eval_str=True) if function is training_options else _hints(function)
    for name, parameter in inspect.signature(function).parameters.items():
        if name in skip:
            continue
        options: dict[str, Any] = {"type": hints[name], "help": described.get(name, "")}
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            target.add_argument(name, **options)
        elif hints[name] is bool:
            options = {"help": options["help"], "default": parameter.default}
            action = "store_false" if parameter.default else "store_true"
            flag = f"--no-{name}" if parameter.default else f"--{name}"
            target.add_argument(flag.replace("_", "-"), dest=name, action=action, **options)
        else:
            target.add_argument(f"--{name.replace('_', '-')}", dest=name, default=parameter.default, **options)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    # Annotations in quotes name heavy types, of parameters that are never on the command line.
    return {name: hint for name, hint in function.__annotations__.items() if not isinstance(hint, str)}


def _parse(parser: "ArgumentParser", words: list[str], *, explicit_only: bool = False) -> dict[str, Any]:
    namespace = parser.parse_args(words, defaults=not explicit_only)
    return dict(vars(namespace).items())


def _readable(message: str, parser: "ArgumentParser") -> str:
    """Make one line of a parser's complaint, with the nearest known argument where one is unknown."""
    text = " ".join(message.split())
    known = [option for action in parser._actions for option in action.option_strings if option.startswith("--")]
    for marker in ("Unrecognized arguments:", "unrecognized arguments:"):
        if marker in text:
            word = text.split(marker)[1].split()[0].partition("=")[0]
            return f"unknown argument {word!r}; {parser.prog} --help lists those it takes.{nearest(word, known)}"
    if found := re.match(r'.*Parser key "(\w+)": (.*?)\.? Got value: (.*)$', text):
        name, expected, value = found.groups()
        expected = expected.replace("typing.Literal", "one of ").replace("<class '", "").replace("'>", "")
        expected = expected.replace("a one of", "one of").replace("a int", "an integer").replace("a float", "a number")
        return f"--{name.replace('_', '-')} is {value!r}; {expected[0].lower()}{expected[1:]}: see {parser.prog} --help"
    return f"{text}; see {parser.prog} --help"


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
                table.add_row(label, f"{numbers[key]:.2f}", f"{numbers[f'{key}_se']:.2f}")
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
