r"""A run that was stopped, or killed, and resumed is the run that never stopped, to the bit."""

import csv
import hashlib
import json
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch

from vaekit.errors import Interrupted, RequestError
from vaekit.schedules import Linear
from vaekit.training import fit, loop, state
from vaekit.training.checkpoint import load_checkpoint

TIMES = ("seconds",)


def weights(outcome):
    return {name: t.clone() for name, t in outcome.model.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def rows(directory):
    with open(directory / "history.csv", newline="") as file:
        return [{k: v for k, v in row.items() if k not in TIMES} for row in csv.DictReader(file)]


# Six steps make an epoch: before the first is over, inside one, at the end of one, and in the last.
@pytest.mark.parametrize("step", [1, 9, 12, 23, 24])
def test_resume_after_a_signal_is_exact(tmp_path, digits, make_plan, signal_at, step):
    options = {"beta": Linear(2), "clip": 1.0, "optimizer": "adamw", "weight_decay": 0.01}
    whole = fit(make_plan(**options), digits, directory=tmp_path / "whole", progress=False)
    with signal_at(step), pytest.raises(Interrupted, match="stopped"):
        fit(make_plan(**options), digits, directory=tmp_path / "parts", progress=False)
    # The weights at the start do not matter, nor does the state of the random generator.
    torch.manual_seed(123)
    resumed = fit(make_plan(seed=5, **options), digits, directory=tmp_path / "parts", resume=True, progress=False)
    assert same(weights(whole), weights(resumed))
    assert rows(tmp_path / "whole") == rows(tmp_path / "parts")
    assert len(rows(tmp_path / "parts")) == 4
    assert whole.facts["best_epoch"] == resumed.facts["best_epoch"]


def test_many_stops_add_up_to_the_same_run(tmp_path, digits, make_plan, signal_at):
    whole = fit(make_plan(select="last"), digits, directory=tmp_path / "whole", progress=False)
    for stops, step in enumerate((5, 1, 6, 7, 2)):
        with signal_at(step, number=signal.SIGTERM), pytest.raises(Interrupted):
            fit(make_plan(select="last"), digits, directory=tmp_path / "parts", resume=stops > 0, progress=False)
    resumed = fit(make_plan(select="last"), digits, directory=tmp_path / "parts", resume=True, progress=False)
    assert same(weights(whole), weights(resumed))
    assert rows(tmp_path / "whole") == rows(tmp_path / "parts")


def test_resume_keeps_patience_and_the_best_weights(tmp_path, digits, make_plan, signal_at, monkeypatch):
    def script(*args, **kwargs):
        with torch.random.fork_rng():
            value = values[len(seen)]
        seen.append(value)
        return {name: torch.full((100,), value) for name in ("elbo", "rate", "distortion")}

    monkeypatch.setattr(loop, "evaluate_terms", script)
    values, seen = [-9.0, -8.0, -8.5, -8.4, -8.3, -1.0], []
    whole = fit(make_plan(epochs=6, patience=3), digits, directory=tmp_path / "whole", progress=False)
    assert whole.facts["stopped"] == "patience"
    seen.clear()
    with signal_at(20), pytest.raises(Interrupted):  # in the fourth epoch, two after the best
        fit(make_plan(epochs=6, patience=3), digits, directory=tmp_path / "parts", progress=False)
    resumed = fit(make_plan(epochs=6, patience=3), digits, directory=tmp_path / "parts", resume=True, progress=False)
    assert (resumed.facts["best_epoch"], resumed.facts["epochs"], resumed.facts["stopped"]) == (2, 5, "patience")
    assert same(weights(whole), weights(resumed))


def test_a_second_signal_interrupts_at_once(tmp_path, digits, make_plan, signal_at):
    with signal_at(1, times=2), pytest.raises(KeyboardInterrupt):
        fit(make_plan(), digits, directory=tmp_path, progress=False)
    assert not (tmp_path / "checkpoints").exists()


def test_signal_handlers_are_put_back(tmp_path, digits, make_plan):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    fit(make_plan(epochs=1), digits, progress=False)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_stop_during_the_last_validation_is_heard(tmp_path, digits, make_plan, monkeypatch):
    def stop(*args, **kwargs):
        signal.raise_signal(signal.SIGINT)
        return original(*args, **kwargs)

    original = loop.evaluate_terms
    monkeypatch.setattr(loop, "evaluate_terms", stop)
    with pytest.raises(Interrupted, match="before the evaluation"):
        fit(make_plan(epochs=1), digits, directory=tmp_path, progress=False)
    assert load_checkpoint(tmp_path / "checkpoints" / "last.safetensors")[1]["progress"]["epoch"] == 1


def test_resume_with_another_model_is_refused(tmp_path, digits, make_plan):
    fit(make_plan(epochs=1), digits, directory=tmp_path, progress=False)
    with pytest.raises(RequestError, match="the model is not like the one of the run"):
        fit(make_plan(point=True, epochs=1), digits, directory=tmp_path, resume=True, progress=False)


KILLED = """
import hashlib, json, os, random, signal, sys
from pathlib import Path
import torch
import torch._dynamo, torch.utils.tensorboard  # here once, and not in every child
import vaekit
from vaekit.data.transforms import Binarise
from vaekit.plan import DataSpec
from vaekit.recipes import get
from vaekit.training import fit, loop, state

root = Path(sys.argv[1])
loop.CHECKPOINT_SECONDS = 0.0
data = vaekit.load_dataset("digits")
get("vae")(DataSpec.of(data), hidden=(8,))  # imports what it needs
write = state.save_checkpoint

def job(name, kill_step=None, kill_write=None):
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1]
    torch.set_num_threads(1)
    resume = (root / name / "checkpoints" / "last.safetensors").exists()
    steps, writes = 0, 0
    original = Binarise.__call__
    def call(self, x, generator=None):
        nonlocal steps
        steps += torch.is_grad_enabled()
        if steps == kill_step:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, x, generator)
    def save(path, tensors, state):
        nonlocal writes
        writes += 1
        if writes == kill_write:  # half a file, under the name it has while it is written
            path.parent.mkdir(exist_ok=True)
            path.with_name(f".{path.name}.{os.getpid()}.tmp").write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
        write(path, tensors, state)
    Binarise.__call__, state.save_checkpoint = call, save
    with torch.random.fork_rng():
        torch.manual_seed(0)
        plan = get("vae")(DataSpec.of(data), hidden=(8,), latent_dim=2, epochs=5, learning_rate=0.01)
    (root / name).mkdir(exist_ok=True)
    outcome = fit(plan, data, directory=root / name, resume=resume, progress=False)
    digest = hashlib.sha256()
    for key, tensor in sorted(outcome.model.state_dict().items()):
        digest.update(tensor.numpy().tobytes())
    (root / f"{name}.txt").write_text(digest.hexdigest())
    os._exit(0)

assert job("whole") == 0
draw = random.Random(int(sys.argv[2]))
kills = {"early": [{"kill_step": 5}], "writing": [{"kill_write": 3}, {"kill_write": 2}]}
kills["random"] = [{"kill_step": draw.randrange(1, 50)} for _ in range(3)]
for name, ways in kills.items():
    for way in ways:
        status = job(name, **way)
        print(name, way, "killed" if os.WIFSIGNALED(status) and os.WTERMSIG(status) == 9 else f"status {status}")
    assert job(name) == 0
"""


def test_resume_after_kill_9_is_exact(tmp_path):
    """Kill at random steps, before the first checkpoint, and while a checkpoint is being written."""
    seed = int(hashlib.sha256(str(time.time()).encode()).hexdigest()[:6], 16)
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"seed {seed}: {done.stderr}"
    for name in ("early", "writing", "random"):
        assert f"{name} {{" in done.stdout
        digests = [(tmp_path / f"{run}.txt").read_text() for run in ("whole", name)]
        assert digests[0] == digests[1], f"seed {seed}: {name} differs\n{done.stdout}"
        assert rows(tmp_path / name) == rows(tmp_path / "whole")
    assert done.stdout.count("killed") >= 4, done.stdout  # a random step may lie beyond the end of a resumed run


def test_a_checkpoint_is_due_after_some_seconds(tmp_path, digits, make_plan, monkeypatch):
    def epochs_at(seconds):
        saved = []
        monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", seconds)
        monkeypatch.setattr(state, "save_checkpoint", lambda path, t, s: saved.append((path.name, s)))
        fit(make_plan(epochs=3), digits, directory=tmp_path / str(seconds), progress=False)
        return [s["progress"]["epoch"] for name, s in saved if name.startswith("last")]

    assert epochs_at(0.0) == [1, 2, 3]
    assert epochs_at(1e9) == [3]


def test_checkpoint_holds_no_pickle_and_readable_state(tmp_path, digits, make_plan):
    fit(make_plan(epochs=2), digits, directory=tmp_path, progress=False)
    path = tmp_path / "checkpoints" / "last.safetensors"
    header = path.read_bytes()
    content = json.loads(header[8 : 8 + int.from_bytes(header[:8], "little")])
    state = json.loads(content["__metadata__"]["state"])
    assert state["progress"]["epoch"] == 2
    assert [row["epoch"] for row in state["history"]] == [1, 2]
    assert sorted(p.name for p in path.parent.iterdir()) == ["best.safetensors", "last.safetensors"]


@pytest.mark.slow
def test_resume_is_exact_when_compiled(tmp_path, digits, make_plan, signal_at, monkeypatch):
    whole = fit(make_plan(), digits, directory=tmp_path / "whole", compile=True, progress=False)
    assert whole.facts["compiled"]
    torch.compiler.reset()
    stops = []

    def stop(row):
        stops.append(row)
        if len(stops) == 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted):
        fit(make_plan(), digits, directory=tmp_path / "parts", compile=True, progress=False, on_epoch=stop)
    torch.compiler.reset()
    # Compiled, although not asked to be: a run goes on as it began.
    resumed = fit(make_plan(), digits, directory=tmp_path / "parts", compile=False, resume=True, progress=False)
    assert resumed.facts["compiled"]
    assert same(weights(whole), weights(resumed))
    assert rows(tmp_path / "whole") == rows(tmp_path / "parts")


def test_history_of_the_run_is_where_it_should_be(tmp_path, digits, make_plan):
    fit(make_plan(epochs=1), digits, directory=tmp_path, progress=False)
    assert {path.name.split(".")[0] for path in Path(tmp_path).iterdir()} == {"checkpoints", "history", "events"}
