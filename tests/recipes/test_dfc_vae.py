import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

import vaekit
from vaekit.cli import main
from vaekit.data import from_arrays
from vaekit.data.transforms import Scale
from vaekit.distributions import Perceptual
from vaekit.errors import RequestError
from vaekit.evaluation import evaluate_model
from vaekit.networks import VGG
from vaekit.plan import DataSpec
from vaekit.recipes.dfc_vae import dfc_vae

FACES = DataSpec("faces", (3, 64, 64), 256, "gaussian", 1000, None, (40,), np.full((3, 64, 64), 0.4))
SMALL = DataSpec("small", (3, 32, 32), 256, "gaussian")


def faces(n=40):
    """Ellipses of two colours, to be told apart from noise."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:32, :32] - 15.5
    inside = (x / 9) ** 2 + (y / 12) ** 2 < random.uniform(0.5, 1.4, (n, 1, 1, 1))
    pixels = np.where(inside, random.integers(120, 256, (n, 3, 1, 1)), random.integers(0, 120, (n, 3, 1, 1)))
    return pixels.astype(np.uint8)


def test_it_is_the_published_system_with_the_network_that_ships():
    plan = dfc_vae(FACES)
    model = plan.model
    convolutions = [m for m in model.encoder.modules() if isinstance(m, nn.Conv2d)]
    assert [m.out_channels for m in convolutions] == [32, 64, 128, 256]
    assert model.sample(2, seed=0).shape == (2, 3, 64, 64)
    assert model.encode(torch.rand(2, 3, 64, 64)).event_shape == (100,)
    assert (plan.batch_size, plan.learning_rate, plan.transform) == (64, 5e-4, Scale(256))
    head = model.decoder.head
    assert isinstance(head, Perceptual)
    assert [tuple(m.shape[1:]) for m in head.features(torch.rand(1, 3, 64, 64))] == [
        (64, 31, 31),
        (128, 15, 15),
        (256, 7, 7),
    ]
    assert head.weights == pytest.approx([0.5 / (64 * 31 * 31), 0.5 / (128 * 15 * 15), 0.5 / (256 * 7 * 7)])


def test_it_begins_at_the_mean_face():
    mean = np.array([0.2, 0.5, 0.7]).reshape(3, 1, 1) * np.ones((3, 64, 64))
    model = dfc_vae(DataSpec("faces", (3, 64, 64), 256, "gaussian", mean=mean)).model.eval()
    shown = model.sample(50, seed=0).mean((0, 2, 3))
    assert shown.tolist() == pytest.approx([0.2, 0.5, 0.7], abs=0.05)


def test_arguments_reach_the_likelihood(tmp_path):
    x, y = torch.rand(2, 2, 3, 32, 32)

    def distance(**arguments):
        return dfc_vae(SMALL, **arguments).model.decoder.head(x.logit()).log_prob(y)

    one, two = distance(layers="conv1", weights="1"), distance(layers="fire3", weights="1")
    torch.testing.assert_close(distance(layers="fire3, conv1", weights="2,3"), 2 * two + 3 * one)
    pixels = (x - y).square().sum((1, 2, 3))
    torch.testing.assert_close(distance(layers="conv1", weights="0", pixel=4.0), -2 * pixels, rtol=1e-4, atol=1e-3)
    torch.manual_seed(0)
    save_file(VGG(16, "relu3_1").state_dict(), tmp_path / "vgg.safetensors")
    head = dfc_vae(SMALL, features=f"vgg:{tmp_path / 'vgg.safetensors'}").model.decoder.head
    assert [m.shape[1:] for m in head.features(x)] == [(64, 32, 32), (128, 16, 16), (256, 8, 8)]


@pytest.mark.parametrize(
    ("data", "arguments", "words"),
    [
        (SMALL, {"nll_samples": 100}, "no likelihood to estimate: pass --nll-samples 0"),
        (SMALL, {"weights": "1,2"}, "3 for as many layers"),
        (SMALL, {"weights": "heavy"}, "expected a number, or one for each layer"),
        (DataSpec("points", (5,), None, "gaussian"), {}, "expected images"),
    ],
)
def test_what_cannot_be_is_refused(data, arguments, words):
    with pytest.raises(RequestError, match=words):
        dfc_vae(data, **arguments)


def test_what_is_logged_is_minus_the_loss_and_never_called_a_bound():
    model = dfc_vae(SMALL, beta=3.0, warmup=0.0).model
    loss = model(torch.rand(4, 3, 32, 32))
    assert set(loss.terms) == {"consistency", "rate", "distortion", "loss"}
    assert model.objective.monitor == "consistency"
    torch.testing.assert_close(loss.terms["consistency"], -(loss.terms["rate"] + loss.terms["distortion"]))
    torch.testing.assert_close(loss.loss, (loss.terms["distortion"] + 3 * loss.terms["rate"]).mean())


def test_the_loss_is_a_mean_over_examples():
    model = dfc_vae(SMALL, latent_dim=2, channels=(4,)).model
    x = torch.rand(3, 3, 32, 32)
    with torch.no_grad():
        # Without noise of z, as a batch of any size would draw another.
        mean = model.reconstruct(x)
        alone = torch.stack([model.decode(model.encode(e[None]).mean).log_prob(e[None])[0] for e in x])
        together = model.decode(model.encode(x).mean).log_prob(x)
        twice = model.decode(model.encode(x.repeat(2, 1, 1, 1)).mean).log_prob(x.repeat(2, 1, 1, 1))
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-2)
    torch.testing.assert_close(twice, alone.repeat(2), rtol=1e-4, atol=1e-2)
    assert mean.shape == x.shape


def test_a_likelihood_is_refused_with_the_reason():
    data = from_arrays(faces(), name="faces")
    plan = dfc_vae(DataSpec.of(data), latent_dim=2, channels=(4,))
    with pytest.raises(RequestError, match=r"Perceived, is not a density.*nll_samples 0"):
        evaluate_model(plan.model, data, plan.transform, samples=(10,))
    found = evaluate_model(plan.model, data, plan.transform, samples=())
    assert found.metrics["distortion"] > 0
    assert "nll" not in found.metrics


def test_training_brings_images_nearer():
    x = torch.from_numpy(faces(8)).float() / 255
    torch.manual_seed(0)
    model = dfc_vae(SMALL, layers="conv1,fire3", latent_dim=8, channels=(16, 16), beta=0.1, warmup=0.0).model
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for _ in range(40):
        optimiser.zero_grad()
        losses.append(model(x).loss)
        losses[-1].backward()
        optimiser.step()
    assert losses[-1] < 0.7 * losses[0]


def test_from_the_command_line(tmp_path, capsys):
    pictures = tmp_path / "faces"
    pictures.mkdir()
    for number, pixels in enumerate(faces(30)):
        Image.fromarray(pixels.transpose(1, 2, 0)).save(pictures / f"{number:02}.png")
    out = tmp_path / "run"
    words = ["train", "dfc-vae", "--data", str(pictures), "--epochs", "1", "--batch-size", "8", "--latent-dim", "3"]
    assert main([*words, "--channels", "4,4", "--out", str(out), "--no-progress"]) == 0
    parts = ("config.json", "model.safetensors", "metrics.json", "history.csv", "report.html", "figures", "checkpoints")
    assert all((out / part).exists() for part in parts)
    assert not any("features" in name for name in load_file(out / "model.safetensors"))
    assert not vaekit.load(out).train().decoder.head.features.training
    found = json.loads((out / "metrics.json").read_text())["test"]
    assert {"distortion", "rate"} <= found.keys()
    assert not {"nll", "elbo", "bits_per_dim"} & found.keys()
    assert "neither a bound nor a likelihood" in found["protocol"]
    assert main(["evaluate", str(out), "--metrics", "likelihood", "--no-progress"]) == 2
    assert "is not a density" in capsys.readouterr().err
    assert main([*words, "--nll-samples", "10", "--out", str(tmp_path / "other")]) == 2
    assert "pass --nll-samples 0" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
