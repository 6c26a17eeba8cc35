r"""From run directories to a table: which runs are one training, and which numbers may share a column."""

__all__ = ["compare"]

import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from string import ascii_lowercase

from vaekit.comparison.measurement import (
    DENSITY,
    Measurement,
    better,
    data_clause,
    is_headline,
    measurements,
    shown_clause,
)
from vaekit.comparison.noise import LEVEL, Sample, adjusted
from vaekit.comparison.table import Cell, Column, Comparison, Verdict
from vaekit.comparison.trainings import Entry, group, rows
from vaekit.errors import RequestError, nearest
from vaekit.runs import Run, RunState

_OTHER_DRAWS = (
    "Runs of a row were measured with seeds of their own: the deviation over seeds has the noise of these draws in it. "
    "`vaekit evaluate RUN --seed 0` for each of them leaves that of the trainings alone."
)

Key = tuple[str, str, tuple[str, ...]]  # family, name, protocol


def compare(
    runs: "Iterable[str | os.PathLike[str] | Run]", *, metrics: Sequence[str] | None = None, split: str = "test"
) -> Comparison:
    r"""Return one table of several runs, which says what differs by more than noise.

    Runs that differ in nothing but the seed, and where they are, are one row: a mean and a standard deviation over
    seeds. A run of a model made in Python is always a row of its own, since its record does not have the model.

    A column is a metric by a protocol: the data's fingerprint, what the model sees of them, the number of examples, k,
    the feature net, and whatever else the protocol says of the metric. Unlike protocols never share a column: they
    get one each, with a letter. Seeds of an evaluation are no part of its protocol: another seed is another draw.
    Metrics that are asked for by name are to be compared, and if their protocols are unlike, that is refused.

    In each column whose direction is known the best is marked, and every other number by whether noise explains its
    difference to the best; see `vaekit.comparison.noise.p_value` for the test.

    Arguments:
        runs: Run directories.
        metrics: Names of numbers in `metrics.json`, such as "nll", or "annealed.nll_ais" with their family, or of
            families; by default all numbers with an error or a known direction.
        split: Which of the evaluations in `metrics.json`.

    Raises:
        RequestError: If a run is missing, unfinished, not evaluated or listed twice, two runs are one training with
            one seed, a metric is not known, or its protocols are unlike.

    Example:
        >>> compare(["nowhere/a", "nowhere/a/"])
        Traceback (most recent call last):
            ...
        vaekit.errors.RequestError: no run at nowhere/a; expected a run directory, as `vaekit train` makes it.
    """
    given = [runs] if isinstance(runs, str | os.PathLike | Run) else list(runs)
    if not given:
        raise RequestError("there are no runs to compare: pass run directories, as `vaekit train` makes them")
    entries = [_entry(run if isinstance(run, Run) else Run(run), split) for run in given]
    groups = group(entries)
    chosen = _chosen(entries, metrics)
    if metrics is not None:
        _refuse_unlike(entries, chosen, split)
    drawn = [
        {m.seeds for entry in members for m in entry.measured if m.metric == metric}
        for members in groups
        for metric in chosen
    ]
    notes = (_OTHER_DRAWS,) if max(map(len, drawn)) > 1 else ()
    return Comparison(split, rows(groups), _columns(groups, chosen), notes)


def _entry(run: Run, split: str) -> Entry:
    run.require_trained()
    where = run.directory
    if run.state is not RunState.COMPLETE:
        raise RequestError(f"{where} has no evaluation, it has no metrics.json: make it with {_evaluate(where, split)}")
    metrics = run.metrics
    numbers = metrics.get(split)
    splits = {name for name, value in metrics.items() if isinstance(value, Mapping)} - {"training", "stages"}
    if not isinstance(numbers, Mapping) or split not in splits:
        known = [name for name in metrics if name in splits]
        raise RequestError(
            f"{where} has no evaluation of split {split!r}; it has {', '.join(known) or 'none'}: pass --split with "
            f"another one, or make it with {_evaluate(where, split)}.{nearest(split, known)}"
        )
    config = run.config
    found = tuple(measurements(numbers, config))
    if not found:
        raise RequestError(
            f"{where} has no number with a protocol for split {split!r}: measure it anew with {_evaluate(where, split)}"
        )
    return Entry(where, config, numbers, found)


def _chosen(entries: Sequence[Entry], metrics: Sequence[str] | None) -> list[tuple[str, str]]:
    """The metrics to show, in order: family and name."""
    measured = [measurement for entry in entries for measurement in entry.measured]
    if metrics is None:
        return list(dict.fromkeys(m.metric for m in measured if is_headline(m)))
    if not metrics:
        raise RequestError("metrics is empty; expected names such as nll: leave it out for all")
    chosen: list[tuple[str, str]] = []
    for asked in metrics:
        found = [m.metric for m in measured if asked in (m.name, f"{m.family}.{m.name}")]
        found = found or [m.metric for m in measured if asked == (m.family or "likelihood") and is_headline(m)]
        if not found:
            known = dict.fromkeys(m.name for m in measured if is_headline(m))
            hint = nearest(asked, {name for m in measured for name in m.metric})
            raise RequestError(
                f"unknown metric {asked!r}; these runs have {', '.join(known)}: pass some of them.{hint}"
            )
        chosen += found
    return list(dict.fromkeys(chosen))


def _refuse_unlike(entries: Sequence[Entry], chosen: Sequence[tuple[str, str]], split: str) -> None:
    """Raise a `RequestError` if a metric was not measured by one protocol in all runs that have it."""
    names = _names(entries)
    for metric in chosen:
        drawn = _drawn(entries, metric[0])
        protocols: dict[tuple[str, ...], list[Entry]] = {}
        for entry in entries:
            for measurement in entry.measured:
                if measurement.metric == metric:
                    protocols.setdefault(measurement.protocol, []).append(entry)
        if len(protocols) > 1:
            apart = _apart(list(protocols))
            said = [
                f"{', '.join(str(entry.directory) for entry in who)}: "
                + ("; ".join(shown_clause(c, names, drawn) for c in apart[protocol]) or "without that")
                for protocol, who in protocols.items()
            ]
            raise RequestError(
                f"{metric[1]} was measured by unlike protocols; expected one, for it is asked for by name. "
                f"{'. '.join(said)}. {_remedy(metric[0], protocols, apart, split)}, or leave metrics out, and each "
                "protocol has a column of its own"
            )


def _remedy(
    family: str,
    protocols: Mapping[tuple[str, ...], list[Entry]],
    apart: Mapping[tuple[str, ...], tuple[str, ...]],
    split: str,
) -> str:
    """What would make protocols alike."""
    clauses = {clause for part in apart.values() for clause in part}
    owners = [entry for who in protocols.values() for entry in who]
    seen = {entry.config["data"].get("transform") or "" for entry in owners}
    views = seen if len(seen) > 1 else set()
    if any(clause.startswith("data ") or clause == DENSITY or any(v in clause for v in views) for clause in clauses):
        return "These are other data, and no evaluation makes them alike: compare runs of the same data"
    draws = {protocol: who[0].numbers.get("nll_samples", 0) for protocol, who in protocols.items()}
    if all(clause.startswith("NLL by ") for clause in clauses) and len(set(draws.values())) > 1:
        most = max(draws.values())
        behind = [entry for protocol, who in protocols.items() if draws[protocol] < most for entry in who]
        words = [_evaluate(entry.directory, split, f" --metrics likelihood --nll-samples {most}") for entry in behind]
    else:
        measured = (family or "likelihood").partition(".")[0].replace("_", "-")
        words = [_evaluate(entry.directory, split, f" --metrics {measured}") for entry in owners]
    return f"Measure them with the same options, {', '.join(words)}"


def _evaluate(directory: Path, split: str, more: str = "") -> str:
    """The command that measures a run."""
    part = re.fullmatch(r"(train|validation|test)(?:_first_(\d+))?", split)
    options = f" --split {part[1]}" if part and part[1] != "test" else ""
    options += f" --limit {part[2]}" if part and part[2] else ""
    return f"`{shlex.join(['vaekit', 'evaluate', str(directory)])}{options}{more}`"


def _columns(groups: Sequence[Sequence[Entry]], chosen: Sequence[tuple[str, str]]) -> tuple[Column, ...]:
    entries = [entry for members in groups for entry in members]
    names = _names(entries)
    samples: dict[Key, dict[int, list[Measurement]]] = {}
    for row, members in enumerate(groups):
        for entry in members:
            for m in entry.measured:
                samples.setdefault((*m.metric, m.protocol), {}).setdefault(row, []).append(m)
    apart: dict[str, set[str]] = {}  # by family, the clauses that some but not all protocols of a metric have
    for family, name in chosen:
        unlike = _apart([key[2] for key in samples if key[:2] == (family, name)])
        apart.setdefault(family, set()).update(clause for clauses in unlike.values() for clause in clauses)
    columns, letters = [], dict[tuple[str, tuple[str, ...]], str]()
    ambiguous = [name for _, name in chosen]
    for family, name in chosen:
        drawn = _drawn(entries, family)
        protocols = [key[2] for key in samples if key[:2] == (family, name)]
        for protocol in protocols:
            own = tuple(clause for clause in protocol if clause in apart[family])
            lettered = own or len(protocols) > 1
            columns.append(
                Column(
                    family,
                    name,
                    tuple(shown_clause(clause, names, drawn) for clause in protocol),
                    _cells(name, samples[family, name, protocol], len(groups)),
                    better(name),
                    f"{family}.{name}" if family and ambiguous.count(name) > 1 else name,
                    letters.setdefault((family, own), _letter(len(letters))) if lettered else "",
                    tuple(shown_clause(clause, names, drawn) for clause in own),
                )
            )
    return tuple(columns)


def _cells(name: str, found: Mapping[int, Sequence[Measurement]], rows: int) -> tuple[Cell | None, ...]:
    """The cells of a column, with the best marked and the others held against it."""
    samples = {
        row: Sample(tuple(m.value for m in measured), tuple(m.error for m in measured))
        for row, measured in found.items()
    }
    direction = better(name)
    if direction is None or len(samples) < 2:
        return tuple(Cell(samples[row]) if row in samples else None for row in range(rows))
    order = list(samples)
    means = [samples[row].mean for row in order]
    best = means.index(min(means) if direction == "lower" else max(means))
    p = dict(zip(order, adjusted([samples[row] for row in order], best), strict=True))
    return tuple(
        Cell(samples[row], "best" if row == order[best] else _verdict(p[row]), p[row]) if row in samples else None
        for row in range(rows)
    )


def _verdict(p: float | None) -> Verdict:
    if p is None:
        return "noise unknown"
    return "beyond noise" if p < LEVEL else "explained by noise"


def _apart(protocols: Sequence[tuple[str, ...]]) -> dict[tuple[str, ...], tuple[str, ...]]:
    """For each protocol the clauses that not all of them have."""
    common = set(protocols[0]).intersection(*protocols)
    return {protocol: tuple(clause for clause in protocol if clause not in common) for protocol in protocols}


def _letter(number: int) -> str:
    """a, b, ... z, a2, b2, ...: there is no end of protocols."""
    again, place = divmod(number, len(ascii_lowercase))
    return ascii_lowercase[place] + (str(again + 1) if again else "")


def _names(entries: Sequence[Entry]) -> dict[str, str]:
    return {data_clause(entry.config): entry.config["data"]["name"] for entry in reversed(entries)}


def _drawn(entries: Sequence[Entry], family: str) -> set[int]:
    """The seeds by which a family was measured."""
    return {seed for entry in entries for m in entry.measured if m.family == family for seed in m.seeds}
