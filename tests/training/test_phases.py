r"""Models with several phases, and models that are told something of each example."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from vaekit.data import Dataset, Split
from vaekit.data.rows import LazyRows
from vaekit.data.transforms import Binarise
from vaekit.distributions import Bernoulli, Conditional, DiagonalGaussian, StandardNormal
from vaekit.errors import Interrupted, RequestError
from vaekit.models import VAE, seeded
from vaekit.networks import MLP, OneHot
from vaekit.objectives import ELBO, FactorVAE
from vaekit.objectives.base import Loss
from vaekit.plan import Plan
from vaekit.training import fit


class Rivalled(ELBO):
    """The ELBO, and a rival that is to learn the number 3, through whose loss the model must not be moved."""

    def __init__(self, pull=0.0):
        super().__init__()
        self.pull = pull
        self.guess = nn.Parameter(torch.zeros(1))
        self.rivals = {"rival": nn.ParameterList([self.guess])}

    def __call__(self, model, x, context=None):
        loss, terms = super().__call__(model, x, context)
        return Loss(loss + 1e3 * self.guess.sum(), terms)  # a gradient that is not for the rival's step

    def rival_loss(self, phase, model, x, context=None):
        assert phase == "rival"
        wrong = (self.guess - 3).square() + self.pull * model.encode(x, context).mean.sum()
        return Loss(wrong.mean(), {"wrong": wrong.expand(len(x)), "elbo": torch.full((len(x),), math.nan)})


@pytest.fixture
def rivalled(make_plan):
    def make(pull=0.0, phases=None, **options):
        plan = make_plan(**options)
        plan.model.objective = Rivalled(pull)
        return plan.with_options(phases=phases)

    return make


def test_each_phase_trains_its_own_parameters_and_no_gradient_crosses(rivalled, digits):
    both, pulled = (fit(rivalled(pull, epochs=2), digits, seed=3, progress=False) for pull in (0.0, 1e3))
    weights = pulled.model.state_dict()
    for name, tensor in both.model.state_dict().items():
        assert torch.equal(tensor, weights[name]), name
    # 12 steps of Adam at 0.01 towards 3; the bound's gradient of 1000 would have gone the other way.
    assert 0.1 < float(both.model.objective.guess.detach()) < 0.13


def test_terms_of_every_phase_are_logged_under_their_names(rivalled, digits):
    history = fit(rivalled(epochs=2), digits, seed=3, progress=False).history
    assert 8 < history["train_wrong"][0] <= 9
    assert history["train_wrong"][1] < history["train_wrong"][0]
    assert np.isfinite(history["train_elbo"]).all()  # that of the first phase, not the other's of the same name
    assert "validation_wrong" not in history


def test_a_phase_has_a_learning_rate_of_its_own(rivalled, digits):
    plan = rivalled(epochs=1, phases={"rival": {"learning_rate": 0.1, "betas": (0.5, 0.9)}})
    guess = fit(plan, digits, seed=3, progress=False).model.objective.guess
    assert 0.5 < float(guess.detach()) < 0.65
    with pytest.raises(RequestError, match="options for phases critic; expected names of the model's phases, bound"):
        rivalled(phases={"critic": {}})
    with pytest.raises(RequestError, match="phase 'rival' has an option 'lr'"):
        rivalled(phases={"rival": {"lr": 0.1}})


def test_a_run_with_phases_resumes_to_the_bit(rivalled, digits, tmp_path, signal_at):
    whole = fit(rivalled(epochs=2), digits, seed=3, progress=False)
    with signal_at(15), pytest.raises(Interrupted):  # two draws of bits a step: in the middle of the second epoch
        fit(rivalled(epochs=2), digits, directory=tmp_path, seed=3, progress=False)
    resumed = fit(rivalled(epochs=2), digits, directory=tmp_path, seed=3, progress=False, resume=True)
    for name, tensor in resumed.model.state_dict().items():
        assert torch.equal(tensor, whole.model.state_dict()[name]), name
    assert resumed.history["train_wrong"] == whole.history["train_wrong"]


def test_a_discriminator_learns_beside_the_model(make_plan, digits):
    plan = make_plan(epochs=3)
    with seeded(0):
        plan.model.objective = FactorVAE(gamma=5.0, latent_dim=3, hidden=(16, 16))
    plan = plan.with_options(phases={"discriminator": {"learning_rate": 1e-3}})
    history = fit(plan, digits, seed=3, progress=False).history
    assert abs(history["train_discriminator"][0] - math.log(2)) < 0.1
    assert "train_total_correlation" in history


class Lazy(LazyRows):
    def __init__(self, x):
        self.x, self.shape, self.dtype = x, x.shape, x.dtype

    def read(self, rows):
        return self.x[rows]


def conditional(**options):
    with seeded(0):
        posterior, likelihood = DiagonalGaussian(2), Bernoulli((1, 8, 8))
        model = VAE(
            Conditional(MLP((1, 8, 8), posterior.parameter_shape, (8,), context_dim=10), posterior),
            Conditional(MLP((2,), likelihood.parameter_shape, (8,), context_dim=10), likelihood),
            StandardNormal(2),
            context=OneHot(10),
        )
    return Plan(model, Binarise(17), **{"epochs": 2, "batch_size": 100, "learning_rate": 0.01, **options})


def labels_of_pixels(data, seed=0):
    """Examples that are all white in some columns, which the label alone tells."""

    def made(split):
        labels = np.random.default_rng(seed).integers(0, 10, len(split))
        x = np.zeros_like(split.x)
        for row, label in enumerate(labels):
            x[row, :, :, label % 8] = 16
        return Split(x, labels)

    splits = {name: made(split) for name, split in data.splits.items()}
    return Dataset("columns", **splits, levels=17, suggested="bernoulli")


@pytest.mark.parametrize("train_on", ["train", "all"])
def test_every_example_comes_with_its_own_context(digits, train_on):
    plan = conditional(epochs=40, learning_rate=0.03, train_on=train_on)
    outcome = fit(plan, labels_of_pixels(digits), seed=1, progress=False)
    with torch.no_grad():
        means = outcome.model.decode(torch.zeros(8, 2), torch.arange(8)).mean
    for label, image in enumerate(means[:, 0]):
        assert image[:, label].min() > 0.7
        assert image.sum() < 16
    assert outcome.history["validation_elbo"][-1] > -12  # told nothing, it would be log 10 and more below


def test_streamed_rows_keep_their_contexts(digits):
    whole = fit(conditional(), digits, seed=3, progress=False)
    splits = {name: Split(Lazy(split.x), split.labels) for name, split in digits.splits.items()}
    lazy = Dataset("lazy", **splits, levels=17, suggested="bernoulli")
    streamed = fit(conditional(), lazy, seed=3, progress=False)
    for name, tensor in streamed.model.state_dict().items():
        assert torch.equal(tensor, whole.model.state_dict()[name]), name


def test_data_that_tell_nothing_are_refused(digits):
    splits = {name: Split(split.x) for name, split in digits.splits.items()}
    bare = Dataset("bare", **splits, levels=17, suggested="bernoulli")
    with pytest.raises(RequestError, match="train split of bare has neither labels nor contexts"):
        fit(conditional(), bare, progress=False)
