r"""Every parameter learns; what should be deterministic is; what is random takes a seed and leaves others alone."""

import random

import numpy as np
import pytest
import torch

from vaekit import recipes
from vaekit.data import from_arrays
from vaekit.evaluation import evaluate_model
from vaekit.objectives import ELBO, ImportanceWeighted
from vaekit.plan import DataSpec
from vaekit.recipes.compose import Parts, compose
from vaekit.training import fit

IMAGES = from_arrays(np.random.default_rng(0).integers(0, 256, (60, 6, 7, 1), dtype=np.uint8))
REALS = from_arrays(np.random.default_rng(0).normal(size=(60, 5)))

CASES = {
    "vae": ("vae", IMAGES, {}),
    "vae of reals": ("vae", REALS, {}),
    "vae, convolutions": ("vae", IMAGES, {"network": "conv", "channels": (4, 8)}),
    "vae, variance a pixel": ("vae", IMAGES, {"network": "conv", "channels": (4, 8), "likelihood": "gaussian-pixel"}),
    "vae, continuous Bernoulli": ("vae", IMAGES, {"likelihood": "continuous-bernoulli"}),
    "vae, warm": ("vae", IMAGES, {"warmup": 2.0, "cycles": 2, "beta": 2.0, "samples": 2, "estimator": "monte-carlo"}),
    "aevb": ("aevb", IMAGES, {"likelihood": "bernoulli", "hidden": (20,)}),
    "aevb of reals": ("aevb", REALS, {}),
    "iwae-burda": ("iwae-burda", IMAGES, {}),
    "iwae-burda, k=3": ("iwae-burda", IMAGES, {"k": 3}),
}


def plan(case, **more):
    name, data, arguments = CASES[case]
    torch.manual_seed(0)
    return recipes.get(name)(DataSpec.of(data), **arguments, **more), data


def batch(made, data, n=20):
    return made.transform(torch.from_numpy(data.train.x[:n]))


def state():
    return torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()


def unchanged(before):
    now = state()
    return torch.equal(before[0], now[0]) and (before[1] == now[1]).all() and before[2] == now[2]


cases = pytest.mark.parametrize("case", CASES)


@cases
def test_every_parameter_receives_a_gradient(case):
    made, data = plan(case)
    made.model.objective.advance(1.0)
    made.model(batch(made, data)).loss.backward()
    idle = [name for name, p in made.model.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []
    assert sum(len(p) for p in made.model.phases().values()) == len(list(made.model.parameters()))
    assert all(p.grad.isfinite().all() for p in made.model.parameters())


@pytest.mark.parametrize("likelihood", ["bernoulli", "continuous-bernoulli", "gaussian", "gaussian-pixel"])
@pytest.mark.parametrize("objective", [ELBO(), ImportanceWeighted(3)], ids=["elbo", "importance-weighted"])
@pytest.mark.parametrize("network", ["mlp", "conv", "resnet"])
def test_every_parameter_of_every_network_under_every_likelihood(network, likelihood, objective):
    torch.manual_seed(0)
    spec = DataSpec("x", (3, 9, 6), None, "gaussian")
    model = compose(
        spec,
        Parts(objective=lambda _: objective),
        latent_dim=2,
        network=network,
        hidden=(8,),
        channels=(4, 4),
        activation="silu",
        likelihood=likelihood,
        warmup=0.0,
    ).model
    model(torch.bernoulli(torch.full((8, 3, 9, 6), 0.5))).loss.backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@cases
def test_encode_and_reconstruct_are_deterministic(case):
    made, data = plan(case)
    x, model = batch(made, data), made.model
    with torch.no_grad():
        assert torch.equal(model.encode(x).mean, model.encode(x).mean)
        assert torch.equal(model.reconstruct(x), model.reconstruct(x))
        assert torch.equal(model.reconstruct(x), model.decode(model.encode(x).mean).mean)
    assert model.reconstruct(x).shape == x.shape


@cases
@pytest.mark.parametrize("mean", [True, False])
def test_same_seed_same_draw_and_the_callers_random_state_is_left_alone(case, mean):
    made, data = plan(case)
    before = state()
    one, same, other = (made.model.sample(5, mean=mean, seed=seed) for seed in (1, 1, 2))
    assert unchanged(before)
    assert one.shape == (5, *data.shape)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    made.model.sample(5, mean=mean)
    assert not unchanged(before)  # without a seed the global state is drawn from


def test_unseeded_draws_follow_the_global_state():
    made, _ = plan("vae")
    draws = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        draws.append(made.model.sample(3))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


@pytest.mark.parametrize("case", ["vae", "aevb", "iwae-burda, k=3"])
def test_fit_depends_on_its_seed_alone_and_leaves_the_random_state_alone(case):
    weights = []
    for noise, seed in ((1, 0), (2, 0), (2, 1)):
        made, data = plan(case, epochs=2, batch_size=10)
        torch.manual_seed(noise)
        np.random.seed(noise)
        before = state()
        fit(made, data, seed=seed, compile=False, progress=False)
        assert unchanged(before)
        weights.append(torch.cat([p.detach().flatten() for p in made.model.parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize("case", ["vae", "aevb", "vae of reals"])
def test_evaluation_depends_on_its_seed_alone_and_leaves_the_random_state_alone(case):
    made, data = plan(case)
    found = []
    for noise, seed in ((1, 0), (2, 0), (2, 1)):
        torch.manual_seed(noise)
        before = state()
        metrics = evaluate_model(made.model, data, made.transform, samples=(3, 5), seed=seed).metrics
        assert unchanged(before)
        found.append({name: value for name, value in metrics.items() if name not in ("seconds", "seed", "protocol")})
    assert found[0] == found[1]
    assert found[0]["nll"] != found[2]["nll"]
