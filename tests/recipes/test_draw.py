import json

import numpy as np
import pytest
import torch
from PIL import Image

import vaekit
from vaekit.commands.canvas import canvas
from vaekit.errors import RequestError
from vaekit.models import DRAW
from vaekit.plan import DataSpec
from vaekit.recipes import get

MNIST = DataSpec("mnist-static", (1, 28, 28), 2, "bernoulli", 50_000, 10)
TINY = {"glimpses": 3, "latent_dim": 2, "hidden": 8, "epochs": 2, "progress": False}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "draw"
    return vaekit.train("draw", "digits", out=out, **TINY).directory


def test_the_published_sizes_are_those_asked_for():
    model = get("draw")(MNIST, glimpses=64).model
    assert isinstance(model, DRAW)
    assert (model.decoder.glimpses, model.decoder.latent_dim) == (64, 100)
    assert (model.encoder.reader.window.filters, model.decoder.writer.window.filters) == (2, 5)
    assert model.encoder.recurrent.weight.shape == (4 * 256, 2 * 256)
    assert model.decoder.recurrent.weight.shape == (4 * 256, 100 + 256)
    assert model.latent().event_shape == (6400,)


def test_without_attention_all_is_read_and_written():
    model = get("draw")(MNIST, attention=False, hidden=16).model
    assert model.encoder.reader.image.weight.shape == model.encoder.reader.error.weight.shape == (64, 784)
    assert model.decoder.writer.drawn.weight.shape == (784, 16)


def test_an_untrained_canvas_starts_at_the_mean_of_the_data():
    mean = np.random.default_rng(0).uniform(0.1, 0.9, (1, 28, 28))
    spec = DataSpec("x", (1, 28, 28), 2, "bernoulli", mean=mean)
    decoder = get("draw")(spec).model.decoder
    drawn = decoder.drawn(decoder.begin(1)[0])
    torch.testing.assert_close(drawn[0], torch.tensor(mean).float())


def test_a_run_is_whole_and_loads_as_it_was(run):
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["test"]["elbo"] == pytest.approx(-metrics["test"]["rate"] - metrics["test"]["distortion"])
    assert metrics["test"]["nll_samples"] == 10
    assert "canvas" in {path.stem for path in (run / "figures").glob("*.png")}
    model = vaekit.load(run)
    assert isinstance(model, DRAW)
    x = (torch.rand(5, 1, 8, 8) > 0.5).float()
    again = vaekit.load(run)
    with torch.no_grad():
        assert torch.equal(
            model.course(x, noise=torch.ones(5, 6)).canvas, again.course(x, noise=torch.ones(5, 6)).canvas
        )


@pytest.mark.parametrize("of", ["samples", "reconstructions"])
def test_the_canvas_is_shown_as_it_fills(run, tmp_path, of):
    still = canvas(str(run), of=of, n=2, out=str(tmp_path / "canvas.png"))
    moving = canvas(str(run), of=of, n=2, out=str(tmp_path / "canvas.gif"))
    assert Image.open(still).width > Image.open(still).height
    with Image.open(moving) as film:
        assert film.n_frames == 3


def test_what_cannot_be_drawn_is_refused(run, finished_run, tmp_path):
    with pytest.raises(RequestError, match="expected images"):
        get("draw")(DataSpec("poses", (26,), None, "gaussian"))
    with pytest.raises(RequestError, match="glimpses is 0"):
        get("draw")(MNIST, glimpses=0)
    with pytest.raises(RequestError, match="train the recipe draw"):
        canvas(str(finished_run), out=str(tmp_path / "x.png"))
    with pytest.raises(RequestError, match="n is 0"):
        canvas(str(run), n=0, out=str(tmp_path / "x.png"))
