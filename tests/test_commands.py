r"""Commands on the latent space of a trained run: what they write, and what they refuse."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import vaekit
from vaekit import commands
from vaekit.cli import main
from vaekit.commands.attributes import attribute_values, direction, known_attributes
from vaekit.commands.picking import model_view, own_images, pick, train_codes
from vaekit.errors import RequestError
from vaekit.latent import MEASURES
from vaekit.runs import Run

COMMANDS = {
    "interpolate": {"points": (3, 17, 42), "steps": 4},
    "traverse": {"point": 5, "steps": 3},
    "attribute": {"attribute": "thickness", "against": "slant", "steps": 3, "n": 2},
    "manifold": {"n": 3},
}


@pytest.mark.parametrize("ending", [".png", ".gif"])
@pytest.mark.parametrize("name", COMMANDS)
def test_the_same_request_is_the_same_file_to_the_byte(finished_run, tmp_path, name, ending):
    paths = [
        getattr(commands, name)(str(finished_run), **COMMANDS[name], out=str(tmp_path / f"{i}{ending}"))
        for i in range(2)
    ]
    one, two = (path.read_bytes() for path in paths)
    assert one == two
    with Image.open(paths[0]) as picture:
        assert picture.format == ending[1:].upper()
        assert np.asarray(picture.convert("L")).std() > 10
        if ending == ".gif":
            assert picture.n_frames > 2


def grids(monkeypatch):
    """Keep what is drawn instead of drawing it."""
    kept = {}

    def keep(paths, grid, kind, **labels):
        kept.update(grid=grid, **labels)
        return paths[0]

    monkeypatch.setattr("vaekit.commands.moves.write_strips", keep)
    monkeypatch.setattr("vaekit.commands.attributes.write_strips", keep)
    return kept


def test_a_path_has_its_examples_beside_it_and_reconstructions_at_its_ends(finished_run, tmp_path, monkeypatch):
    kept, run = grids(monkeypatch), Run(finished_run)
    commands.interpolate(str(finished_run), points=(3, 17, 42), steps=5, out=str(tmp_path / "a.png"))
    x = model_view(run, run.data.test.x[[3, 17, 42]])
    ends = run.model.reconstruct(x).numpy()
    assert kept["grid"].shape == (2, 7, 1, 8, 8)
    np.testing.assert_array_equal(kept["grid"][:, 0], x[:2])
    np.testing.assert_array_equal(kept["grid"][:, -1], x[1:])
    np.testing.assert_allclose(kept["grid"][:, 1], ends[:2], atol=1e-6)
    np.testing.assert_allclose(kept["grid"][:, -2], ends[1:], atol=1e-6)
    classes = run.data.test.labels[[3, 17, 42]]
    assert kept["rows"][0] == f"test 3 ({classes[0]}) → test 17 ({classes[1]})"
    assert kept["title"] == "Linear interpolation, vae on digits"
    commands.interpolate(str(finished_run), points=(3, 17), steps=5, spherical=True, out=str(tmp_path / "a.gif"))
    assert kept["grid"].shape == (1, 5, 1, 8, 8)
    assert kept["title"].startswith("Spherical")


def test_examples_are_picked_by_number_class_and_file(finished_run, tmp_path):
    run = Run(finished_run)
    test = run.data.test
    Image.fromarray(np.rint(test.x[7, 0] * (255 / 16)).astype(np.uint8)).save(tmp_path / "mine.png")
    picked = pick(run, points=[2], labels="3,8,3", files=str(tmp_path / "mine.png"))
    threes, eights = (np.flatnonzero(test.labels == c) for c in (3, 8))
    rows = [2, threes[0], eights[0], threes[1]]
    np.testing.assert_array_equal(picked.x[:4], model_view(run, test.x[rows]))
    assert picked.names == [f"test {row} ({test.labels[row]})" for row in rows] + ["mine"]
    own = own_images(run, [tmp_path / "mine.png"])
    assert own.dtype == np.uint8
    np.testing.assert_array_equal(own[0], test.x[7])
    inverted = own_images(run, [tmp_path / "mine.png"], invert=True)
    np.testing.assert_array_equal(inverted + own, np.full_like(own, 16))
    Image.new("RGB", (30, 20), (255, 0, 0)).save(tmp_path / "red.jpg")  # of another size and colour
    assert own_images(run, [tmp_path / "red.jpg"]).shape == (1, 1, 8, 8)


def test_units_are_sorted_by_their_rate(finished_run, tmp_path, monkeypatch):
    kept = grids(monkeypatch)
    rates = json.loads((finished_run / "metrics.json").read_text())["test"]["unit_rates"]
    commands.traverse(str(finished_run), steps=3, out=str(tmp_path / "a.png"))
    order = np.argsort(rates)[::-1]
    assert kept["rows"] == [f"unit {unit}: {rates[unit]:.2f} nats" for unit in order]
    assert kept["columns"] == ["1%", "50%", "99%"]
    assert min(rates) > 0.01  # else the unit would be left out
    model = Run(finished_run).model
    centre = model.decode(torch.zeros(1, 2)).mean.detach()[0]
    np.testing.assert_allclose(kept["grid"][:, 1], torch.stack([centre, centre]), atol=1e-6)
    commands.traverse(str(finished_run), units=str(order[1]), steps=3, out=str(tmp_path / "a.png"))
    assert kept["grid"].shape == (1, 3, 1, 8, 8)


def test_strength_zero_is_the_reconstruction_and_strengths_go_along_the_vector(finished_run, tmp_path, monkeypatch):
    kept, run = grids(monkeypatch), Run(finished_run)
    options = {"strength": "-1:2", "steps": 4, "points": (4, 6)}
    commands.attribute(str(finished_run), "label:3", **options, out=str(tmp_path / "a.png"))
    assert kept["columns"] == ["example", "−1", "0", "+1", "+2"]
    x = model_view(run, run.data.test.x[[4, 6]])
    np.testing.assert_allclose(kept["grid"][:, 2], run.model.reconstruct(x), atol=1e-6)
    threes = torch.from_numpy(run.data.train.labels == 3)
    means = run.model.encode(model_view(run, run.data.train.x)).mean.detach()
    step = means[threes].mean(0) - means[~threes].mean(0)
    moved = run.model.decode(run.model.encode(x).mean + 2 * step).mean.detach()
    np.testing.assert_allclose(kept["grid"][:, 4], moved, atol=1e-4)


def test_attributes_of_digits_are_their_classes_and_what_is_measured(finished_run):
    run = Run(finished_run)
    assert known_attributes(run) == [*(f"label:{c}" for c in range(10)), "thickness", "slant", "width"]
    encoded = train_codes(run, 50)
    labels = run.data.train.labels[encoded.rows]
    np.testing.assert_array_equal(attribute_values(run, "label:4", encoded), labels == 4)
    for name, measure in MEASURES.items():
        np.testing.assert_array_equal(attribute_values(run, name, encoded), measure(encoded.x))
    v, other = direction(run, "label:3", ["slant"], "difference"), direction(run, "slant", [], "difference")
    assert abs(float(v @ other)) < 1e-5


def test_a_plane_of_principal_directions_and_of_units(finished_run, tmp_path):
    for options in ({"principal": True}, {"units": "1,0", "label": "3"}):
        path = commands.manifold(str(finished_run), n=3, **options, out=str(tmp_path / "a.png"), force=True)
        with Image.open(path) as picture:
            assert picture.size[1] > picture.size[0] * 0.9  # the title stands above


def test_a_film(finished_run, tmp_path):
    av = pytest.importorskip("av")
    path = commands.interpolate(str(finished_run), points=(1, 2), steps=3, out=str(tmp_path / "a.mp4"))
    with av.open(str(path)) as film:
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert len(frames) == 4  # there and back
    assert len({frame.shape for frame in frames}) == 1
    assert (frames[0] != frames[2]).any()


def test_vectors_are_drawn_as_lines(tmp_path, tiny, no_report):
    x = np.random.default_rng(0).normal(size=(200, 5)).astype(np.float32)
    np.save(tmp_path / "points.npy", x)
    run = vaekit.train("vae", str(tmp_path / "points.npy"), out=tmp_path / "run", **tiny).directory
    for name, options in COMMANDS.items():
        if name == "attribute":
            with pytest.raises(RequestError, match="unknown attribute 'thickness'"):
                commands.attribute(str(run), **options)
            continue
        for ending in (".png", ".gif"):
            options = {**options, **({"points": (3, 1)} if "points" in options else {})}
            assert getattr(commands, name)(str(run), **options, out=str(tmp_path / f"{name}{ending}")).is_file()


# Faces.


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """A run on a folder in CelebA's layout, whose faces are bright if they smile and red if they wear glasses."""
    root = tmp_path_factory.mktemp("celeba")
    (root / "img_align_celeba").mkdir()
    rng, rows = np.random.default_rng(0), []
    for number in range(60):
        smiles, glasses = number % 2, number // 2 % 2
        pixels = np.full((218, 178, 3), 60 + 120 * smiles, np.uint8)
        pixels[..., 1:] -= np.uint8(50 * glasses)
        pixels += rng.integers(0, 20, pixels.shape, dtype=np.uint8)
        name = f"{number:06}.jpg"
        Image.fromarray(pixels).save(root / "img_align_celeba" / name)
        rows.append(f"{name} {2 * smiles - 1} {2 * glasses - 1}")
    (root / "list_attr_celeba.txt").write_text("\n".join(["60", "Smiling Eyeglasses", *rows]))
    options = {"hidden": (8,), "latent_dim": 4, "epochs": 6, "nll_samples": 0, "progress": False, "network": "mlp"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vaekit.report.run.report_run", lambda *arguments: None)
        out = root / "run"
        vaekit.train("vae", str(root), data_options={"size": 8}, batch_size=8, warmup=0.0, out=out, **options)
    return Run(out)


def test_attributes_of_faces_are_those_of_the_data(faces, tmp_path, monkeypatch):
    assert known_attributes(faces)[:2] == ["Smiling", "Eyeglasses"]
    encoded = train_codes(faces)
    bright = encoded.x.mean((1, 2, 3)).numpy() > 0.4
    np.testing.assert_array_equal(attribute_values(faces, "Smiling", encoded), bright)
    kept = grids(monkeypatch)
    arguments = {"attribute": "Smiling", "against": "Eyeglasses", "strength": "0:2", "steps": 3}
    commands.attribute(str(faces.directory), **arguments, out=str(tmp_path / "a.png"))
    brightness = kept["grid"].mean((2, 3, 4))[:, 1:].mean(0)
    assert (np.diff(brightness) > 0).all()
    assert "Smiling by the mean difference, orthogonal to Eyeglasses" in kept["title"]
    mine = faces.directory.parent / "img_align_celeba" / "000003.jpg"
    commands.attribute(str(faces.directory), "Eyeglasses", files=str(mine), out=str(tmp_path / "b.png"))
    assert kept["rows"] == ["000003"]
    assert kept["grid"].shape[2:] == (3, 8, 8)


@pytest.mark.parametrize("scale", [1, 3])
def test_a_photograph_is_cropped_as_the_faces_are(faces, tmp_path, scale):
    picture = Image.new("RGB", (178 * scale, 218 * scale), (255, 255, 255))  # white but for what is seen of a face
    picture.paste((0, 0, 0), (15 * scale, 35 * scale, (15 + 148) * scale, (35 + 148) * scale))
    picture.save(tmp_path / "photo.png")
    assert own_images(faces, [tmp_path / "photo.png"]).max() == 0


# Conditional models.


def test_a_conditional_model_is_told_what_is_known_or_asked(tmp_path, tiny, no_report, monkeypatch):
    run = vaekit.train("cvae", "digits", out=tmp_path / "run", **tiny)
    kept = grids(monkeypatch)
    commands.interpolate(str(run.directory), labels="3,8", steps=3, out=str(tmp_path / "a.png"))
    picked = pick(run, labels="3,8")
    assert picked.given.tolist() == [3, 8]
    np.testing.assert_allclose(
        kept["grid"][0, [1, 3]], run.model.reconstruct(picked.x, picked.given).numpy(), atol=1e-6
    )
    commands.traverse(str(run.directory), context="7", steps=3, out=str(tmp_path / "a.png"))
    centre = run.model.decode(torch.zeros(1, 2), torch.tensor([7])).mean.detach().numpy()
    np.testing.assert_allclose(kept["grid"][:, 1], np.concatenate([centre] * 2), atol=1e-6)
    Image.new("L", (8, 8)).save(tmp_path / "mine.png")
    with pytest.raises(RequestError, match="nothing is known of mine: pass --context"):
        pick(run, files=str(tmp_path / "mine.png"))
    assert pick(run, files=str(tmp_path / "mine.png"), context="4").given.tolist() == [4]


# A model without a vector to move.


@pytest.mark.parametrize("name", [*COMMANDS, "serve", "export", "web"])
def test_a_grid_of_codes_is_refused_by_all_in_the_same_words(quantised, tmp_path, name):
    from vaekit.explorer.opening import serve
    from vaekit.export.command import export

    run, out = str(quantised.directory), str(tmp_path / "a")
    act = {
        "serve": lambda: serve(run, browser=False),
        "export": lambda: export(run, out=out),
        "web": lambda: export(run, to="web", out=out),
    }.get(name, lambda: getattr(commands, name)(run, **COMMANDS[name], out=f"{out}.png"))
    with pytest.raises(RequestError, match=r"VectorQuantized\) has no continuous latent vector.*vaekit reconstruct"):
        act()
    assert not any(tmp_path.iterdir())


@pytest.fixture(scope="module")
def quantised(tmp_path_factory):
    options = {"epochs": 1, "prior": "uniform", "nll_samples": 0, "progress": False, "codes": 4, "channels": (4,)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vaekit.report.run.report_run", lambda *arguments: None)
        return vaekit.train("vq-vae", "digits", out=tmp_path_factory.mktemp("vq") / "run", code_dim=4, **options)


# Three ways.


def test_three_ways_is_drawn_from_runs_that_are_kept(tmp_path, no_report):
    path = commands.three_ways("digits", out=str(tmp_path / "ways"), epochs=1, progress=False)
    first = path.read_bytes()
    runs = {way: Run(tmp_path / "ways" / way) for way in ("reconstruction", "rate", "both")}
    rates = {way: run.metrics["test"].get("rate") for way, run in runs.items()}
    assert rates["reconstruction"] is None
    assert 0 <= rates["rate"] < rates["both"]
    assert runs["both"].config["arguments"]["beta"] == 1
    written = [run.directory.joinpath("model.safetensors").stat().st_mtime_ns for run in runs.values()]
    assert commands.three_ways("digits", out=str(tmp_path / "ways"), epochs=1, progress=False).read_bytes() == first
    assert written == [run.directory.joinpath("model.safetensors").stat().st_mtime_ns for run in runs.values()]
    for changed, words in (({"epochs": 2}, "epochs is 2"), ({"data": "mnist"}, "trained on digits; expected mnist")):
        arguments = {"data": "digits", "epochs": 1, **changed}
        with pytest.raises(RequestError, match=words):
            commands.three_ways(**arguments, out=str(tmp_path / "ways"), progress=False)


# What is refused.

BAD = {
    "interpolate run": "no example is picked",
    "interpolate run --points 3": "is the only example; expected at least 2",
    "interpolate run --points 3,9999": "there is no example 9999; the test split has 0 to 358",
    "interpolate run --points 3,x": "--points is '3,x'",
    "interpolate run --labels 3,11": "--labels has '11'; expected classes, of 0, 1",
    "interpolate run --points 1,2 --steps 1": "steps is 1",
    "interpolate run --points 1,2 --out x.jpg": "expected a file that ends in .png or .gif or .mp4",
    "interpolate run --points 1,2 --out mine.png": "mine.png exists: pass another --out, or --force",
    "interpolate run --points 1,2 --context 3": "is not conditional",
    "interpolate run --files none.png,mine.png": "none.png does not exist",
    "interpolate run --files mine.png,words.png": "words.png cannot be read",
    "interpolate run --files mine.png,huge.png": "huge.png has more than 32 MiB",
    "interpolate none --points 1,2": "no run at none",
    "traverse run --units 0,2": "--units is '0,2'; expected numbers between commas, from 0 to 1",
    "traverse run --units some": "--units is 'some'",
    "traverse run --steps 1": "at least 2",
    "traverse run --point 1 --label 3": "are 2 examples; expected one",
    "attribute run": "no attribute is named; expected one of label:0, label:1",
    "attribute run --attribute smiling": "unknown attribute 'smiling'",
    "attribute run --attribute slnat": "Did you mean 'slant'?",
    "attribute run --attribute slant --against hair": "unknown attribute 'hair'",
    "attribute run --attribute slant --against slant": "nothing is left of the attribute",
    "attribute run --attribute slant --strength much": "--strength is 'much'",
    "attribute run --attribute slant --strength -3:x": "--strength is '-3:x'",
    "attribute run --attribute slant --strength=3:-3": "--strength is '3:-3'",
    "attribute run --attribute slant --method mean": "--method is 'mean'",
    "attribute run --attribute slant --n 0": "n is 0",
    "manifold run --units 0": "expected two numbers",
    "manifold run --units 1,1": "both units are 1",
    "manifold run --principal --point 3": "go through the mean",
    "manifold run --n 0": "n is 0",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory, finished_run):
    folder = tmp_path_factory.mktemp("place")
    (folder / "run").symlink_to(finished_run)
    Image.new("L", (8, 8)).save(folder / "mine.png")
    (folder / "words.png").write_text("no image")
    with open(folder / "huge.png", "wb") as file:
        file.truncate(33 * 2**20)
    return folder


@pytest.mark.parametrize("words", BAD)
def test_a_wrong_request_is_one_line(place, monkeypatch, capsys, words):
    monkeypatch.chdir(place)
    before = sorted(Path().iterdir()), sorted(Path("run").iterdir())
    assert main(words.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert BAD[words] in err
    assert (sorted(Path().iterdir()), sorted(Path("run").iterdir())) == before
