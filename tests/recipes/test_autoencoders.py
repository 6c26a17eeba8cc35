r"""The autoencoders as recipes: their parts, and whole runs from the command line."""

import json

import pytest
import torch

import vaekit
from vaekit.cli import main
from vaekit.data.augmentation import Affine
from vaekit.data.transforms import pairs
from vaekit.distributions import DiagonalGaussian, FlowerPrior, FullMixturePrior, Point, StandardNormal, SwissRollPrior
from vaekit.distributions.fitted_flow import FittedFlow
from vaekit.errors import RequestError
from vaekit.models import seeded
from vaekit.objectives import AdversarialPrior, Reconstruction
from vaekit.objectives.reconstruction import GaussianNoise, Masking
from vaekit.plan import DataSpec
from vaekit.recipes import get
from vaekit.stages import run_stages

DIGITS = DataSpec("digits", (1, 8, 8), 17, "bernoulli", 1000, 10)
COMMANDS = {
    "autoencoder": ["--noise", "masking", "--contraction", "0.01"],
    "rae": ["--density", "mixture"],
    "aae": ["--prior", "mixture", "--rival-hidden", "32"],
    "aae-style": ["--rival-hidden", "32", "--latent-dim", "3"],
    "aae-semi": ["--rival-hidden", "32", "--labelled", "100"],
    "aae-cluster": ["--rival-hidden", "32", "--categories", "12"],
}


@pytest.fixture(scope="module", params=COMMANDS)
def run(request, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / request.param
    command = ["train", request.param, "--data", "digits", "--epochs", "3", "--hidden", "16", "--out", str(out)]
    assert main([*command, *COMMANDS[request.param], "--no-progress"]) == 0
    return out


def test_a_run_is_whole_and_can_be_sampled(run, capsys):
    assert {"model.safetensors", "metrics.json", "report.html", "history.csv"} <= {p.name for p in run.iterdir()}
    assert {"reconstructions.png", "samples.png", "loss_curves.png"} <= {p.name for p in (run / "figures").iterdir()}
    assert main(["sample", str(run), "--n", "5", "--out", str(run.parent / "five.npy"), "--force"]) == 0
    model = vaekit.load(run)
    given = torch.arange(4) if model.conditional else None
    assert model.sample(4, given, seed=0).shape == (4, 1, 8, 8)
    columns = (run / "history.csv").read_text().splitlines()[0].split(",")
    parts = ("category_", "style_") if run.name in ("aae-semi", "aae-cluster") else ("",)
    for part in parts:
        assert (f"train_{part}discriminator_accuracy" in columns) == run.name.startswith("aae")
    assert "validation_distortion" in columns
    if run.name == "rae":
        found = vaekit.evaluate(run, metrics="generation", generated=100, features="values", progress=False)
        assert found["generation"]["frechet_distance"] > 0
    assert not any("rate" in name.split("_") or "elbo" in name for name in columns if name != "learning_rate")


def test_categories_are_measured_where_there_are_any(run, capsys):
    if run.name not in ("aae-semi", "aae-cluster"):
        assert main(["evaluate", str(run), "--metrics", "classification", "--no-progress"]) == 2
        assert "the code has no category" in capsys.readouterr().err
        return
    found = vaekit.evaluate(run, metrics="classification,prior-match", limit=200, progress=False)
    assert ("classification_error" in found["classification"]) == (run.name == "aae-semi")
    assert 0 < found["classification"]["majority_error"] < 0.9
    assert 0.5 < found["prior_match"]["prior_accuracy"] <= 1
    assert found["classification"]["clusters"] == vaekit.load(run).encoder.head.categories


def test_no_likelihood_is_made_up(run, capsys):
    test = json.loads((run / "metrics.json").read_text())["test"]
    assert "distortion" in test
    assert not {"nll", "elbo", "rate"} & test.keys()
    model = vaekit.load(run)
    x = torch.zeros(2, 1, 8, 8)
    with pytest.raises(NotImplementedError, match="a point posterior has no density"):
        model.log_prob(x, torch.arange(2) if model.conditional else None, samples=2)
    assert main(["evaluate", str(run), "--metrics", "annealed", "--no-progress"]) == 2
    assert "has no density" in capsys.readouterr().err


def test_parts_of_the_autoencoder():
    plan = get("autoencoder")(DIGITS)
    assert isinstance(plan.model.encoder.head, Point)
    assert isinstance(plan.model.prior, FullMixturePrior)
    assert plan.model.objective.weights() == {}
    assert len(get("autoencoder")(DIGITS, density="gaussian").model.prior.weights) == 1
    assert isinstance(get("autoencoder")(DIGITS, density="none").model.prior, StandardNormal)
    noisy = get("autoencoder")(DIGITS, noise="gaussian", noise_level=0.5).model.objective.noise
    assert isinstance(noisy, GaussianNoise)
    assert noisy.scale == 0.5
    assert isinstance(get("autoencoder")(DIGITS, noise="masking").model.objective.noise, Masking)
    for latent_dim, probes in ((8, None), (9, 1)):
        objective = get("autoencoder")(DIGITS, contraction=0.1, latent_dim=latent_dim).model.objective
        assert objective.probes == probes
        assert set(objective.weights()) == {"contraction"}
    assert set(get("rae")(DIGITS).model.objective.weights()) == {"code", "decoder"}
    assert type(get("rae")(DIGITS).model.objective) is Reconstruction


def test_parts_of_the_autoencoder_of_categories():
    semi, cluster = get("aae-semi")(DIGITS), get("aae-cluster")(DIGITS, categories=16)
    assert (semi.model.encoder.head.categories, semi.model.encoder.head.style_dim) == (10, 10)
    assert cluster.model.encoder.head.categories == 16
    assert semi.model.objective.supervised
    assert not cluster.model.objective.supervised
    for plan in (semi, cluster):
        assert plan.select == "last"
        assert not plan.model.conditional
        assert plan.model.sample(3, seed=0).shape == (3, 1, 8, 8)
        drawn = plan.model.latent().sample((50,))[:, : plan.model.encoder.head.categories]
        assert bool((drawn.sum(1) == 1).all())
        assert bool((drawn.max(1).values == 1).all())
    assert any(isinstance(m, torch.nn.BatchNorm1d) for m in cluster.model.encoder.modules())
    assert cluster.model.objective.views == Affine()
    assert semi.model.objective.views is None
    assert get("aae-semi")(DIGITS, consistency=2.0).model.objective.views == Affine()
    vectors = DataSpec("vectors", (7,), None, "gaussian", 1000, 3)
    assert get("aae-cluster")(vectors).model.objective.views is None
    with pytest.raises(RequestError, match=r"shape \(7,\); expected images.*pass --consistency 0"):
        get("aae-cluster")(vectors, consistency=2.0)
    assert not any(isinstance(m, torch.nn.BatchNorm1d) for m in cluster.model.decoder.modules())


def test_a_flow_is_fitted_to_the_codes_of_an_autoencoder():
    data = vaekit.load_dataset("digits")
    with seeded(0):
        plan = get("autoencoder")(DataSpec.of(data), density="flow", hidden=(16,), latent_dim=2)
        plan.model.prior.epochs = 1
    assert isinstance(plan.model.prior, FittedFlow)
    assert len(plan.model.phases()["bound"]) == 8  # two layers on either side, and nothing of the flow
    before = [p.clone() for p in plan.model.prior.parameters()]
    found = run_stages(plan.stages, plan.model, data, plan.transform)["density"]
    codes = plan.model.encode(next(pairs(data.validation.x, plan.transform))[0]).mean.detach()
    assert found["held_out_nll"] == pytest.approx(-float(plan.model.latent().log_prob(codes).mean()), rel=0.2)
    assert all(not torch.equal(p, old) for p, old in zip(plan.model.prior.parameters(), before, strict=True))
    assert plan.model.sample(3, seed=0).shape == (3, 1, 8, 8)


def test_parts_of_the_adversarial_autoencoder():
    for name, prior in {"gaussian": StandardNormal, "mixture": FlowerPrior, "swiss-roll": SwissRollPrior}.items():
        plan = get("aae")(DIGITS, prior=name)
        assert isinstance(plan.model.prior, prior)
        assert plan.select == "last"
        assert isinstance(plan.model.objective, AdversarialPrior)
    assert isinstance(get("aae")(DIGITS, encoder="gaussian").model.encoder.head, DiagonalGaussian)
    assert get("aae")(DIGITS, latent_dim=8).model.sample(3).shape == (3, 1, 8, 8)
    style = get("aae-style")(DIGITS).model
    assert style.conditional
    x, z = torch.rand(2, 1, 8, 8), torch.randn(2, 15)
    assert not torch.equal(style.decode(z, torch.tensor([0, 1])).mean, style.decode(z, torch.tensor([2, 3])).mean)
    assert style.encode(x, torch.tensor([0, 1])).mean.shape == (2, 15)


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("aae", {"prior": "mixture", "latent_dim": 3}, "latent_dim is 3; the flower lies in the plane"),
        ("aae", {"prior": "swissroll"}, "unknown prior 'swissroll'.*Did you mean 'swiss-roll'"),
        ("aae", {"encoder": "point"}, "unknown encoder 'point'; expected 'deterministic' or 'gaussian'"),
        ("autoencoder", {"noise": "salt"}, "unknown noise 'salt'"),
        ("rae", {"density": "flows"}, "unknown density 'flows'; expected 'none' or 'gaussian' or 'mixture' or 'flow'"),
        ("rae", {"code": -1.0}, r"code is -1\.0; expected a finite weight"),
    ],
)
def test_wrong_arguments_are_refused(name, arguments, words):
    with pytest.raises(RequestError, match=words):
        get(name)(DIGITS, **arguments)
