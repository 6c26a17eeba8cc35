r"""The evaluation as a whole: which families are measured, what is left out, and what they say of themselves."""

import functools
import math

import numpy as np
import pytest
import torch

from vaekit.data import from_arrays, load_dataset
from vaekit.data.transforms import Binarise, Identity
from vaekit.distributions import Bernoulli, Conditional, DiagonalGaussian, Gaussian, StandardNormal
from vaekit.errors import RequestError
from vaekit.evaluation import FAMILIES, disentanglement, evaluate_model, families
from vaekit.evaluation.disentanglement import BRIEF
from vaekit.evaluation.families import Subject, chosen
from vaekit.models import VAE
from vaekit.networks import MLP

# To a model of digits that is told nothing.
INAPPLICABLE = {"accuracy", "conditioning", "classification", "attributes", "disentanglement"}


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits")


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    posterior, likelihood = DiagonalGaussian(2), Bernoulli((1, 8, 8))
    encoder = Conditional(MLP((1, 8, 8), posterior.parameter_shape, (16,)), posterior)
    decoder = Conditional(MLP((2,), likelihood.parameter_shape, (16,)), likelihood)
    return VAE(encoder, decoder, StandardNormal(2))


@pytest.fixture(autouse=True)
def _brief(monkeypatch):
    """Anneal and refine for a moment only: whether they are right is tested where they are."""
    brief = {"temperatures": 10, "steps": 3, "chains": 4}
    monkeypatch.setattr(families, "SIMULATED", 4)
    monkeypatch.setattr(families, "annealed_metrics", functools.partial(families.annealed_metrics, **brief))
    monkeypatch.setattr(families, "amortisation_metrics", functools.partial(families.amortisation_metrics, steps=10))


def measured(model, data, **options):
    return evaluate_model(model, data, Binarise(17), samples=(4,), annealed=3, **options).metrics


def test_all_that_applies_is_measured_and_says_how(model, digits):
    found = measured(model, digits, metrics=["all"], limit=200)
    expected = {name.replace("-", "_") for name in FAMILIES} - {"likelihood", *INAPPLICABLE}
    assert {name for name, part in found.items() if isinstance(part, dict) and "protocol" in part} == expected
    assert set(found["left_out"]) == INAPPLICABLE
    assert "not conditional" in found["left_out"]["conditioning"]
    assert "factors" in found["left_out"]["disentanglement"]
    for name in expected:
        numbers = {key: value for key, value in found[name].items() if isinstance(value, float)}
        assert numbers, name
        assert all(math.isfinite(value) for key, value in numbers.items() if not key.endswith("_se")), name
    # The same quantities by other roads.
    assert found["annealed"]["nll_ais"] == pytest.approx(found["nll"], rel=0.3)
    aggregate = found["aggregate"]
    assert aggregate["aggregate_kl"] == pytest.approx(found["rate"], abs=5 * aggregate["aggregate_kl_se"] + 0.05)


def test_a_family_asked_for_by_name_has_to_apply(model, digits):
    with pytest.raises(RequestError, match="factors"):
        measured(model, digits, metrics=["likelihood", "disentanglement"], limit=50)
    with pytest.raises(RequestError, match="expected at least"):
        measured(model, digits, metrics=["generation"], limit=20)


def test_only_what_was_asked_for_is_measured(model, digits):
    found = measured(model, digits, metrics=["reconstruction"], limit=50)
    assert found["reconstruction"]["mse"] > 0
    assert not {"elbo", "nll", "protocol", "generation"} & found.keys()
    assert found["images"] == 50


def test_evaluation_is_the_same_for_a_seed_and_leaves_the_model_as_it_was(model, digits):
    before = torch.get_rng_state()
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.train()
    first, second = (measured(model, digits, metrics=["all"], limit=150, seed=3) for _ in range(2))
    assert model.training
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    assert without_times(first) == without_times(second)


def without_times(part):
    if isinstance(part, dict):
        return {key: without_times(value) for key, value in part.items() if key != "seconds"}
    return part


def test_annealing_stands_beside_importance_sampling_of_the_same_examples(model, digits):
    annealed = measured(model, digits, metrics=["annealed"], seed=2)["annealed"]
    alone = measured(model, digits, metrics=["likelihood"], seed=2, limit=3)
    assert (annealed["nll_importance"], annealed["nll_importance_se"]) == (alone["nll"], alone["nll_se"])
    assert annealed["nll_samples"] == 4
    assert "nll_importance by 4 importance samples of the same examples" in annealed["protocol"]
    without = evaluate_model(model, digits, Binarise(17), metrics=["annealed"], samples=(), annealed=3).metrics
    assert "nll_importance" not in without["annealed"]


@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in INAPPLICABLE])
@pytest.mark.parametrize(("split", "limit"), [("test", 150), ("train", None)])
def test_progress_ends_where_it_was_said_to(model, digits, name, split, limit, monkeypatch):
    monkeypatch.setattr(families, "DRAWS", 200)
    x = digits.splits[split].x[:limit]
    subject = Subject(model, digits, x, Binarise(17), split, (2,), 3, generated=140)
    done = []
    FAMILIES[name].measure(subject, done.append)
    assert sum(done) == FAMILIES[name].total(subject)


@pytest.mark.parametrize(
    ("asked", "expected"), [({}, BRIEF), ({"disentanglement": "published"}, {"continuous": False})]
)
def test_disentanglement_is_measured_briefly_unless_asked_for_otherwise(model, digits, monkeypatch, asked, expected):
    seen = []
    monkeypatch.setattr(disentanglement, "disentanglement_metrics", lambda *a, **k: seen.append(k) or {"protocol": ""})
    measured(model, digits, metrics=["disentanglement"], limit=5, **asked)
    assert {name: value for name, value in seen[0].items() if name not in ("advance", "seed", "device")} == expected


def test_a_size_of_disentanglement_that_there_is_not(model, digits):
    with pytest.raises(RequestError, match=r"expected one of brief, published\. Did you mean 'published'"):
        measured(model, digits, disentanglement="publishd")


def test_names_of_families():
    assert chosen([" Code_Use", "annealed"]) == ("annealed", "code-use")
    assert chosen(["all", "annealed"]) == tuple(FAMILIES)
    with pytest.raises(RequestError, match="Did you mean 'generation'"):
        chosen(["generations"])


def test_images_that_are_no_pictures_have_a_squared_error():
    # Real numbers beyond [0, 1], which no network of features knows.
    torch.manual_seed(0)
    data = from_arrays(np.random.default_rng(0).normal(size=(200, 1, 9, 9)).astype(np.float32))
    posterior, likelihood = DiagonalGaussian(2), Gaussian((1, 9, 9))
    model = VAE(
        Conditional(MLP((1, 9, 9), posterior.parameter_shape, (8,)), posterior),
        Conditional(MLP((2,), likelihood.parameter_shape, (8,)), likelihood),
        StandardNormal(2),
    )
    found = evaluate_model(model, data, Identity(), metrics=["reconstruction"], samples=()).metrics["reconstruction"]
    assert found["mse"] > 0.5
    assert "perceptual" not in found
    assert "are not within [0, 1]" in found["protocol"]


def test_vectors_have_what_applies_to_them():
    torch.manual_seed(0)
    data = from_arrays((np.random.default_rng(0).random((600, 6)) < 0.5).astype(np.uint8), validation=100, test=100)
    posterior, likelihood = DiagonalGaussian(2), Bernoulli((6,))
    model = VAE(
        Conditional(MLP((6,), posterior.parameter_shape, (8,)), posterior),
        Conditional(MLP((2,), likelihood.parameter_shape, (8,)), likelihood),
        StandardNormal(2),
    )
    found = evaluate_model(model, data, Binarise(2), metrics=["all"], samples=(4,), annealed=3).metrics
    assert found["reconstruction"]["mse"] > 0
    assert "psnr" not in found["reconstruction"]
    assert found["generation"]["features"] == "values"


def test_the_help_names_every_family():
    from vaekit import evaluate

    said = " ".join(evaluate.__doc__.split("metrics: ")[1].split("nll_samples: ")[0].split())
    assert said.startswith(f"Families between commas, of {', '.join(FAMILIES)};")
