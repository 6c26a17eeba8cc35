r"""A table of results as files: what is in it by now, and what its runs add, as data and as text."""

__all__ = ["folder_of", "held_rows", "value_of", "write_table"]

import inspect
import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from vaekit.errors import RequestError
from vaekit.recipes import get
from vaekit.reproduction.tables import Row, Table


def folder_of(row: Row, seed: int) -> str:
    r"""The name of the folder of a row's run.

    Example:
        >>> folder_of(Row("IWAE, k=5", "iwae"), 0)
        'iwae-k-5-seed0'
    """
    return f"{_slug(row.name)}-seed{seed}"


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-")


def value_of(metrics: dict[str, Any], column: str) -> float | None:
    r"""A number of a run's metrics, or None where it was not measured.

    Arguments:
        metrics: As in `metrics.json`, of one split.
        column: The metric's name, with a point into a family.

    Example:
        >>> value_of({"nll": 90.0, "generation": {"recall": 0.5}}, "generation.recall")
        0.5
    """
    found: Any = metrics
    for part in column.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return None if found is None else float(found)


def held_rows(path: Path, table: Table) -> dict[str, dict[str, Any]]:
    r"""Return the rows that a table has by now, but for those with other columns than it wants.

    Arguments:
        path: Of its data.
        table: What it is to be.

    Raises:
        RequestError: If there is such a file which is no table.
    """
    if not path.exists():
        return {}
    try:
        rows = {entry["row"]: entry for entry in json.loads(path.read_text(encoding="utf-8"))["rows"]}
        return {name: entry for name, entry in rows.items() if list(entry["values"]) == list(table.columns)}
    except (ValueError, KeyError, TypeError) as error:
        raise RequestError(
            f"{path} is not a table of results; expected what `vaekit reproduce` wrote: move it away"
        ) from error


def write_table(path: Path, table: Table, runs: Path) -> None:
    r"""Write a table, as data and as text: what it held, and the runs that are there.

    A row without a run here stays as it is. One with runs holds those of the seeds it had too, if they were trained
    with the same arguments and measured by the same protocol; otherwise those that are here take their place.

    Arguments:
        path: The table's, without its ending.
        table: What is in it.
        runs: The folder of its runs.

    Raises:
        RequestError: If there is a file with the name of the table which is none.
    """
    from vaekit.storage import replace_file, write_json

    held = held_rows(path.with_suffix(".json"), table)
    entries = [entry for row in table.rows if (entry := _joined(table, held.get(row.name), _entry(table, row, runs)))]
    write_json(path.with_suffix(".json"), {"title": table.title, "data": table.data, "rows": entries})
    text = _markdown(table, path.name, entries)
    replace_file(path.with_suffix(".md"), lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _joined(table: Table, held: dict[str, Any] | None, made: dict[str, Any] | None) -> dict[str, Any] | None:
    """One row, of what the table has and of what was made, which counts where both have a seed."""
    from vaekit.storage import plain

    if held is None or made is None:
        return made or held
    if any(held[key] != made[key] for key in ("recipe", "protocol", "images")):
        return made
    # What the recipe did not ask for then is as it is by default.
    defaults = {name: value.default for name, value in inspect.signature(get(made["recipe"])).parameters.items()}
    if plain({**defaults, **held["arguments"]}) != plain({**defaults, **made["arguments"]}):
        return made
    several = ("seeds", "training_seconds", "commits")
    runs = {entry["seeds"][i]: (entry, i) for entry in (held, made) for i in range(len(entry["seeds"]))}
    of = [runs[seed] for seed in sorted(runs)]
    joined = made | {key: [entry[key][i] for entry, i in of] for key in several}
    joined["values"] = {column: [entry["values"][column][i] for entry, i in of] for column in table.columns}
    return _compared(table, joined)


def _compared(table: Table, entry: dict[str, Any]) -> dict[str, Any]:
    """A row with what it is short of the published number by."""
    if entry["published"] is not None and table.comparable:
        gap = mean(entry["values"][table.columns[0]]) - entry["published"]
        entry["short_by"] = gap if table.lower else -gap
    return entry


def _entry(table: Table, row: Row, runs: Path) -> dict[str, Any] | None:
    """A row of the table, from its runs that are finished and measured."""
    from vaekit.runs import Run, RunState

    found = []
    for directory in sorted(runs.glob(f"{_slug(row.name)}-seed*")):
        run = Run(directory)
        tests = {k: v for k, v in run.metrics.items() if k.startswith("test")} if run.state is RunState.COMPLETE else {}
        tests = {k: v for k, v in tests.items() if all(value_of(v, column) is not None for column in table.columns)}
        if tests:
            found.append((run, tests[sorted(tests)[0]]))
    if not found:
        return None
    found.sort(key=lambda pair: pair[0].config["training"]["seed"])
    values = {column: [value_of(metrics, column) or 0.0 for _, metrics in found] for column in table.columns}
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
    return _compared(table, entry)


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
