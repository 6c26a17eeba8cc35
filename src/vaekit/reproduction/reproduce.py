r"""From a table's rows to trained runs, and from these to the table: numbers over seeds beside the published ones."""

__all__ = ["reproduce"]

import inspect
import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from vaekit.errors import RequestError, nearest
from vaekit.reproduction.tables import TABLES, Row, Table

if TYPE_CHECKING:
    from vaekit.runs import Run


def reproduce(
    table: str,
    *,
    data: str | None = None,
    rows: str | None = None,
    seeds: int = 3,
    epochs: int | None = None,
    nll_samples: int | None = None,
    limit: int | None = None,
    runs: str = "runs/reproduce",
    out: str = "docs/results",
    progress: bool = True,
) -> Path:
    r"""Train and measure every system of a table, and write the table: our numbers beside the published ones.

    Runs that are there already are used, and unfinished ones are gone on with, so that the same command, stopped at
    any time and given again, ends in the whole table. It is written anew after every run. A number that falls short
    of the published one stays, with how much it is short by.

    Arguments:
        table: Which one: mnist, mnist-static, mnist-autoencoders, mnist-priors, mnist-categories, mnist-codes, faces,
            faces-codes or sprites, which two processors can make; or published-mnist, published-mnist-static or
            published-sprites, which want a GPU.
        data: Where the data are of a table on data that do not ship: for faces and faces-codes, a folder of CelebA; by
            default celeba, here.
        rows: Only these, by name or the start of a name, with semicolons between; the others stay as they are.
        seeds: Runs of each row, but for rows that take long; the seeds are 0, 1, ...
        epochs: Passes over the data, for all rows alike, in place of the table's own.
        nll_samples: Importance samples of the NLL, in place of the table's own.
        limit: Measure at most so many of the first test examples.
        runs: Where the runs go.
        out: Where the table goes, as TABLE.json and TABLE.md.
        progress: Show progress.

    Returns:
        Where the table is.

    Raises:
        RequestError: If there is no such table or row, or a run is in the way that was made otherwise.
    """
    if table not in TABLES:
        raise RequestError(f"unknown table {table!r}; expected one of {', '.join(TABLES)}.{nearest(table, TABLES)}")
    if seeds < 1:
        raise RequestError(f"seeds is {seeds}; expected at least 1 run of each row: pass --seeds 3")
    wanted = TABLES[table]
    chosen = _chosen(wanted, rows)
    folder = Path(out)
    if not folder.is_dir():
        raise RequestError(f"--out is {out!r}; expected a folder that exists: make it first")

    from vaekit.recipes import get

    for row in wanted.rows:  # before hours of work
        unknown = row.arguments.keys() - inspect.signature(get(row.recipe)).parameters.keys()
        assert not unknown, f"{row.name} has {unknown}"
    for row in chosen:
        for seed in range(min(seeds, row.seeds or seeds)):
            run = _run(Path(runs) / table / f"{_slug(row.name)}-seed{seed}", wanted, row, seed, epochs, progress, data)
            _measure(run, wanted, nll_samples or wanted.nll_samples, limit, progress)
            _write(folder / table, wanted, Path(runs) / table)
    return folder / f"{table}.md"


def _chosen(table: Table, rows: str | None) -> Sequence[Row]:
    if rows is None:
        return table.rows
    asked = [word.strip() for word in rows.split(";")]
    names = [row.name for row in table.rows]
    found: set[str] = set()
    for word in asked:
        matching = [word] if word in names else [name for name in names if name.startswith(word)]
        if not matching:
            raise RequestError(
                f"--rows has {word!r}; expected names of rows or their starts, of {'; '.join(names)}."
                f"{nearest(word, names)}"
            )
        found.update(matching)
    return [row for row in table.rows if row.name in found]


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-")


def _run(
    directory: Path,
    table: Table,
    row: Row,
    seed: int,
    epochs: int | None,
    progress: bool,
    data: str | None,
) -> "Run":
    """The run of a row and a seed: as it is, gone on with, or new."""
    from vaekit.api import train
    from vaekit.recipes import get
    from vaekit.runs import Run, RunState

    known = inspect.signature(get(row.recipe)).parameters
    shared = {**table.arguments, **({} if epochs is None else {"epochs": epochs})}
    arguments = {**{name: value for name, value in shared.items() if name in known}, **row.arguments}
    run = Run(directory)
    started = run.state is not RunState.ABSENT
    if started:
        run.check_same(row.recipe, {**arguments, "seed": seed})
    if run.state is RunState.COMPLETE:
        return run
    options: dict[str, Any] = {} if started else {"data": data or table.data, "data_options": dict(table.data_options)}
    return train(
        row.recipe,
        **options,
        out=directory,
        seed=seed,
        nll_samples=0,
        resume=started,
        progress=progress,
        **arguments,
    )


def _measure(run: "Run", table: Table, nll_samples: int, limit: int | None, progress: bool) -> None:
    """Measure what the table shows, unless that is known."""
    from vaekit.api import evaluate

    known = run.metrics.get("test" if limit is None else f"test_first_{limit}", {})
    there = all(_value(known, column) is not None for column in table.columns)
    if there and known.get("nll_samples", nll_samples) == nll_samples:
        return
    evaluate(
        run,
        metrics=",".join(table.families),
        nll_samples=nll_samples,
        limit=limit,
        progress=progress,
    )


def _value(metrics: dict[str, Any], column: str) -> float | None:
    found: Any = metrics
    for part in column.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return None if found is None else float(found)


def _write(path: Path, table: Table, runs: Path) -> None:
    """Write the table of all runs that are there, as data and as text."""
    from vaekit.storage import replace_file, write_json

    entries = [entry for row in table.rows if (entry := _entry(table, row, runs)) is not None]
    write_json(path.with_suffix(".json"), {"title": table.title, "data": table.data, "rows": entries})
    text = _markdown(table, path.name, entries)
    replace_file(path.with_suffix(".md"), lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _entry(table: Table, row: Row, runs: Path) -> dict[str, Any] | None:
    """A row of the table, from its runs that are finished and measured."""
    from vaekit.runs import Run, RunState

    found = []
    for directory in sorted(runs.glob(f"{_slug(row.name)}-seed*")):
        run = Run(directory)
        tests = {k: v for k, v in run.metrics.items() if k.startswith("test")} if run.state is RunState.COMPLETE else {}
        tests = {k: v for k, v in tests.items() if all(_value(v, column) is not None for column in table.columns)}
        if tests:
            found.append((run, tests[sorted(tests)[0]]))
    if not found:
        return None
    values = {column: [_value(metrics, column) or 0.0 for _, metrics in found] for column in table.columns}
    first, config = found[0][1], found[0][0].config
    entry: dict[str, Any] = {
        "row": row.name,
        "recipe": row.recipe,
        "arguments": config["arguments"],
        "seeds": [run.config["training"]["seed"] for run, _ in found],
        "values": values,
        "protocol": _protocol(table, first),
        "images": first["images"],
        "published": row.published,
        "source": row.source,
        "training_seconds": [run.metrics["training"]["seconds"] for run, _ in found],
        "versions": config["versions"],
        "commits": [run.config["versions"]["commit"] for run, _ in found],
        "command": _anywhere(config["command"], table.data),
    }
    if row.published is not None and table.comparable:
        gap = mean(values[table.columns[0]]) - row.published
        entry["short_by"] = gap if table.lower else -gap
    return entry


def _anywhere(command: str, data: str) -> str:
    """A command without where it put its run, and where its data were."""
    words = shlex.split(command.rpartition(" --out ")[0])
    if "--data" in words:
        words[words.index("--data") + 1] = data
    return shlex.join(words)


def _protocol(table: Table, metrics: dict[str, Any]) -> str:
    """How the table's columns were measured, each family in its own words."""
    families = dict.fromkeys(column.rpartition(".")[0] for column in table.columns)
    parts = [metrics if not family else metrics[family] for family in families]
    return "; ".join(part["protocol"] for part in parts if "protocol" in part)


def _markdown(table: Table, name: str, entries: Sequence[dict[str, Any]]) -> str:
    columns = [column.rpartition(".")[2].replace("_", " ") for column in table.columns]
    lines = [
        f"# {table.title}",
        "",
        f"Written by `vaekit reproduce {name}` from the runs whose every number, argument and version is in",
        f"[`{name}.json`]({name}.json). Means ± standard deviations over seeds; published numbers have their own",
        "protocols, said beside them.",
        "",
        f"| system | {' | '.join(columns)} | seeds | published | short by |",
        "|---" * (len(columns) + 4) + "|",
    ]
    for entry in entries:
        cells = [_spread(entry["values"][column]) for column in table.columns]
        published = "none" if entry["published"] is None else f"{entry['published']} ({entry['source']})"
        short = _spread([entry["short_by"]]) if "short_by" in entry else ""
        lines.append(f"| {entry['row']} | {' | '.join(cells)} | {len(entry['seeds'])} | {published} | {short} |")
    for protocol in dict.fromkeys(entry["protocol"] for entry in entries):
        lines += ["", f"Protocol: {protocol}."]
    shared = json.dumps(dict(table.arguments))
    epochs = sorted({entry["arguments"].get("epochs") for entry in entries})
    versions = [entry["versions"] for entry in entries]
    machines = sorted(
        {", ".join(filter(None, (v.get("gpu"), v["processor"], f"{v['cpus']} processors"))) for v in versions}
    )
    commits = sorted({str(commit) for entry in entries for commit in entry["commits"]})
    lines += [
        "",
        f"Arguments of all rows: `{shared}`; epochs: {', '.join(map(str, epochs))}. Hardware: {'; '.join(machines)}. "
        f"Commit: {', '.join(commits)}.",
        "",
    ]
    return "\n".join(lines)


def _spread(values: Sequence[float]) -> str:
    digits = 2 if abs(mean(values)) >= 10 or mean(values) == 0 else 3 if abs(mean(values)) >= 0.1 else 4
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{mean(values):.{digits}f} ± {stdev(values):.{digits}f}"
