r"""Training and evaluating from Python."""

import inspect
import shlex
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal

import vaekit
from vaekit import api, cli, recipes
from vaekit.data import from_arrays, load_dataset
from vaekit.data.transforms import Binarise, Identity, Scale
from vaekit.distributions import Bernoulli, Conditional, DiagonalGaussian, Gaussian, Point, StandardNormal
from vaekit.errors import Diverged, Interrupted, RequestError
from vaekit.models import VAE
from vaekit.networks import MLP
from vaekit.plan import Plan
from vaekit.runs import Run, RunState

pytestmark = pytest.mark.usefixtures("no_report")


class Encoder(nn.Module):
    """A part that knows nothing of vaekit."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 4))

    def forward(self, x, context=None):
        mean, log_scale = self.net(x).chunk(2, -1)
        return Independent(Normal(mean, log_scale.exp()), 1)


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 3))

    def forward(self, z, context=None):
        return Independent(Normal(self.net(z), 0.5), 1)


class Prior(nn.Module):
    zero: torch.Tensor

    def __init__(self):
        super().__init__()
        self.register_buffer("zero", torch.zeros(2))

    def forward(self, context=None):
        return Independent(Normal(self.zero, 1.0), 1)


def own_model(seed=0):
    torch.manual_seed(seed)
    return VAE(Encoder(), Decoder(), Prior())


def points():
    return load_dataset("swiss-roll", n=500)


OWN = {"epochs": 3, "batch_size": 50, "nll_samples": 5, "progress": False}


def test_a_model_of_ones_own_trains_evaluates_samples_and_loads(tmp_path):
    model = own_model()
    run = vaekit.train(model, points(), out=tmp_path / "run", **OWN)
    assert run.model is model
    assert run.state is RunState.COMPLETE
    test = run.metrics["test"]
    assert test["elbo"] <= -test["nll"] + 3 * test["nll_se"]
    assert run.history["train_elbo"][-1] > run.history["train_elbo"][0]
    assert run.model.sample(7).shape == (7, 3)
    x = torch.from_numpy(points().test.x[:5])
    with pytest.raises(RequestError, match=r"model of its own.*vaekit\.load\(run, model=model\)"):
        vaekit.load(tmp_path / "run")
    loaded = vaekit.load(tmp_path / "run", model=own_model(seed=9))
    assert torch.equal(loaded.encode(x).mean, model.encode(x).mean)
    assert not loaded.training
    other = own_model()
    other.encoder.net[0] = nn.Linear(3, 17)
    with pytest.raises(RequestError, match="does not fit the weights"):
        vaekit.load(tmp_path / "run", model=other)
    config = run.config
    assert config["recipe"] is None
    assert config["arguments"]["model"] == "VAE"
    assert config["arguments"]["epochs"] == 3
    assert config["command"] == ""


def test_a_point_posterior_has_no_likelihood_and_no_trouble(tmp_path, monkeypatch):
    monkeypatch.undo()  # the report too
    posterior, likelihood = Point(2), Gaussian((3,))
    model = VAE(
        Conditional(MLP((3,), posterior.parameter_shape, (8,)), posterior),
        Conditional(MLP((2,), likelihood.parameter_shape, (8,)), likelihood),
        StandardNormal(2),
    )
    run = vaekit.train(model, points(), out=tmp_path / "run", **OWN)
    assert "nll" not in run.metrics["test"]
    assert (run.directory / "report.html").is_file()


def test_a_plan_says_everything(tmp_path):
    plan = Plan(own_model(), Identity(), epochs=2, batch_size=25, select="last")
    run = vaekit.train(plan, points(), out=tmp_path / "run", nll_samples=0, progress=False, clip=3.0)
    assert run.metrics["training"]["steps"] == 2 * (400 // 25)
    assert run.config["arguments"]["clip"] == 3.0
    with pytest.raises(RequestError, match="a plan was given with arguments epochs: set them in the plan"):
        vaekit.train(plan, points(), out=tmp_path / "other", epochs=3)


def test_on_epoch_gets_every_row(tmp_path, tiny):
    rows = []
    run = vaekit.train("vae", "digits", out=tmp_path / "run", on_epoch=rows.append, **tiny)
    assert [row["epoch"] for row in rows] == [1, 2]
    assert run.history["validation_elbo"] == [row["validation_elbo"] for row in rows]


def test_a_run_is_complete_and_says_what_was_asked(tmp_path, tiny):
    run = vaekit.train("vae", "digits", out=tmp_path / "run", seed=3, clip=1.0, **tiny)
    config = run.config
    signature = inspect.signature(recipes.get("vae")).parameters
    assert set(config["arguments"]) == set(signature) - {"data"}
    assert config["arguments"]["hidden"] == [8]
    assert config["training"] == {**api.SETTINGS, "seed": 3, "clip": 1.0, "nll_samples": 0}
    assert config["data"]["fingerprint"] == load_dataset("digits").fingerprint
    assert {"vaekit", "torch", "python"} <= set(config["versions"])
    assert set(run.metrics) == {"training", "test"}
    assert run.metrics["training"]["steps"] == 2 * 12


@pytest.mark.parametrize(
    ("recipe", "arguments"),
    [
        ("vae", {"seed": 5, "beta": 2.0, "warmup": 1.0, "clip": 0.5, "compile": False, "hidden": (8, 6)}),
        ("aevb", {"hidden": (8,), "patience": 1, "learning_rate": 0.05, "estimator": "monte-carlo"}),
        ("iwae-burda", {"k": 2, "batch_size": 100}),
    ],
)
def test_the_command_gives_the_same_weights(tmp_path, recipe, arguments):
    arguments = {"epochs": 3, "latent_dim": 2, "nll_samples": 0, **arguments}
    run = vaekit.train(recipe, "digits", out=tmp_path / "a b", progress=False, **arguments)
    words = shlex.split(run.config["command"])
    assert words[:3] == ["vaekit", "train", recipe]
    assert words[words.index("--out") + 1] == str(tmp_path / "a b")
    words[words.index("--out") + 1] = str(tmp_path / "again")
    assert cli.main([*words[1:], "--no-progress"]) == 0
    again = Run(tmp_path / "again")
    first, second = (r.model.state_dict() for r in (Run(tmp_path / "a b"), again))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert again.config["arguments"] == run.config["arguments"]
    assert again.config["training"] == run.config["training"]


def test_the_command_has_the_options_of_the_data(tmp_path, tiny):
    run = vaekit.train("vae", "swiss-roll", out=tmp_path / "a", data_options={"n": 500, "seed": 4}, **tiny)
    words = shlex.split(run.config["command"])
    words[words.index("--out") + 1] = str(tmp_path / "b")
    assert cli.main([*words[1:], "--no-progress"]) == 0
    assert Run(tmp_path / "b").config["data"] == run.config["data"]


def test_a_name_stays_a_name_beside_a_folder_of_that_name(tmp_path, tiny, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    run = vaekit.train("vae", "digits", out="run", **tiny)
    assert run.config["data"]["reference"] == "digits"
    assert len(Run("run").data.train) == 1259


def test_arrays_have_no_command_and_are_asked_for(tmp_path, tiny):
    x = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    run = vaekit.train("vae", x, out=tmp_path / "run", **tiny)
    assert run.config["command"] == ""
    with pytest.raises(RequestError, match=r"trained on arrays in memory.*pass the data"):
        vaekit.evaluate(tmp_path / "run")
    numbers = vaekit.evaluate(tmp_path / "run", x, nll_samples=0, metrics="likelihood", progress=False)
    assert numbers["images"] == len(from_arrays(x).test)


def test_one_test_example_is_enough(tmp_path, tiny, monkeypatch):
    monkeypatch.undo()  # the figures of one example too
    data = from_arrays(np.random.default_rng(0).normal(size=(9, 5)))
    assert len(data.test) == 1
    run = vaekit.train("vae", data, out=tmp_path / "run", batch_size=2, **{**tiny, "latent_dim": 3})
    assert run.metrics["test"]["elbo_se"] is None


def test_nothing_global_is_changed_by_a_training(tmp_path, tiny):
    torch.manual_seed(1)
    np.random.seed(1)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    vaekit.train("vae", "digits", out=tmp_path / "run", **tiny)
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()


# Resuming.


def stop_after(epoch):
    """Stop a training at the end of an epoch, as Ctrl-C would."""
    import signal

    def on_epoch(row):
        if row["epoch"] == epoch:
            signal.raise_signal(signal.SIGINT)

    return on_epoch


@pytest.fixture
def stopped(tmp_path, tiny):
    """A run of the recipe vae with a seed of its own, stopped in its second epoch of three."""
    arguments = {**tiny, "epochs": 3, "seed": 4, "clip": 2.0}
    with pytest.raises(Interrupted):
        vaekit.train("vae", "digits", out=tmp_path / "run", on_epoch=stop_after(1), **arguments)
    return tmp_path / "run", arguments


def test_resume_needs_no_argument_and_finishes_the_same_run(tmp_path, stopped):
    directory, arguments = stopped
    whole = vaekit.train("vae", "digits", out=tmp_path / "whole", **arguments)
    run = vaekit.train("vae", out=directory, resume=True, progress=False)
    assert run.state is RunState.COMPLETE
    assert (directory / "model.safetensors").read_bytes() == (tmp_path / "whole" / "model.safetensors").read_bytes()
    tests = [{k: v for k, v in r.metrics["test"].items() if k != "seconds"} for r in (run, whole)]
    assert tests[0] == tests[1]
    again = vaekit.train("vae", "digits", out=directory, resume=True, **arguments)
    assert again.metrics == run.metrics


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"beta": 3.0}, "beta is 3.0 but the run to resume has 1.0"),
        ({"hidden": (9,)}, r"hidden is \[9\] but the run to resume has \[8\]"),
        ({"seed": 5}, "seed is 5 but the run to resume has 4"),
        ({"clip": 1.0}, "clip is 1.0 but the run to resume has 2.0"),
        ({"patience": 2}, "patience is 2 but the run to resume has None"),
        ({"precision": "bf16-mixed"}, "precision is 'bf16-mixed' but"),
        ({"devices": 2}, "devices is 2 but"),
        ({"compile": True}, "compile is True but"),
        ({"nll_samples": 7}, "nll_samples is 7 but"),
        ({"data": "swiss-roll"}, "the data are not those that the run to resume was started with"),
        ({"epoch": 3}, "has no argument 'epoch'.* Did you mean 'epochs'"),
        ({"recipe": "aevb"}, "is of recipe 'vae'; expected that, not recipe 'aevb'"),
    ],
)
def test_resume_with_another_argument_is_refused(stopped, listing, given, message):
    directory, _ = stopped
    before = listing(directory)
    with pytest.raises(RequestError, match=message):
        vaekit.train(**{"recipe": "vae", "out": directory, "resume": True, "progress": False, **given})
    assert listing(directory) == before


def test_resume_before_the_first_checkpoint_begins_again(tmp_path, stopped):
    directory, arguments = stopped
    for path in (directory / "checkpoints").iterdir():
        path.unlink()
    (directory / ".config.json.99.tmp").write_text("half")
    (directory / "checkpoints" / ".last.safetensors.99.tmp").write_text("half")
    vaekit.train("vae", out=directory, resume=True, progress=False)
    vaekit.train("vae", "digits", out=tmp_path / "whole", **arguments)
    assert (directory / "model.safetensors").read_bytes() == (tmp_path / "whole" / "model.safetensors").read_bytes()
    assert list(directory.rglob(".*")) == []


def test_resume_finishes_an_evaluation(run_copy):
    before = Run(run_copy).metrics
    weights = (run_copy / "model.safetensors").read_bytes()
    (run_copy / "metrics.json").unlink()
    assert Run(run_copy).state is RunState.TRAINED
    run = vaekit.train("vae", out=run_copy, resume=True, progress=False)
    assert (run_copy / "model.safetensors").read_bytes() == weights
    assert run.metrics["test"]["elbo"] == before["test"]["elbo"]
    assert run.metrics["training"] == before["training"]


def test_a_model_without_checkpoint_is_told_what_to_do(run_copy):
    (run_copy / "metrics.json").unlink()
    (run_copy / "checkpoints" / "last.safetensors").unlink()
    with pytest.raises(RequestError, match="no checkpoint: finish it with `vaekit evaluate"):
        vaekit.train("vae", out=run_copy, resume=True, progress=False)


def test_a_damaged_checkpoint_stops_the_resuming(stopped):
    directory, _ = stopped
    (directory / "checkpoints" / "last.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(RequestError, match=r"last\.safetensors is damaged"):
        vaekit.train("vae", out=directory, resume=True, progress=False)


def test_resume_of_nothing(tmp_path):
    with pytest.raises(RequestError, match=r"no run at .* to resume"):
        vaekit.train("vae", out=tmp_path / "none", resume=True)


def test_a_model_of_ones_own_is_resumed_exactly(tmp_path):
    whole = vaekit.train(own_model(), points(), out=tmp_path / "whole", **OWN)
    with pytest.raises(Interrupted):
        vaekit.train(own_model(), points(), out=tmp_path / "parts", on_epoch=stop_after(2), **OWN)
    with pytest.raises(RequestError, match="batch_size is 25 but the run to resume has 50"):
        vaekit.train(own_model(), points(), out=tmp_path / "parts", resume=True, batch_size=25)
    with pytest.raises(RequestError, match="of a model made in Python; expected that, not recipe 'vae'"):
        vaekit.train("vae", points(), out=tmp_path / "parts", resume=True)
    plan = Plan(own_model(), Identity(), epochs=4, batch_size=50)
    with pytest.raises(RequestError, match="epochs is 4 but the run to resume has 3"):
        vaekit.train(plan, points(), out=tmp_path / "parts", resume=True)
    # Neither the epochs nor the batch size need be said again.
    parts = vaekit.train(own_model(seed=3), points(), out=tmp_path / "parts", resume=True, progress=False)
    first, second = whole.model.state_dict(), parts.model.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_stop_during_the_evaluation_can_be_resumed(tmp_path, tiny, monkeypatch):
    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("vaekit.evaluation.evaluate_model", stop)
        with pytest.raises(Interrupted, match="during the evaluation"):
            vaekit.train("vae", "digits", out=tmp_path / "run", **tiny)
    assert Run(tmp_path / "run").state is RunState.TRAINED
    assert vaekit.train("vae", out=tmp_path / "run", resume=True, progress=False).state is RunState.COMPLETE


# Requests that cannot be met.


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"recipe": "vea"}, "unknown recipe 'vea'.* Did you mean 'vae'"),
        ({"latent_dims": 3}, "vae has no argument 'latent_dims'.* Did you mean 'latent_dim'"),
        ({"latent_dim": 0}, "latent_dim is 0"),
        ({"epochs": 0}, "epochs is 0; expected"),
        ({"batch_size": 1260}, "1260 but there are 1259 training examples"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"warmup": 9.0}, "settles after 9 epochs but training has 2"),
        ({"clip": 0.0}, "clip is 0.0"),
        ({"patience": 0}, "patience is 0"),
        ({"seed": -1}, r"seed is -1; expected an integer from 0 to 2\^32 - 1"),
        ({"seed": 2**32}, "seed is 4294967296"),
        ({"nll_samples": -1}, "nll_samples is -1"),
        ({"precision": "bf16"}, "precision is 'bf16'.* Did you mean 'bf16-mixed'"),
        ({"devices": 0}, "devices=0 with strategy='auto' cannot be had here"),
        ({"devices": "many"}, "devices='many'"),
        ({"strategy": "dpp"}, "strategy='dpp' cannot be had"),
        ({"devices": 2, "strategy": "ddp", "batch_size": 99}, "99, shared by 2 processes"),
        ({"data": "digit"}, "data is 'digit'.* Did you mean 'digits'"),
        ({"data_options": {"size": 3}}, "option 'size'"),
        ({"likelihood": "bernouli"}, "Did you mean 'bernoulli'"),
        ({"data": "swiss-roll", "likelihood": "bernoulli"}, "expects zeros and ones"),
        ({"data": "swiss-roll", "likelihood": "continuous-bernoulli"}, "expects numbers from 0 to 1"),
        ({"data": np.full((50, 3), np.nan)}, "NaN or infinite"),
        ({"data": np.array([[1.0, np.inf]] * 50)}, "NaN or infinite"),
        ({"network": "conv", "data": "swiss-roll"}, "shape"),
    ],
)
def test_a_wrong_request_writes_nothing(tmp_path, tiny, monkeypatch, given, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RequestError, match=message):
        vaekit.train(**{"recipe": "vae", "data": "digits", "out": tmp_path / "a" / "run", **tiny, **given})
    assert list(tmp_path.iterdir()) == []


def test_precision_that_a_cpu_does_not_have(tmp_path, tiny, recwarn):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(RequestError, match=r"16-mixed.*pass --precision bf16-mixed"):
        vaekit.train("vae", "digits", out=tmp_path / "run", precision="16-mixed", **tiny)
    assert not [w for w in recwarn if "AMP" in str(w.message)]
    assert list(tmp_path.iterdir()) == []


def test_an_argument_that_a_plan_does_not_have(tmp_path):
    with pytest.raises(RequestError, match=r"no argument 'epoch'.* Did you mean 'epochs'"):
        vaekit.train(own_model(), points(), out=tmp_path / "run", epoch=3)


def test_divergence_is_an_error_of_the_request(tmp_path, tiny):
    with pytest.raises(Diverged, match="--learning-rate"):
        vaekit.train("vae", "digits", out=tmp_path / "run", learning_rate=1e20, **tiny)
    assert Run(tmp_path / "run").state is RunState.UNFINISHED


def test_encode_says_which_shape_it_wants(finished_run):
    model = vaekit.load(finished_run)
    with pytest.raises(RequestError, match=r"input has shape \(2, 64\); expected \(batch, 1, 8, 8\)"):
        model.encode(torch.zeros(2, 64))


def test_evaluate_adds_to_the_metrics_and_leaves_the_rest(run_copy):
    before = Run(run_copy).metrics
    numbers = vaekit.evaluate(
        run_copy, split="validation", nll_samples=5, limit=20, metrics="likelihood", progress=False
    )
    after = Run(run_copy).metrics
    assert numbers["images"] == 20
    assert after["validation_first_20"] == {**numbers, "unit_rates": after["validation_first_20"]["unit_rates"]}
    assert {k: after[k] for k in before} == before
    elsewhere = vaekit.evaluate(run_copy, "digits", nll_samples=0, metrics="likelihood", progress=False)
    assert elsewhere["elbo"] == before["test"]["elbo"]
    assert Run(run_copy).metrics == after


def test_a_likelihood_measured_again_drops_its_numbers_and_keeps_other_families(run_copy):
    options = {"split": "validation", "progress": False}
    vaekit.evaluate(run_copy, metrics="likelihood,code-use", nll_samples=5, **options)
    before = Run(run_copy).metrics["validation"]
    assert {"nll", "nll_se", "nll_samples", "ess", "bound_5"} < before.keys()
    vaekit.evaluate(run_copy, metrics="likelihood", nll_samples=0, **options)
    after = Run(run_copy).metrics["validation"]
    assert after["code_use"] == before["code_use"]
    assert not [name for name in after if name.startswith(("nll", "ess", "bound"))]
    assert "importance samples" not in after["protocol"]
    # Another family leaves the likelihood as it is.
    vaekit.evaluate(run_copy, metrics="reconstruction", nll_samples=0, **options)
    last = Run(run_copy).metrics["validation"]
    assert last["code_use"] == before["code_use"]
    assert {name: last[name] for name in after if name != "warnings"} == {
        name: after[name] for name in after if name != "warnings"
    }


def test_overfitting_is_told_from_the_log_of_the_run(run_copy):
    lines = (run_copy / "history.csv").read_text().splitlines()
    names = lines[0].split(",")
    best = Run(run_copy).metrics["training"]["best_epoch"]
    rows = [dict(zip(names, line.split(","), strict=True)) for line in lines[1:]]
    for row in rows:
        gap = 50 if int(row["epoch"]) == best else 0
        row["train_elbo"] = str(float(row["validation_elbo"]) + gap)
    (run_copy / "history.csv").write_text("\n".join([lines[0], *(",".join(row.values()) for row in rows)]) + "\n")
    options = {"metrics": "likelihood", "nll_samples": 0, "progress": False}
    numbers = vaekit.evaluate(run_copy, **options)
    assert any("overfits: the bound is 50.00 nats lower" in warning for warning in numbers["warnings"])
    assert numbers["warnings"] == Run(run_copy).metrics["test"]["warnings"]
    assert "train_elbo" not in Run(run_copy).metrics["test"]
    # Of other data the log says nothing.
    assert not any("overfits" in warning for warning in vaekit.evaluate(run_copy, "digits", **options)["warnings"])


def test_a_training_passes_its_log_to_the_warnings(tmp_path, tiny, monkeypatch):
    seen = []
    from vaekit import evaluation

    original = evaluation.evaluate_model
    monkeypatch.setattr(evaluation, "evaluate_model", lambda *a, **k: seen.append(k["log"]) or original(*a, **k))
    run = vaekit.train("vae", "digits", out=tmp_path / "run", **tiny)
    row = run.history["epoch"].index(run.metrics["training"]["best_epoch"])
    assert seen == [{name: run.history[name][row] for name in ("train_elbo", "validation_elbo")}]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"split": "tset"}, "split is 'tset'.* Did you mean 'test'"),
        ({"nll_samples": -1}, "nll_samples is -1"),
        ({"limit": 0}, "limit is 0"),
        ({"data": "swiss-roll"}, r"shape \(3,\); expected \(1, 8, 8\)"),
        ({"data": np.zeros((20, 1, 8, 8), np.uint8)}, "holds 2 levels; expected 17 levels"),
    ],
)
def test_a_wrong_evaluation_writes_nothing(run_copy, listing, given, message):
    before = listing(run_copy)
    with pytest.raises(RequestError, match=message):
        vaekit.evaluate(run_copy, **{"progress": False, "nll_samples": 0, "metrics": "likelihood", **given})
    assert listing(run_copy) == before


class TestOtherStructures:
    """A model that is no VAE is trained, and not evaluated."""

    seen: ClassVar[list[str]] = []

    def test_it_is_trained(self, tmp_path):
        from vaekit.models import LatentVariableModel

        class Two(LatentVariableModel):
            def __init__(self):
                super().__init__()
                self.vae = own_model()
                self.objective = self.vae.objective

            def infer(self, x, context=None, samples=1, *, analytic=False):
                return self.vae.infer(x, context, samples, analytic=analytic)

            def generate(self, n, context=None, *, mean=True):
                return self.vae.generate(n, context, mean=mean)

            def phases(self):
                return {"encoder": list(self.vae.encoder.parameters()), "decoder": list(self.vae.decoder.parameters())}

            def forward(self, x, context=None, phase="bound"):
                if torch.is_grad_enabled():
                    TestOtherStructures.seen.append(phase)
                return self.objective(self, x, context)

        run = vaekit.train(Two(), points(), out=tmp_path / "run", transform=Identity(), **OWN)
        assert run.state is RunState.TRAINED
        assert self.seen == ["encoder", "decoder"] * (3 * 8)
        assert run.history["train_elbo"][-1] > run.history["train_elbo"][0]


@pytest.mark.parametrize(("head", "transform"), [(Gaussian, Scale(17)), (Bernoulli, Binarise(17))])
def test_a_model_of_ones_own_gets_what_suits_its_likelihood(tmp_path, head, transform):
    posterior, likelihood = DiagonalGaussian(2), head((1, 8, 8))
    model = VAE(
        Conditional(MLP((1, 8, 8), posterior.parameter_shape, (8,)), posterior),
        Conditional(MLP((2,), likelihood.parameter_shape, (8,)), likelihood),
        StandardNormal(2),
    )
    run = vaekit.train(model, "digits", out=tmp_path / "run", **OWN)
    assert run.plan.transform == transform


def test_two_trainings_do_not_write_to_one_directory(tmp_path, tiny, listing, no_report):
    from vaekit.storage import sole_writer

    out = tmp_path / "run"
    vaekit.train("vae", "digits", out=out, **tiny)
    before = listing(out)
    with sole_writer(out), pytest.raises(RequestError, match="another process is writing to"):
        vaekit.train("vae", "digits", out=out, force=True, **tiny)
    assert listing(out) == before
    vaekit.train("vae", "digits", out=out, force=True, **tiny)
