r"""MusicVAE: what each recipe builds, what of the published protocol is in it, and that its runs are exact."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from vaekit import recipes
from vaekit.data import Dataset, Split, load_dataset
from vaekit.data.augmentation import Transpose
from vaekit.data.transforms import Identity
from vaekit.errors import RequestError
from vaekit.models.base import seeded
from vaekit.networks import Conductor
from vaekit.objectives import FreeBits
from vaekit.plan import DataSpec
from vaekit.runs import Run
from vaekit.schedules import Constant
from vaekit.training import fit

NAMES = {"music-vae-2bar": 2, "music-vae-16bar": 16, "music-vae-16bar-flat": 16}
SMALL = {"hidden": 6, "decoder_hidden": 8, "latent_dim": 3}


def spec(bars=2, size=1000, **options):
    return DataSpec("tunes", (16 * bars,), 90, "categorical", size, **options)


def tunes(n, bars=2, seed=0):
    """Scales: a note a quarter, each a step above the last, from a pitch drawn at random."""
    random = np.random.default_rng(seed)
    x = np.ones((n, 16 * bars), np.uint8)
    x[:, ::4] = random.integers(30, 50, (n, 1)) + np.arange(4 * bars) % 8
    return x


@pytest.fixture(scope="module")
def data():
    return Dataset(
        "tunes",
        train=Split(tunes(60)),
        validation=Split(tunes(20, seed=1)),
        test=Split(tunes(20, seed=2)),
        levels=90,
        suggested="categorical",
    )


def plan_of(name, data=None, **options):
    with seeded(0):
        return recipes.get(name)(data or spec(NAMES[name]), **{**SMALL, **options})


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_makes_a_model_of_melodies_and_makes_it_again_without_data(name):
    bars = NAMES[name]
    plan = plan_of(name)
    model, x = plan.model.eval(), torch.from_numpy(tunes(3, bars)).float()
    assert plan.transform == Identity()
    with seeded(0):
        assert model.elbo(x).shape == (3,)
        drawn = model.log_prob(x, samples=5)
    assert drawn.shape == (3,)
    assert (drawn < 0).all()
    assert model.reconstruct(x).shape == x.shape
    assert model.decoder.head.event_shape == (16 * bars,)
    again = recipes.get(name)(DataSpec.from_json(spec(bars).to_json()), **SMALL)
    again.model.load_state_dict(model.state_dict())
    assert torch.equal(again.model.eval().sample(2, seed=0), model.sample(2, seed=0))


@pytest.mark.parametrize("name", NAMES)
def test_samples_are_drawn_from_the_prior_and_from_the_decoder(name):
    model = plan_of(name).model.eval()
    drawn = model.sample(50, seed=0)
    assert drawn.dtype == torch.float32
    assert torch.equal(drawn, drawn.round())
    assert not torch.equal(drawn, model.sample(50, seed=1))
    # One z gives many melodies: an untrained decoder is all but uniform.
    with seeded(0):
        z = model.latent().sample((50,))
        assert torch.equal(model.decode(z).sample(), drawn)
        assert not torch.equal(model.decode(z).sample(), drawn)
    assert len(np.unique(drawn)) > 40


@pytest.mark.parametrize("name", NAMES)
def test_one_draw_is_the_bound_and_more_are_a_better_one(name):
    model = plan_of(name).model.eval()
    x = torch.from_numpy(tunes(4, NAMES[name])).float()
    with seeded(3), torch.no_grad():
        distortion, rate, _ = model.infer(x, samples=8)
    weights = -(distortion + rate)
    assert weights.shape == (8, 4)
    with seeded(3):
        bounds = model.importance_bounds(x, (1, 8))
    assert (bounds[1] >= bounds[0] - 1e-4).all()
    with seeded(3):
        one = model.importance_bounds(x, (1,))[0]
    with seeded(3), torch.no_grad():
        distortion, rate, _ = model.infer(x)
    torch.testing.assert_close(one, -(distortion + rate)[0])
    with seeded(4), torch.no_grad():
        z = model.encode(x).rsample((2000,))
    p, q = model.latent(), model.encode(x)
    expected = (p.log_prob(z) - q.log_prob(z)).mean(0)  # minus the rate, by draws
    with seeded(4), torch.no_grad():
        torch.testing.assert_close(-model.infer(x, analytic=True).rate[0], expected, atol=0.02, rtol=0.02)


@pytest.mark.parametrize("name", NAMES)
def test_examples_twice_and_other_batches_change_nothing(name):
    model = plan_of(name).model.eval()
    x = torch.from_numpy(tunes(3, NAMES[name])).float()
    z = torch.randn(3, 3)
    with torch.no_grad():
        whole = model.decode(z).log_prob(x)
        torch.testing.assert_close(model.decode(z.repeat(2, 1)).log_prob(x.repeat(2, 1)), whole.repeat(2))
        torch.testing.assert_close(
            torch.cat([model.decode(z[i : i + 1]).log_prob(x[i : i + 1]) for i in range(3)]), whole
        )
        means = model.encode(x).mean
        torch.testing.assert_close(model.encode(x[1:2]).mean, means[1:2])


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_gets_a_gradient(name):
    model = plan_of(name, free_bits=0.0).model.train()
    with seeded(0):
        model(torch.from_numpy(tunes(5, NAMES[name])).float()).loss.backward()
    assert [n for n, q in model.named_parameters() if q.grad is None or not q.grad.any()] == []


def test_bars_know_nothing_of_each_other_but_by_their_codes():
    model = plan_of("music-vae-16bar").model.eval()
    assert isinstance(model.decoder.network, Conductor)
    x = torch.from_numpy(tunes(1, 16)).float()
    p = model.decode(torch.randn(1, 3))
    with torch.no_grad():
        scores = p.scores(x).view(16, 16)
        other = x.clone()
        other[:, 48:64] = 5.0  # another fourth bar
        changed = (p.scores(other).view(16, 16) != scores).any(1)
    assert changed.nonzero().flatten().tolist() == [3]
    flat = plan_of("music-vae-16bar-flat").model.eval().decode(torch.randn(1, 3))
    with torch.no_grad():
        changed = (flat.scores(other) != flat.scores(x)).view(16, 16).any(1)
    assert changed[3:5].all()
    assert not changed[:3].any()


def test_what_was_published_is_in_the_plan():
    two = plan_of("music-vae-2bar", spec(size=12_800), epochs=200, batch_size=128)  # 20,000 updates
    steps = 1 / 100  # of an epoch
    for step in (0, 1, 1000, 20_000):
        assert two.schedule(step * steps) * 1e-3 == pytest.approx((1e-3 - 1e-5) * 0.9999**step + 1e-5)
        assert two.model.objective.schedules["beta"](step * steps) == pytest.approx(0.5 * (1 - 0.99999**step), abs=1e-9)
    head = two.model.decoder.head
    assert (head.sampling, head.pace) == (1000.0, 1.0)
    assert (two.clip, two.select, two.learning_rate) == (1.0, "last", 1e-3)
    assert two.augment == Transpose(5)
    assert plan_of("music-vae-2bar", transpose=0).augment is None
    # A fortieth of the updates goes through all of it.
    short = plan_of("music-vae-2bar", spec(size=12_800), epochs=5)
    assert short.schedule(5) == pytest.approx(two.schedule(200))
    assert short.model.objective.schedules["beta"](5) == pytest.approx(0.5 * (1 - 0.99999**20_000))
    assert short.model.decoder.head.pace == pytest.approx(40)
    literal = plan_of("music-vae-2bar", spec(size=12_800), epochs=5, updates=0)
    assert literal.schedule(5) == pytest.approx(two.schedule(5))
    assert literal.model.decoder.head.pace == 1
    for name in ("music-vae-16bar", "music-vae-16bar-flat"):
        objective = plan_of(name).model.objective
        assert isinstance(objective, FreeBits)
        assert objective.schedules == {"beta": Constant(0.2), "nats": Constant(256 * math.log(2))}
        assert (objective.per, objective.average) == ("total", "example")
        assert plan_of(name).model.decoder.head.sampling is None
    published = {"hidden": 2048, "layers": 2, "decoder_hidden": 1024, "decoder_layers": 2, "latent_dim": 512}
    with torch.device("meta"):
        model = recipes.get("music-vae-16bar")(
            spec(16), **published, conductor_hidden=1024, conductor_layers=2, embedding=512
        ).model
    lstm = 4 * 1024 * (512 + 1024 + 2) + 4 * 1024 * (2 * 1024 + 2)
    conductor = sum(q.numel() for q in model.decoder.network.lstm.parameters())
    assert conductor == lstm


def test_an_untrained_decoder_knows_how_frequent_symbols_are(data):
    with seeded(0):
        model = recipes.get("music-vae-2bar")(DataSpec.of(data), **SMALL).model.eval()
    guessed = model.decoder.head.network.output.bias.detach().softmax(0)
    counts = np.bincount(data.train.x.ravel(), minlength=90) + 1
    np.testing.assert_allclose(guessed, counts / counts.sum(), rtol=1e-5)


def test_a_run_is_loaded_to_the_bit(tmp_path, data, no_report):
    import vaekit

    vaekit.train(
        "music-vae-2bar", data, out=tmp_path / "run", epochs=1, batch_size=20, nll_samples=0, progress=False, **SMALL
    )
    run = Run(tmp_path / "run")
    x = torch.from_numpy(data.test.x).float()
    fresh = vaekit.load(tmp_path / "run")
    assert torch.equal(fresh.reconstruct(x), run.model.reconstruct(x))
    assert torch.equal(fresh.sample(3, seed=1), run.model.sample(3, seed=1))
    assert math.isfinite(run.metrics["test"]["elbo"])


@pytest.mark.parametrize("name", NAMES)
def test_the_melodies_that_come_with_vaekit_are_trained_on(name):
    data = load_dataset("melodies", bars=NAMES[name])
    plan = plan_of(name, DataSpec.of(data), epochs=1, batch_size=len(data.train))
    found = fit(plan, data, progress=False)
    assert found.facts["steps"] == 1
    assert math.isfinite(found.history["validation_elbo"][0])


@pytest.mark.parametrize("name", NAMES)
def test_other_data_are_refused_with_what_to_pass(name):
    bars = NAMES[name]
    make = recipes.get(name)
    with pytest.raises(
        RequestError, match=rf"48 steps; expected {bars} bars of 16: .*\"bars\": {bars}}}', or --bars 3$"
    ):
        make(spec(3))
    assert make(spec(3), bars=3, **SMALL).model.decoder.head.event_shape == (48,)
    with pytest.raises(RequestError, match=rf"30 steps; expected {bars} bars of 16: .*\"bars\": {bars}}}'$"):
        make(dataclasses.replace(spec(), shape=(30,)))
    for other in (DataSpec("digits", (1, 8, 8), 17, "bernoulli"), DataSpec("reals", (32,), None, "gaussian")):
        with pytest.raises(RequestError, match="expected melodies, symbols of one axis: pass --data melodies"):
            make(other)
    with pytest.raises(RequestError, match="bars is 0; expected at least 1"):
        make(spec(), bars=0)
