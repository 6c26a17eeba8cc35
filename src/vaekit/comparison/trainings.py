r"""Which runs are one training, and what to call it: runs that differ in nothing but the seed are a row."""

__all__ = ["Entry", "group", "rows"]

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import takewhile
from pathlib import Path
from typing import Any

from vaekit.comparison.measurement import Measurement
from vaekit.comparison.table import Row
from vaekit.errors import RequestError

# Neither is part of what was trained: the seed is the noise, and the NLL is measured afterwards.
_NOT_THE_TRAINING = ("seed", "nll_samples")


@dataclass(frozen=True)
class Entry:
    r"""A run as a table needs it.

    Arguments:
        directory: Where it is.
        config: What `config.json` holds.
        numbers: What `metrics.json` holds for the split.
        measured: Those of the numbers that have a protocol.
    """

    directory: Path
    config: Mapping[str, Any]
    numbers: Mapping[str, Any]
    measured: tuple[Measurement, ...]

    @property
    def seed(self) -> int | None:
        """The seed it was trained with; None if the record does not say."""
        seed = self.config["training"].get("seed")
        return None if seed is None else int(seed)

    @property
    def settings(self) -> dict[str, Any]:
        """What was asked for, by name."""
        training = {k: v for k, v in self.config["training"].items() if k not in _NOT_THE_TRAINING}
        # Of the versions those that make the numbers, without the build for one device or another.
        versions = {name: self.config["versions"].get(name, "").partition("+")[0] for name in ("vaekit", "torch")}
        data = self.config["data"]
        named = f"{data['name']}-{data['fingerprint'][:8]}"  # names of data are not unique
        return {**training, **self.config["arguments"], **versions, "data": named}

    @property
    def identity(self) -> str:
        """Equal for runs that differ in nothing but the seed and where they are."""
        recipe, data = self.config["recipe"], self.config["data"]
        # A model made in Python is not on record: nothing says that it is the same as another run's.
        model = ["recipe", recipe] if recipe is not None else ["directory", str(self.directory.resolve())]
        return json.dumps([model, data["fingerprint"], data.get("transform"), self.settings], sort_keys=True)


def group(entries: Sequence[Entry]) -> list[list[Entry]]:
    r"""Return the runs of each training, in the order they came.

    Raises:
        RequestError: If a run is there twice, or a training twice with one seed.
    """
    places: dict[Path, Path] = {}
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        place = entry.directory.resolve()
        if place in places:
            raise RequestError(
                f"{entry.directory} is listed twice, first as {places[place]}; expected each run once: leave one out"
            )
        places[place] = entry.directory
        for other in groups.setdefault(entry.identity, []):
            if other.seed == entry.seed:
                raise RequestError(
                    f"{other.directory} and {entry.directory} are one training with one seed, {entry.seed}, and say "
                    "nothing about noise; expected each training once with a seed: leave one out"
                )
        groups[entry.identity].append(entry)
    return list(groups.values())


def rows(groups: Sequence[Sequence[Entry]]) -> tuple[Row, ...]:
    r"""Return the row of each training: what its runs are called in common, and what sets it apart."""
    short = _short([entry.directory for entries in groups for entry in entries])
    result = []
    for entries in groups:
        mine = [short[entry.directory] for entry in entries]
        name = _common(mine, [name for name in short.values() if name not in mine])
        recipe, settings = entries[0].config["recipe"], entries[0].settings
        same = [others[0].settings for others in groups if others[0].config["recipe"] == recipe]
        model = [recipe or f"{settings.get('model', 'a model')} in Python", *_own(settings, same)]
        directories, seeds = zip(*((entry.directory, entry.seed) for entry in entries), strict=True)
        result.append(Row(name, " ".join(model), directories, seeds))
    return tuple(result)


def _own(settings: Mapping[str, Any], same: Sequence[Mapping[str, Any]]) -> list[str]:
    """The settings in which a row differs from others of its recipe."""
    names = dict.fromkeys(name for other in same for name in other)
    return [
        f"{name}={settings[name]}" if name in settings else f"{name} not recorded"
        for name in names
        if any(other.get(name, ...) != settings.get(name, ...) for other in same)
    ]


def _short(directories: Sequence[Path]) -> dict[Path, str]:
    """The last part of each path, or all of it where others end alike."""
    ends = {directory: directory.resolve().name for directory in directories}
    unique = len(set(ends.values())) == len(ends)
    return ends if unique else {directory: str(directory) for directory in directories}


def _common(names: Sequence[str], others: Iterable[str]) -> str:
    """One name for several runs: a pattern that fits them and no other, or else a list."""
    if len(names) == 1:
        return names[0]
    start = _prefix(names)
    end = _prefix([name[len(start) :][::-1] for name in names])[::-1]
    pattern = f"{start}*{end}"
    plain = not set("*?[") & set(start + end)
    if plain and start + end and not any(fnmatchcase(name, pattern) for name in others):
        return pattern
    return ", ".join(names)


def _prefix(names: Iterable[str]) -> str:
    """What all begin with."""
    return "".join(letters[0] for letters in takewhile(lambda letters: len(set(letters)) == 1, zip(*names)))  # noqa: B905
