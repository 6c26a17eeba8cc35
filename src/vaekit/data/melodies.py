r"""Melodies: MIDI files and scores, in folders or archives, cut into windows of a few bars; and a set of old tunes."""

__all__ = ["ENDINGS", "holds_melodies", "load_melodies", "load_tunes", "shipped_tunes"]

import os
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vaekit.data.assembly import from_arrays
from vaekit.data.dataset import Dataset, Split
from vaekit.data.folders import any_below, files_below, read_each
from vaekit.data.shipped import read_shipped
from vaekit.errors import RequestError
from vaekit.music.bars import stretches, windows
from vaekit.music.melody import Melody
from vaekit.music.midi import ENDINGS as MIDI
from vaekit.music.midi import parse_midi
from vaekit.music.scores import ENDINGS as SCORES
from vaekit.music.scores import parse_scores
from vaekit.music.tokens import STEPS_PER_BAR, SYMBOLS
from vaekit.music.tunes import Tune, parse_tunes

ENDINGS = (*MIDI, *SCORES, ".zip")

_METRES = ("4/4", "2/2", "2/4")  # whose bars are 16 sixteenths, or two of which are
_LARGEST = 2**24  # bytes of one file: of a melody they are thousands
_FEWEST = 3  # melodies, of which some can be held out


def load_melodies(
    path: str | os.PathLike[str],
    *,
    bars: int = 2,
    metres: str | Sequence[str] = ("4/4", "2/2"),
    listen: bool = True,
    repeat: bool = False,
    seed: int = 0,
    validation: float = 0.1,
    test: float = 0.1,
) -> Dataset:
    r"""Load melodies as windows of symbols, uint8 of shape `(n, 16 * bars)`, 90 levels; see `vaekit.music.tokens_of`.

    Of a MIDI file this is the highest line of the track that has most notes (`vaekit.music.read_midi`), of a score that
    of its first part. Notes are put on sixteenths. Stretches in one of the metres give windows, each a bar after the
    one before; those with more than a bar of rest are left out, and repetitions within a melody. What is shorter than
    a window is left out too, and counted.

    Where an upbeat ends is not said in a MIDI file. One that begins with a note may begin with an upbeat, as those of
    archives of folk songs do, and its bar lines are then where they can be heard (`vaekit.music.bars.upbeat`). Files
    that begin with a rest have their bar lines where they say, and so have scores.

    Melodies are held out whole, with all of their windows. Those that are the same but for key and rhythm, by their
    intervals, stand on one side. Files that cannot be read are skipped, counted in the `note`, and warned of once.

    References:
        A hierarchical latent vector model for learning long-term structure in music (Roberts et al., 2018):
        monophonic melodies in 4/4, windows of 2 and 16 bars.

    Arguments:
        path: A MIDI file (.mid), a score in ABC (.abc) or kern (.krn), a folder of these, searched in depth, or an
            archive (.zip) of them, which is read where it is.
        bars: Bars in a window.
        metres: Those that are used, of "4/4", "2/2" and "2/4", two bars of which are then one; as a list or with
            commas.
        listen: Look for upbeats; otherwise every MIDI file begins with a bar line.
        repeat: Play melodies that are shorter than a window again from the beginning, until they are as long.
        seed: Seed of the split.
        validation: Part or number of the melodies to validate on.
        test: Part or number of the melodies to test on. Of fewer than three melodies none is held out unless a number
            is asked for.

    Raises:
        RequestError: If nothing can be read, no window is left, an option is not understood, or what reads the files
            is not installed: `pip install "vaekit[music]"` for MIDI, `pip install "vaekit[scores]"` for scores.

    Example:
        >>> import tempfile
        >>> from vaekit.music import Note, write_midi
        >>> folder = Path(tempfile.mkdtemp())
        >>> for number in range(10):
        ...     notes = [Note(4 * beat, 4 * beat + 4, 60 + (number + 1) * beat % 13) for beat in range(8)]
        ...     path = write_midi(folder / f"{number}.mid", notes)
        >>> load_melodies(folder)  # doctest: +ELLIPSIS
        <Dataset ...: 8 train, 1 validation and 1 test examples of shape (32,), 90 levels>
    """
    wanted = _parse(metres)
    root = Path(path)
    sources = _sources(root)
    found, note = read_each(root, list(sources), lambda name: _melodies(name, sources[name]()), "files")
    if damaged := sum(broken for _, broken in found):
        note += f", {damaged:,} skipped of the tunes in them because damaged"
    return _assembled(
        [melody for melodies, _ in found for melody in melodies],
        root.resolve().stem if root.is_file() else root.resolve().name,
        note,
        bars=bars,
        metres=wanted,
        listen=listen,
        repeat=repeat,
        seed=seed,
        validation=validation,
        test=test,
    )


def load_tunes(
    *, bars: int = 2, repeat: bool = False, seed: int = 0, validation: float = 0.1, test: float = 0.1
) -> Dataset:
    r"""Load the tunes that come with vaekit, in 4/4, as `load_melodies` does files: old songs, dances, themes.

    Arguments:
        bars: Bars in a window.
        repeat: Play tunes that are shorter than a window again from the beginning.
        seed: Seed of the split.
        validation: Part or number of the tunes to validate on.
        test: Part or number of the tunes to test on.

    Raises:
        RequestError: If an option is not understood, or no tune is so long.

    Example:
        >>> load_tunes(bars=2).shape
        (32,)
    """
    melodies = [Melody(tune.notes, title=tune.title, barred=True) for tune in shipped_tunes()]
    data = _assembled(
        melodies,
        "melodies",
        f"{len(melodies)} tunes that come with vaekit",
        bars=bars,
        metres=("4/4",),
        listen=False,
        repeat=repeat,
        seed=seed,
        validation=validation,
        test=test,
    )
    return replace(
        data, source="traditional tunes and themes of old composers, in the public domain, written down anew"
    )


def shipped_tunes() -> list[Tune]:
    r"""Return the melodies that come with vaekit: songs, hymns, dances and themes.

    They are traditional, or their composers have been dead for more than a hundred years.

    Raises:
        RequestError: If their file is missing or damaged.

    Example:
        >>> tune = shipped_tunes()[0]
        >>> tune.title, tune.bars, len(tune.notes)
        ('Twinkle, Twinkle, Little Star', 24, 84)
    """
    return parse_tunes(read_shipped("melodies.txt").decode())


def holds_melodies(path: Path) -> bool:
    r"""Whether there is a MIDI file or a score below a folder, as far as names tell."""
    return any_below(path, (*MIDI, *SCORES))


def _sources(root: Path) -> dict[Path, Callable[[], bytes]]:
    """Name the files of a folder or an archive, or the one that a path is, and say how the bytes of each are read."""
    endings = (*MIDI, *SCORES)
    if root.is_dir():
        found = {path: partial(_content, path) for path in files_below(root, endings)}
    elif root.suffix.lower() != ".zip":
        found = {root: partial(_content, root)}
    else:
        try:
            archive = zipfile.ZipFile(root)
        except (zipfile.BadZipFile, OSError) as error:
            raise RequestError(f"{root} cannot be read ({error}); expected a whole archive: copy it again") from None
        members = {Path(info.filename): info for info in archive.infolist() if not _hidden(info.filename)}
        names = sorted((name for name in members if name.suffix.lower() in endings), key=lambda name: name.parts)
        found = {name: partial(_member, archive, members[name]) for name in names}
    if not found:
        raise RequestError(
            f"{root} holds no file that ends in {', '.join(endings)}; expected MIDI files or scores: check the path"
        )
    return dict(found)


def _hidden(name: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in Path(name).parts)


def _content(path: Path) -> bytes:
    with open(path, "rb") as file:
        return _whole(file.read(_LARGEST + 1))


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    try:
        with archive.open(info) as file:
            return _whole(file.read(_LARGEST + 1))
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError) as error:
        raise ValueError(str(error)) from error  # damaged, encrypted, or packed in a way that is not known


def _whole(content: bytes) -> bytes:
    if len(content) > _LARGEST:
        raise ValueError(f"it has more than {_LARGEST:,} bytes")
    return content


def _melodies(name: Path, content: bytes) -> tuple[list[Melody], int]:
    """What is in a file, and how many tunes of it are damaged."""
    ending = name.suffix.lower()
    return ([parse_midi(content)], 0) if ending in MIDI else parse_scores(content, ending)


def _parse(metres: str | Sequence[str]) -> tuple[str, ...]:
    given = [word.strip() for word in metres.split(",")] if isinstance(metres, str) else list(metres)
    if not given or not set(given) <= set(_METRES):
        raise RequestError(f"metres are {metres!r}; expected some of {', '.join(_METRES)}: pass metres='4/4,2/2'")
    return tuple(given)


def _assembled(
    melodies: Sequence[Melody],
    name: str,
    note: str,
    *,
    bars: int,
    metres: Sequence[str],
    listen: bool,
    repeat: bool,
    seed: int,
    validation: float,
    test: float,
) -> Dataset:
    """Cut melodies into windows, and hold out some melodies with all of theirs."""
    groups: dict[tuple[int, ...], list[NDArray[np.uint8]]] = {}
    metred = short = 0
    used: list[Melody] = []
    for melody in melodies:
        parts = stretches(melody, metres, listen=listen)
        x = [window for part in parts if len(window := windows(part, bars, repeat=repeat))]
        metred, short = metred + bool(parts), short + (bool(parts) and not x)
        if x:
            used.append(melody)
            intervals = tuple(b.pitch - a.pitch for a, b in pairwise(melody.notes))
            # What two stretches of one melody have in common is one window.
            groups.setdefault(intervals, []).append(np.unique(np.concatenate(x), axis=0) if len(x) > 1 else x[0])
    if not groups:
        raise RequestError(
            f"{name} has {len(melodies):,} melodies, {metred:,} in {' or '.join(metres)}, and none has {bars} bars "
            "in a row; expected at least one: ask for fewer bars, other metres, or repeat=True"
        )
    if len(groups) < _FEWEST:
        validation, test = (0 if isinstance(size, float) else size for size in (validation, test))
    drawn = from_arrays(np.arange(len(groups))[:, None], seed=seed, validation=validation, test=test)
    each = list(groups.values())
    train, held, tested = (
        Split(_joined([x for group in rows.x[:, 0].astype(int) for x in each[group]], bars))
        for rows in drawn.splits.values()
    )
    left = {
        f"in no {' or '.join(metres)}": len(melodies) - metred,
        f"without {bars} bars in a row": short,
    }
    changed = {
        "moved to sixteenths": sum(melody.moved for melody in used),
        "dropped": sum(melody.dropped for melody in used),
        "moved by octaves": sum(melody.shifted for melody in used),
    }
    words = [
        note,
        f"{len(used):,} of {len(melodies):,} melodies used{_counts(left)}",
        f"{sum(len(melody.notes) for melody in used):,} notes{_counts(changed)}",
        f"split by melody with seed {seed}, those of the same intervals as one: "
        + ", ".join(f"{len(rows):,} {split}" for split, rows in drawn.splits.items()),
    ]
    return Dataset(name, train, held, tested, SYMBOLS, suggested="categorical", note="; ".join(words))


def _counts(counts: Mapping[str, int]) -> str:
    return "".join(f", {count:,} {what}" for what, count in counts.items() if count)


def _joined(parts: Sequence[NDArray[np.uint8]], bars: int) -> NDArray[np.uint8]:
    return np.concatenate([np.empty((0, bars * STEPS_PER_BAR), np.uint8), *parts])
