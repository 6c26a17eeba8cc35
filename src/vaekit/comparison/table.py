r"""A table of runs: rows of trainings, columns of one metric by one protocol; as text, CSV or HTML."""

__all__ = ["Cell", "Column", "Comparison", "Row"]

import csv
import functools
import importlib.resources
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vaekit.comparison.measurement import Better
from vaekit.comparison.noise import LEVEL, Sample
from vaekit.report.text import cell, with_error

if TYPE_CHECKING:
    import jinja2

Verdict = Literal["", "best", "explained by noise", "beyond noise", "noise unknown"]

MARKS: dict[Verdict, str] = {"": "", "best": "★", "explained by noise": "≈", "beyond noise": "≠", "noise unknown": "?"}
_OVER_SEEDS = "± of several seeds is the standard deviation over them."
_OVER_EXAMPLES = "± of a single run is its standard error as the protocol has it; other seeds may differ by more."
_MARKED = (
    "★ best of its column: ↓ lower, ↑ higher is better. ≈ noise explains the difference to the best. ≠ it does not, at "
    f"{LEVEL:.0%}, two-sided, corrected for all pairs of rows in the column (Holm), not for the number of columns."
)
_UNMARKED = "? no noise is known that could explain the difference to the best."
_TESTED = (
    "Between rows of several seeds the test is Welch's t over seeds. Between single runs it is z from their standard "
    "errors: on the same examples paired differences would be sharper, but they need the number of each example, which "
    "runs do not keep. Between a single run and several seeds, both z and Student's t with the one deviation that is "
    "known have to exclude noise."
)
ARROWS = {"lower": " ↓", "higher": " ↑", None: ""}


@dataclass(frozen=True)
class Row:
    r"""A training, under one seed or several.

    Arguments:
        name: What its runs are called in common.
        model: Its recipe, and the arguments in which it differs from other rows of that recipe.
        runs: The run directories.
        seeds: The seeds they were trained with, in the same order.
    """

    name: str
    model: str
    runs: tuple[Path, ...]
    seeds: tuple[int | None, ...]


@dataclass(frozen=True)
class Cell:
    r"""A number of a row.

    Arguments:
        sample: The values, of each of the row's runs that has one.
        verdict: How it stands to the best of its column; empty where there is no best.
        p: How likely so large a difference to the best is by noise, corrected for the number of pairs; None if that
            is not known.
    """

    sample: Sample
    verdict: Verdict = ""
    p: float | None = None

    @property
    def spread(self) -> float | None:
        """The deviation over seeds, or of a single run the standard error."""
        return self.sample.error if self.sample.deviation is None else self.sample.deviation

    @property
    def spread_is(self) -> str:
        """What `spread` is, in words."""
        if self.spread is None:
            return ""
        return "standard error" if self.sample.deviation is None else "standard deviation over seeds"

    def shown(self, n: int) -> str:
        """The number with its mark, in a row of n runs."""
        mean = self.sample.mean
        number = with_error(mean, self.spread) if self.spread else cell(mean) + (" ± 0" if self.spread == 0 else "")
        few = f" (n = {self.sample.n})" if self.sample.n != n else ""
        return f"{MARKS[self.verdict]} {number}{few}".strip()


@dataclass(frozen=True)
class Column:
    r"""One metric, measured by one protocol.

    Arguments:
        family: Its family in `metrics.json`; empty for those that are in none.
        name: Its name there.
        protocol: How it was measured, clause by clause.
        cells: For each row its number, or None if it has none by this protocol.
        better: Which way is better; None if neither is, or it is not known.
        title: Its name, with that of the family if another one has the same name.
        letter: Stands for `apart`; empty if all protocols of the family agree on what this metric's says.
        apart: The clauses in which protocols of the family differ.
    """

    family: str
    name: str
    protocol: tuple[str, ...]
    cells: tuple[Cell | None, ...]
    better: Better | None = None
    title: str = ""
    letter: str = ""
    apart: tuple[str, ...] = ()

    @property
    def heading(self) -> str:
        """What stands above it."""
        letter = f" ({self.letter})" if self.letter else ""
        return f"{self.title}{letter}{ARROWS[self.better]}"


@dataclass(frozen=True)
class Comparison:
    r"""A table of runs.

    Arguments:
        split: Of the data that the numbers are of.
        rows: The trainings.
        columns: The metrics.
        notes: What else a reader should know.

    Example:
        >>> from vaekit.comparison.noise import Sample
        >>> row = Row("vae-*", "vae", (Path("vae-0"), Path("vae-1")), (0, 1))
        >>> nll = Column("", "nll", ("digits", "k = 100"), (Cell(Sample((24.0, 26.0), (0.2, 0.2))),), "lower", "nll")
        >>> print(Comparison("test", (row,), (nll,)).csv())
        run,model,runs,seeds,nll,nll_spread,nll_spread_is,nll_n,nll_verdict,nll_p,nll_protocol
        vae-*,vae,vae-0; vae-1,"0, 1",25.0,1.4142135623730951,standard deviation over seeds,2,,,digits; k = 100
        <BLANKLINE>
    """

    split: str
    rows: tuple[Row, ...]
    columns: tuple[Column, ...]
    notes: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        return self.text()

    def text(self, width: int | None = None) -> str:
        r"""Return the table for a terminal, a part of it for each family of metrics, with its protocol beneath.

        Arguments:
            width: Characters of a line, by default the terminal's; a part that is wider is continued below.
        """
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table

        console = Console(
            file=io.StringIO(), width=width, color_system=None, markup=False, highlight=False, emoji=False
        )
        runs = Table("run", "model", "seeds", box=SIMPLE_HEAD)
        for row in self.rows:
            runs.add_row(row.name, row.model, _list(row.seeds))
        console.print(runs)
        for family, columns in self._families():
            for part, rows in self._parts(columns, console.width):
                table = Table(title=self._title(family), title_justify="left", title_style="", box=SIMPLE_HEAD)
                table.add_column("run", overflow="fold")
                table.add_column("n", justify="right", no_wrap=True)
                for column in part:  # a name may be broken, a number not
                    table.add_column(column.heading, justify="right", no_wrap=True, min_width=self._width(column))
                for index in rows:
                    row = self.rows[index]
                    table.add_row(row.name, str(len(row.runs)), *(self._shown(column, index) for column in part))
                console.print(table)
            for line in _protocols(columns):
                console.print(line)
            console.print()
        for note in self._legend():
            console.print(note)
        assert isinstance(console.file, io.StringIO)
        return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"

    def csv(self) -> str:
        r"""Return the table as CSV, a line for each row.

        For a metric called `nll` there are `nll`, the mean over seeds to the last digit; `nll_spread` and
        `nll_spread_is`; `nll_n`, the number of runs; `nll_verdict` and `nll_p`, as `Cell` has them; and
        `nll_protocol`. Columns of unlike protocol are `nll_a` and `nll_b`.
        """
        parts = ("", "_spread", "_spread_is", "_n", "_verdict", "_p", "_protocol")
        titles = [f"{c.title}_{c.letter}" if c.letter else c.title for c in self.columns]
        lines = [["run", "model", "runs", "seeds", *(title + part for title in titles for part in parts)]]
        for index, row in enumerate(self.rows):
            line = [row.name, row.model, "; ".join(map(str, row.runs)), _list(row.seeds)]
            for column in self.columns:
                found = column.cells[index]
                if found is None:
                    line += [""] * len(parts)
                    continue
                line += [repr(found.sample.mean), _exact(found.spread), found.spread_is, str(found.sample.n)]
                line += [found.verdict, _exact(found.p), "; ".join(column.protocol)]
            lines.append(line)
        file = io.StringIO()
        csv.writer(file, lineterminator="\n").writerows(lines)
        return file.getvalue()

    def html(self) -> str:
        r"""Return the table as a page that needs no other file and no network, and has no script."""
        families = [
            {
                "title": self._title(family),
                "tables": [
                    (part, [(self.rows[i], [(c.cells[i], self._shown(c, i)) for c in part]) for i in rows])
                    for part, rows in _tables(columns)
                ],
                "protocols": _protocols(columns),
            }
            for family, columns in self._families()
        ]
        seeds = [_list(row.seeds) for row in self.rows]
        return _template().render(rows=zip(self.rows, seeds, strict=True), families=families, legend=self._legend())

    def _families(self) -> Iterator[tuple[str, list[Column]]]:
        for family in dict.fromkeys(column.family for column in self.columns):
            yield family, [column for column in self.columns if column.family == family]

    def _title(self, family: str) -> str:
        return f"{self.split}: {family.replace('_', ' ')}" if family else self.split

    def _shown(self, column: Column, index: int) -> str:
        found = column.cells[index]
        return "–" if found is None else found.shown(len(self.rows[index].runs))

    def _parts(self, columns: Sequence[Column], width: int) -> Iterator[tuple[list[Column], list[int]]]:
        """As many columns at a time as fit beside the names, and their rows."""
        for together, rows in _tables(columns):
            first = max(len(self.rows[row].name) for row in rows) + 3 + 5
            part, used = list[Column](), first
            for column in together:
                wide = self._width(column) + 3
                if part and used + wide > width:
                    yield part, rows
                    part, used = [], first
                part.append(column)
                used += wide
            yield part, rows

    def _width(self, column: Column) -> int:
        return max(map(len, [column.heading, *(self._shown(column, index) for index in range(len(self.rows)))]))

    def _legend(self) -> list[str]:
        cells = [found for column in self.columns for found in column.cells if found is not None]
        verdicts = {found.verdict for found in cells} - {""}
        lines = {
            _OVER_SEEDS: any(found.sample.n > 1 for found in cells),
            _OVER_EXAMPLES: any(found.sample.n == 1 and found.spread is not None for found in cells),
            _MARKED: bool(verdicts),
            _UNMARKED: "noise unknown" in verdicts,
            _TESTED: bool(verdicts - {"best", "noise unknown"}),
        }
        return [*(line for line, is_needed in lines.items() if is_needed), *self.notes]


def _tables(columns: Sequence[Column]) -> list[tuple[list[Column], list[int]]]:
    """Columns that have rows in common, directly or through others, with those rows: other data, another table."""
    tables: list[tuple[list[Column], set[int]]] = []
    for column in columns:
        rows = {index for index, found in enumerate(column.cells) if found is not None}
        joined = [table for table in tables if table[1] & rows]
        tables = [table for table in tables if not table[1] & rows]
        together = [*(c for table in joined for c in table[0]), column]
        tables.append((together, rows.union(*(table[1] for table in joined))))
    order = {id(column): index for index, column in enumerate(columns)}
    ordered = [(sorted(part, key=lambda column: order[id(column)]), sorted(rows)) for part, rows in tables]
    return sorted(ordered, key=lambda table: table[1])


def _protocols(columns: Sequence[Column]) -> list[str]:
    """The protocol of a family: what is common, and under each letter what is not."""
    letters = {column.letter: column.apart for column in columns if column.letter}
    apart = {clause for clauses in letters.values() for clause in clauses}
    common = dict.fromkeys(clause for column in columns for clause in column.protocol if clause not in apart)
    lines = [f"protocol: {'; '.join(common)}"]
    return lines + [f"({letter}) {'; '.join(clauses) or 'otherwise'}" for letter, clauses in letters.items()]


def _list(seeds: Sequence[int | None]) -> str:
    return ", ".join("unknown" if seed is None else str(seed) for seed in seeds)


def _exact(value: float | None) -> str:
    return "" if value is None else repr(value)


@functools.cache
def _template() -> "jinja2.Template":
    import jinja2

    source = importlib.resources.files("vaekit.report").joinpath("comparison.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(source)
