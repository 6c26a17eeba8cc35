import dataclasses
import inspect

import numpy as np
import pytest
import torch
from torch import nn

from vaekit import distributions, objectives, recipes
from vaekit.data.transforms import Binarise, Dequantise, Identity, Scale
from vaekit.distributions import Bernoulli, Gaussian
from vaekit.distributions.flows import FlowPosterior
from vaekit.errors import RequestError
from vaekit.networks import MLP, ConvDecoder, ConvEncoder
from vaekit.objectives import ELBO, ImportanceWeighted
from vaekit.plan import DataSpec
from vaekit.schedules import Constant, Cosine, Cyclical, Ladder, Linear

MNIST = DataSpec("mnist", (1, 28, 28), 256, "bernoulli", 50_000, 10, None, np.linspace(0, 1, 784).reshape(1, 28, 28))
FACES = DataSpec("faces", (3, 64, 64), 256, "gaussian", 1000, 40, (3, 16, 16))
REALS = DataSpec("reals", (5,), None, "gaussian", 500, 2, (3,), np.arange(5.0))


MELODIES = {name for name in recipes.RECIPES if name.startswith("music-vae")}  # see test_music_vae.py
ONLY_IMAGES = {"iaf-resnet", "draw", "dfc-vae", "vq-vae", "vq-vae-2", "vaer-video", "vaer-pose2image"}


def suited(data, name):
    """The data, with an input for each example, as a time, where a recipe regresses on inputs."""
    return dataclasses.replace(data, context_shape=(1,)) if name.startswith("vaer") else data


def context_for(model, data, n=2):
    if not model.conditional:
        return None
    return torch.zeros(n, dtype=torch.int64) if data.context_shape is None else torch.ones(n, *data.context_shape)


def widths(net):
    layers = [m for m in net.modules() if isinstance(m, nn.Linear)]
    return [layers[0].in_features, *(m.out_features for m in layers)]


@pytest.mark.parametrize("name", [name for name in recipes.RECIPES if name not in MELODIES])
@pytest.mark.parametrize("data", [MNIST, FACES, REALS], ids=lambda d: d.name)
def test_every_recipe_makes_a_plan_for_any_data_and_makes_it_again_without_them(name, data):
    data = suited(data, name)
    if name in ONLY_IMAGES and len(data.shape) != 3:
        with pytest.raises(RequestError, match="expected images"):
            recipes.get(name)(data)
        return
    plan = recipes.get(name)(data)
    model = plan.model.eval()
    given = context_for(model, data)
    assert model.sample(2, given, seed=0).shape == (2, *data.shape)
    assert model.decoder.head.event_shape == data.shape
    # A saved model is built from what config.json keeps, and its weights fit.
    torch.manual_seed(9)
    again = recipes.get(name)(DataSpec.from_json(data.to_json()))
    again.model.load_state_dict(model.state_dict())
    assert torch.equal(again.model.eval().sample(2, given, seed=0), model.sample(2, given, seed=0))
    assert again.transform == plan.transform


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_every_argument_is_documented_and_has_a_default(name):
    function = recipes.get(name)
    text = inspect.getdoc(function)
    for parameter in list(inspect.signature(function).parameters.values())[1:]:
        assert parameter.kind is parameter.KEYWORD_ONLY
        assert parameter.default is not parameter.empty
        assert f"\n    {parameter.name}: " in text


def test_aevb_is_the_papers_network():
    plan = recipes.get("aevb")(MNIST)
    assert widths(plan.model.encoder) == [784, 500, 4]
    assert widths(plan.model.decoder) == [2, 500, 784]
    assert [type(m) for m in plan.model.encoder.network.layers] == [nn.Linear, nn.Tanh, nn.Linear]
    assert plan.batch_size == 100
    assert (plan.model.objective.estimator, plan.model.objective.samples) == ("analytic", 1)
    other = recipes.get("aevb")(MNIST, estimator="monte-carlo", samples=4, latent_dim=7).model
    assert (other.objective.estimator, other.objective.samples) == ("monte-carlo", 4)
    assert widths(other.decoder)[0] == 7


def test_iwae_burda_is_the_papers_network_and_protocol():
    plan = recipes.get("iwae-burda")(MNIST)
    assert widths(plan.model.encoder) == [784, 200, 200, 100]
    assert widths(plan.model.decoder) == [50, 200, 200, 784]
    assert {type(m) for m in plan.model.encoder.network.layers} == {nn.Linear, nn.Tanh}
    assert isinstance(plan.model.decoder.head, Bernoulli)
    assert (plan.epochs, plan.batch_size, plan.learning_rate) == (3280, 20, 1e-3)
    assert (plan.betas, plan.eps, plan.weight_decay, plan.clip) == ((0.9, 0.999), 1e-4, 0.0, None)
    assert (plan.train_on, plan.select) == ("all", "last")
    assert plan.schedule == Ladder(3280)
    assert plan.transform == Binarise(256)
    assert isinstance(plan.model.objective, ELBO)
    weights = [m for m in plan.model.encoder.modules() if isinstance(m, nn.Linear)]
    assert not any(m.bias.any() for m in weights)
    assert weights[0].weight.abs().max() <= (6 / 984) ** 0.5
    k = recipes.get("iwae-burda")(MNIST, k=50).model.objective
    assert isinstance(k, ImportanceWeighted)
    assert k.samples == 50
    assert recipes.get("iwae-burda")(MNIST, warmup=100).model.objective.schedule == Linear(epochs=100)
    assert recipes.get("iwae-burda")(MNIST, epochs=100).schedule == Ladder(100)


def test_vae_fits_its_network_to_the_data():
    assert isinstance(recipes.get("vae")(MNIST).model.encoder.network, MLP)
    plan = recipes.get("vae")(FACES)
    assert isinstance(plan.model.encoder.network, ConvEncoder)
    assert isinstance(plan.model.decoder.network, ConvDecoder)
    assert isinstance(recipes.get("vae")(FACES, network="mlp", hidden=(8,)).model.encoder.network, MLP)
    assert isinstance(recipes.get("vae")(MNIST, network="conv").model.encoder.network, ConvEncoder)
    assert plan.schedule == Cosine(plan.epochs, floor=0.01)


def test_vae_takes_its_arguments_at_their_word():
    vae = recipes.get("vae")
    assert widths(vae(MNIST, hidden=(30, 20), latent_dim=3).model.encoder) == [784, 30, 20, 6]
    assert widths(vae(MNIST, hidden=(30, 20), latent_dim=3).model.decoder) == [3, 20, 30, 784]
    assert widths(vae(REALS, hidden=(), latent_dim=2).model.encoder) == [5, 4]
    assert widths(vae(REALS, latent_dim=2).model.encoder) == [5, 20, 20, 4]
    net = vae(FACES, channels=(4, 6), hidden=(9,)).model
    assert [m.out_channels for m in net.encoder.modules() if isinstance(m, nn.Conv2d)] == [4, 6]
    assert [m.in_channels for m in net.decoder.modules() if isinstance(m, nn.ConvTranspose2d)] == [6, 4]
    assert isinstance(vae(REALS, activation="tanh").model.encoder.network.network.layers[1], nn.Tanh)
    assert vae(REALS, likelihood="gaussian-pixel").model.decoder.head.gaussian.variance == "pixel"
    plan = vae(REALS, epochs=3, batch_size=7, learning_rate=0.5)
    assert (plan.epochs, plan.batch_size, plan.learning_rate) == (3, 7, 0.5)


@pytest.mark.parametrize(
    ("arguments", "schedule"),
    [
        ({}, Linear(epochs=4.0)),
        ({"beta": 2.0, "epochs": 2}, Linear(epochs=0.4, end=2.0)),
        ({"beta": 4.0, "warmup": 0.0}, Constant(4.0)),
        ({"beta": 4.0, "warmup": 5.0}, Linear(epochs=5.0, end=4.0)),
        ({"warmup": 5.0, "cycles": 2}, Cyclical(period=10.0, cycles=2)),
    ],
)
def test_weights_of_the_rate(arguments, schedule):
    assert recipes.get("vae")(REALS, **arguments).model.objective.schedule == schedule


def test_a_cycle_is_a_rise_of_the_warm_up_and_as_long_at_full_weight():
    beta = recipes.get("vae")(REALS, warmup=5.0, cycles=2, beta=2.0).model.objective.schedule
    assert [beta(t) for t in (0, 2.5, 5, 9.9, 10, 12.5, 15, 30)] == pytest.approx([0, 1, 2, 2, 0, 1, 2, 2])


@pytest.mark.parametrize(
    ("data", "arguments", "transform"),
    [
        (MNIST, {}, Binarise(256)),
        (MNIST, {"likelihood": "gaussian"}, Scale(256)),
        (MNIST, {"likelihood": "gaussian", "transform": "dequantise"}, Dequantise(256)),
        (REALS, {}, Identity()),
    ],
)
def test_transforms(data, arguments, transform):
    assert recipes.get("vae")(data, **arguments).transform == transform


@pytest.mark.parametrize("name", [name for name in recipes.RECIPES if name not in MELODIES])
def test_the_decoder_starts_at_the_mean_of_the_data(name):
    decoder = recipes.get(name)(suited(MNIST, name)).model.decoder
    bias = decoder.canvas.bias if name == "draw" else decoder.network.output.bias
    expected = np.clip(np.linspace(0, 1, 784), 1e-3, 1 - 1e-3) if bias.numel() == 784 else 0.5
    np.testing.assert_allclose(torch.sigmoid(bias).detach(), expected, rtol=1e-4)


def test_a_gaussian_decoder_starts_at_the_mean_and_leaves_the_scales_alone():
    decoder = recipes.get("vae")(REALS, likelihood="gaussian-pixel", standardise=False).model.decoder
    assert isinstance(decoder.head, Gaussian)
    assert decoder.network.output.bias.tolist() == [*range(5), *[0.0] * 5]
    spread = dataclasses.replace(REALS, deviation=np.full(5, 2.0))
    decoder = recipes.get("vae")(spread, likelihood="gaussian-pixel").model.decoder
    assert decoder.network.output.bias.tolist() == [0.0] * 10
    assert decoder.head.origin.tolist() == [*range(5)]
    assert decoder.head.unit.tolist() == [2.0] * 5


@pytest.mark.parametrize(
    ("name", "data", "arguments", "words"),
    [
        ("vae", REALS, {"network": "cnn"}, r"unknown network 'cnn'; expected one of auto, mlp, conv"),
        ("vae", REALS, {"network": "conv"}, "expected images"),
        ("vae", FACES, {"channels": ()}, "one or more convolutions"),
        ("vae", REALS, {"cycles": 3}, "cycles is 3 but warmup is 0, so the weight never rises"),
        ("vae", REALS, {"cycles": 0, "warmup": 2.0}, "cycles is 0; expected at least 1 rise"),
        ("vae", REALS, {"warmup": -1.0}, "warm-up is -1.0"),
        ("vae", REALS, {"warmup": 30.0}, "shorten the warm-up"),
        ("vae", REALS, {"beta": -1.0}, "beta is -1.0; expected a finite weight"),
        ("vae", REALS, {"beta": -1.0, "warmup": 2.0}, "beta is -1.0; expected a finite weight"),
        ("vae", REALS, {"latent_dim": 0}, "latent_dim is 0"),
        ("vae", REALS, {"likelihood": "poisson"}, "unknown likelihood 'poisson'"),
        ("vae", MNIST, {"transform": "binarize"}, "unknown transform 'binarize'; .*Did you mean 'binarise'"),
        ("vae", REALS, {"transform": "scale"}, "transform 'scale' is for bytes or bits; reals holds real numbers"),
        ("vae", REALS, {"activation": "rely"}, "unknown activation 'rely'"),
        ("vae", REALS, {"samples": 0}, "samples is 0"),
        ("vae", REALS, {"estimator": "exact"}, "unknown estimator 'exact'"),
        ("aevb", REALS, {"hidden": (0,)}, "every layer needs at least 1 unit"),
        ("aevb", REALS, {"patience": 0}, "patience is 0"),
        ("iwae-burda", MNIST, {"k": 0}, "samples is 0"),
        ("iwae-burda", MNIST, {"k": 5, "warmup": 3.0}, "warmup is 3 with k=5; the importance-weighted bound has no"),
        ("hierarchical", MNIST, {"k": 5, "warmup": 3.0}, "warmup is 3 with k=5; the importance-weighted bound has no"),
        ("beta-vae", MNIST, {"capacity": 25.0, "warmup": 3.0}, "warmup is 3 with capacity=25, which grows by itself"),
    ],
)
def test_wrong_arguments_are_refused(name, data, arguments, words):
    with pytest.raises(RequestError, match=words):
        recipes.get(name)(data, **arguments)


def test_recipes_by_name():
    assert recipes.get("iwae_burda") is recipes.get("iwae-burda")
    with pytest.raises(RequestError, match=r"unknown recipe 'veae'; expected one of vae, .*Did you mean"):
        recipes.get("veae")
    lines = recipes.catalogue()
    assert set(lines) == set(recipes.RECIPES)
    assert all(line.endswith(".") and len(line) <= 110 for line in lines.values())


@pytest.mark.parametrize(
    ("name", "arguments", "part", "kind", "attributes"),
    [
        ("beta-vae", {"beta": 6.0, "warmup": 0.0}, "objective", objectives.ELBO, {"schedule": Constant(6.0)}),
        ("beta-vae", {"capacity": 25.0, "epochs": 10}, "objective", objectives.Capacity, {"settled": 5.0}),
        ("free-bits", {"free": 0.3, "per": "total"}, "objective", objectives.FreeBits, {"per": "total"}),
        ("free-bits", {"groups": 4}, "objective", objectives.FreeBits, {"per": 4}),
        ("iwae", {"k": 7}, "objective", objectives.ImportanceWeighted, {"samples": 7, "gradient": "standard"}),
        ("info-vae", {"alpha": 0.5, "kernel": "rbf"}, "objective", objectives.InfoVAE, {"kernel": "rbf"}),
        ("beta-tcvae", {}, "objective", objectives.TotalCorrelation, {"dataset_size": 50_000}),
        ("factor-vae", {"rival_hidden": (9, 8)}, "objective", objectives.FactorVAE, {}),
        ("dip-vae", {"variant": "i"}, "objective", objectives.DIP, {"kind": "i"}),
        ("vamp-prior", {"components": 3}, "prior", distributions.VampPrior, {}),
        ("cvae", {"prior": "conditional"}, "prior", distributions.ConditionalPrior, {}),
        ("cvae", {}, "prior", distributions.StandardNormal, {}),
        ("planar-flow", {"transforms": 3}, "encoder.head", FlowPosterior, {"kind": "planar"}),
        ("iaf-resnet", {"transforms": 3}, "encoder.head", FlowPosterior, {"kind": "iaf"}),
        ("iaf-resnet", {"transforms": 0}, "encoder.head", distributions.DiagonalGaussian, {}),
        ("hierarchical", {"k": 5}, "objective", objectives.ImportanceWeighted, {"samples": 5}),
        ("hierarchical", {}, "encoder", distributions.Chain, {"reverse": False}),
        ("vae", {"posterior": "laplace"}, "encoder.head", distributions.Laplace, {}),
        ("vae", {"posterior": "gamma"}, "prior", distributions.Factorised, {}),
    ],
)
def test_a_recipe_is_its_parts(name, arguments, part, kind, attributes):
    model = recipes.get(name)(MNIST, **arguments).model
    found = model.get_submodule(part)
    assert type(found) is kind
    for attribute, value in attributes.items():
        assert getattr(found, attribute) == value


def test_the_two_layers_are_the_papers():
    model = recipes.get("hierarchical")(MNIST).model
    assert widths(model.encoder.first) == [784, 200, 200, 200]
    assert widths(model.encoder.then) == [100, 100, 100, 100]
    assert widths(model.prior.then) == [50, 100, 100, 200]
    assert widths(model.decoder) == [100, 200, 200, 784]
    rate = model.infer(torch.bernoulli(torch.full((4, 1, 28, 28), 0.5)), samples=3).parts
    assert rate.shape == (3, 4, 2)  # a rate for each layer
    folded = recipes.get("hierarchical")(MNIST, network="conv", channels=(4, 4), hidden=(8,), latent_dims=(3, 2)).model
    assert any(isinstance(module, torch.nn.Conv2d) for module in folded.encoder.first.modules())
    assert folded.sample(2, seed=0).shape == (2, 1, 28, 28)
    with pytest.raises(RequestError, match="expected two numbers: pass --latent-dims"):
        recipes.get("hierarchical")(MNIST, latent_dims=(10, 5, 2))


def test_the_discriminator_has_the_papers_step_size():
    plan = recipes.get("factor-vae")(MNIST)
    assert plan.phases == {"discriminator": {"learning_rate": 1e-4, "betas": (0.5, 0.9)}}
    assert list(plan.model.phases()) == ["bound", "discriminator"]


def test_the_weight_of_a_beta_vae_is_there_from_the_first_step():
    assert recipes.get("beta-vae")(MNIST).model.objective.schedules["beta"] == Constant(4.0)


def test_shared_arguments_are_refused_where_they_mean_nothing():
    for name, argument in (
        ("iwae", "warmup"),
        ("beta-tcvae", "warmup"),
        ("factor-vae", "warmup"),
        ("info-vae", "warmup"),
        ("aevb", "channels"),
        ("hierarchical", "latent_dim"),
    ):
        assert argument not in inspect.signature(recipes.get(name)).parameters
        with pytest.raises(TypeError, match=f"unexpected arguments: {argument}"):
            recipes.get(name)(MNIST, **{argument: 3})
