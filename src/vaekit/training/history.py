r"""The log of a run: a row an epoch, as CSV for people and as TensorBoard events for their tools."""

__all__ = ["History", "read_history"]

import csv
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaekit.storage import replace_file

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

Row = dict[str, float]
WRITE_SECONDS = 1.0


def read_history(path: Path) -> dict[str, list[float]]:
    r"""Read `history.csv` as columns."""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name] or "nan") for row in rows] for name in (rows[0] if rows else {})}


class History:
    r"""Rows of numbers, one an epoch, kept in memory, in `history.csv` and as TensorBoard events.

    The rows travel inside the checkpoint, so that a resumed run writes the same log as one that never stopped.

    Arguments:
        directory: The run directory; None keeps the rows in memory only.
        rows: Rows of the epochs already done.

    Example:
        >>> history = History(None)
        >>> history.append({"epoch": 1, "train_elbo": -120.0})
        >>> history.columns()
        {'epoch': [1], 'train_elbo': [-120.0]}
    """

    def __init__(self, directory: Path | None, rows: list[Row] | None = None) -> None:
        self.rows: list[Row] = rows or []
        self._directory = directory
        self._writer: SummaryWriter | None = None
        self._written = 0.0

    def append(self, row: Row) -> None:
        """Add the row of an epoch."""
        self.rows.append(row)
        if self._directory is None:
            return
        writer = self._tensorboard()
        for name, value in row.items():
            if name not in ("epoch", "step"):
                split, _, term = (
                    name.rpartition("_") if name.startswith(("train_", "validation_")) else ("run", "", name)
                )
                writer.add_scalar(f"{term}/{split}", value, int(row["step"]))
        # Each writing is of the whole file, so that small epochs do not write at every one of theirs.
        if time.monotonic() - self._written > WRITE_SECONDS:
            self.write()

    def write(self) -> None:
        """Write `history.csv` anew, whole."""
        if self._directory is not None and self.rows:
            # A checkpoint holds the rows too, so this need not wait for the disk.
            replace_file(self._directory / "history.csv", self._write_csv, durable=False)
            self._written = time.monotonic()

    def columns(self) -> dict[str, list[float]]:
        """Return the rows as columns."""
        return {name: [row[name] for row in self.rows] for name in (self.rows[0] if self.rows else {})}

    def flush(self) -> None:
        """Write out the log so far: the epochs in a checkpoint are not run again."""
        self.write()
        if self._writer is not None:
            self._writer.flush()

    def close(self) -> None:
        """Write out the log and let go of its files."""
        self.write()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _write_csv(self, path: Path) -> None:
        with open(path, "w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(self.rows[0]))
            writer.writeheader()
            writer.writerows(self.rows)

    def _tensorboard(self) -> Any:
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter  # slow to import, and not needed without a directory

            # Events after the last row are of steps that a resumed run takes again: TensorBoard is told to drop them.
            step = int(self.rows[-2]["step"]) + 1 if len(self.rows) > 1 else 0
            self._writer = SummaryWriter(str(self._directory), purge_step=step, flush_secs=30)
        return self._writer
