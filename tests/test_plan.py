import math
from itertools import count

import numpy as np
import pytest
import torch
from torch import nn

from vaekit.data import from_arrays
from vaekit.data.transforms import Identity
from vaekit.distributions import Conditional, DiagonalGaussian, Gaussian, StandardNormal
from vaekit.errors import RequestError
from vaekit.models import VAE
from vaekit.objectives import ELBO, ImportanceWeighted
from vaekit.plan import DataSpec, Plan
from vaekit.schedules import Cyclical, Linear
from vaekit.training import fit


def model(objective=None):
    torch.manual_seed(0)
    return VAE(
        Conditional(nn.Linear(3, 4), DiagonalGaussian(2)),
        Conditional(nn.Linear(2, 3), Gaussian((3,), variance=1.0)),
        StandardNormal(2),
        objective,
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"epochs": 0}, "epochs is 0; expected at least 1: pass --epochs 1 or more"),
        ({"batch_size": -1}, "batch_size is -1; expected at least 1: pass --batch-size 1"),
        ({"patience": 0}, "patience is 0; expected at least 1"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0; expected a number above 0: pass --learning-rate 0.001"),
        ({"learning_rate": math.nan}, "learning_rate is nan"),
        ({"learning_rate": math.inf}, "learning_rate is inf"),
        ({"clip": -1.0}, "clip is -1.0; expected a number above 0"),
        ({"weight_decay": -0.1}, "weight_decay is -0.1; expected a number of at least 0"),
        ({"eps": -1e-8}, "eps is -1e-08; expected"),
        ({"betas": (0.9, 1.0)}, r"betas are \(0.9, 1.0\); expected two numbers from 0 up, below 1"),
        ({"optimizer": "adam-w"}, "optimizer is 'adam-w'; expected one of adam, adamw. Did you mean 'adamw'"),
        ({"train_on": "everything"}, "train_on is 'everything'; expected one of train, all"),
        ({"select": "first"}, "select is 'first'; expected one of best, last"),
    ],
)
def test_values_out_of_range_are_refused(options, words):
    with pytest.raises(RequestError, match=words):
        Plan(model(), Identity(), **options)
    with pytest.raises(RequestError, match=words):
        Plan(model(), Identity()).with_options(**options)


@pytest.mark.parametrize("schedule", [Linear(epochs=10), Cyclical(period=4, cycles=3)])
def test_a_warm_up_longer_than_training_is_refused(schedule):
    Plan(model(ELBO(schedule)), Identity(), epochs=11)
    for epochs in (1, 10):
        with pytest.raises(RequestError, match=f"settles after 10 epochs but training has {epochs}: shorten the warm"):
            Plan(model(ELBO(schedule)), Identity(), epochs=epochs)
    with pytest.raises(RequestError, match="shorten the warm-up"):
        Plan(model(ELBO(schedule)), Identity(), epochs=11).with_options(epochs=10)


def test_options_that_are_none_leave_the_plan_as_it_is():
    plan = Plan(model(), Identity(), clip=2.0)
    changed = plan.with_options(clip=None, patience=4, epochs=None)
    assert (changed.clip, changed.patience, changed.epochs) == (2.0, 4, plan.epochs)
    assert plan.patience is None


def getting_worse(objective):
    """Fit a plan whose validation bound falls from the first epoch on."""
    rng = np.random.default_rng(0)
    data = from_arrays(rng.normal(size=(200, 3)))
    plan = Plan(model(objective), Identity(), epochs=6, batch_size=18, learning_rate=1e-2)
    worse = count()

    class Worse:
        monitor, settled = objective.monitor, objective.settled
        advance, weights = objective.advance, objective.weights

        def __call__(self, given, x, context=None):
            loss = objective(given, x, context)
            if not torch.is_grad_enabled():  # validation, and nothing that is trained on
                loss.terms[self.monitor].sub_(100.0 * next(worse))
            return loss

    del plan.model.objective  # a registered module, which only a module may replace
    plan.model.objective = Worse()
    return fit(plan, data, compile=False, progress=False)


def test_model_selection_starts_after_the_warm_up():
    assert getting_worse(ELBO()).facts["best_epoch"] == 1
    assert getting_worse(ELBO(Linear(epochs=3))).facts["best_epoch"] == 4
    assert getting_worse(ELBO(Linear(epochs=2.5))).facts["best_epoch"] == 3
    assert getting_worse(ImportanceWeighted(3)).facts["best_epoch"] == 1


def test_what_is_logged_is_unweighted_whatever_the_weight():
    data = from_arrays(np.random.default_rng(0).normal(size=(200, 3)))
    for beta in (Linear(epochs=2, end=4.0), 0.0):
        plan = Plan(model(ELBO(beta)), Identity(), epochs=3, batch_size=18)
        history = fit(plan, data, compile=False, progress=False).history
        for part in ("train", "validation"):
            elbo, rate, distortion = (np.array(history[f"{part}_{name}"]) for name in ("elbo", "rate", "distortion"))
            np.testing.assert_allclose(elbo, -(rate + distortion), rtol=1e-5)
    assert history["beta"] == [0.0, 0.0, 0.0]


def test_data_spec_describes_the_training_data_and_survives_json():
    x = np.random.default_rng(0).integers(0, 256, (50, 6, 5, 3), dtype=np.uint8)
    data = from_arrays(x)
    spec = DataSpec.of(data)
    assert (spec.shape, spec.levels) == ((3, 6, 5), 256)
    np.testing.assert_allclose(spec.mean, data.train.x.mean(0) / 255)
    again = DataSpec.from_json(spec.to_json())
    assert again == spec
    assert again.mean is None
    reals = from_arrays(np.random.default_rng(0).normal(size=(50, 3)))
    np.testing.assert_allclose(DataSpec.of(reals).mean, reals.train.x.mean(0), atol=1e-6)
