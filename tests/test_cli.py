r"""The command line, as a user meets it."""

import inspect
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from vaekit import api, cli, recipes
from vaekit.cli import main
from vaekit.runs import Run, RunState

TRAIN = ["train", "vae", "--data", "digits", "--epochs", "2", "--hidden", "8", "--latent-dim", "2"]
TRAIN += ["--nll-samples", "0", "--no-progress"]


def python(code, **options):
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, **options).stdout


# Startup.


@pytest.mark.parametrize(
    "code",
    [
        "import vaekit; vaekit.__version__; dir(vaekit); from vaekit import RequestError",
        "from vaekit.cli import main; main(['--help'])",
        "from vaekit.cli import main; main(['train', '--help'])",
        "from vaekit.cli import main; main(['recipes']); main(['datasets']); main(['--version'])",
        "from vaekit.cli import main\ntry: main(['train', 'vae', '--help'])\nexcept SystemExit as e: assert not e.code",
        "from vaekit.cli import main\ntry: main(['sample', '--help'])\nexcept SystemExit as e: assert not e.code",
        "from vaekit.cli import main; assert main(['train', 'vae', '--epoch', '3']) == 2",
    ],
)
def test_nothing_heavy_is_imported_to_answer(code):
    heavy = "{'torch', 'lightning_fabric', 'sklearn', 'matplotlib', 'scipy', 'tensorboard'}"
    loaded = python(f"{code}\nimport sys; print('LOADED', sorted({heavy} & set(sys.modules)))")
    assert loaded.splitlines()[-1] == "LOADED []"


# Help.


def shown(capsys, *words):
    try:
        status = main(list(words))
    except SystemExit as stop:
        status = stop.code
    out, err = capsys.readouterr()
    assert (status or 0, err) == (0, "")
    return out


def test_overview_names_every_command(capsys):
    for words in ([], ["--help"], ["-h"], ["help"]):
        out = shown(capsys, *words)
        for name in cli.COMMANDS:
            assert re.search(rf"^  {name}\s+[A-Z]", out, re.MULTILINE)
    assert re.fullmatch(r"vaekit \d+\.\d+.*\n", shown(capsys, "--version"))


def test_lists(capsys):
    out = shown(capsys, "recipes")
    assert all(re.search(rf"^{name}\s+\w", out, re.MULTILINE) for name in recipes.RECIPES)
    assert "mnist-static" in shown(capsys, "datasets")
    assert "iwae-burda" in shown(capsys, "train")


@pytest.mark.parametrize("name", list(recipes.RECIPES))
def test_every_argument_of_a_recipe_is_described(capsys, name):
    from docstring_parser import parse

    function = recipes.get(name)
    described = {p.arg_name: p.description for p in parse(inspect.getdoc(function)).params}
    assert set(described) == set(inspect.signature(function).parameters)
    assert all(len(text or "") > 8 and text.endswith(".") for text in described.values())
    out = shown(capsys, "train", name, "--help")
    general = set(inspect.signature(api.train).parameters) - {"recipe", "on_epoch", "arguments"}
    for argument in {*described, *general}:
        flag = argument.replace("_", "-")
        assert re.search(rf"^  --(no-)?{flag}\b", out, re.MULTILINE), flag
    assert "==SUPPRESS==" not in out
    for noise in ("type:", "Literal", "null", "default:", "Any]", "required"):
        assert noise not in out


def test_every_argument_of_a_command_is_described():
    from docstring_parser import parse

    for function in cli.COMMANDS.values():
        described = {p.arg_name: p.description for p in parse(inspect.getdoc(function)).params}
        assert set(described) == set(inspect.signature(function).parameters), function
        assert all(text and text[0].isupper() and text.endswith(".") for text in described.values()), function


def test_help_reads_well(capsys):
    out = " ".join(shown(capsys, "train", "vae", "--help").split())
    for text in (
        "usage: vaekit train vae [--ARGUMENT VALUE ...]",
        "--latent-dim N Size of z; units that the data do not need stay inactive. [24]",
        "--network {auto,mlp,conv,resnet}",
        "--channels N,N,... Channels of the encoder's convolutions; the decoder has them in reverse. [32,64,64]",
        "--devices N|auto",
        "--compile {auto,yes,no}",
        "--seed N Of every random draw; the same seed gives the same run. [0]",
        "--resume Go on",
        "--data NAME_OR_PATH",
        "--no-progress Do not show progress",
        "Auto-Encoding",
    ):
        assert text in out
    assert "usage: vaekit decode RUN CODES [--ARGUMENT VALUE ...]" in shown(capsys, "decode", "--help")


def test_a_recipes_own_argument_hides_the_general_one(capsys):
    out = shown(capsys, "train", "aevb", "--help")
    assert out.count("--patience") == 1


# Work.


def test_train_prints_a_table_and_where_the_report_is(tmp_path, capsys):
    assert main([*TRAIN, "--out", str(tmp_path / "run"), "--network", "mlp", "--seed", "3"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.count("ELBO") == 1
    for text in ("test: 359 examples", "nats", "active units:", "dynamic binarisation", "best epoch"):
        assert text in out
    assert out.rstrip().endswith(f"report: {tmp_path / 'run' / 'report.html'}")
    run = Run(tmp_path / "run")
    assert run.config["training"]["seed"] == 3
    assert run.config["arguments"]["hidden"] == [8]
    assert run.config["arguments"]["network"] == "mlp"
    assert (tmp_path / "run" / "report.html").is_file()


def test_progress_goes_to_stderr(tmp_path, capsys, no_report):
    assert main([*TRAIN[:-1], "--out", str(tmp_path / "run")]) == 0
    out, err = capsys.readouterr()
    assert "epoch 1/2" in err
    assert "epoch 2/2" in err
    assert "epoch 1/2" not in out


@pytest.mark.parametrize("widths", ["", "[]"])
def test_no_width_is_no_layer_and_the_command_on_record_says_so(tmp_path, capsys, no_report, widths):
    assert main([*TRAIN, "--out", str(tmp_path / "run"), "--hidden", widths, "--epochs", "1"]) == 0
    config = Run(tmp_path / "run").config
    assert config["arguments"]["hidden"] == []
    assert "--hidden ''" in config["command"]


@pytest.mark.parametrize("widths", ["9,7", "[9, 7]", "(9,7)", "9, 7"])
def test_widths_are_read_as_people_write_them(tmp_path, capsys, no_report, widths):
    assert main([*TRAIN, "--out", str(tmp_path / "run"), "--hidden", widths, "--epochs", "1"]) == 0
    assert Run(tmp_path / "run").config["arguments"]["hidden"] == [9, 7]


def test_a_finished_run_that_is_resumed_says_so(run_copy, capsys, listing):
    before = listing(run_copy)
    assert main(["train", "vae", "--resume", "--out", str(run_copy)]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{run_copy} holds a finished run; nothing is left to do")
    assert "ELBO" in out
    assert listing(run_copy) == before


def test_commands_on_a_run(run_copy, tmp_path, capsys):
    run = str(run_copy)
    assert main(["sample", run, "--n", "9", "--seed", "1"]) == 0
    assert capsys.readouterr().out == f"{run_copy / 'samples.png'}\n"
    assert (run_copy / "samples.png").read_bytes().startswith(b"\x89PNG")
    for name in ("a", "b"):
        assert main(["sample", run, "--n", "9", "--seed", "1", "--out", str(tmp_path / f"{name}.npy")]) == 0
    x = np.load(tmp_path / "a.npy")
    assert x.shape == (9, 1, 8, 8)
    assert (x == np.load(tmp_path / "b.npy")).all()
    assert set(np.unique(x)) != {0.0, 1.0}
    assert main(["sample", run, "--n", "9", "--noise", "yes", "--out", str(tmp_path / "n.npy")]) == 0
    assert set(np.unique(np.load(tmp_path / "n.npy"))) == {0.0, 1.0}

    assert main(["encode", run, "--split", "validation"]) == 0
    codes = np.load(run_copy / "codes.npz")
    assert {name: codes[name].shape for name in codes.files} == {"mean": (179, 2), "stddev": (179, 2), "labels": (179,)}
    assert main(["decode", run, str(run_copy / "codes.npz"), "--out", str(tmp_path / "d.npy")]) == 0
    assert main(["reconstruct", run, "--split", "validation", "--n", "0", "--out", str(tmp_path / "r.npy")]) == 0
    decoded, reconstructed = np.load(tmp_path / "d.npy"), np.load(tmp_path / "r.npy")
    assert decoded.shape == (179, 1, 8, 8)
    np.testing.assert_allclose(decoded, reconstructed, atol=1e-6)
    assert main(["reconstruct", run]) == 0
    assert (run_copy / "reconstructions.png").is_file()
    assert main(["sample", run, "--n", "4", "--force"]) == 0


def test_evaluate_prints_and_writes(run_copy, tmp_path, capsys, no_report):
    out = tmp_path / "numbers.json"
    words = [
        "evaluate",
        str(run_copy),
        "--split",
        "validation",
        "--nll-samples",
        "3",
        "--limit",
        "30",
        "--metrics",
        "likelihood",
    ]
    assert main([*words, "--out", str(out)]) == 0
    assert "validation: 30 examples" in capsys.readouterr().out
    assert '"nll_samples": 3' in out.read_text()
    assert "validation_first_30" in Run(run_copy).metrics


def test_vectors_train_and_are_drawn(tmp_path, capsys):
    np.save(tmp_path / "points.npy", np.random.default_rng(0).normal(size=(200, 3)))
    words = ["train", "vae", "--data", str(tmp_path / "points.npy"), "--epochs", "1", "--hidden", "8"]
    assert main([*words, "--nll-samples", "2", "--no-progress", "--out", str(tmp_path / "run")]) == 0
    for command in ("sample", "reconstruct", "encode"):
        assert main([command, str(tmp_path / "run")]) == 0
    assert "Gaussian" not in capsys.readouterr().err


# Stops.


def stop_at(monkeypatch, *epochs, times=1):
    """Send Ctrl-C in the middle of training, at the validation of the given epochs."""
    from vaekit.training import loop

    original, seen = loop.evaluate_terms, []

    def evaluate(*args, **kwargs):
        seen.append(1)
        for _ in range(times if len(seen) in epochs else 0):
            signal.raise_signal(signal.SIGINT)
        return original(*args, **kwargs)

    monkeypatch.setattr(loop, "evaluate_terms", evaluate)


def test_ctrl_c_saves_says_how_to_go_on_and_the_resumed_run_is_the_same(tmp_path, capsys, monkeypatch, no_report):
    assert main([*TRAIN, "--epochs", "3", "--out", str(tmp_path / "whole")]) == 0
    capsys.readouterr()
    with monkeypatch.context() as patch:
        stop_at(patch, 1)
        assert main([*TRAIN, "--epochs", "3", "--out", str(tmp_path / "parts")]) == 130
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "interrupted: stopped in epoch 2 of 3; go on with the same command and --resume\n"
    assert main([*TRAIN, "--epochs", "3", "--out", str(tmp_path / "parts"), "--resume"]) == 0
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "parts")]
    assert weights[0] == weights[1]


def test_a_second_ctrl_c_stops_at_once(tmp_path, capsys, monkeypatch):
    stop_at(monkeypatch, 1, times=2)
    assert main([*TRAIN, "--out", str(tmp_path / "run")]) == 130
    err = capsys.readouterr().err
    assert err == "interrupted: at once; go on from the last checkpoint with the same command and --resume\n"


def test_a_real_process_stops_cleanly(tmp_path):
    run = Run(tmp_path / "run")
    words = [*TRAIN, "--epochs", "100000", "--out", str(run.directory)]
    deadline = time.monotonic() + 300  # the first step may have to be compiled, on a machine that does much else
    with subprocess.Popen([sys.executable, "-m", "vaekit", *words], stderr=subprocess.PIPE, text=True) as process:
        try:
            while not (run.directory / "history.csv").exists():
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
            process.send_signal(signal.SIGTERM)  # and not SIGINT, which a shell may have told its children to ignore
            _, err = process.communicate(timeout=30)
        finally:
            process.kill()  # or it would go on for days
    assert process.returncode == 130
    assert re.fullmatch(r"interrupted: stopped in epoch \d+ of 100000; go on with the same command and --resume\n", err)
    assert run.state is RunState.UNFINISHED
    assert (run.directory / "checkpoints" / "last.safetensors").is_file()


def test_a_reader_that_has_seen_enough_is_no_error():
    command = f"{sys.executable} -m vaekit train vae --help | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: vaekit train vae")


# Requests that cannot be met: exit 2, one line, nothing written.


@pytest.fixture
def place(tmp_path, monkeypatch, finished_run):
    """A folder with a run, a folder of something else and some bad files, to work in."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").symlink_to(finished_run)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine")
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "config.json").write_text('{"format": 1')
    (tmp_path / "file").write_text("mine")
    random = np.random.default_rng(0)
    np.save("points.npy", random.normal(size=(200, 3)))
    np.save("nan.npy", np.full((200, 3), np.nan))
    np.save("infinite.npy", np.array([[0.0, np.inf, 1.0]] * 200))
    (tmp_path / "truncated.npy").write_bytes((tmp_path / "points.npy").read_bytes()[:400])
    np.save("bits.npy", np.zeros((20, 8, 8), np.uint8))
    return tmp_path


def refused(capsys, *words):
    status = main(list(words))
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert "Traceback" not in err
    assert status == 2
    return err


BAD_TRAINING = {
    "--data nope.npy": "'nope.npy', which does not exist",
    "--data digts": "Did you mean 'digits'?",
    "--data truncated.npy": "truncated.npy cannot be read",
    "--data nan.npy": "NaN or infinite",
    "--data infinite.npy": "NaN or infinite",
    "--data points.npy --likelihood bernoulli": "the likelihood expects zeros and ones",
    "--data points.npy --network conv": "shape",
    "--data file": "data is 'file'",
    "--data-options {size": "--data-options is '{size'; expected JSON in braces",
    "--latent-dim 0": "latent_dim is 0",
    "--latent-dim two": "--latent-dim is 'two'; expected a whole number",
    "--latent-dims 2": "unknown argument '--latent-dims'; vaekit train vae --help lists those it takes. Did you mean",
    "--hidden 8,x": "--hidden is '8,x'; expected whole numbers between commas",
    "--hidden -8": "",
    "--network cnn": "--network is 'cnn'; expected one of auto, mlp, conv",
    "--beta x": "--beta is 'x'; expected a number",
    "--beta -1": "beta is -1",
    "--epochs 0": "epochs is 0",
    "--batch-size 1260": "1260 but there are 1259",
    "--learning-rate 0": "learning_rate is 0",
    "--warmup 2": "settles after 2 epochs but training has 2",
    "--seed -3": "seed is -3",
    "--devices none": "--devices is 'none'; expected a whole number or auto",
    "--devices 0": "devices=0",
    "--devices 2 --strategy ddp --batch-size 9": "9, shared by 2 processes",
    "--strategy magic": "strategy='magic'",
    "--precision 64": "--precision is '64'; expected one of",
    "--compile maybe": "expected one of auto, yes, no",
    "--out file": "file is a file; expected a folder",
    "--out file/run": "file is a file; expected a folder",
    "--out notes --force": "notes exists and is no run directory; nothing in it is touched",
    "--out half --force": "half exists and is no run directory; nothing in it is touched",
    "--out run": "run holds a finished run: pass another --out",
    "--out /proc/vaekit": "/proc/vaekit cannot be written",
    "--resume": "no run at new to resume",
    "--out notes --resume": "notes/config.json does not exist",
    "--out half --resume": "config.json is damaged",
    "--out run --resume --seed 1": "seed is 1 but the run to resume has 0",
    "--out run --resume --latent-dim 3": "latent_dim is 3 but the run to resume has 2",
    "--out run --resume --data mnist": "the data are not those that the run to resume was started with",
    "stray": "unknown argument 'stray'",
    "--out": "argument --out: expected one argument",
}


@pytest.mark.parametrize("words", BAD_TRAINING)
def test_a_wrong_training_is_refused_in_one_line(place, capsys, listing, words):
    before = listing(place), listing((place / "run").resolve())
    resuming = ["train", "vae", "--no-progress"] if "--resume" in words else TRAIN
    assert BAD_TRAINING[words] in refused(capsys, *resuming, "--out", "new", *words.split(" "))
    assert (listing(place), listing((place / "run").resolve())) == before


def test_resume_refuses_a_default_that_differs(place, capsys, no_report):
    assert main([*TRAIN, "--out", "seeded", "--seed", "4"]) == 0
    capsys.readouterr()
    err = refused(capsys, "train", "vae", "--resume", "--out", "seeded", "--seed", "0")
    assert "seed is 0 but the run to resume has 4" in err


BAD_COMMANDS = {
    "trian vae": "unknown command 'trian'; expected one of recipes, datasets, train,",
    "train vea": "unknown recipe 'vea'; expected one of vae,",
    "train --data digits": "the first argument of train is '--data'; expected a recipe",
    "sample": "arguments are required: run",
    "sample none": "no run at none",
    "sample notes": "notes is no run directory",
    "sample half": "config.json is damaged",
    "sample file": "file is no run directory",
    "sample run --out x.jpg": "expected a file that ends in .png or .npy",
    "sample run --out none/x.png": "in a folder that does not exist",
    "sample run --out notes/a.txt": "expected a file that ends in",
    "sample run --out points.npy": "points.npy exists: pass another --out, or --force",
    "sample run --n 0 --out x.npy": "n is 0; expected at least 1",
    "sample run --n many": "--n is 'many'; expected a whole number",
    "sample run --m 3": "Did you mean '--n'?",
    "reconstruct run --n -1 --out x.npy": "n is -1",
    "reconstruct run --split tests": "--split is 'tests'; expected one of train, validation, test",
    "encode run --data points.npy": "examples of shape (3,); expected (1, 8, 8)",
    "encode run --data bits.npy": "holds 2 levels; expected 17 levels",
    "encode run --data truncated.npy": "cannot be read",
    'encode run --data digits --data-options {"x":1}': "was given the option 'x'",
    'reconstruct run --data digits --data-options {"x":1}': "was given the option 'x'",
    'evaluate run --data digits --data-options {"x":1}': "was given the option 'x'",
    "encode run --out x.npy": "expected a file that ends in .npz",
    "decode run points.npy": "shape (200, 3); expected (n, 2)",
    "decode run nan.npy": "shape (200, 3)",
    "decode run none.npy": "none.npy does not exist",
    "decode run truncated.npy": "truncated.npy cannot be read",
    "decode run": "arguments are required: codes",
    "evaluate none": "no run at none",
    "evaluate run --data points.npy": "expected (1, 8, 8)",
    "evaluate run --out none/x.json": "a folder that exists",
    "evaluate run --out notes": "expected a file",
    "evaluate run --nll-samples -1": "nll_samples is -1",
    "evaluate run --limit 0": "limit is 0",
    "evaluate run --metrics likelihod": "Did you mean 'likelihood'",
    "evaluate run --metrics disentanglement": "no known factors",
    "evaluate run --metrics generation --limit 20": "expected at least",
    "evaluate run --metrics generation --features incepton": "features are 'incepton'",
    "evaluate run --seed -1": "seed is -1",
}


@pytest.mark.parametrize("words", BAD_COMMANDS)
def test_a_wrong_command_is_refused_in_one_line(place, capsys, listing, words):
    before = listing(place), listing((place / "run").resolve())
    assert BAD_COMMANDS[words] in refused(capsys, *words.split(" "))
    assert (listing(place), listing((place / "run").resolve())) == before


def test_damaged_data_of_the_package_are_named(place, capsys, listing, monkeypatch):
    from vaekit.data import shipped

    monkeypatch.setitem(shipped.SHA256, "train-images-idx3-ubyte.gz", "0" * 64)
    before = listing(place)
    assert "train-images-idx3-ubyte.gz" in refused(capsys, "train", "vae", "--data", "mnist", "--out", "new")
    assert listing(place) == before


def test_divergence_is_one_line(place, capsys):
    err = refused(capsys, *TRAIN, "--out", "new", "--learning-rate", "1e20")
    assert "no longer finite" in err
    assert "--learning-rate" in err


def test_a_fault_of_ours_is_not_hidden(place, capsys, monkeypatch):
    def fault(*args, **kwargs):
        raise ZeroDivisionError("ours")

    monkeypatch.setattr("vaekit.training.loop.evaluate_terms", fault)
    with pytest.raises(ZeroDivisionError, match="ours"):
        main([*TRAIN, "--out", "new"])


def test_another_process_says_nothing_that_the_first_says(place, capsys, monkeypatch):
    from vaekit.errors import Diverged, Interrupted

    monkeypatch.setenv("LOCAL_RANK", "1")
    for error in (Interrupted("x"), Diverged("x")):
        monkeypatch.setattr(cli, "_train", lambda words, error=error: (_ for _ in ()).throw(error))
        assert main(["train", "vae"]) == 0
    assert capsys.readouterr() == ("", "")
    assert os.environ["LOCAL_RANK"] == "1"
    assert torch.get_num_threads() >= 1
