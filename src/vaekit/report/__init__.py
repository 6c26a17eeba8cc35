r"""The run's page: one HTML file with its numbers, its figures and how to get them again."""

__all__ = ["write_report"]

import base64
import functools
import importlib.resources
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import numpy as np

from vaekit.errors import RequestError
from vaekit.figures import data_uri
from vaekit.report import text
from vaekit.report.families import families
from vaekit.storage import replace_file

_ROWS = 100


class _Number(NamedTuple):
    r"""One headline number: its name, its value to the last digit and as shown, and what it means."""

    name: str
    exact: str
    shown: str
    unit: str = ""
    note: str = ""


def write_report(
    directory: str | os.PathLike[str],
    *,
    title: str,
    config: Mapping[str, Any],
    metrics: Mapping[str, Any],
    history: Mapping[str, Sequence[Any]],
    figures: Mapping[str, str | os.PathLike[str]],
    command: str,
    sounds: Mapping[str, bytes] | None = None,
) -> Path:
    r"""Write `report.html` into a run's directory and return its path.

    The page needs no other file and no network: pictures are data URIs, styles are inline, there is no script.
    It holds no date, so that the same run gives the same bytes. It is written atomically. Whatever text comes
    in, it is shown and never run. Measurements that are missing, None or not finite are left out.

    Arguments:
        directory: The run's directory; made if missing.
        title: The heading, say the run's name.
        config: What `config.json` holds; nested mappings are flattened with dots. Its `versions`, a mapping from
            package to version, get their own table.
        metrics: What `metrics.json` holds: `test` (`elbo`, `rate`, `distortion`, `nll` in nats per example,
            `elbo_se`, `nll_se`, `nll_samples`, `images`, `active_units`, `latent_dim`, `protocol`, and families of
            metrics, each a mapping) and `training` (`epochs`, `best_epoch`, `steps`, `seconds`,
            `images_per_second`, `compiled`, `device`, `stopped`).
        history: Columns of `history.csv`, shown as a table beside the learning curves.
        figures: PNG files by name, shown in a fixed order: `loss_curves`, `reconstructions`, `samples`, `latent`,
            `manifold`, `unit_rates`, `bound`. The start of a name decides (`latent_scatter` is `latent`); other
            names come last.
        command: The shell command that reproduces the run.
        sounds: WAV files by the name of the figure below which they can be played; nothing plays by itself.

    Raises:
        RequestError: If a figure is not a PNG file.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     page = write_report(folder, title="VAE", config={"seed": 0}, metrics={"test": {"elbo": -103.2}},
        ...                         history={}, figures={}, command="vaekit train vae --data mnist")
        ...     page.name, "−103.20" in page.read_text(encoding="utf-8")
        ('report.html', True)
    """
    test, training = (_known(metrics.get(part)) for part in ("test", "training"))
    versions = config.get("versions")
    settings = {k: v for k, v in config.items() if not (k == "versions" and isinstance(versions, Mapping))}
    page = _template().render(
        title=title,
        reading=text.reading(test),
        numbers=_headline(test, training),
        protocol=text.protocol(test, training),
        families=families(test),
        pictures=_pictures(figures, history, sounds or {}),
        curves=_table(history, training.get("best_epoch")),
        measurements=[row for row in _flatten(metrics) if row[1] != _UNSET],
        settings=_flatten(settings),
        versions=_flatten(versions) if isinstance(versions, Mapping) else [],
        command=command,
    )
    path = Path(directory) / "report.html"
    return replace_file(path, lambda temporary: temporary.write_bytes(page.encode("utf-8")), durable=False)


@functools.cache
def _template() -> jinja2.Template:
    source = importlib.resources.files(__package__).joinpath("template.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(source)


_UNSET = "not set"


def _plain(value: Any) -> Any:
    # numpy's numbers are numbers too, and one that is not finite is as good as missing
    value = value.tolist() if isinstance(value, np.generic | np.ndarray) else value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _known(part: Any) -> dict[str, Any]:
    values = {key: _plain(value) for key, value in part.items()} if isinstance(part, Mapping) else {}
    return {key: value for key, value in values.items() if value is not None}


def _headline(test: Mapping[str, Any], training: Mapping[str, Any]) -> list[_Number]:
    r"""Return the cards, in order, of the numbers that are there."""
    noun = text.noun(test)[0]
    cards = []
    for key, name, note in (
        ("elbo", "Test ELBO", "a lower bound on log p(x)"),
        ("rate", "Rate", "KL(q(z|x) ‖ p(z)): what the code costs"),
        ("distortion", "Distortion", "−E log p(x|z): what the code leaves to say"),
        ("nll", "Test NLL", "−log p(x), estimated by importance sampling"),
    ):
        if key in test:
            if key == "nll" and "nll_samples" in test:
                note = f"−log p(x), k = {text.count(test['nll_samples'])} importance samples"
            shown = text.with_error(test[key], test.get(f"{key}_se"))
            cards.append(_Number(name, str(test[key]), shown, f"nats per {noun}", note))
    if "active_units" in test:
        active, of = test["active_units"], test.get("latent_dim")
        shown = text.count(active) + (f" / {text.count(of)}" if of is not None else "")
        cards.append(_Number("Active units", str(active), shown, "", "latent units that depend on x"))
    if "perplexity" in test and "codes" in test:
        shown = f"{text.count(round(test['perplexity']))} / {text.count(test['codes'])}"
        note = "codes in use in effect: exp of the entropy of their frequencies"
        cards.append(_Number("Perplexity", str(test["perplexity"]), shown, "codes", note))
    if "seconds" in training:
        seconds = training["seconds"]
        cards.append(_Number("Training time", str(seconds), text.duration(seconds), "", training.get("device", "")))
    if "images_per_second" in training:
        speed = training["images_per_second"]
        note = {True: "compiled", False: "not compiled"}.get(training.get("compiled", ""), "")
        cards.append(_Number("Speed", str(speed), text.count(speed), f"{noun}s / s", f"training, {note}".strip(", ")))
    if "epochs" in training:
        best = f" (best {text.count(training['best_epoch'])})" if "best_epoch" in training else ""
        stopped = {"patience": "stopped early: no further gain", "epochs": "ran to the end"}
        reason = training.get("stopped", "")
        shown = text.count(training["epochs"]) + best
        cards.append(_Number("Epochs", str(training["epochs"]), shown, "", stopped.get(reason, str(reason))))
    return cards


def _pictures(
    figures: Mapping[str, str | os.PathLike[str]], history: Mapping[str, Sequence[Any]], sounds: Mapping[str, bytes]
) -> list[dict[str, str]]:
    r"""Return name, heading, picture, alternative text, caption and sound of each figure, in the order of the page."""

    def place(name: str) -> int:
        return next((i for i, start in enumerate(text.FIGURES) if name.startswith(start)), len(text.FIGURES))

    pictures = []
    for name in sorted(figures, key=place):  # stable: unknown figures keep the order they came in
        start = next((start for start in text.FIGURES if name.startswith(start)), None)
        said = text.FIGURES[start] if start else text.Figure(name.replace("_", " ").capitalize(), name, "")
        alternative = said.alternative.format(epochs=max(map(len, history.values()), default=0))
        try:
            picture = data_uri(figures[name])
        except RequestError as error:
            raise RequestError(f"figure {name!r}: {error}") from None
        sound = "data:audio/wav;base64," + base64.b64encode(sounds[name]).decode("ascii") if name in sounds else ""
        pictures.append(
            {"kind": start or "other", "heading": said.heading, "src": picture, "alt": alternative}
            | {"caption": said.caption, "sound": sound}
        )
    return pictures


def _table(history: Mapping[str, Sequence[Any]], best: Any) -> dict[str, Any]:
    r"""Return the columns and rows of the history that fit a page: the first, the last, the best, every nth."""
    columns = [name for name in history if len(history[name])]
    length = max((len(history[name]) for name in columns), default=0)
    every = max(1, math.ceil(length / _ROWS))
    epochs = [text.cell(e) for e in history.get("epoch", ())]
    kept = [i for i in range(length) if i % every == 0 or i == length - 1 or epochs[i : i + 1] == [text.cell(best)]]
    rows = [[text.cell(history[name][i]) if i < len(history[name]) else "" for name in columns] for i in kept]
    return {"columns": columns, "rows": rows, "length": length, "best": text.cell(best) if best is not None else ""}


def _flatten(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    r"""Return `(dotted name, text)` of every leaf."""
    if isinstance(value, Mapping) and value:
        rows = []
        for key, item in value.items():
            rows += _flatten(item, f"{prefix}.{key}" if prefix else str(key))
        return rows
    value = _plain(value)
    if value is None:
        return [(prefix, _UNSET)] if prefix else []
    if isinstance(value, str) or not prefix:
        return [(prefix, value)] if prefix else []
    return [(prefix, json.dumps(value, ensure_ascii=False, default=str))]
