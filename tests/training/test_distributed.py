r"""Two processes that share a batch are one process with the whole batch."""

import json
import math
import os
import runpy
import subprocess
import sys
import textwrap

import pytest
import torch

from vaekit.runs import Run

pytestmark = pytest.mark.skipif(not torch.distributed.is_available(), reason="PyTorch was built without distributed")

SCRIPT = """
import signal, sys
import torch
import vaekit
from vaekit.distributions import Conditional, Gaussian, Point, StandardNormal
from vaekit.models import VAE
from vaekit.networks import MLP

# No noise anywhere: only then are the draws not shared out differently.
out, devices = sys.argv[1], int(sys.argv[2])
torch.manual_seed(7)
posterior, likelihood = Point(3), Gaussian((1, 8, 8))
model = VAE(
    Conditional(MLP((1, 8, 8), posterior.parameter_shape, (8,), "tanh"), posterior),
    Conditional(MLP((3,), likelihood.parameter_shape, (8,), "tanh"), likelihood),
    StandardNormal(3),
)
run = vaekit.train(
    model, "digits", out=out, devices=devices, strategy="ddp" if devices > 1 else "auto", epochs=3, batch_size=100,
    learning_rate=0.01, weight_decay=0.5, nll_samples=0, progress=False,  # the decay tells a gradient from twice it
)
assert run.metrics["test"]["images"] == 359  # what one process writes is there for all
"""


def start(folder, *words, script=None):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "vaekit"]
    if script is not None:
        (folder / "script.py").write_text(textwrap.dedent(script))
        command = [sys.executable, str(folder / "script.py")]
    return subprocess.run([*command, *words], capture_output=True, text=True, timeout=120, env=environment, cwd=folder)


def test_two_processes_are_one(tmp_path, monkeypatch, no_report):
    done = start(tmp_path, "run2", "2", script=SCRIPT)
    assert done.returncode == 0, done.stderr
    monkeypatch.setattr(sys, "argv", ["script.py", str(tmp_path / "run1"), "1"])
    runpy.run_path(str(tmp_path / "script.py"))
    two, one = (Run(tmp_path / f"run{devices}") for devices in "21")
    assert one.config["training"]["devices"] == 1
    from safetensors.torch import load_file

    weights = [load_file(run.directory / "model.safetensors") for run in (one, two)]
    for name in weights[0]:
        torch.testing.assert_close(weights[1][name], weights[0][name], rtol=1e-3, atol=1e-4)
    for column, values in one.history.items():
        if column != "seconds":
            assert two.history[column] == pytest.approx(values, rel=1e-4), column
    assert two.metrics["test"]["distortion"] == pytest.approx(one.metrics["test"]["distortion"], rel=1e-4)
    assert one.metrics["training"]["steps"] == two.metrics["training"]["steps"] == 36


TRAIN = ["train", "vae", "--data", "digits", "--hidden", "8", "--latent-dim", "2", "--nll-samples", "0"]
SHARED = [*TRAIN, "--devices", "2", "--strategy", "ddp"]


@pytest.mark.slow
def test_the_command_line_says_everything_once(tmp_path):
    done = start(tmp_path, *SHARED, "--epochs", "2", "--out", "run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("test: 359 examples") == 1
    assert done.stdout.count("report: ") == 1
    assert done.stderr.count("epoch 2/2") == 1
    assert done.stderr.count("\n") == 2, done.stderr
    command = json.loads((tmp_path / "run" / "config.json").read_text())["command"]
    assert "--devices 2 --strategy ddp" in command


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["factor-vae", "aae"])
def test_a_model_of_two_phases_is_shared(tmp_path, recipe):
    words = [*TRAIN[2:], "--devices", "2", "--strategy", "ddp", "--rival-hidden", "8", "--epochs", "2"]
    done = start(tmp_path, "train", recipe, *words, "--out", "run", "--no-progress")
    assert done.returncode == 0, done.stderr
    history = Run(tmp_path / "run").history
    losses = [column for column in history if "discriminator" in column]
    assert losses
    assert all(math.isfinite(value) for column in losses for value in history[column])


STOP = """
import os, signal, sys
from vaekit import cli
from vaekit.data.transforms import Binarise
import torch

original, steps = Binarise.__call__, 0

def call(self, x, generator=None):
    global steps
    steps += torch.is_grad_enabled()
    if steps == 15 and os.environ.get("LOCAL_RANK") == "1":  # one process alone is told to stop
        steps += 1
        signal.raise_signal(signal.SIGTERM)
    return original(self, x, generator)

Binarise.__call__ = call
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_shared_run_is_resumed_exactly(tmp_path):
    words = [*SHARED, "--epochs", "4", "--no-progress"]
    assert start(tmp_path, *words, "--out", "whole").returncode == 0
    done = start(tmp_path, *words, "--out", "parts", script=STOP)
    assert done.returncode == 130, done.stderr
    assert done.stderr == "interrupted: stopped in epoch 2 of 4; go on with the same command and --resume\n"
    done = start(tmp_path, *words, "--out", "parts", "--resume")
    assert done.returncode == 0, done.stderr
    whole, parts = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "parts"))
    assert whole == parts
    histories = [Run(tmp_path / name).history for name in ("whole", "parts")]
    assert {**histories[0], "seconds": 0} == {**histories[1], "seconds": 0}


@pytest.mark.slow
def test_an_error_of_a_shared_run_is_said_once(tmp_path):
    done = start(tmp_path, *SHARED, "--epochs", "2", "--out", "run", "--learning-rate", "1e20", "--no-progress")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert "no longer finite" in done.stderr
