r"""Tables of results: from rows to runs, and from these to numbers beside the published ones."""

import inspect
import json
import re
from dataclasses import replace
from statistics import mean, stdev

import pytest

import vaekit
from vaekit.cli import main
from vaekit.errors import RequestError
from vaekit.recipes import get
from vaekit.reproduction import TABLES, Row, Table, reproduce
from vaekit.reproduction.files import folder_of
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


def test_a_table_keeps_what_it_had(folders, no_report, tmp_path):
    first = rows_of(reproduce("tiny", rows="plain; weighted, k=2", seeds=1, **folders))
    elsewhere = {**folders, "runs": str(tmp_path / "elsewhere")}
    path = reproduce("tiny", rows="plain", seeds=2, first_seed=10, **elsewhere)
    found = rows_of(path)
    assert found["weighted, k=2"] == first["weighted, k=2"]
    assert found["plain"]["seeds"] == [0, 10, 11]
    values = [Run(f"{tmp_path}/elsewhere/tiny/plain-seed{seed}").metrics["test"]["nll"] for seed in (10, 11)]
    assert found["plain"]["values"]["nll"] == first["plain"]["values"]["nll"] + values
    assert found["plain"]["short_by"] == pytest.approx(mean(found["plain"]["values"]["nll"]) - 10)
    assert f"{mean(found['plain']['values']['nll']):.2f}" in path.read_text()
    # A seed that is made again counts once, as it is now; other arguments or another protocol are another row.
    again = rows_of(reproduce("tiny", rows="plain", seeds=1, first_seed=10, **elsewhere))
    assert again["plain"] == found["plain"]
    for other in ({"epochs": 2}, {"nll_samples": 4}):
        alone = {**folders, "runs": str(tmp_path / "other" / next(iter(other)))}
        other_way = rows_of(reproduce("tiny", rows="plain", seeds=1, first_seed=5, **alone, **other))
        assert other_way["plain"]["seeds"] == [5]
        assert other_way["weighted, k=2"] == first["weighted, k=2"]


def test_an_argument_that_came_later_counts_as_its_default(folders, no_report, tmp_path):
    path = reproduce("tiny", rows="plain", seeds=1, **folders)
    whole = json.loads(path.with_suffix(".json").read_text())
    (arguments,) = (row["arguments"] for row in whole["rows"])
    for value, seeds in ((None, [0, 1]), (False, [1])):
        del arguments["standardise"]
        arguments |= {} if value is None else {"standardise": value}
        path.with_suffix(".json").write_text(json.dumps(whole))
        elsewhere = {**folders, "runs": str(tmp_path / "elsewhere")}
        assert rows_of(reproduce("tiny", rows="plain", seeds=1, first_seed=1, **elsewhere))["plain"]["seeds"] == seeds
        arguments["standardise"] = True


def test_a_table_measured_otherwise_is_written_anew(folders, no_report, monkeypatch):
    reproduce("tiny", rows="plain; weighted, k=2", seeds=1, **folders)
    monkeypatch.setitem(TABLES, "tiny", replace(TABLE, columns=("elbo", "rate")))
    found = rows_of(reproduce("tiny", rows="plain", seeds=1, **folders))
    assert list(found) == ["plain", "weighted, k=2"]
    assert all(list(row["values"]) == ["elbo", "rate"] for row in found.values())
    gone = {**folders, "runs": folders["runs"] + "2"}
    monkeypatch.setitem(TABLES, "tiny", replace(TABLE, columns=("nll",)))
    assert list(rows_of(reproduce("tiny", rows="plain", seeds=1, **gone))) == ["plain"]


@pytest.mark.parametrize("content", ["{", "[]", '{"rows": [1]}'])
def test_a_file_that_is_no_table_is_not_written_over(content, folders, no_report, tmp_path):
    path = tmp_path / "out" / "tiny.json"
    path.write_text(content)
    with pytest.raises(RequestError, match=r"tiny\.json is not a table of results; .* move it away"):
        reproduce("tiny", rows="plain", seeds=1, **folders)
    assert path.read_text() == content
    assert not (tmp_path / "runs").exists()


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
        (["mnist", "--first-seed", "-1"], "first-seed is -1"),
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
    assert len({folder_of(row, 0) for row in table.rows}) == len(table.rows)
    for row in table.rows:
        known = inspect.signature(get(row.recipe)).parameters
        assert row.arguments.keys() <= known.keys()
        assert "epochs" in known
        assert (row.published is None) == (not row.source)
