import math

import pytest
import torch

from vaekit.errors import RequestError
from vaekit.objectives import ELBO, ImportanceWeighted
from vaekit.schedules import Cyclical, Linear


def test_advance_follows_the_schedule():
    objective = ELBO(beta=Linear(epochs=10, start=1.0, end=5.0))
    assert objective.weights() == {"beta": 1.0}
    for epoch, beta in ((2.5, 2.0), (10, 5.0), (50, 5.0), (0, 1.0)):
        objective.advance(epoch)
        assert objective.weights() == {"beta": beta}
    assert objective.settled == 10
    assert ELBO(beta=Cyclical(period=10, cycles=2)).settled == 15


def test_a_constant_weight_stays():
    objective = ELBO(beta=4)
    objective.advance(100)
    assert objective.weights() == {"beta": 4.0}
    assert objective.settled == 0


def test_the_weight_is_no_part_of_the_saved_model_but_follows_its_device_and_type():
    objective = ELBO(beta=Linear(epochs=10))
    assert objective.state_dict() == {}
    assert objective.double().beta.dtype == torch.float64


def test_importance_weighting_anneals_nothing():
    objective = ImportanceWeighted(5)
    objective.advance(3.0)
    assert objective.weights() == {}
    assert objective.settled == 0
    assert (objective.monitor, ELBO().monitor) == ("bound", "elbo")


@pytest.mark.parametrize("beta", [-1.0, math.inf, math.nan])
def test_a_weight_out_of_range_is_refused(beta):
    with pytest.raises(RequestError, match=rf"beta is {beta}; expected a finite weight of at least 0"):
        ELBO(beta=beta)
    with pytest.raises(RequestError, match=r"beta is \S+; expected a finite weight"):
        ELBO(beta=Linear(epochs=5, end=beta))


@pytest.mark.parametrize("build", [lambda: ELBO(samples=0), lambda: ImportanceWeighted(0)])
def test_no_draws_are_refused(build):
    with pytest.raises(RequestError, match="samples is 0; expected at least 1 draw of z: pass 1 or more"):
        build()


def test_an_unknown_estimator_is_refused():
    with pytest.raises(RequestError, match=r"unknown estimator 'analytical'; .* Did you mean 'analytic'\?"):
        ELBO(estimator="analytical")
