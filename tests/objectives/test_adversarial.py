r"""The adversarial prior: whose gradients are whose, what its discriminator can tell, and what it does to codes."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Normal

from vaekit.data import from_arrays
from vaekit.data.transforms import Identity
from vaekit.distributions import (
    Conditional,
    ConditionalPrior,
    DiagonalGaussian,
    FlowerPrior,
    Gaussian,
    Point,
    StandardNormal,
    maximum_mean_discrepancy,
)
from vaekit.errors import RequestError
from vaekit.models import VAE, seeded
from vaekit.networks import MLP, OneHot
from vaekit.objectives import AdversarialPrior, Reconstruction
from vaekit.objectives.adversarial import told_apart
from vaekit.plan import Plan
from vaekit.schedules import Cosine
from vaekit.training import fit


def autoencoder(objective, size=4, prior=None, head=Point, hidden=(16,)):
    posterior = head(2)
    return VAE(
        Conditional(MLP((size,), posterior.parameter_shape, hidden, "tanh"), posterior),
        Conditional(MLP((2,), (size,), hidden, "tanh"), Gaussian((size,), variance=1.0)),
        prior or StandardNormal(2),
        objective,
    )


@pytest.fixture
def x():
    return torch.randn(9, 4, generator=torch.Generator().manual_seed(1))


def gradients(module):
    return [p.grad for p in module.parameters() if p.grad is not None]


def test_each_phase_moves_its_own_parameters(x):
    model = autoencoder(AdversarialPrior(2, hidden=(8,)))
    phases = model.phases()
    discriminator = {id(p) for p in model.objective.discriminator.parameters()}
    assert {id(p) for p in phases["discriminator"]} == discriminator
    assert not {id(p) for p in phases["bound"]} & discriminator
    assert len(phases["bound"]) == len([*model.encoder.parameters(), *model.decoder.parameters()])
    model(x).loss.backward()
    assert not gradients(model.objective.discriminator)
    assert all(g.any() for g in gradients(model.encoder) + gradients(model.decoder))
    model.zero_grad()
    model(x, phase="discriminator").loss.backward()
    assert not gradients(model.encoder) + gradients(model.decoder)
    assert all(g.any() for g in gradients(model.objective.discriminator))


@pytest.mark.parametrize("head", [Point, DiagonalGaussian])
def test_the_encoder_is_trained_against_the_discriminator_by_hand(x, head):
    model = autoencoder(AdversarialPrior(2, generator=3.0, hidden=()), head=head)
    with seeded(2):
        loss, terms = model(x)
    with seeded(2):
        z = model.encode(x).rsample()
    (weight, bias) = model.objective.discriminator.parameters()
    probability = (z @ weight[0] + bias).sigmoid()
    torch.testing.assert_close(terms["generator"], -probability.log())
    torch.testing.assert_close(loss, (terms["distortion"] + 3 * terms["generator"]).mean())
    (found,) = torch.autograd.grad(terms["generator"].sum(), [model.encoder.network.output.weight])
    (wanted,) = torch.autograd.grad(-probability.log().sum(), [model.encoder.network.output.weight])
    torch.testing.assert_close(found, wanted)


class Codes(nn.Module):
    """An encoder that takes x for the code."""

    def forward(self, x, context=None):
        return Point(2)(x)


def trained(shift, steps=200):
    """A discriminator trained on codes that are N(shift, I), and what it does with new ones."""
    with seeded(3):
        objective = AdversarialPrior(2, hidden=(16,))
        model = VAE(Codes(), nn.Identity(), StandardNormal(2), objective)
        step = torch.optim.Adam(objective.discriminator.parameters(), 0.01)
        for _ in range(steps):
            step.zero_grad()
            model(torch.randn(500, 2) + shift, phase="discriminator").loss.backward()
            step.step()
        _, terms = model(torch.randn(20_000, 2) + shift, phase="discriminator")
    return {name: float(term.detach().mean()) for name, term in terms.items()}, objective


def test_codes_that_are_the_prior_cannot_be_told_from_it():
    terms, _ = trained(torch.zeros(2))
    assert abs(terms["discriminator_accuracy"] - 0.5) < 0.02
    assert abs(terms["discriminator"] - math.log(2)) < 0.01


def test_codes_that_are_not_are_told_as_well_as_can_be():
    # Of two Gaussians 2 apart, half the distance is 1 deviation on either side; the best logit is log p - log q.
    shift = torch.tensor([2.0, 0.0])
    terms, objective = trained(shift)
    assert abs(terms["discriminator_accuracy"] - float(Normal(0.0, 1.0).cdf(torch.tensor(1.0)))) < 0.015
    z = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [2.0, -1.0]])
    best = StandardNormal(2)().log_prob(z) - StandardNormal(2)().log_prob(z - shift)
    torch.testing.assert_close(objective.discriminator(z).squeeze(1).detach(), best, atol=0.4, rtol=0.0)


def test_a_prior_given_a_context_is_drawn_from_once_for_each_example():
    # Codes are the labels' own places, far from each other: whoever pairs draws with other labels is still not told,
    # but draws of shape (n, n) would not fit.
    head = DiagonalGaussian(2)
    prior = ConditionalPrior(MLP((3,), head.parameter_shape, ()), head)
    model = VAE(Codes(), nn.Identity(), prior, AdversarialPrior(2, hidden=(8,)), context=OneHot(3))
    terms = model(torch.randn(6, 2), torch.arange(6) % 3, phase="discriminator").terms
    assert terms["discriminator"].shape == terms["discriminator_accuracy"].shape == (6,)


def test_told_apart_by_hand():
    loss, terms = told_apart(torch.tensor([[1.0, -2.0], [-3.0, 0.5]]))
    entropy = [math.log1p(math.exp(-v)) for v in (1.0, -2.0, 3.0, -0.5)]
    expected = torch.tensor([(entropy[0] + entropy[2]) / 2, (entropy[1] + entropy[3]) / 2])
    torch.testing.assert_close(terms["discriminator"], expected)
    torch.testing.assert_close(loss, expected.mean())
    assert terms["discriminator_accuracy"].tolist() == [1.0, 0.0]


def test_it_is_a_reconstruction_otherwise(x):
    with seeded(5):
        model = autoencoder(AdversarialPrior(2, hidden=(8,), code=0.5, contraction=0.25))
    terms = model(x).terms
    model.objective = Reconstruction(code=0.5, contraction=0.25)
    plain = model(x).terms
    torch.testing.assert_close(terms["loss"] - terms["generator"], plain["loss"])
    assert terms.keys() - plain.keys() == {"generator"}


def test_codes_take_the_shape_of_the_prior():
    generator = torch.Generator().manual_seed(6)
    places = 2 * torch.rand(1000, 2, generator=generator) + 0.5  # a square beside the centre
    data = from_arrays((places @ torch.randn(2, 4, generator=generator)).numpy(), seed=0)
    with seeded(7):
        model = autoencoder(AdversarialPrior(2, hidden=(32, 32)))
    plan = Plan(
        model,
        Identity(),
        epochs=40,
        learning_rate=1e-2,
        schedule=Cosine(40, floor=0.01),
        betas=(0.5, 0.999),
        select="last",
        phases={"discriminator": {"betas": (0.5, 0.999)}},
    )
    x = torch.from_numpy(data.train.x)

    def discrepancy():
        with seeded(8), torch.no_grad():
            return float(maximum_mean_discrepancy(model.encode(x).mean, model.latent().sample((len(x),))))

    before = discrepancy()
    history = fit(plan, data, seed=0, compile=False, progress=False).history
    assert discrepancy() < before / 5
    assert history["train_discriminator_accuracy"][-1] < 0.75
    assert history["train_distortion"][-1] < history["train_distortion"][0]


def test_wrong_requests():
    with pytest.raises(RequestError, match=r"generator is -1\.0; expected a finite weight"):
        AdversarialPrior(2, generator=-1.0)
    with pytest.raises(RequestError, match="petals is 0"):
        FlowerPrior(petals=0)
