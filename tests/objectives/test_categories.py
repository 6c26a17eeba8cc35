r"""Categories and styles held to their priors: whose gradients are whose, and which labels training can see."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from vaekit.data import Dataset, Split, load_dataset
from vaekit.data.transforms import Identity
from vaekit.distributions import CategoryStyle, CategoryStylePrior, Conditional, Delta, Gaussian
from vaekit.distributions.category_style import OneHotNormal
from vaekit.errors import RequestError
from vaekit.models import VAE, seeded
from vaekit.networks import MLP, batch_normalised
from vaekit.objectives import AdversarialCategories, Labelled, Reconstruction
from vaekit.plan import DataSpec
from vaekit.recipes import get
from vaekit.recipes.aae_semi import labelled_rows
from vaekit.training import fit


def autoencoder(objective, size=4, categories=3, style_dim=2):
    head = CategoryStyle(categories, style_dim)
    return VAE(
        Conditional(MLP((size,), head.parameter_shape, (16,), "tanh"), head),
        Conditional(MLP((head.latent_dim,), (size,), (16,), "tanh"), Gaussian((size,), variance=1.0)),
        head.default_prior(),
        objective,
    )


@pytest.fixture
def x():
    return torch.randn(9, 4, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def few():
    return Labelled(torch.randn(6, 4, generator=torch.Generator().manual_seed(2)), torch.arange(6) % 3, Identity())


def gradients(module):
    return [p.grad for p in module.parameters() if p.grad is not None]


def test_each_phase_moves_its_own_parameters(x, few):
    model = autoencoder(AdversarialCategories(3, 2, few, hidden=(8,)))
    phases = model.phases()
    theirs = {id(p) for p in model.objective.discriminators.parameters()}
    assert {id(p) for p in phases["discriminator"]} == theirs
    assert len(phases["bound"]) == len([*model.encoder.parameters(), *model.decoder.parameters()])
    assert not {id(p) for p in phases["bound"]} & theirs
    model(x).loss.backward()
    assert not gradients(model.objective.discriminators)
    assert all(g.any() for g in gradients(model.encoder) + gradients(model.decoder))
    model.zero_grad()
    model(x, phase="discriminator").loss.backward()
    assert not gradients(model.encoder) + gradients(model.decoder)
    assert len(gradients(model.objective.discriminators)) == len(theirs)
    assert all(g.any() for g in gradients(model.objective.discriminators))


def test_a_category_sums_to_one_and_a_style_is_free():
    z = CategoryStyle(4, 2)(5 * torch.randn(100, 6)).mean
    torch.testing.assert_close(z[:, :4].sum(1), torch.ones(100))
    assert bool((z[:, :4] > 0).all())
    logits = torch.tensor([[1.0, 2.0, 0.5, 0.0, -3.0, 7.0]])
    torch.testing.assert_close(CategoryStyle(4, 2)(logits).mean[:, 4:], logits[:, 4:])
    torch.testing.assert_close(CategoryStyle(4, 2)(logits + 3).mean[:, :4], CategoryStyle(4, 2)(logits).mean[:, :4])


def test_normalised_logits_leave_no_category_to_everybody():
    logits = torch.randn(200, 6)
    logits[:, 0] += 50  # by its bias, the first category is that of all
    plain, normalised = CategoryStyle(4, 2), CategoryStyle(4, 2, normalised=True)
    assert set(plain(logits).mean[:, :4].argmax(1).tolist()) == {0}
    counts = torch.bincount(normalised(logits).mean[:, :4].argmax(1), minlength=4)
    assert int(counts.min()) > 30
    one = normalised.eval()(logits[:1])  # in evaluation each example is on its own
    torch.testing.assert_close(normalised(logits).mean[:1], one.mean)


def test_the_prior_is_a_category_and_an_independent_normal():
    with seeded(0):
        z = CategoryStylePrior(5, 2)().sample((20_000,))
    y, s = z.split((5, 2), dim=1)
    assert set(y.unique().tolist()) == {0.0, 1.0}
    assert bool((y.sum(1) == 1).all())
    torch.testing.assert_close(y.mean(0), torch.full((5,), 0.2), atol=0.015, rtol=0.0)
    torch.testing.assert_close(z.mean(0), CategoryStylePrior(5, 2)().mean, atol=0.03, rtol=0.0)
    torch.testing.assert_close(z.var(0), CategoryStylePrior(5, 2)().variance, atol=0.05, rtol=0.0)
    means = torch.stack([s[y[:, k] == 1].mean(0) for k in range(5)])
    assert float(means.abs().max()) < 0.08


def test_its_density_adds_up_to_one_over_categories_and_styles():
    p = OneHotNormal(torch.tensor([0.2, 0.3, 0.5]), 1)
    s = torch.linspace(-8, 8, 3201)
    total = 0.0
    for k, probability in enumerate((0.2, 0.3, 0.5)):
        y = torch.eye(3)[k].expand(len(s), 3)
        part = float(p.log_prob(torch.cat([y, s.unsqueeze(1)], dim=1)).exp().sum() * (s[1] - s[0]))
        assert part == pytest.approx(probability, abs=1e-4)
        total += part
    assert total == pytest.approx(1, abs=1e-4)
    assert p.sample().shape == (4,)
    assert p.sample((2, 3)).shape == (2, 3, 4)
    for y in ([0.5, 0.5, 0.0], [1.0, 1.0, -1.0], [0.0, 0.0, 0.0]):
        assert p.log_prob(torch.tensor([*y, 0.0])) == -math.inf


def test_the_loss_by_hand(x, few):
    with seeded(3):
        model = autoencoder(AdversarialCategories(3, 2, few, category=3.0, style=0.5, supervision=7.0, hidden=()))
    with seeded(4):
        loss, terms = model(x)
    z = model.encode(x).mean
    expected = {"distortion": -model.decode(z).log_prob(x)}
    for name, part in (("category", z[:, :3]), ("style", z[:, 3:])):
        expected[f"{name}_generator"] = -model.objective.discriminators[name](part).squeeze(1).sigmoid().log()
    with seeded(4):
        shown, labels = few(len(x))
    logits = model.encoder.network(shown)[:, :3]
    expected["cross_entropy"] = nn.functional.cross_entropy(logits, labels, reduction="none")
    for name, term in expected.items():
        torch.testing.assert_close(terms[name], term)
    weights = {"distortion": 1.0, "category_generator": 3.0, "style_generator": 0.5, "cross_entropy": 7.0}
    total = sum(weights[name] * term for name, term in expected.items())
    torch.testing.assert_close(loss, total.mean())
    torch.testing.assert_close(terms["loss"], total)


def test_what_is_said_of_views_by_hand(x):
    with seeded(3):
        objective = AdversarialCategories(
            3, 2, category=0.0, style=0.0, views=lambda x: x + 1, consistency=5.0, information=7.0
        )
        model = autoencoder(objective)
    loss, terms = model(x)
    y, other = (model.encode(seen).mean[:, :3] for seen in (x, x + 1))
    divergence = nn.functional.kl_div(other.log(), y, reduction="none").sum(1)
    torch.testing.assert_close(terms["consistency"], divergence)
    entropy = torch.distributions.Categorical(probs=y).entropy()
    even = torch.distributions.Categorical(probs=y.mean(0)).entropy()
    torch.testing.assert_close(terms["information"], 4 * even - entropy)
    torch.testing.assert_close(terms["loss"], terms["distortion"] + 5 * divergence - 7 * (4 * even - entropy))
    torch.testing.assert_close(loss, terms["loss"].mean())
    assert set(objective.weights()) >= {"consistency", "information"}
    # The category of x is not moved towards that of its view.
    model.zero_grad()
    terms["consistency"].sum().backward()
    found = [p.grad.clone() for p in model.encoder.parameters()]
    model.zero_grad()
    nn.functional.kl_div(model.encode(x + 1).mean[:, :3].log(), y.detach(), reduction="sum").backward()
    for one, two in zip(found, gradients(model.encoder), strict=True):
        torch.testing.assert_close(one, two)


def test_a_view_that_is_the_same_costs_nothing_and_certain_even_categories_say_most(x):
    class Told(nn.Module):
        def encode(self, x, context=None):
            return Delta(torch.cat([torch.eye(4)[x[:, 0].long()], torch.zeros(len(x), 2)], dim=1))

    terms = AdversarialCategories(4, 2)._viewed(Told(), *2 * (torch.arange(8.0).remainder(4).unsqueeze(1),), None)
    torch.testing.assert_close(terms["consistency"], torch.zeros(8))
    torch.testing.assert_close(terms["information"], torch.full((8,), 4 * math.log(4)))


def test_clusters_are_of_what_views_leave_as_it_is():
    # What moves most is no matter of the kind, and views say so: they turn its sign.
    generator = torch.Generator().manual_seed(0)
    kind, other = (torch.randint(2, (512,), generator=generator) for _ in range(2))
    x = torch.stack([kind * 2.0 - 1, other * 8.0 - 4], 1) + 0.2 * torch.randn(512, 2, generator=generator)

    def agreement(views):
        with seeded(1):
            objective = AdversarialCategories(2, 1, views=views, consistency=30.0, information=10.0, hidden=(16,))
            model = autoencoder(objective, size=2, categories=2, style_dim=1)
            steps = {phase: torch.optim.Adam(own, 0.01) for phase, own in model.phases().items()}
            for _ in range(300):
                for phase, step in steps.items():
                    model.zero_grad()
                    model(x, phase=phase).loss.backward()
                    step.step()
        found = model.encode(x).mean[:, :2].argmax(1)
        return [
            max(float((found == told).float().mean()), float((found != told).float().mean())) for told in (kind, other)
        ]

    assert agreement(lambda x: torch.stack([x[:, 0], x[:, 1] * (torch.randint(2, (len(x),)) * 2 - 1)], 1))[0] > 0.98
    assert agreement(None)[0] < 0.9


def test_without_labels_and_rivals_it_is_a_reconstruction(x):
    with seeded(5):
        model = autoencoder(AdversarialCategories(3, 2, category=0.0, style=0.0, hidden=(8,)))
    loss, terms = model(x)
    assert "cross_entropy" not in terms
    model.objective = Reconstruction()
    torch.testing.assert_close(loss, model(x).loss)


def test_discriminators_of_codes_that_are_the_prior_tell_nothing_and_of_others_all():
    # Codes: the network gives logits whose softmax is one-hot to rounding, and a style, both as x has them.
    class Given(nn.Module):
        def forward(self, x):
            return torch.cat([1000 * x[:, :3], x[:, 3:]], dim=1)

    head = CategoryStyle(3, 2)
    with seeded(6):
        objective = AdversarialCategories(3, 2, hidden=(16,))
        model = VAE(Conditional(Given(), head), nn.Identity(), head.default_prior(), objective)
        adam = torch.optim.Adam(objective.discriminators.parameters(), 0.01)
        prior = model.latent()
        for moved in (False, True):
            for _ in range(80):
                z = prior.sample((200,))
                z[:, 3:] += 4 * moved
                if moved:  # no draw of the last category
                    z[z[:, 2] == 1, :3] = torch.tensor([1.0, 0.0, 0.0])
                adam.zero_grad()
                loss, terms = model(z, phase="discriminator")
                loss.backward()
                adam.step()
            accuracy = {name: float(terms[f"{name}_discriminator_accuracy"].mean()) for name in ("category", "style")}
            if not moved:
                assert abs(float(loss.detach()) - 2 * math.log(2)) < 0.05
        # Codes have the first category twice as often and the last never; the best guess is right in 2/3 of cases.
        assert accuracy["style"] > 0.95
        assert accuracy["category"] == pytest.approx(2 / 3, abs=0.05)


def test_labelled_batches_hold_nothing_but_the_labelled(few):
    shown, labels = few(500)
    place = (shown.unsqueeze(1) == few.x).all(-1).float()
    assert bool((place.sum(1) == 1).all())
    assert torch.equal(few.labels[place.argmax(1)], labels)
    assert len(place.argmax(1).unique()) == 6


def test_as_many_labels_of_each_class_are_shown():
    labels = np.random.default_rng(0).integers(4, size=300)
    with seeded(1):
        rows = labelled_rows(labels, 40, 4)
    assert len(set(rows)) == 40
    assert np.bincount(labels[rows]).tolist() == [10] * 4
    with seeded(1):
        assert np.array_equal(labelled_rows(labels, 40, 4), rows)
    with seeded(2):
        assert not np.array_equal(labelled_rows(labels, 40, 4), rows)
    assert labelled_rows(np.array([2, -1, 0]), 0, 3).tolist() == [0, 2]
    assert -1 not in labels[labelled_rows(np.where(labels == 3, -1, labels), 30, 3)]
    for count, words in (
        (41, "a multiple of the 4 classes.*--labelled 40"),
        (-4, "labelled is -4"),
        (400, "class 0 has"),
    ):
        with pytest.raises(RequestError, match=words):
            labelled_rows(labels, count, 4)


TINY = {"hidden": (16,), "rival_hidden": (8,), "epochs": 2, "labelled": 50}


def planned(data, **options):
    with seeded(0):
        return get("aae-semi")(DataSpec.of(data), **TINY, **options)


def hidden_changed(data, shown):
    """The data with random labels on every example but those that are shown."""
    random = np.random.default_rng(1)

    def changed(split, kept):
        labels = random.integers(10, size=len(split))
        labels[kept] = split.labels[kept]
        return Split(split.x, labels)

    nobody = np.zeros(0, np.int64)
    splits = {name: changed(split, shown if name == "train" else nobody) for name, split in data.splits.items()}
    return Dataset("changed", **splits, levels=data.levels, suggested=data.suggested)


def test_hidden_labels_reach_no_part_of_the_training():
    data = load_dataset("digits")
    plan = planned(data)
    few = plan.model.objective.labelled
    assert len(few.x) == 50
    assert torch.bincount(few.labels).tolist() == [5] * 10
    with seeded(0):
        shown = labelled_rows(data.train.labels, 50, 10)
    assert torch.equal(few.x, torch.from_numpy(data.train.x[shown]))
    one = fit(plan, data, seed=3, compile=False, progress=False)
    other = fit(planned(data), hidden_changed(data, shown), seed=3, compile=False, progress=False)
    for name, tensor in one.model.state_dict().items():
        assert torch.equal(tensor, other.model.state_dict()[name]), name
    assert {k: v for k, v in one.history.items() if k != "seconds"} == {
        k: v for k, v in other.history.items() if k != "seconds"
    }
    # That the shown ones do reach it: without this the test could not fail.
    third = planned(data)
    third.model.objective.labelled.labels.copy_(few.labels.roll(1))
    moved = fit(third, data, seed=3, compile=False, progress=False).model.state_dict()
    assert not all(torch.equal(tensor, moved[name]) for name, tensor in one.model.state_dict().items())


def test_wrong_requests():
    with pytest.raises(RequestError, match="categories is 1"):
        CategoryStyle(1, 2)
    with pytest.raises(RequestError, match="style_dim is 0"):
        CategoryStylePrior(3, 0)
    with pytest.raises(RequestError, match="one for each"):
        Labelled(torch.zeros(3, 2), torch.zeros(2, dtype=torch.int64), Identity())
    with pytest.raises(RequestError, match="no labelled examples, as in a model that was loaded"):
        Labelled(torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64), Identity())(4)
    with pytest.raises(RequestError, match="has no labels; expected class numbers"):
        get("aae-semi")(DataSpec("plain", (3,), None, "gaussian", 10))
    with pytest.raises(RequestError, match=r"category_generator is -1\.0"):
        AdversarialCategories(3, 2, category=-1.0)


def test_batch_normalisation_follows_every_layer_but_the_last():
    network = batch_normalised(MLP((4,), (2,), hidden=(8, 6)))
    kinds = [m for m in network.modules() if isinstance(m, nn.Linear | nn.BatchNorm1d)]
    assert [type(m).__name__ for m in kinds] == ["Linear", "BatchNorm1d", "Linear", "BatchNorm1d", "Linear"]
    assert [m.num_features for m in kinds if isinstance(m, nn.BatchNorm1d)] == [8, 6]
    first = network.layers[0](3 + 5 * torch.randn(1000, 4))
    torch.testing.assert_close(first.mean(0), torch.zeros(8), atol=1e-4, rtol=0.0)
    torch.testing.assert_close(first.std(0), torch.ones(8), atol=1e-2, rtol=0.0)
