r"""From a table's rows to trained runs, and from these to the table: numbers over seeds beside the published ones."""

__all__ = ["reproduce"]

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaekit.errors import RequestError, nearest
from vaekit.reproduction.files import folder_of, held_rows, value_of, write_table
from vaekit.reproduction.tables import TABLES, Row, Table

if TYPE_CHECKING:
    from vaekit.runs import Run


def reproduce(
    table: str,
    *,
    data: str | None = None,
    rows: str | None = None,
    seeds: int = 3,
    first_seed: int = 0,
    epochs: int | None = None,
    nll_samples: int | None = None,
    limit: int | None = None,
    runs: str = "runs/reproduce",
    out: str = "docs/results",
    progress: bool = True,
) -> Path:
    r"""Train and measure every system of a table, and write the table: our numbers beside the published ones.

    Runs that are there already are used, and unfinished ones are gone on with, so that the same command, stopped at
    any time and given again, ends in the whole table. After every run its number is put into the table, beside what
    was there: rows that were not asked for stay, and so do seeds of the same arguments and protocol. A number that
    falls short of the published one stays, with how much it is short by.

    Arguments:
        table: Which one: mnist, mnist-static, mnist-autoencoders, mnist-priors, mnist-categories, mnist-styles,
            mnist-codes, faces, faces-codes or sprites, which two processors can make; or published-mnist,
            published-mnist-static, published-draw or published-sprites, which want a GPU.
        data: Where the data are of a table on data that do not ship: for faces and faces-codes, a folder of CelebA; by
            default celeba, here.
        rows: Only these, by name or the start of a name, with semicolons between; the others stay as they are.
        seeds: Runs of each row, but for rows that take long, which have one; the seeds are first_seed and those
            after it.
        first_seed: The first seed: pass 3 to add to a table that has three.
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
    if first_seed < 0:
        raise RequestError(f"first-seed is {first_seed}; expected 0 or more: pass --first-seed 0")
    wanted = TABLES[table]
    chosen = _chosen(wanted, rows)
    folder = Path(out)
    if not folder.is_dir():
        raise RequestError(f"--out is {out!r}; expected a folder that exists: make it first")

    from vaekit.recipes import get

    # Before hours of work:
    held_rows(folder / f"{table}.json", wanted)
    for row in wanted.rows:
        unknown = row.arguments.keys() - inspect.signature(get(row.recipe)).parameters.keys()
        assert not unknown, f"{row.name} has {unknown}"
    for row in chosen:
        for seed in range(first_seed, first_seed + min(seeds, row.seeds or seeds)):
            run = _run(Path(runs) / table / folder_of(row, seed), wanted, row, seed, epochs, progress, data)
            _measure(run, wanted, nll_samples or wanted.nll_samples, limit, progress)
            write_table(folder / table, wanted, Path(runs) / table)
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
    there = all(value_of(known, column) is not None for column in table.columns)
    if there and known.get("nll_samples", nll_samples) == nll_samples:
        return
    evaluate(
        run,
        metrics=",".join(table.families),
        nll_samples=nll_samples,
        limit=limit,
        progress=progress,
    )
