r"""Commands on a run of melodies: pictures, MIDI and sound; and attributes that are measured on notes."""

import io
import wave

import numpy as np
import pytest
import torch
from PIL import Image

import vaekit
from vaekit import commands
from vaekit.cli import main
from vaekit.commands.attributes import attribute_values, direction, known_attributes
from vaekit.commands.picking import pick, train_codes
from vaekit.errors import RequestError
from vaekit.figures.piano_roll import piano_rolls
from vaekit.music import Note, notes_of
from vaekit.music.midi import write_midi
from vaekit.music.statistics import MEASURES
from vaekit.runs import Run

SIZES = {"hidden": 8, "decoder_hidden": 16, "latent_dim": 3}
COMMANDS = {
    "sample": ({"n": 3}, "samples"),
    "reconstruct": ({"n": 3}, "reconstructions"),
    "interpolate": ({"points": (0, 5), "steps": 3}, "interpolation"),
    "attribute": ({"attribute": "density", "steps": 2, "n": 2}, "density"),
    "traverse": ({"steps": 2}, "traversal"),
    "manifold": ({"n": 2}, "manifold"),
}
SHOWN = {"sample": 3, "reconstruct": 3, "interpolate": 5, "attribute": 2 * 3, "traverse": 3 * 2, "manifold": 4}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on files of random walks in major, of four bars each, in quarters or eighths, some with off-beats."""
    folder, out = tmp_path_factory.mktemp("tunes"), tmp_path_factory.mktemp("melodies") / "run"
    random, major = (
        np.random.default_rng(0),
        [12 * octave + tone for octave in (5, 6) for tone in (0, 2, 4, 5, 7, 9, 11)],
    )
    for number in range(60):
        starts = np.arange(0, 64, random.choice([2, 4]))
        starts = starts[(starts % 16 == 0) | (random.random(len(starts)) < 0.8)]
        walk = np.clip(np.cumsum(random.integers(-2, 3, len(starts))) + 6, 0, 13)
        stops = [*starts[1:].tolist(), 64]
        notes = [Note(int(a), b, major[place]) for a, b, place in zip(starts, stops, walk, strict=True)]
        write_midi(folder / f"{number}.mid", notes)
    options = {"epochs": 1, "nll_samples": 0, "progress": False, "patience": None}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vaekit.report.run.report_run", lambda *arguments: None)
        return vaekit.train("music-vae-2bar", str(folder), out=out, **SIZES, **options).directory


@pytest.mark.parametrize("name", COMMANDS)
def test_each_writes_a_picture_midi_and_sound(run, tmp_path, name):
    options, stem = COMMANDS[name]
    first = getattr(commands, name)(str(run), **options)
    paths = [run / f"{stem}{ending}" for ending in (".png", ".mid", ".wav")]
    assert first == paths[0]
    with Image.open(paths[0]) as picture:
        assert np.asarray(picture.convert("L")).std() > 3
    assert paths[1].read_bytes()[:4] == b"MThd"  # what is in it is tested with its kind
    with wave.open(str(paths[2])) as file:
        assert file.getnframes() == SHOWN[name] * 48 * 22_050 // 8
    with pytest.raises(RequestError, match="exists: pass another --out"):
        getattr(commands, name)(str(run), **options)
    again = getattr(commands, name)(str(run), **options, out=str(tmp_path / "again.wav"))
    assert again.read_bytes() == paths[2].read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["again.wav"]
    for path in paths:
        path.unlink()


def test_reconstructions_are_the_models_own(run, tmp_path):
    path = commands.reconstruct(str(run), n=4, out=str(tmp_path / "a.npy"))
    trained = Run(run)
    x = torch.from_numpy(trained.data.test.x[:4]).float()
    np.testing.assert_array_equal(np.load(path), trained.model.reconstruct(x).numpy())
    np.save(tmp_path / "z.npy", np.zeros((2, 3), np.float32))
    decoded = np.load(commands.decode(str(run), str(tmp_path / "z.npy"), out=str(tmp_path / "b.npy")))
    np.testing.assert_array_equal(decoded[0], trained.model.decode(torch.zeros(1, 3)).mean[0].numpy())


def test_a_picture_is_of_the_melodies(run, tmp_path):
    from vaekit.figures import save

    one = commands.sample(str(run), n=5, out=str(tmp_path / "a.png"))
    x = np.load(commands.sample(str(run), n=5, out=str(tmp_path / "a.npy")))
    other = save(piano_rolls([notes_of(row) for row in x], 32), tmp_path / "b.png")
    assert one.read_bytes() == other.read_bytes()


def test_symbols_are_drawn_at_a_temperature(run, tmp_path):
    def drawn(name, **options):
        return np.load(commands.sample(str(run), n=20, **options, out=str(tmp_path / f"{name}.npy")))

    plain, warm = drawn("plain"), drawn("warm", temperature=1.0)
    np.testing.assert_array_equal(plain, warm)  # symbols are always drawn, from the same seed
    greedy = drawn("greedy", temperature=0.0)
    model = Run(run).model
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        expected = model.decode(model.latent().sample((20,))).mean.numpy()
    np.testing.assert_array_equal(greedy, expected)
    np.testing.assert_array_equal(drawn("nucleus", top_p=1e-6), expected)
    assert (plain != greedy).any()
    for wrong in ({"temperature": -1.0}, {"top_p": 0.0}):
        with pytest.raises(RequestError, match=next(iter(wrong))):
            drawn("wrong", **wrong)


def test_a_temperature_is_refused_where_nothing_is_drawn_symbol_by_symbol(finished_run, tmp_path):
    with pytest.raises(RequestError, match="temperature given, but the decoder of"):
        commands.sample(str(finished_run), temperature=0.5, out=str(tmp_path / "a.npy"))
    with pytest.raises(RequestError, match=r"expected a file that ends in .png or .npy: rename it"):
        commands.sample(str(finished_run), out=str(tmp_path / "a.mid"))


def test_attributes_are_measured_on_notes(run):
    trained = Run(run)
    assert known_attributes(trained)[-3:] == ["density", "range", "syncopation"]
    encoded = train_codes(trained, 200)
    for name, measure in MEASURES.items():
        values = attribute_values(trained, name, encoded)
        np.testing.assert_array_equal(values, measure(trained.data.train.x[encoded.rows]))
        assert len(np.unique(values[np.isfinite(values)])) > 1
    assert direction(trained, "range", ("density",), "difference").shape == (3,)


def test_melodies_are_read_from_files_of_ones_own(run, tmp_path):
    trained = Run(run)
    row = trained.data.test.x[3]
    shifted = [note._replace(start=note.start + 48, stop=note.stop + 48) for note in notes_of(row)]
    write_midi(tmp_path / "mine.mid", shifted)  # three bars of rest first
    picked = pick(trained, files=str(tmp_path / "mine.mid"))
    assert picked.names == ["mine"]
    assert notes_of(row)[0].start < 16
    np.testing.assert_array_equal(picked.x[0].numpy(), row)
    (tmp_path / "bad.mid").write_bytes(b"MThd")
    for name, message in (("bad.mid", "cannot be read"), ("none.mid", "does not exist")):
        with pytest.raises(RequestError, match=message):
            pick(trained, files=str(tmp_path / name))


def test_the_command_line(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["sample", str(run), "--n", "2", "--temperature", "0.8", "--top-p", "0.9", "--out", "a.mid"]) == 0
    assert capsys.readouterr().out == "a.mid\n"
    assert main(["attribute", str(run), "--attribute", "syncopaton"]) == 2
    assert "Did you mean 'syncopation'?" in capsys.readouterr().err


def test_the_report_has_rolls_and_sound(run, monkeypatch):
    import base64
    import re

    from vaekit.report.run import HEARD, report_run

    trained = Run(run)
    page = report_run(trained, trained.metrics, None)
    source = page.read_text(encoding="utf-8")
    assert len(source) < 4_000_000
    [sound] = re.findall(r'<audio controls src="data:audio/wav;base64,([^"]+)"', source)
    with wave.open(io.BytesIO(base64.b64decode(sound))) as file:
        assert 0 < file.getnframes() / file.getframerate() <= HEARD
