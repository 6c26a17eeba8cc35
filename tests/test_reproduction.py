r"""Tables of results: from rows to runs, and from these to numbers beside the published ones."""

import inspect
import json
import re
from statistics import mean, stdev

import pytest

import vaekit
from vaekit.cli import main
from vaekit.errors import RequestError
from vaekit.recipes import get
from vaekit.reproduction import TABLES, Row, Table, reproduce
from vaekit.reproduction.reproduce import _slug
from vaekit.runs import Run

TABLE = Table(
    "Two systems on digits",
    "digits",
    (
        Row("plain", "vae", {}, 10.0, "somebody, elsewhere"),
        Row("weighted, k=2", "iwae", {"k": 2}, seeds=1),
        Row("weighted, k=2, twice", "iwae", {"k": 2, "learning_rate": 2e-3}, seeds=1),
    ),
    arguments={"hidden": (8,), "latent_dim": 2, "epochs": 1, "warmup": 0.0},
    nll_samples=3,
)


@pytest.fixture
def folders(tmp_path, monkeypatch):
    monkeypatch.setitem(TABLES, "tiny", TABLE)
    (tmp_path / "out").mkdir()
    return {"runs": str(tmp_path / "runs"), "out": str(tmp_path / "out"), "progress": False}


def rows_of(path):
    return {row["row"]: row for row in json.loads(path.with_suffix(".json").read_text())["rows"]}


def test_a_table_has_every_row_over_its_seeds(folders, no_report):
    path = reproduce("tiny", seeds=2, **folders)
    found = rows_of(path)
    assert list(found) == [row.name for row in TABLE.rows]
    plain = found["plain"]
    assert plain["seeds"] == [0, 1]
    assert found["weighted, k=2"]["seeds"] == [0]
    runs = [Run(f"{folders['runs']}/tiny/plain-seed{seed}") for seed in (0, 1)]
    values = [run.metrics["test"]["nll"] for run in runs]
    assert plain["values"]["nll"] == values
    assert values[0] != values[1]
    assert plain["short_by"] == pytest.approx(mean(values) - 10)
    assert "short_by" not in found["weighted, k=2"]
    text = path.read_text()
    assert f"{mean(values):.2f} ± {stdev(values):.2f}" in text
    assert f"| 2 | 10.0 (somebody, elsewhere) | {mean(values) - 10:.2f} |" in text
    assert "3 importance samples" in text
    # What is shared and known to a recipe reaches it; iwae has no warm-up, and is not asked for one.
    assert all(run.config["arguments"]["hidden"] == [8] for run in runs)
    assert runs[0].config["arguments"]["warmup"] == 0


def test_what_is_there_is_used_and_what_is_not_is_made(folders, no_report, monkeypatch):
    reproduce("tiny", rows="weighted, k=2", seeds=1, **folders)
    first = Run(f"{folders['runs']}/tiny/weighted-k-2-seed0")
    before = {p: p.stat().st_mtime_ns for p in first.directory.rglob("*") if p.is_file()}
    trained, train = [], vaekit.train
    monkeypatch.setattr("vaekit.api.train", lambda *a, **k: trained.append(k["out"].name) or train(*a, **k))
    path = reproduce("tiny", rows="weighted", seeds=1, **folders)
    assert trained == ["weighted-k-2-twice-seed0"]
    assert before == {p: p.stat().st_mtime_ns for p in first.directory.rglob("*") if p.is_file()}
    assert list(rows_of(path)) == ["weighted, k=2", "weighted, k=2, twice"]


def test_an_unfinished_run_is_gone_on_with(folders, no_report):
    whole = vaekit.train(
        "vae", "digits", out=f"{folders['runs']}/whole", epochs=3, hidden=(8,), latent_dim=2, warmup=0.0,
        nll_samples=0, progress=False,
    )  # fmt: skip

    def stop(row):
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    directory = f"{folders['runs']}/tiny/plain-seed0"
    with pytest.raises(KeyboardInterrupt):
        vaekit.train(
            "vae", "digits", out=directory, epochs=3, hidden=(8,), latent_dim=2, warmup=0.0, nll_samples=0,
            progress=False, on_epoch=stop,
        )  # fmt: skip
    path = reproduce("tiny", rows="plain", seeds=1, epochs=3, **folders)
    assert rows_of(path)["plain"]["values"]["elbo"] == [whole.metrics["test"]["elbo"]]


def test_a_run_that_was_made_otherwise_is_not_taken_for_the_row(folders, no_report):
    reproduce("tiny", rows="plain", seeds=1, **folders)
    with pytest.raises(RequestError, match="epochs is 2 but the run to resume has 1"):
        reproduce("tiny", rows="plain", seeds=1, epochs=2, **folders)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mnits"], "unknown table 'mnits'; expected one of mnist, .* Did you mean 'mnist'"),
        (["mnist", "--rows", "vae"], "--rows has 'vae'; expected names of rows .* VAE; IWAE"),
        (["mnist", "--seeds", "0"], "seeds is 0"),
        (["mnist", "--out", "/nowhere"], "expected a folder that exists"),
    ],
)
def test_wrong_requests_are_refused(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs" / "results").mkdir(parents=True)
    assert main(["reproduce", *arguments]) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", TABLES)
def test_the_tables_ask_for_what_the_recipes_have(name):
    table = TABLES[name]
    assert len({_slug(row.name) for row in table.rows}) == len(table.rows)
    for row in table.rows:
        known = inspect.signature(get(row.recipe)).parameters
        assert row.arguments.keys() <= known.keys()
        assert "epochs" in known
        assert (row.published is None) == (not row.source)
