r"""The command line: parse, call, print. Heavy imports happen inside commands, so that `--help` answers at once."""

__all__ = ["main"]

import inspect
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vaekit import api, commands
from vaekit.cli.parsing import add_arguments, parse, parser_for
from vaekit.cli.printing import print_metrics, print_table
from vaekit.distributed import is_main_process
from vaekit.errors import Diverged, Interrupted, RequestError, nearest
from vaekit.explorer.opening import serve as explore
from vaekit.export.command import export
from vaekit.reproduction import reproduce

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
    values = parse(parser_for(f"vaekit {name}", command), rest)
    result = command(**values)
    if isinstance(result, Path):
        print(result)
    elif isinstance(result, dict):
        print_metrics({values["split"]: result})
    return 0


def _overview() -> str:
    lines = ["usage: vaekit COMMAND [ARGUMENT ...]", "", inspect.getdoc(sys.modules["vaekit"]).split("\n")[0], ""]  # type: ignore[union-attr]
    lines += [f"  {name:<13}{(inspect.getdoc(command) or '').splitlines()[0]}" for name, command in COMMANDS.items()]
    lines += [
        "",
        "vaekit COMMAND --help explains a command; vaekit train RECIPE --help a recipe and all its arguments.",
    ]
    return "\n".join(lines)


# Commands that are not functions of the library.


def list_recipes() -> None:
    """List the recipes: named systems, with their source."""
    from vaekit import recipes

    print_table(("recipe", "what it is"), recipes.catalogue().items())


def list_datasets() -> None:
    """List the data sets that are always there; --data also takes a path."""
    from vaekit import data

    print_table(("data", "what it is"), data.catalogue().items())
    print(
        "\nor a path: a .npy or .npz file; a table (.csv, .tsv, .parquet); images in a folder, whose\n"
        "subfolders, if any, are classes; a video; motion (.bvh); melodies (.mid, .abc, .krn, or an archive\n"
        "of them); or a folder of the last three"
    )


def compare(
    runs: list[str], metrics: str | None = None, split: str = "test", out: str | None = None, force: bool = False
) -> Path | None:
    r"""Put runs into one table, with means and deviations over seeds, and mark what differs by more than noise.

    Runs that differ in nothing but the seed are one row. Numbers of unlike protocol never share a column; of metrics
    that are asked for by name they are refused.

    Arguments:
        runs: The run directories.
        metrics: Which numbers or families of them, with commas between, such as nll,elbo; by default all that have an
            error or a known direction.
        split: Which of the evaluations of the runs.
        out: Write the table to this file, .txt, .csv or .html, instead of showing it.
        force: Write over the file.

    Returns:
        Where the file is, if there is one.

    Raises:
        RequestError: If a run is missing or not evaluated, the numbers cannot be compared, or the file not written.
    """
    path = None if out is None else _table_file(Path(out), force)

    from vaekit.comparison import compare
    from vaekit.storage import replace_file

    names = None if metrics is None else [name.strip().replace("-", "_") for name in metrics.split(",") if name.strip()]
    table = compare(runs, metrics=names, split=split)
    if path is None:
        print(table.text(), end="")
        return None
    content = {".txt": table.text, ".csv": table.csv, ".html": table.html}[path.suffix.lower()]()
    return replace_file(path, lambda temporary: temporary.write_text(content, encoding="utf-8"))


def _table_file(path: Path, force: bool) -> Path:
    if path.suffix.lower() not in (".txt", ".csv", ".html"):
        raise RequestError(f"--out is {str(path)!r}; expected a file that ends in .txt, .csv or .html: rename it")
    if path.is_dir() or not path.parent.is_dir():
        raise RequestError(f"--out is {str(path)!r}; expected a file in a folder that exists: pass another name")
    if path.exists() and not force:
        raise RequestError(f"{path} exists: pass another --out, or --force to write over it")
    return path


# The others' signatures are their arguments, and their docstrings their help.

COMMANDS: dict[str, Callable[..., Any]] = {
    "recipes": list_recipes,
    "datasets": list_datasets,
    "train": api.train,
    "evaluate": api.evaluate,
    "compare": compare,
    "reproduce": reproduce,
    "sample": commands.sample,
    "reconstruct": commands.reconstruct,
    "encode": commands.encode,
    "decode": commands.decode,
    "interpolate": commands.interpolate,
    "traverse": commands.traverse,
    "attribute": commands.attribute,
    "manifold": commands.manifold,
    "three-ways": commands.three_ways,
    "canvas": commands.canvas,
    "regress": commands.regress,
    "export": export,
    "explore": explore,
}


def _train(words: list[str]) -> int:
    from vaekit import recipes

    if not words or words[0] in ("-h", "--help"):
        lines = ["usage: vaekit train RECIPE [--data NAME_OR_PATH] [--out DIRECTORY] [ARGUMENT ...]", "", "recipes:"]
        lines += [f"  {name:<21}{line}" for name, line in recipes.catalogue().items()]
        print("\n".join([*lines, "", "vaekit train RECIPE --help explains every argument of a recipe."]))
        return 0
    if words[0].startswith("-"):
        raise RequestError(f"the first argument of train is {words[0]!r}; expected a recipe, as in `vaekit train vae`")
    name = words[0].replace("_", "-")
    recipe = recipes.get(name)
    parser = parser_for(f"vaekit train {name}", recipe, skip={"data"})
    own = inspect.signature(recipe).parameters.keys() - {"data"}  # these hide the general ones
    add_arguments(parser, api.train, skip={"recipe", "on_epoch", *own}, group="options of every training")
    values = parse(parser, words[1:], explicit_only="--resume" in words)

    from vaekit.distributed import leave
    from vaekit.runs import Run, RunState

    run = Run(values.get("out") or f"runs/{name}")
    done = bool(values.get("resume")) and run.state is RunState.COMPLETE
    if values.get("resume") and run.state is not RunState.ABSENT:
        run.check_same(name, values)  # train cannot tell a default from the same value given
    try:
        run = api.train(name, **values)
    finally:
        leave()
    if is_main_process():
        if done:
            print(f"{run.directory} holds a finished run; nothing is left to do")
        print_metrics(run.metrics)
        print(f"\nreport: {run.directory / 'report.html'}")
    return 0
