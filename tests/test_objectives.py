import math

import pytest
import torch

from vaekit.errors import RequestError
from vaekit.objectives import ELBO, ImportanceWeighted
from vaekit.objectives.annealed import Annealed
from vaekit.objectives.base import stopped
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


def test_an_objective_settles_with_the_last_of_its_weights():
    objective = Annealed()
    assert (objective.settled, objective.weights()) == (0, {})
    objective.anneal("a", Linear(epochs=2, end=3.0), "pass 3")
    objective.anneal("b", 7, "pass 7")
    objective.anneal("c", Linear(epochs=4, start=1.0, end=0.0), "pass 0")
    assert objective.settled == 4
    objective.advance(1.0)
    assert objective.weights() == {"a": 1.5, "b": 7.0, "c": 0.75}
    with pytest.raises(RequestError, match=r"d is 1\.0; expected a finite weight of at least 2: pass more"):
        objective.anneal("d", 1.0, "pass more", lowest=2.0)


def test_stopped_parameters_let_the_gradient_through_to_the_argument():
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))
    x = torch.randn(4, 2, requires_grad=True)
    value = stopped(module, x)
    torch.testing.assert_close(value, module(x))
    value.sum().backward()
    assert all(p.grad is None for p in module.parameters())
    assert all(p.requires_grad for p in module.parameters())
    through = x.grad.clone()
    x.grad = None
    module(x).sum().backward()
    torch.testing.assert_close(x.grad, through)


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
