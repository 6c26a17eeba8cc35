r"""The run directory: what state it is in, what is never touched, what is said when it is damaged."""

import json
import shutil

import numpy as np
import pytest
import torch

import vaekit
from vaekit import load
from vaekit.errors import RequestError
from vaekit.runs import Run, RunState

CONFIG = {
    "format": 1,
    "recipe": "vae",
    "arguments": {"latent_dim": 2},
    "spec": {"name": "x", "shape": [2], "levels": None, "suggested": "gaussian"},
    "data": {"name": "x", "reference": "", "options": {}, "fingerprint": ""},
    "versions": {"vaekit": "0.1.0"},
    "training": {"seed": 0},
}


def make(folder, *files, config=CONFIG):
    folder.mkdir()
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    for name in files:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("{}")
    return Run(folder)


def test_states(tmp_path):
    assert Run(tmp_path / "none").state is RunState.ABSENT
    assert make(tmp_path / "empty", config=None).state is RunState.ABSENT
    assert make(tmp_path / "litter", ".config.json.77.tmp", config=None).state is RunState.ABSENT
    assert make(tmp_path / "notes", "notes.txt", config=None).state is RunState.FOREIGN
    assert make(tmp_path / "begun").state is RunState.UNFINISHED
    assert make(tmp_path / "way", "checkpoints/last.safetensors", "history.csv").state is RunState.UNFINISHED
    assert make(tmp_path / "trained", "model.safetensors").state is RunState.TRAINED
    assert make(tmp_path / "whole", "model.safetensors", "metrics.json").state is RunState.COMPLETE
    assert make(tmp_path / "half", ".model.safetensors.9.tmp").state is RunState.UNFINISHED
    (tmp_path / "file").write_text("x")
    assert Run(tmp_path / "file").state is RunState.FOREIGN


@pytest.mark.parametrize("config", [{"model_type": "bert", "architectures": []}, {}, [1, 2], {**CONFIG, "spec": None}])
def test_the_model_folder_of_another_tool_is_foreign(tmp_path, config, listing):
    if isinstance(config, dict) and "spec" in config:
        del (config := dict(config))["spec"]
    run = make(tmp_path / "other", "model.safetensors", config=config)
    assert run.state is RunState.FOREIGN
    before = listing(tmp_path)
    with pytest.raises(RequestError, match="no run directory; nothing in it is touched"):
        run.create(CONFIG, force=True)
    assert listing(tmp_path) == before


def test_a_damaged_config_is_neither_read_nor_deleted(tmp_path, listing):
    run = make(tmp_path / "run", "model.safetensors")
    (run.directory / "config.json").write_text('{"format": 1, "rec')
    before = listing(tmp_path)
    with pytest.raises(RequestError, match=r"config\.json is damaged"):
        load(run.directory)
    with pytest.raises(RequestError, match="nothing in it is touched"):
        run.create(CONFIG, force=True)
    assert listing(tmp_path) == before


def test_create_makes_folders_and_writes_the_configuration(tmp_path):
    run = Run(tmp_path / "a" / "b" / "run")
    run.create({**CONFIG, "extra": (np.float32(0.5), np.int64(3), float("nan"))})
    assert run.state is RunState.UNFINISHED
    assert run.config["extra"] == [0.5, 3, None]
    assert [p.name for p in run.directory.iterdir()] == ["config.json"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ((), "unfinished run: go on with --resume"),
        (("model.safetensors",), "lacks its evaluation: finish it with --resume"),
        (("model.safetensors", "metrics.json"), "finished run: pass another --out"),
    ],
)
def test_a_run_is_written_over_only_by_force(tmp_path, listing, files, message):
    run = make(tmp_path / "run", "checkpoints/last.safetensors", *files)
    before = listing(tmp_path)
    with pytest.raises(RequestError, match=f"{message}.* or start over with --force"):
        run.create(CONFIG)
    assert listing(tmp_path) == before
    run.create(CONFIG, force=True)
    assert [p.name for p in run.directory.iterdir()] == ["config.json"]


def test_force_through_a_link_leaves_the_link(tmp_path):
    make(tmp_path / "run", "metrics.json")
    (tmp_path / "link").symlink_to(tmp_path / "run")
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("mine")
    (tmp_path / "run" / "inner").symlink_to(tmp_path / "precious")
    Run(tmp_path / "link").create(CONFIG, force=True)
    assert (tmp_path / "link").is_symlink()
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["config.json"]
    assert (tmp_path / "precious" / "file").read_text() == "mine"


def test_places_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    for where in ("file", "file/run", "file/a/run"):
        with pytest.raises(RequestError, match="is a file; expected a folder"):
            Run(tmp_path / where).create(CONFIG)
    with pytest.raises(RequestError, match="cannot be written"):
        Run("/proc/vaekit/run").create(CONFIG)
    monkeypatch.setattr("vaekit.storage.os.access", lambda *arguments: False)
    with pytest.raises(RequestError, match="cannot be written to"):
        Run(tmp_path / "new" / "run").create(CONFIG)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_what_is_missing_is_said(tmp_path, run_copy):
    with pytest.raises(RequestError, match=rf"no run at .*none.* Runs there: {run_copy}"):
        load(tmp_path / "none")
    make(tmp_path / "notes", "notes.txt", config=None)
    with pytest.raises(RequestError, match="no run directory, it has no"):
        load(tmp_path / "notes")
    make(tmp_path / "begun")
    with pytest.raises(RequestError, match=r"unfinished run.*`vaekit train vae --out .*begun --resume`"):
        load(tmp_path / "begun")


def test_load_gives_the_same_outputs_to_the_bit(tmp_path, tiny, no_report):
    run = vaekit.train("vae", "digits", out=tmp_path / "run", **tiny)
    x = torch.rand(5, 1, 8, 8).round()
    z = torch.randn(5, 2)
    loaded = vaekit.load(tmp_path / "run")
    assert loaded is not run.model
    assert not loaded.training
    with torch.no_grad():
        for one, other in (
            (run.model.encode(x).mean, loaded.encode(x).mean),
            (run.model.encode(x).stddev, loaded.encode(x).stddev),
            (run.model.decode(z).mean, loaded.decode(z).mean),
            (run.model.sample(9, seed=1), loaded.sample(9, seed=1)),
            (run.model.reconstruct(x), loaded.reconstruct(x)),
        ):
            assert torch.equal(one, other)


def test_a_run_can_be_moved_and_loaded_without_its_data(tmp_path, tiny, no_report):
    data = tmp_path / "points.npy"
    np.save(data, np.random.default_rng(0).normal(size=(300, 3)))
    run = vaekit.train("vae", data, out=tmp_path / "run", **tiny)
    z = torch.zeros(1, 2)
    before = run.model.decode(z).mean
    shutil.move(tmp_path / "run", tmp_path / "elsewhere")
    data.unlink()
    assert torch.equal(vaekit.load(tmp_path / "elsewhere").decode(z).mean, before)
    with pytest.raises(RequestError, match=r"points\.npy.*does not exist"):
        _ = Run(tmp_path / "elsewhere").data


def test_changed_data_are_noticed(tmp_path, tiny, no_report):
    data = tmp_path / "points.npy"
    x = np.random.default_rng(0).normal(size=(300, 3))
    np.save(data, x)
    vaekit.train("vae", data, out=tmp_path / "run", **tiny)
    x[0, 0] += 1
    np.save(data, x)
    with pytest.raises(RequestError, match=r"are not those that .* was trained on"):
        vaekit.evaluate(tmp_path / "run", nll_samples=0, progress=False)


@pytest.mark.parametrize("damage", ["empty", "half", "text"])
def test_damaged_weights_are_named(run_copy, damage):
    path = run_copy / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes({"empty": b"", "half": whole[: len(whole) // 2], "text": b"x" * 500}[damage])
    with pytest.raises(RequestError, match=r"model\.safetensors is damaged"):
        load(run_copy)


def test_weights_of_another_model_are_named(run_copy):
    config = json.loads((run_copy / "config.json").read_text())
    config["arguments"]["latent_dim"] = 3
    (run_copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(RequestError, match="the model does not fit the weights"):
        load(run_copy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, r"has format 99; this vaekit reads format 1"),
        ({"recipe": "vea"}, "unknown recipe 'vea'"),
        ({"arguments": {"nonsense": 1}}, "does not describe a model of recipe 'vae'"),
        ({"spec": {"name": "x"}}, "does not describe a model of recipe 'vae'"),
    ],
)
def test_a_config_that_makes_no_sense_is_named(run_copy, change, message):
    config = json.loads((run_copy / "config.json").read_text())
    (run_copy / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(RequestError, match=message):
        load(run_copy)


def test_other_damaged_files_are_named(run_copy):
    run = Run(run_copy)
    (run_copy / "metrics.json").write_text("{")
    with pytest.raises(RequestError, match=r"metrics\.json is damaged"):
        _ = run.metrics
    (run_copy / "history.csv").write_text("epoch,step\n1,what\n")
    with pytest.raises(RequestError, match=r"history\.csv is damaged"):
        _ = run.history
    (run_copy / "history.csv").unlink()
    with pytest.raises(RequestError, match=r"history\.csv does not exist"):
        _ = run.history


def test_other_data_must_be_of_the_same_kind(run_copy):
    run = Run(run_copy)
    with pytest.raises(RequestError, match=r"examples of shape \(3,\); expected \(1, 8, 8\)"):
        run.dataset("swiss-roll", n=50)
    with pytest.raises(RequestError, match="holds 2 levels; expected 17 levels"):
        run.dataset(np.zeros((20, 1, 8, 8), np.uint8))
    assert run.dataset("digits").fingerprint == run.data.fingerprint


def test_a_run_shows_what_it_is(run_copy):
    assert repr(Run(run_copy)) == f"<Run '{run_copy}': complete>"
