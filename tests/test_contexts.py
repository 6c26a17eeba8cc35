r"""Conditional models, from the data to the picture."""

import functools

import numpy as np
import pytest
import torch

import vaekit
from vaekit.cli import main
from vaekit.contexts import contexts_for
from vaekit.data import from_arrays, load_dataset
from vaekit.errors import RequestError
from vaekit.evaluation.annealed import annealed_metrics
from vaekit.latent import style_grid
from vaekit.networks import OneHot
from vaekit.runs import Run

SMALL = {"hidden": (32,), "latent_dim": 2, "epochs": 30, "nll_samples": 5, "progress": False, "learning_rate": 5e-3}


@pytest.fixture(scope="module")
def by_label(tmp_path_factory):
    """A model of the digits given their labels. Not to be written to."""
    return vaekit.train("cvae", "digits", out=tmp_path_factory.mktemp("cvae") / "run", **SMALL)


@pytest.fixture(scope="module")
def by_vector(tmp_path_factory):
    """A model of points given where they are to be, and of a conditional prior."""
    random = np.random.default_rng(0)
    where = random.normal(size=(1500, 2)).astype(np.float32)
    x = np.column_stack([3 * where, where.sum(1)]) + 0.1 * random.normal(size=(1500, 3))
    path = tmp_path_factory.mktemp("vector")
    np.savez(path / "points.npz", x=x.astype(np.float32), c=where)
    return vaekit.train(
        "cvae", path / "points.npz", out=path / "run", prior="conditional", **{**SMALL, "nll_samples": 50}
    )


def test_the_label_decides_what_is_drawn(by_label):
    data = load_dataset("digits")
    from sklearn.linear_model import LogisticRegression

    grey = data.train.x.reshape(len(data.train), -1) / 16
    reader = LogisticRegression(max_iter=2000).fit(grey, data.train.labels)
    assert reader.score(data.test.x.reshape(len(data.test), -1) / 16, data.test.labels) > 0.9
    asked = torch.arange(10).repeat(20)
    drawn = by_label.model.sample(200, asked, seed=0).flatten(1).numpy()
    assert (reader.predict(drawn) == asked.numpy()).mean() > 0.85


def test_a_context_that_decides_everything_leaves_little_to_the_code(by_vector):
    model = by_vector.model
    asked = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    drawn = model.sample(2, asked, seed=0)
    assert (drawn - torch.tensor([[3.0, 0.0, 1.0], [0.0, 6.0, 2.0]])).abs().max() < 0.8
    numbers = by_vector.metrics["test"]
    # Told nothing, the points have an entropy of 4 nats and more; the noise about them has -2.7.
    assert numbers["nll"] < 3
    assert "each given its context" in numbers["protocol"]


def test_a_run_is_measured_with_its_contexts(by_label, monkeypatch):
    monkeypatch.setattr("vaekit.evaluation.families.SIMULATED", 2)
    quick = functools.partial(annealed_metrics, temperatures=10)
    monkeypatch.setattr("vaekit.evaluation.families.annealed_metrics", quick)
    monkeypatch.setattr("vaekit.evaluation.families.REFINED", 5)
    numbers = vaekit.evaluate(
        by_label, "digits", nll_samples=5, annealed=2, generated=140, metrics="all", progress=False
    )
    assert "each given its label" in numbers["protocol"]
    assert {"annealed", "aggregate", "code_use", "amortisation", "reconstruction", "generation"} <= numbers.keys()
    assert numbers["conditioning"]["class_agreement"] > 0.85
    assert list(numbers["left_out"]) == ["accuracy", "classification", "attributes", "disentanglement"]
    model, test = by_label.model, load_dataset("digits").test
    # The bound of the run is that of x with its own label: with others it is worse.
    x = by_label.plan.transform(torch.from_numpy(test.x), torch.Generator().manual_seed(0))
    labels = torch.from_numpy(test.labels)
    torch.manual_seed(0)
    with torch.no_grad():
        right, wrong = (float(model.elbo(x, told, 20).mean()) for told in (labels, (labels + 1) % 10))
    assert right == pytest.approx(numbers["elbo"], abs=0.5)
    assert wrong < right - 2


def test_a_style_goes_through_the_classes(by_label):
    model, test = by_label.model, load_dataset("digits").test
    x, labels = by_label.plan.transform(torch.from_numpy(test.x[:6])), torch.from_numpy(test.labels[:6])
    grid = style_grid(model, x, labels)
    assert grid.shape == (6, 11, 1, 8, 8)
    assert torch.equal(grid[:, 0], x)
    with torch.no_grad():
        z = model.encode(x, labels).mean
        torch.testing.assert_close(grid[2, 1 + 7], model.decode(z[2:3], torch.tensor([7])).mean[0])
    assert (by_label.directory / "figures" / "styles.png").stat().st_size > 1000
    with pytest.raises(RequestError, match="not conditional on classes"):
        style_grid(vaekit.models.VAE(model.encoder, model.decoder, model.prior), x, labels)


def test_contexts_by_name_by_number_and_by_default(by_label, by_vector, tmp_path, finished_run):
    assert contexts_for(by_label, 12).tolist() == [*range(10), 0, 1]
    assert contexts_for(by_label, 5, "3, 8").tolist() == [3, 8, 3, 8, 3]
    given = contexts_for(by_vector, 3)
    np.testing.assert_array_equal(given.numpy(), by_vector.data.test.context[:3])
    np.save(tmp_path / "c.npy", np.array([[1.0, 2.0]]))
    assert contexts_for(by_vector, 2, str(tmp_path / "c.npy")).tolist() == [[1, 2], [1, 2]]
    assert contexts_for(Run(finished_run), 4) is None
    np.save(tmp_path / "wrong.npy", np.zeros((2, 5)))
    for run, asked, message in (
        (by_label, "eleven", "--context has 'eleven'; expected classes, of 0, 1"),
        (by_vector, str(tmp_path / "wrong.npy"), r"holds an array of shape \(2, 5\); expected .*\(n, 2\)"),
        (by_vector, str(tmp_path / "none.npy"), "cannot be read"),
        (Run(finished_run), "3", "is not conditional: leave it out"),
    ):
        with pytest.raises(RequestError, match=message):
            contexts_for(run, 4, asked)


def test_commands_take_contexts(by_label, tmp_path, capsys):
    run = str(by_label.directory)
    assert main(["sample", run, "--n", "20", "--context", "7", "--out", str(tmp_path / "sevens.npy")]) == 0
    sevens = np.load(tmp_path / "sevens.npy")
    expected = by_label.model.sample(20, torch.full((20,), 7), seed=0)
    np.testing.assert_allclose(sevens, expected.numpy(), rtol=1e-5)
    assert main(["encode", run, "--out", str(tmp_path / "codes.npz")]) == 0
    codes = np.load(tmp_path / "codes.npz")
    test = load_dataset("digits").test
    assert codes["mean"].shape == (len(test), 2)
    assert main(["reconstruct", run, "--n", "5", "--out", str(tmp_path / "r.png")]) == 0
    assert main(["decode", run, str(tmp_path / "codes.npz"), "--context", "1,2", "--out", str(tmp_path / "d.npy")]) == 0
    with torch.no_grad():
        second = by_label.model.decode(torch.from_numpy(codes["mean"][1:2]), torch.tensor([2])).mean
    np.testing.assert_allclose(np.load(tmp_path / "d.npy")[1:2], second.numpy(), rtol=1e-4, atol=1e-6)
    capsys.readouterr()
    assert main(["sample", run, "--context", "ten", "--out", str(tmp_path / "x.png")]) == 2
    assert "expected classes" in capsys.readouterr().err


def test_data_without_labels_are_refused_before_anything_is_written(tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(50, 3)))
    out = tmp_path / "run"
    assert main(["train", "cvae", "--data", str(tmp_path / "x.npy"), "--out", str(out)]) == 2
    assert "x has neither labels nor contexts to condition on" in capsys.readouterr().err
    assert not out.exists()


def test_contexts_that_do_not_fit_are_refused():
    x = np.zeros((20, 2))
    for context, message in (
        (np.zeros((19, 2)), r"context has shape \(19, 2\); expected \(20, ...\)"),
        (np.zeros(20), r"context has shape \(20,\); expected \(20, ...\)"),
        (np.full((20, 1), np.nan), "holds NaN or infinity"),
        (np.array([["a"]] * 20), "not made of numbers"),
    ):
        with pytest.raises(RequestError, match=message):
            from_arrays(x, context=context)


def test_contexts_follow_their_examples_through_the_split():
    x = np.arange(200.0).reshape(100, 2)
    data = from_arrays(x, context=x[:, :1] * 10, seed=4)
    for split in data.splits.values():
        np.testing.assert_array_equal(split.context[:, 0], split.x[:, 0] * 10)
    assert data.fingerprint != from_arrays(x, context=x[:, :1] * 11, seed=4).fingerprint


def test_one_hot_refuses_classes_that_there_are_not():
    for wrong, message in ((torch.tensor([3]), "classes from 3 to 3; expected 0 to 2"), (torch.zeros(2, 2), "shape")):
        with pytest.raises(RequestError, match=message):
            OneHot(3)(wrong)


def test_an_image_can_be_the_context():
    random = np.random.default_rng(1)
    x = random.random((60, 1, 8, 8)).astype(np.float32)
    from vaekit.plan import DataSpec
    from vaekit.recipes import get

    data = from_arrays(x, context=x[:, :, :, :4])
    plan = get("cvae")(DataSpec.of(data), hidden=(8,), latent_dim=2)
    model, given = plan.model, torch.from_numpy(data.train.context[:5])
    assert model.elbo(torch.from_numpy(data.train.x[:5]), given).shape == (5,)
    model(torch.from_numpy(data.train.x[:5]), given).loss.backward()
    assert all(p.grad is not None and p.grad.any() for p in model.context_network.parameters())
