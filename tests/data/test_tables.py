r"""Tables become examples: columns as they are named, in numbers, bits or levels; what does not fit is said."""

import builtins
import json
import re

import numpy as np
import pytest

from vaekit.cli import main
from vaekit.data import load_dataset
from vaekit.data.tables import load_table
from vaekit.errors import RequestError

pandas = pytest.importorskip("pandas")


@pytest.fixture
def frame():
    random = np.random.default_rng(0)
    return pandas.DataFrame(
        {
            "age": random.integers(18, 90, 50),
            "income": random.normal(3e4, 1e4, 50),
            "member": random.random(50) < 0.5,
            "kind": random.choice(["cat", "dog"], 50),
        }
    )


def saved(frame, folder, ending, **options):
    path = folder / f"people{ending}"
    if ending == ".parquet":
        frame.to_parquet(path, **options)
    else:
        frame.to_csv(path, index=False, sep="\t" if ending == ".tsv" else ",", **options)
    return path


def rows(data):
    """All examples, in a fixed order, each with its label."""
    x = np.concatenate([np.asarray(split.x, np.float64) for split in data.splits.values()])
    return x[np.lexsort(x.T)]


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet"])
def test_every_format_gives_the_same(frame, tmp_path, ending):
    data = load_dataset(saved(frame, tmp_path, ending), label="kind")
    assert data.name == "people"
    assert (data.shape, data.levels, data.label_names) == ((3,), None, ("cat", "dog"))
    expected = frame[["age", "income", "member"]].to_numpy(np.float64)
    np.testing.assert_allclose(rows(data), expected[np.lexsort(expected.T)], rtol=1e-6)
    assert "columns age, income, member" in data.note
    given = {
        round(float(x[1]), 1): data.label_names[y]
        for split in data.splits.values()
        for x, y in zip(np.asarray(split.x), split.labels, strict=True)
    }
    assert given == {round(float(np.float32(i)), 1): kind for i, kind in zip(frame.income, frame.kind, strict=True)}


def test_columns_are_chosen_left_out_or_told(frame, tmp_path):
    path = saved(frame, tmp_path, ".csv")
    assert load_table(path, columns=["income", "age"]).shape == (2,)
    assert load_table(path, without="kind").shape == (3,)
    data = load_table(path, without=["kind", "member"], context=["age"])
    assert data.shape == (1,)
    told = {
        (float(c[0]), round(float(x[0]), 1))
        for s in data.splits.values()
        for c, x in zip(s.context, np.asarray(s.x), strict=True)
    }
    pairs = zip(frame.age, frame.income, strict=True)
    assert told == {(float(age), round(float(np.float32(income)), 1)) for age, income in pairs}
    assert load_table(path, columns="age").shape == (1,)


def test_numbers_in_the_first_row_are_no_names(tmp_path):
    path = tmp_path / "points.csv"
    path.write_text("\n".join(f"{i},{i / 2},{-i}" for i in range(20)))
    data = load_table(path, without="1")
    assert (sum(map(len, data.splits.values())), data.shape) == (20, (2,))
    path.write_text('"a","b"\n' + "1,2.5\n" * 20)
    assert load_table(path).shape == (2,)
    path.write_text("a;b\n" + "1;2.5\n" * 20)
    assert load_table(path, separator=";").shape == (2,)
    with pytest.raises(RequestError, match=r"has one column, 'a;b'; expected ',' .* '\{\"separator\": \";\"\}'"):
        load_table(path)


def test_bits_and_levels_are_stored_as_such(tmp_path):
    path = tmp_path / "digits.csv"
    grey = np.random.default_rng(0).integers(0, 256, (30, 16))
    table = pandas.DataFrame(grey, columns=[f"pixel{i}" for i in range(16)]).assign(label=np.arange(30) % 3)
    table.to_csv(path, index=False)
    images = load_table(path, label="label", shape=[1, 4, 4])
    assert (images.shape, images.levels, images.classes) == ((1, 4, 4), 256, 3)
    expected = grey[np.lexsort(grey.T)]
    np.testing.assert_array_equal(rows(load_table(path, label="label")), expected)
    assert load_table(path, label="label").levels is None
    pandas.DataFrame(grey > 100).to_csv(path, index=False)  # its columns are called 0, 1, 2, ...
    assert len(rows(load_table(path))) == 30
    assert (load_table(path).levels, load_table(path).suggested) == (2, "bernoulli")


def test_class_numbers_with_gaps_are_names(tmp_path):
    path = tmp_path / "wine.csv"
    path.write_text("quality,acid\n" + "3,0.1\n8,0.2\n5,0.7\n" * 10)
    assert load_table(path, label="quality").label_names == ("3", "5", "8")


def test_rows_that_lack_values_are_refused_or_dropped_and_counted(frame, tmp_path):
    frame.loc[[3, 7], "income"] = np.nan
    frame.loc[7, "age"] = np.nan
    frame.loc[9, "kind"] = None
    path = saved(frame, tmp_path, ".csv")
    words = r"lacks values in 3 of 50 rows \(2 of income, 1 of age, 1 of kind\); expected all: .*\"missing\": \"drop\""
    with pytest.raises(RequestError, match=words):
        load_table(path, label="kind")
    data = load_table(path, label="kind", missing="drop")
    assert sum(map(len, data.splits.values())) == 47
    assert "3 rows that lack values were left out" in data.note
    # What is not used may be missing.
    assert sum(map(len, load_table(path, columns="member").splits.values())) == 50


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, r"column kind of .* holds '.*'; expected numbers: pass --data-options '\{\"label\": \"kind\"\}' if"),
        ({"label": "kidn"}, r"label names 'kidn'; expected columns of .* has age, income, member, kind\. Did you mean"),
        ({"label": "kind", "context": ["age", "size"]}, "context names 'size'"),
        ({"label": "kind", "columns": ["kind", "age"]}, "all name kind; expected each column in one of them"),
        ({"columns": ["age"], "shape": [2, 2]}, r"shape is \[2, 2\] and a row .* has 1 columns"),
        ({"without": ["age", "income", "member", "kind"]}, "no column of .* is left"),
        ({"label": "kind", "missing": "fill"}, "missing is 'fill'; expected refuse or drop"),
    ],
)
def test_wrong_requests_say_what_to_do(options, words, frame, tmp_path):
    with pytest.raises(RequestError, match=words):
        load_table(saved(frame, tmp_path, ".csv"), **options)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.csv", b"", "empty.csv cannot be read"),
        ("rows.csv", b"a,b\n", r"rows.csv has 0 rows and 2 columns"),
        ("ragged.csv", b"a,b\n1,2\n1,2,3,4\n", "ragged.csv cannot be read .* one row an example"),
        ("table.parquet", b"PAR1 and no more", "table.parquet cannot be read"),
        ("bytes.csv", b"\xff\xfe\x00a,b\n\xff,1\n", "bytes.csv cannot be read"),
    ],
)
def test_files_that_are_no_tables_are_refused(name, content, words, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RequestError, match=words):
        load_table(tmp_path / name)


def test_one_column_of_parquet_is_no_matter_of_separators(tmp_path):
    pandas.DataFrame({"a|b": np.linspace(0, 1, 20)}).to_parquet(tmp_path / "x.parquet")
    assert load_table(tmp_path / "x.parquet").shape == (1,)


def test_names_that_are_there_twice_are_refused(tmp_path):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table([[1.0] * 9, [2.0] * 9, [3.0] * 9], names=["a", "b", "a"]), tmp_path / "x.parquet")
    with pytest.raises(RequestError, match="Multiple matches"):
        load_table(tmp_path / "x.parquet")


def test_without_pandas_it_says_what_to_install(frame, tmp_path, monkeypatch):
    path, real = saved(frame, tmp_path, ".csv"), builtins.__import__

    def without(name, *arguments, **options):
        if name == "pandas":
            raise ImportError
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(RequestError, match=re.escape('pip install "vaekit[tables]"')):
        load_table(path)


def test_one_that_is_too_large_is_refused_before_it_is_read(frame, tmp_path, monkeypatch):
    monkeypatch.setattr("vaekit.data.memory.BUDGET", 100)
    with pytest.raises(RequestError, match=r"does not fit in memory; .* pass the \.npy file"):
        load_table(saved(frame, tmp_path, ".csv"))


def test_one_command_trains_on_a_table(frame, tmp_path, monkeypatch, capsys, no_report):
    monkeypatch.chdir(tmp_path)
    saved(frame, tmp_path, ".csv")
    words = ["train", "vae", "--data", "people.csv", "--data-options", json.dumps({"label": "kind"}), "--epochs", "2"]
    done = main([*words, "--hidden", "8", "--nll-samples", "5", "--out", "run", "--no-progress", "--batch-size", "20"])
    assert done == 0, capsys.readouterr().err
    assert main(["sample", "run", "--n", "20", "--out", "new.npy"]) == 0
    drawn = np.load("new.npy")
    assert main(["sample", "run", "--n", "20", "--out", "new.csv"]) == 0
    written = pandas.read_csv("new.csv")
    assert list(written.columns) == ["age", "income", "member"]
    np.testing.assert_array_equal(written.to_numpy(np.float32), drawn)
    written[["member", "income", "age"]].to_csv("mine.csv", index=False)
    assert main(["interpolate", "run", "--files", "mine.csv,new.csv", "--steps", "3", "--out", "path.csv"]) == 0
    path = pandas.read_csv("path.csv")
    assert len(path) == 5  # both originals at the ends
    np.testing.assert_allclose(path.to_numpy()[[0, -1]], drawn[[0, 0]], rtol=1e-5)
    assert main(["interpolate", "run", "--points", "0,1"]) == 0
    assert {entry.name for entry in (tmp_path / "run").glob("interpolation.*")} == {
        "interpolation.png",
        "interpolation.csv",
    }
    written.drop(columns="age").to_csv("mine.csv", index=False)
    assert main(["interpolate", "run", "--files", "mine.csv,new.csv", "--out", "other.csv"]) == 2
    assert "mine.csv has the columns income, member; expected age among them" in capsys.readouterr().err
    assert drawn.shape == (20, 3)
    assert 5e3 < drawn[:, 1].mean() < 6e4  # in the table's units
    capsys.readouterr()
    assert main(["train", "vae", "--data", "people.csv", "--out", "other"]) == 2
    assert "column kind of people.csv holds" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
