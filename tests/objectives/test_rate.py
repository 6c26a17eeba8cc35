import math

import pytest
import torch
from torch import nn

from vaekit.distributions import Conditional, DiagonalGaussian, Gaussian, StandardNormal
from vaekit.errors import RequestError
from vaekit.models import VAE
from vaekit.objectives import ELBO, Capacity, FreeBits, Inference
from vaekit.schedules import Linear


class Parts:
    """A model with given rates of its units, shape (n, d)."""

    def __init__(self, parts, known=True):
        self.parts, self.known = parts, known

    def infer(self, x, context=None, samples=1, *, analytic=False):
        distortion = torch.arange(len(self.parts), dtype=torch.float64).expand(samples, -1)
        return Inference(distortion, self.parts.sum(1)[None], self.parts[None] if self.known else None)


RATES = torch.tensor([[0.1, 0.9, 2.0, 0.0], [0.3, 0.3, 0.0, 0.2]], dtype=torch.float64)  # means .2, .6, 1, .1
DISTORTION = 0.5


def loss(objective, parts=RATES, known=True):
    return objective(Parts(parts, known), torch.zeros(len(parts), 1)).loss.item()


@pytest.mark.parametrize(
    ("per", "average", "nats", "charged"),
    [
        ("unit", "batch", 0.5, 0.5 + 0.6 + 1.0 + 0.5),
        ("unit", "example", 0.5, (0.5 + 0.9 + 2.0 + 0.5 + 0.5 + 0.5 + 0.5 + 0.5) / 2),
        ("total", "batch", 0.5, 1.9),
        ("total", "batch", 2.5, 2.5),
        ("total", "example", 2.5, (3.0 + 2.5) / 2),
        (2, "batch", 1.0, 1.0 + 1.1),
        (2, "example", 1.0, (1.0 + 2.0 + 1.0 + 1.0) / 2),
        (1, "batch", 0.5, 1.9),
        (4, "batch", 0.5, 0.5 + 0.6 + 1.0 + 0.5),
    ],
)
def test_free_nats_by_hand(per, average, nats, charged):
    assert loss(FreeBits(nats, per, average)) == pytest.approx(DISTORTION + charged)
    assert loss(FreeBits(nats, per, average, beta=3.0)) == pytest.approx(DISTORTION + 3 * charged)


@pytest.mark.parametrize("per", ["unit", "total", 2])
@pytest.mark.parametrize("average", ["batch", "example"])
def test_no_free_nats_are_the_plain_bound(per, average):
    assert loss(FreeBits(0.0, per, average)) == pytest.approx(loss(ELBO()))
    assert loss(FreeBits(0.0, per, average, beta=0.5)) == pytest.approx(loss(ELBO(0.5)))


def test_a_unit_below_its_free_nats_has_no_gradient_and_one_above_has_the_plain_one():
    parts = RATES.clone().requires_grad_()
    FreeBits(0.5)(Parts(parts), torch.zeros(2, 1)).loss.backward()
    torch.testing.assert_close(parts.grad, torch.tensor([[0.0, 0.5, 0.5, 0.0]] * 2).double())
    for total, expected in ((2.0, 0.0), (1.5, 0.5)):
        parts.grad = None
        FreeBits(total, "total")(Parts(parts), torch.zeros(2, 1)).loss.backward()
        torch.testing.assert_close(parts.grad, torch.full_like(parts, expected))


def test_bits_are_more_than_nats():
    # Two bits free: a code of 1.4 nats, a little more than two bits, is charged for, and one of 1.3 is not.
    for nats, free in ((1.3, True), (1.4, False)):
        charged = FreeBits(2 * math.log(2), "total").charge(torch.tensor([nats]), None).item()
        assert (charged > 2 * math.log(2) + 1e-6) != free


def test_units_of_a_rate_of_one_piece_are_refused():
    for per in ("unit", 2):
        with pytest.raises(RequestError, match=rf"per={per!r}, but the rate .* is of one piece; .* pass per='total'"):
            loss(FreeBits(0.5, per), known=False)
    assert loss(FreeBits(0.5, "total"), known=False) == pytest.approx(DISTORTION + 1.9)


def test_groups_of_unequal_size_are_refused():
    with pytest.raises(RequestError, match=r"per is 3, but the code has 4 units; expected groups of equal size"):
        loss(FreeBits(0.5, 3))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: FreeBits(-0.1), "nats is -0.1; expected a finite weight of at least 0"),
        (lambda: FreeBits(math.nan), "nats is nan"),
        (lambda: FreeBits(Linear(5, end=-1.0)), "nats is -1.0"),
        (lambda: FreeBits(0.5, 0), "per is 0; expected at least 1 group"),
        (lambda: FreeBits(0.5, "units"), "unknown per 'units'; expected 'unit' or 'total'. Did you mean 'unit'?"),
        (lambda: FreeBits(0.5, average="mean"), "unknown average 'mean'"),
        (lambda: FreeBits(0.5, beta=-1.0), "beta is -1.0"),
        (lambda: Capacity(-1.0), "capacity is -1.0"),
        (lambda: Capacity(1.0, gamma=math.inf), "gamma is inf"),
    ],
)
def test_arguments_out_of_range(build, message):
    with pytest.raises(RequestError) as caught:
        build()
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(("capacity", "expected"), [(1.0, 0.9), (1.9, 0.0), (5.0, 3.1)])
def test_capacity_charges_for_the_distance(capacity, expected):
    assert loss(Capacity(capacity, gamma=10.0)) == pytest.approx(DISTORTION + 10 * expected)


def test_annealed_weights_are_told_and_settle_with_the_last():
    objective = FreeBits(Linear(8, start=2.0, end=0.0), beta=Linear(4))
    assert objective.settled == 8
    objective.advance(2.0)
    assert objective.weights() == {"beta": 0.5, "nats": 1.5}
    assert loss(objective) == pytest.approx(DISTORTION + 0.5 * 4 * 1.5)
    assert objective.schedule == Linear(4)
    capacity = Capacity(Linear(10, end=20.0), gamma=3.0)
    capacity.advance(5.0)
    assert capacity.weights() == {"capacity": 10.0, "gamma": 3.0}
    assert capacity.settled == 10
    assert capacity.state_dict() == {}


def test_the_terms_reported_are_not_weighted():
    plain = ELBO()(Parts(RATES), torch.zeros(2, 1)).terms
    for objective in (FreeBits(9.0), Capacity(9.0)):
        terms = objective(Parts(RATES), torch.zeros(2, 1)).terms
        assert terms.keys() == plain.keys()
        for name, term in plain.items():
            torch.testing.assert_close(terms[name], term, rtol=0, atol=0)


def linear_vae(objective):
    torch.manual_seed(0)
    return VAE(
        Conditional(nn.Linear(6, 6), DiagonalGaussian(3)),
        Conditional(nn.Linear(3, 6), Gaussian((6,), variance=0.1)),
        StandardNormal(3),
        objective,
    )


def trained(objective, steps=120):
    model = linear_vae(objective)
    x = torch.randn(200, 3) @ torch.randn(3, 6)
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        model(x).loss.backward()
        optimizer.step()
    return model.objective(model, x).terms["rate"].mean().item(), model, x


@pytest.mark.parametrize("capacity", [1.0, 4.0])
def test_capacity_pulls_the_rate_to_it(capacity):
    rate, *_ = trained(Capacity(capacity, gamma=100.0))
    assert rate == pytest.approx(capacity, abs=0.4)  # each step leaps over it
    assert abs(trained(ELBO(), 60)[0] - capacity) > 1


def test_free_nats_keep_units_that_a_high_weight_switches_off():
    def rates(objective):
        _, model, x = trained(objective, 80)
        return model.infer(x, analytic=True).parts[0].mean(0)

    assert rates(ELBO(beta=200.0)).max() < 0.02
    assert rates(FreeBits(0.5, beta=200.0)).min() > 0.3
