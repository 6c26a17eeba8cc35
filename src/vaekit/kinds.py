r"""Kinds of examples: how each is drawn, written to files of its own, read from them, and measured.

Whatever lays examples out, a grid, a strip, a plane, an animation, lays out pictures or vectors, and asks the kind of
the data for these. A kind is an entry of `KINDS`.
"""

__all__ = ["KINDS", "Examples", "Melodies", "Pictures", "Poses", "Table", "kind_of", "kind_of_run", "opening"]

import csv
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaekit.errors import RequestError

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

    from vaekit.data import Dataset
    from vaekit.music.tokens import Note
    from vaekit.plan import DataSpec
    from vaekit.runs import Run

_POSES = 16  # drawn of many
_ROWS = 10_000  # of the training examples, whose columns are drawn
_NAMED = 16  # columns whose names fit below one plot
_HEARD = 300.0  # seconds of sound that a file has


class Examples:
    r"""Examples of no kind of their own: vectors, which are drawn as plots of their numbers.

    Arguments:
        data: The data set that examples are from, or like which they are, or what a run says of it.

    Attributes:
        endings: Those of files that this kind has beside pictures and arrays.
        sampled: How many samples a report shows.
        rebuilt: How many reconstructions.
        noisy: Whether a sample is a draw of x where nobody says: a picture is seen best as the likelihood's mean, but
            rows of a table are looked at together, and means have too little spread.
    """

    endings: tuple[str, ...] = ()
    sampled = 64
    rebuilt = 20
    noisy = False

    def __init__(self, data: "Dataset | DataSpec") -> None:
        self.data = data

    @classmethod
    def fits(cls, data: "Dataset | DataSpec") -> bool:
        """Whether data are of this kind."""
        return True

    @property
    def measures(self) -> "Mapping[str, Callable[[ArrayLike], NDArray[Any]]]":
        """What can be measured of examples, shape `(n, *shape)`, by name: numbers, NaN where it cannot be."""
        return {}

    def tiles(self, x: "NDArray[Any]") -> "NDArray[Any]":
        r"""Return what figures lay out: pictures, or vectors.

        Arguments:
            x: Shape `(..., *shape)`. Those of one call are drawn in one scale.

        Returns:
            Shape `(..., C, H, W)` or `(..., D)`.
        """
        return x

    def samples(self, x: "NDArray[Any]", columns: int = 8) -> "Figure":
        r"""Draw examples side by side.

        Arguments:
            x: Shape `(n, *shape)`.
            columns: Pictures side by side.
        """
        from vaekit import figures

        return figures.sample_grid(self.tiles(x), columns=columns)

    def reconstructions(self, originals: "NDArray[Any]", results: "NDArray[Any]") -> "Figure":
        r"""Draw originals and what a model makes of them, both of shape `(n, *shape)`."""
        from vaekit import figures

        return figures.reconstructions(originals, results)

    def strips(
        self, grid: "NDArray[Any]", *, rows: Sequence[str] = (), columns: Sequence[str] = (), title: str = ""
    ) -> "Figure":
        r"""Draw rows of examples, shape `(rows, columns, *shape)`; see `vaekit.figures.strips.strips`."""
        from vaekit.figures.strips import strips

        return strips(self.tiles(grid), rows=rows, columns=columns, title=title)

    def frames(
        self, grid: "NDArray[Any]", *, rows: Sequence[str] = (), columns: Sequence[str] = (), title: str = ""
    ) -> "Iterator[NDArray[Any]]":
        r"""Yield a picture of each column of such rows; see `vaekit.figures.strips.frames`."""
        from vaekit.figures.strips import frames

        return frames(self.tiles(grid), rows=rows, columns=columns, title=title)

    def save(self, path: Path, x: "NDArray[Any]") -> Path:
        r"""Write examples, shape `(..., *shape)`, to a file that ends in one of `endings`, atomically."""
        raise NotImplementedError

    def sound(self, x: "NDArray[Any]", seconds: float) -> bytes | None:
        r"""Return what examples, shape `(..., *shape)`, sound like, a WAV file of about so long; None without sound."""
        return None

    def read(self, path: str | os.PathLike[str]) -> "NDArray[Any]":
        r"""Return the example that a user's own file, which ends in the first of `endings`, holds as data are stored.

        Raises:
            RequestError: If the file cannot be read.
        """
        raise NotImplementedError


class Pictures(Examples):
    r"""Images of any number of channels, `(C, H, W)`, of which strokes are measured."""

    @classmethod
    def fits(cls, data: "Dataset | DataSpec") -> bool:
        """Whether examples are images."""
        return len(data.shape) == 3

    @property
    def measures(self) -> "Mapping[str, Callable[[ArrayLike], NDArray[Any]]]":
        """Thickness, slant and width of strokes."""
        from vaekit.latent import MEASURES

        return MEASURES


class Poses(Examples):
    r"""Poses of a skeleton, `(D,)`, as stick figures."""

    data: "Dataset"

    @classmethod
    def fits(cls, data: "Dataset | DataSpec") -> bool:
        """Whether the data say how a row is a pose."""
        return getattr(data, "poses", None) is not None

    def tiles(self, x: "NDArray[Any]") -> "NDArray[Any]":
        """Return stick figures on one ground."""
        from vaekit.figures.motion import pose_tiles

        poses = self.data.poses
        assert poses is not None
        rows = x.reshape(-1, x.shape[-1])
        drawn = pose_tiles(poses.joints(rows), poses.skeleton.bones, names=poses.skeleton.names, up=poses.up)
        return drawn.reshape(*x.shape[:-1], *drawn.shape[1:])

    def samples(self, x: "NDArray[Any]", columns: int = 8) -> "Figure":
        """Draw the first 16 poses."""
        return self._strip(x)

    def reconstructions(self, originals: "NDArray[Any]", results: "NDArray[Any]") -> "Figure":
        """Draw the first 16 results, with the originals behind them in grey."""
        return self._strip(results, originals)

    def _strip(self, x: "NDArray[Any]", truth: "NDArray[Any] | None" = None) -> "Figure":
        from vaekit.figures.motion import pose_strip

        poses = self.data.poses
        assert poses is not None
        behind = None if truth is None else poses.joints(truth[:_POSES])
        bones, names = poses.skeleton.bones, poses.skeleton.names
        return pose_strip(poses.joints(x[:_POSES]), bones, truth=behind, names=names, up=poses.up)


class Table(Examples):
    r"""Vectors whose entries have names, or units of their own, as the columns of a table.

    With names they are written to `.csv` files too, and read from them. Many of them are drawn column by column, each
    in its own units; in rows, real numbers of unlike size are in standard deviations from the mean of the training
    examples.
    """

    data: "Dataset"
    sampled = 1000
    rebuilt = 500
    noisy = True

    def __init__(self, data: "Dataset | DataSpec") -> None:
        super().__init__(data)
        self.endings = () if self.data.columns is None else (".csv",)
        self._unlike = _are_unlike(data)

    @classmethod
    def fits(cls, data: "Dataset | DataSpec") -> bool:
        """Whether the data say what their columns are called, or these are of unlike size."""
        return getattr(data, "columns", None) is not None or _are_unlike(data)

    def tiles(self, x: "NDArray[Any]") -> "NDArray[Any]":
        """Return vectors, of columns of unlike size in standard deviations."""
        from vaekit.data.rows import mean_of

        rows = self.data.train.x
        standard: NDArray[Any] = (x - mean_of(rows)) / _deviation(rows) if self._unlike else x
        return standard

    def samples(self, x: "NDArray[Any]", columns: int = 8) -> "Figure":
        """Draw how often samples have which value in each column, and how often the training examples do."""
        import numpy as np

        from vaekit.figures.columns import column_histograms

        levels = self.data.levels
        rows = np.asarray(self.data.train.x[:_ROWS]) / (1 if levels is None else levels - 1)
        return column_histograms(x, rows, self.data.columns or ())

    def reconstructions(self, originals: "NDArray[Any]", results: "NDArray[Any]") -> "Figure":
        """Draw results against originals, column by column."""
        from vaekit.figures.columns import column_agreement

        return column_agreement(originals, results, self.data.columns or ())

    def strips(
        self, grid: "NDArray[Any]", *, rows: Sequence[str] = (), columns: Sequence[str] = (), title: str = ""
    ) -> "Figure":
        """Draw rows of vectors, with the names of their entries below where there is room."""
        figure = super().strips(grid, rows=rows, columns=columns, title=title)
        names = self.data.columns or ()
        if 0 < len(names) <= _NAMED:
            figure.axes[-1].set_xticks(range(1, len(names) + 1), names, rotation=30, ha="right")
        if self._unlike:
            figure.axes[-1].set_xlabel("")
            unit = "each in standard deviations from its mean"
            figure.supxlabel(f"column of the vector, {unit}" if not names else unit, fontsize=9)
        return figure

    def save(self, path: Path, x: "NDArray[Any]") -> Path:
        """Write a row of names, and a row for each example, shape `(..., D)`."""
        from vaekit.storage import replace_file

        def to_file(temporary: Path) -> None:
            with open(temporary, "w", encoding="utf-8", newline="") as file:
                table = csv.writer(file)
                table.writerow(self.data.columns or ())
                table.writerows(x.reshape(-1, x.shape[-1]).tolist())

        return replace_file(path, to_file, durable=False)

    def read(self, path: str | os.PathLike[str]) -> "NDArray[Any]":
        """Return the first row of a table that has these columns."""
        from vaekit.data.tables import read_rows

        first: NDArray[Any] = read_rows(Path(path), self.data.columns or ())[0]
        return first.astype(self.data.train.x.dtype)


def _are_unlike(data: "Dataset | DataSpec") -> bool:
    """Whether data, where they are at hand, are real numbers whose sizes are."""
    from vaekit.data.rows import are_unlike

    train = getattr(data, "train", None)
    return data.levels is None and train is not None and are_unlike(train.x)


def _deviation(rows: Any) -> "NDArray[np.float64]":
    """Standard deviations of the entries; 1 where one never changes."""
    import numpy as np

    from vaekit.data.rows import deviation_of

    found = deviation_of(rows)
    return np.where(found > 0, found, 1.0)


class Melodies(Examples):
    r"""Melodies as symbols, `(steps,)`, as piano rolls, in MIDI and as sound."""

    endings = (".mid", ".wav")

    @classmethod
    def fits(cls, data: "Dataset | DataSpec") -> bool:
        """Whether examples are symbols of melodies."""
        from vaekit.music.tokens import SYMBOLS

        return len(data.shape) == 1 and data.levels == SYMBOLS and data.suggested == "categorical"

    @property
    def measures(self) -> "Mapping[str, Callable[[ArrayLike], NDArray[Any]]]":
        """Density, range and syncopation of notes."""
        from vaekit.music.statistics import MEASURES

        return MEASURES

    def tiles(self, x: "NDArray[Any]") -> "NDArray[Any]":
        """Return piano rolls of the same keys."""
        from vaekit.figures.piano_roll import roll_tiles

        drawn = roll_tiles(_notes(x), x.shape[-1])
        return drawn.reshape(*x.shape[:-1], *drawn.shape[1:])

    def samples(self, x: "NDArray[Any]", columns: int = 8) -> "Figure":
        """Draw piano rolls, as many side by side as fit."""
        from vaekit.figures.piano_roll import piano_rolls

        return piano_rolls(_notes(x), x.shape[-1])

    def reconstructions(self, originals: "NDArray[Any]", results: "NDArray[Any]") -> "Figure":
        """Draw piano rolls of the results, with the originals behind them in grey."""
        from vaekit.figures.piano_roll import piano_rolls

        return piano_rolls(_notes(results), results.shape[-1], behind=_notes(originals))

    def strips(
        self, grid: "NDArray[Any]", *, rows: Sequence[str] = (), columns: Sequence[str] = (), title: str = ""
    ) -> "Figure":
        """Draw rows of piano rolls; a few long rows downwards, as rolls are wide, a single one as a page is read."""
        if len(grid) == 1:
            from vaekit.figures.piano_roll import piano_rolls
            from vaekit.figures.strips import titled

            return titled(piano_rolls(_notes(grid), grid.shape[-1], titles=columns, columns=4), title)
        if grid.shape[1] > grid.shape[0]:
            grid, rows, columns = grid.swapaxes(0, 1), columns, rows
        return super().strips(grid, rows=rows, columns=columns, title=title)

    def save(self, path: Path, x: "NDArray[Any]") -> Path:
        r"""Write melodies one after the other, with a bar of rest between: all to .mid, five minutes of them to .wav.

        Arguments:
            path: The file, .mid or .wav.
            x: Shape `(..., steps)`.
        """
        from vaekit.music.midi import midi
        from vaekit.storage import replace_file

        content = self.sound(x, _HEARD) if path.suffix.lower() == ".wav" else midi(self._medley(x)[0])
        return replace_file(path, lambda temporary: temporary.write_bytes(content), durable=False)

    def sound(self, x: "NDArray[Any]", seconds: float) -> bytes:
        """Return as many melodies, one after the other, as are over in time; at least one."""
        from vaekit.music.sound import TEMPO, wav

        rows = x.reshape(-1, x.shape[-1])
        _, each = self._medley(rows[:1])
        return wav(*self._medley(rows[: max(1, int(seconds * TEMPO / 15 / each))]))

    def _medley(self, x: "NDArray[Any]") -> "tuple[list[Note], int]":
        """Melodies one after the other, each from a bar line on, a bar of rest behind it; and their length."""
        from vaekit.music import STEPS_PER_BAR

        melodies, each = _notes(x), (-(-x.shape[-1] // STEPS_PER_BAR) + 1) * STEPS_PER_BAR
        notes = [
            note._replace(start=note.start + number * each, stop=note.stop + number * each)
            for number, melody in enumerate(melodies)
            for note in melody
        ]
        return notes, each * len(melodies)

    def read(self, path: str | os.PathLike[str]) -> "NDArray[Any]":
        """Return the symbols of the first bars of a MIDI file."""
        return opening(path, self.data.shape[0])


def opening(source: str | os.PathLike[str] | bytes, steps: int) -> "NDArray[np.uint8]":
    r"""Return the symbols of the melody of a MIDI file, from the bar in which it begins, shape `(steps,)`.

    Arguments:
        source: A path, or the bytes of a file.
        steps: Length in sixteenths.

    Raises:
        RequestError: If it cannot be read.

    Example:
        >>> from vaekit.music import Note
        >>> from vaekit.music.midi import midi
        >>> opening(midi([Note(33, 34, 60)]), 3).tolist()
        [1, 41, 0]
    """
    from vaekit.music import STEPS_PER_BAR, tokens_of
    from vaekit.music.midi import read_midi

    notes = read_midi(source).notes
    first = notes[0].start // STEPS_PER_BAR * STEPS_PER_BAR
    return tokens_of((note._replace(start=note.start - first, stop=note.stop - first) for note in notes), steps)


KINDS: tuple[type[Examples], ...] = (Melodies, Poses, Pictures, Table, Examples)


def kind_of(data: "Dataset | DataSpec") -> Examples:
    r"""Return the kind of a data set's examples.

    Example:
        >>> import numpy as np
        >>> from vaekit.data import from_arrays
        >>> type(kind_of(from_arrays(np.zeros((10, 3, 8, 8), np.uint8)))).__name__
        'Pictures'
    """
    return next(kind(data) for kind in KINDS if kind.fits(data))


def kind_of_run(run: "Run") -> Examples:
    r"""Return the kind of the examples that a run's model makes, from its data only where these have to be asked."""
    from vaekit.plan import DataSpec

    found = kind_of(DataSpec.from_json(run.config["spec"]))
    if type(found) is not Examples:
        return found
    try:  # vectors may be poses, and only the data know
        return kind_of(run.data)
    except RequestError:  # a run that was moved without its data still has its model
        return found


def _notes(x: "NDArray[Any]") -> "list[list[Note]]":
    """The notes of melodies, one after the other, from symbols of shape `(..., steps)`."""
    from vaekit.music.tokens import notes_of

    return [notes_of(row) for row in x.reshape(-1, x.shape[-1])]
