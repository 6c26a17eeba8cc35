r"""The vector-quantised recipes: their parts, and whole runs from the command line."""

import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

import vaekit
from vaekit.cli import main
from vaekit.data import load_dataset
from vaekit.distributions import (
    Codebook,
    FiniteScalar,
    MovingCodebook,
    PixelCNNPrior,
    ResidualQuantiser,
    TwoLevelPrior,
    TwoLevelQuantiser,
    UniformCodes,
)
from vaekit.errors import Interrupted, RequestError
from vaekit.evaluation import diagnose, evaluate_model
from vaekit.models import VectorQuantized
from vaekit.plan import DataSpec
from vaekit.recipes import get
from vaekit.runs import Run
from vaekit.training import fit

DIGITS = DataSpec("digits", (1, 8, 8), 17, "bernoulli", 1000, 10)
SMALL = ["--data", "digits", "--epochs", "3", "--codes", "16", "--code-dim", "4", "--channels", "8", "--blocks", "1"]
CODES = {"codes": 16, "code_dim": 4, "channels": (8,), "blocks": 1}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "vq-vae"
    words = ["--prior-epochs", "3", "--conditional", "--no-progress", "--out", str(out)]
    assert main(["train", "vq-vae", *SMALL, *words]) == 0
    return out


def test_a_run_is_whole_and_its_codes_go_both_ways(run, tmp_path, capsys):
    assert {"model.safetensors", "metrics.json", "report.html", "history.csv"} <= {p.name for p in run.iterdir()}
    assert {"reconstructions.png", "samples.png", "latent.png"} <= {p.name for p in (run / "figures").iterdir()}
    columns = (run / "history.csv").read_text().splitlines()[0].split(",")
    for name in ("elbo", "rate", "distortion", "commitment", "perplexity", "used"):
        assert {f"train_{name}", f"validation_{name}"} <= set(columns)
    codes, x = tmp_path / "codes.npz", tmp_path / "x.npy"
    assert main(["encode", str(run), "--out", str(codes)]) == 0
    z = np.load(codes)["mean"]
    assert z.shape == (359, 4, 4)
    assert z.dtype == np.int64
    assert main(["decode", str(run), str(codes), "--context", "0", "--out", str(x)]) == 0
    model = vaekit.load(run)
    expected = model.decode(torch.from_numpy(z), torch.zeros(359, dtype=torch.int64)).mean.detach()
    np.testing.assert_allclose(np.load(x), expected, rtol=1e-5)
    capsys.readouterr()
    np.save(tmp_path / "wrong.npy", z + 16)
    assert main(["decode", str(run), str(tmp_path / "wrong.npy"), "--out", str(tmp_path / "y.npy")]) == 2
    assert "expected codes, whole numbers from 0 to 15" in capsys.readouterr().err
    np.save(tmp_path / "wrong.npy", z[:, 0])
    assert main(["decode", str(run), str(tmp_path / "wrong.npy"), "--out", str(tmp_path / "y.npy")]) == 2
    assert "expected (n, 4, 4)" in capsys.readouterr().err
    assert main(["sample", str(run), "--n", "5", "--context", "3", "--out", str(tmp_path / "s.png")]) == 0


def test_the_numbers_of_a_run_hang_together(run):
    test = json.loads((run / "metrics.json").read_text())["test"]
    assert not {"nll", "ess", "active_units", "latent_dim"} & test.keys()
    assert test["elbo"] == pytest.approx(-(test["rate"] + test["distortion"]))
    assert "the code, which is certain" in test["protocol"]
    # The fitted prior makes codes shorter than the uniform one does.
    uniform = 16 * math.log(16)
    assert test["rate"] < 0.9 * uniform
    assert test["code_bits_per_dim"] == pytest.approx(test["rate"] / (64 * math.log(2)), rel=1e-4)
    assert test["code_bits_per_dim_uniform"] == pytest.approx(1.0)
    assert (test["codes"], test["code_grid"]) == (16, [4, 4])
    found = Run(run)
    x, labels = found.data.test.x, torch.from_numpy(found.data.test.labels)
    from vaekit.data.transforms import view

    z = torch.cat([found.model.encode(block, labels).mean for block in view(x, found.plan.transform)])
    counts = z.flatten().bincount(minlength=16).double()
    shares = counts[counts > 0] / counts.sum()
    assert test["perplexity"] == pytest.approx(float(torch.exp(-(shares * shares.log()).sum())), rel=1e-4)
    assert test["used_codes"] == pytest.approx(float((counts > 0).double().mean()))


def test_families_of_vectors_are_left_out_and_say_why(run):
    model, data, plan = Run(run).model, load_dataset("digits"), Run(run).plan
    found = evaluate_model(model, data, plan.transform, metrics=["all"], limit=110, generated=100, features="values")
    found = found.metrics
    for name in ("annealed", "aggregate", "prior-match", "amortisation"):
        assert "codes, whole numbers without an order" in found["left_out"][name]
    assert {"code_use", "reconstruction", "generation"} <= found.keys()
    assert found["code_use"]["code_gain"] > 0
    with pytest.raises(RequestError, match="follows gradients"):
        evaluate_model(model, data, plan.transform, metrics=["annealed"])


def test_idle_codes_are_warned_of():
    assert diagnose({"rate": 300.0, "perplexity": 400.0, "codes": 512}) == []
    (warning,) = diagnose({"rate": 300.0, "perplexity": 1.8, "codes": 512})
    assert "perplexity is 1.8 of 512" in warning
    assert "--quantiser ema" in warning


@pytest.mark.parametrize(
    ("kind", "expected", "grid", "codes"),
    [
        ("ema", MovingCodebook, (2, 2), 512),
        ("gradient", Codebook, (2, 2), 512),
        ("residual", ResidualQuantiser, (4, 2, 2), 512),
        ("fsq", FiniteScalar, (2, 2), 1000),
    ],
)
def test_quantisers_by_name(kind, expected, grid, codes):
    for prior, part in (("uniform", UniformCodes), ("pixelcnn", PixelCNNPrior)):
        plan = get("vq-vae")(DIGITS, quantiser=kind, prior=prior)
        assert type(plan.model.quantiser) is expected
        assert isinstance(plan.model.prior, part)
        assert plan.model.latent().event_shape == grid
        assert plan.model.quantiser.codes == codes
        assert [stage.name for stage in plan.stages] == (["prior"] if prior == "pixelcnn" else [])


def test_the_parts_are_the_papers():
    cifar = DataSpec("cifar10", (3, 32, 32), 256, "gaussian", 50_000, 10)
    plan = get("vq-vae")(cifar, channels=(256, 256))
    model = plan.model
    assert isinstance(model, VectorQuantized)
    assert model.quantiser.weight.shape == (512, 64)
    assert (model.quantiser.decay, model.objective.weights()) == (0.99, {"commitment": 0.25})
    assert model.latent().event_shape == (8, 8)
    assert model.encoder.out_shape == (64, 8, 8)
    assert get("vq-vae")(cifar, kmeans=False).model.first_look == 0
    conditional = get("vq-vae")(cifar, conditional=True).model
    assert conditional.conditional
    assert conditional.latent(torch.arange(4)).batch_shape == (4,)


def test_two_grids():
    torch.manual_seed(0)
    plan = get("vq-vae-2")(DataSpec("faces", (3, 64, 64), 256, "gaussian", 1000), **CODES | {"channels": (8, 8)})
    model = plan.model
    assert isinstance(model.quantiser, TwoLevelQuantiser)
    assert isinstance(model.prior, TwoLevelPrior)
    x = torch.rand(20, 3, 64, 64)
    model.prepare(x)
    before = {name: tensor.clone() for name, tensor in model.quantiser.state_dict().items()}
    loss = model(x)
    loss.loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (not name.startswith("prior.")), name
        assert not parameter.requires_grad or parameter.grad.any(), name
    for name in ("top.weight", "bottom.weight"):
        assert not torch.equal(before[name], model.quantiser.state_dict()[name])
    model.eval()
    z = model.encode(x).mean
    assert z.shape == (20, 16 * 16 + 8 * 8)
    bottom, top = model.quantiser.split(z)
    assert (bottom.shape, top.shape) == ((20, 16, 16), (20, 8, 8))
    assert torch.equal(model.quantiser.counts(z)[1], top.flatten().bincount(minlength=16).float())
    torch.testing.assert_close(model(x).terms["elbo"], model.elbo(x), rtol=1e-4, atol=1e-2)
    torch.testing.assert_close(-model.latent().log_prob(z), torch.full((20,), 320 * math.log(16)))
    # The fine codes see the coarse ones, and both reach the decoder.
    other = z.clone()
    other[:, -64:] = (other[:, -64:] + 1) % 16
    assert not torch.equal(model.decode(z).mean, model.decode(other).mean)


@pytest.mark.slow
def test_the_prior_of_two_grids_learns_what_the_coarse_one_says_of_the_fine_one():
    torch.manual_seed(0)
    prior = TwoLevelPrior((4, 4), (2, 2), 4, channels=16, layers=2, epochs=20, batch_size=50, learning_rate=5e-3)
    top = torch.randint(4, (400, 2, 2))
    codes = torch.cat([top.repeat_interleave(2, 1).repeat_interleave(2, 2).flatten(1), top.flatten(1)], 1)
    torch.testing.assert_close(-prior().log_prob(codes), torch.full((400,), 20 * math.log(4)))
    shares = []
    found = prior.fit(codes[:300], 0, held_out=(codes[300:], None), advance=shares.append)
    # The top is random, four codes of log 4 nats; given it the bottom is certain.
    assert found["held_out_nll"] == pytest.approx(4 * math.log(4), abs=1.0)
    assert found["held_out_nll"] == pytest.approx(float(-prior().log_prob(codes[300:]).mean()), rel=1e-3)
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    drawn = prior().sample((3, 20))
    assert drawn.shape == (3, 20, 20)
    assert prior().log_prob(drawn).shape == (3, 20)
    flat = drawn.flatten(0, 1)
    above = flat[:, 16:].view(-1, 2, 2).repeat_interleave(2, 1).repeat_interleave(2, 2).flatten(1)
    assert (above == flat[:, :16]).double().mean() > 0.9
    assert prior().support.check(drawn).all()


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("vq-vae", {"quantiser": "vq"}, "unknown quantiser 'vq'; expected 'ema' or"),
        ("vq-vae", {"prior": "gaussian"}, "unknown prior 'gaussian'"),
        ("vq-vae", {"codes": 0}, "there are 0 codes of size 64"),
        ("vq-vae", {"commitment": -1.0}, "commitment is -1"),
        ("vq-vae", {"channels": ()}, "one or more convolutions"),
        ("vq-vae", {"quantiser": "fsq", "levels": (1,)}, "at least 2 of each"),
        ("vq-vae", {"quantiser": "residual", "depth": 0}, "at least 1 book"),
        ("vq-vae-2", {"decay": 2.0}, r"decay is 2\.0"),
    ],
)
def test_wrong_arguments_are_refused(name, arguments, words):
    with pytest.raises(RequestError, match=words):
        get(name)(DIGITS, **arguments)


def plan_of(seed=0, **options):
    torch.manual_seed(seed)
    return get("vq-vae")(DIGITS, **CODES, epochs=1, prior="uniform", **options)


def test_a_run_that_was_stopped_and_resumed_is_the_run_that_was_not(tmp_path, monkeypatch):
    import signal

    data = load_dataset("digits")
    whole = fit(plan_of(), data, directory=tmp_path / "whole", progress=False)
    steps, original = 0, VectorQuantized.forward

    def stopping(self, *arguments, **options):
        nonlocal steps
        steps += self.training
        if steps == 7 and self.training:
            signal.raise_signal(signal.SIGINT)
        return original(self, *arguments, **options)

    monkeypatch.setattr(VectorQuantized, "forward", stopping)
    with pytest.raises(Interrupted):
        fit(plan_of(), data, directory=tmp_path / "parts", progress=False)
    monkeypatch.undo()
    resumed = fit(plan_of(5), data, directory=tmp_path / "parts", resume=True, progress=False)
    ours, theirs = whole.model.state_dict(), resumed.model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert whole.history["validation_perplexity"] == resumed.history["validation_perplexity"]


SCRIPT = """
import sys, torch, vaekit
from vaekit.plan import DataSpec
from vaekit.recipes import get

out, devices = sys.argv[1], int(sys.argv[2])
data = vaekit.load_dataset("digits")
options = {"codes": 16, "code_dim": 4, "channels": (8,), "blocks": 1, "likelihood": "gaussian", "prior": "uniform"}
torch.manual_seed(7)
# Without expiry nothing is random: only then are the draws not shared out differently.
plan = get("vq-vae")(DataSpec.of(data), **options, epochs=2, expire=float(sys.argv[3]))
vaekit.train(plan, data, out=out, devices=devices, strategy="ddp" if devices > 1 else "auto", nll_samples=0,
             progress=False)
"""


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_available(), reason="PyTorch was built without distributed")
@pytest.mark.parametrize("expire", ["0", "0.3"])
def test_two_processes_are_one(tmp_path, expire):
    (tmp_path / "script.py").write_text(SCRIPT)
    for devices in ("1", "2"):
        command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path / devices), devices, expire]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=140, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        assert done.returncode == 0, done.stderr[-2000:]
    from safetensors.torch import load_file

    one, two = (load_file(tmp_path / devices / "model.safetensors") for devices in "12")
    assert two["quantiser.sizes"].sum() == pytest.approx(float(one["quantiser.sizes"].sum()), rel=1e-3)
    if expire == "0":
        for name in one:
            torch.testing.assert_close(two[name], one[name], rtol=1e-2, atol=1e-3)


@pytest.mark.slow
def test_codes_stay_in_use_where_the_plain_codebook_collapses():
    data = load_dataset("digits")
    shares = {}
    for kind, options in {"ema": {}, "gradient": {"kmeans": False}}.items():
        torch.manual_seed(0)
        plan = get("vq-vae")(
            DIGITS,
            codes=64,
            code_dim=16,
            channels=(16,),
            quantiser=kind,
            epochs=6,
            prior="uniform",
            **options,
        )
        found = fit(plan, data, progress=False)
        shares[kind] = found.history["validation_perplexity"][-1] / 64
    assert shares["ema"] >= 0.6
    assert shares["gradient"] < 0.2
