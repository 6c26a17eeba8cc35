r"""The autoencoder's objective by hand, by the Jacobian of autograd, and by what linear ones are known to do."""

import pytest
import torch

from vaekit.distributions import Conditional, DiagonalGaussian, Gaussian, Point, StandardNormal
from vaekit.distributions.fitted import FullMixturePrior
from vaekit.errors import RequestError
from vaekit.models import VAE, seeded
from vaekit.networks import MLP
from vaekit.objectives import Reconstruction
from vaekit.objectives.reconstruction import GaussianNoise, Masking, squared_jacobian
from vaekit.schedules import Linear


def autoencoder(objective, size=6, latent_dim=2, hidden=(8,), head=Point, prior=None):
    with seeded(0):
        posterior = head(latent_dim)
        return VAE(
            Conditional(MLP((size,), posterior.parameter_shape, hidden, "tanh"), posterior),
            Conditional(MLP((latent_dim,), (size,), tuple(reversed(hidden)), "tanh"), Gaussian((size,), variance=1.0)),
            prior or StandardNormal(latent_dim),
            objective,
        )


@pytest.fixture
def x():
    return torch.randn(7, 6, generator=torch.Generator().manual_seed(1))


def test_the_loss_is_the_distortion_and_every_parameter_has_a_gradient(x):
    model = autoencoder(Reconstruction())
    loss, terms = model(x)
    distortion = -model.decode(model.encode(x).mean).log_prob(x)
    assert set(terms) == {"reconstruction", "distortion", "loss"}
    torch.testing.assert_close(terms["distortion"], distortion)
    torch.testing.assert_close(terms["reconstruction"], -distortion)
    torch.testing.assert_close(loss, distortion.mean())
    loss.backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())
    # No prior has a part in it.
    far = FullMixturePrior(2, components=2)
    far.means.fill_(100.0)
    assert torch.equal(autoencoder(Reconstruction(), prior=far)(x).loss, loss)


def test_penalties_are_weighed_in_the_loss_alone(x):
    model = autoencoder(Reconstruction(code=Linear(2, end=3.0), decoder=0.5, contraction=2.0))
    model.objective.advance(1.0)
    loss, terms = model(x)
    z = model.encode(x).mean
    torch.testing.assert_close(terms["code"], z.square().sum(1) / 2)
    weights = [p for name, p in model.decoder.named_parameters() if name.endswith("weight")]
    torch.testing.assert_close(terms["decoder"], sum(p.square().sum() for p in weights).expand(7))
    expected = terms["distortion"] + 1.5 * terms["code"] + 0.5 * terms["decoder"] + 2.0 * terms["contraction"]
    torch.testing.assert_close(terms["loss"], expected)
    torch.testing.assert_close(loss, expected.mean())
    assert model.objective.weights() == {"code": 1.5, "decoder": 0.5, "contraction": 2.0}
    assert model.objective.settled == 2


def brute_force(model, x):
    """The squared norm of the Jacobian of each example's code, one example at a time."""
    one = [torch.autograd.functional.jacobian(lambda v: model.encode(v[None]).mean[0], row, True) for row in x]
    return torch.stack([jacobian.square().sum() for jacobian in one])


def test_the_contraction_is_the_jacobian_and_trains_the_encoder(x):
    model = autoencoder(Reconstruction(contraction=1.0), latent_dim=3)
    expected = brute_force(model, x)
    with torch.no_grad():  # as in validation
        torch.testing.assert_close(model(x).terms["contraction"], expected)
    (found,) = torch.autograd.grad(model(x).terms["contraction"].sum(), [model.encoder.network.layers[0].weight])
    (wanted,) = torch.autograd.grad(expected.sum(), [model.encoder.network.layers[0].weight])
    torch.testing.assert_close(found, wanted)


def test_random_directions_estimate_it_without_bias(x):
    model = autoencoder(Reconstruction(contraction=1.0, probes=1), latent_dim=3)
    exact = brute_force(model, x).detach()
    with seeded(2), torch.no_grad():
        draws = torch.stack([model(x).terms["contraction"] for _ in range(400)])
        many = squared_jacobian(lambda x: model.encode(x).mean, x, probes=400)[1]
    for mean in (draws.mean(0), many):
        assert ((mean - exact).abs() < 5 * draws.std(0) / 20).all()
    # Of one unit there is one direction, and the estimate is exact.
    single = autoencoder(Reconstruction(contraction=1.0, probes=1), latent_dim=1)
    torch.testing.assert_close(single(x).terms["contraction"], brute_force(single, x))


@pytest.mark.parametrize("noise", [GaussianNoise(0.5), Masking(0.5)])
def test_noise_reaches_the_encoder_in_training_alone(x, noise):
    model = autoencoder(Reconstruction(noise=noise))
    with seeded(3):
        found = model(x).terms["distortion"]
    with seeded(3):
        seen = noise(x)
    assert not torch.equal(seen, x)
    torch.testing.assert_close(found, -model.decode(model.encode(seen).mean).log_prob(x))  # of x as it is
    clean = -model.decode(model.encode(x).mean).log_prob(x)
    assert torch.equal(model.encode(x).mean, autoencoder(Reconstruction()).encode(x).mean)
    model.eval()
    torch.testing.assert_close(model(x).terms["distortion"], clean)


def test_masking_leaves_the_rest_as_it_is():
    x = torch.rand(200, 50) + 1
    masked = Masking(0.3)(x)
    holes = masked == 0
    assert abs(holes.float().mean() - 0.3) < 0.03
    assert torch.equal(masked[~holes], x[~holes])
    added = GaussianNoise(0.3)(x) - x
    assert abs(added.std() - 0.3) < 0.02


def test_a_gaussian_encoder_is_drawn_from_and_still_has_no_rate(x):
    model = autoencoder(Reconstruction(), head=DiagonalGaussian)
    with seeded(4):
        loss, terms = model(x)
    with seeded(4):
        z = model.encode(x).rsample()
    torch.testing.assert_close(loss, -model.decode(z).log_prob(x).mean())
    assert "rate" not in terms


def linear(objective, x, latent_dim):
    """A linear autoencoder at its optimum."""
    model = autoencoder(objective, x.shape[1], latent_dim, ()).double()
    step = torch.optim.LBFGS(model.parameters(), max_iter=400, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def closure():
        step.zero_grad()
        loss = model(x).loss
        loss.backward()
        return loss

    step.step(closure)
    return model


@pytest.fixture
def spread():
    """Points that spread by 4, 3, 2, 1, ... along directions of their own, around a mean."""
    generator = torch.Generator().manual_seed(5)
    u, _ = torch.linalg.qr(torch.randn(60, 6, generator=generator, dtype=torch.float64))
    u, _ = torch.linalg.qr(u - u.mean(0))
    v, _ = torch.linalg.qr(torch.randn(6, 6, generator=generator, dtype=torch.float64))
    return u * 60**0.5 @ torch.diag(torch.tensor([4.0, 3.0, 2.0, 1.0, 0.5, 0.2]).double()) @ v.T + 3.0


def test_a_linear_autoencoder_is_principal_component_analysis(spread):
    model = linear(Reconstruction(), spread, 2)
    left = (model.reconstruct(spread) - spread).square().sum(1).mean()
    torch.testing.assert_close(left, torch.tensor(4.0 + 1.0 + 0.25 + 0.04).double(), rtol=1e-5, atol=0.0)


def test_lengths_of_code_and_decoder_shrink_the_principal_components(spread):
    # Half |M - Z W|^2 + a/2 |Z|^2 + b |W|^2 is least where each singular value of Z W is that of M less the root of
    # 2 a b (Srebro, Rennie and Jaakkola, 2005): what is below it is not coded at all.
    centred = spread - spread.mean(0)
    model = linear(Reconstruction(code=0.5, decoder=1.5625), centred, 3)
    result = model.reconstruct(centred) / 60**0.5
    singular = torch.linalg.svdvals(result - result.mean(0))
    torch.testing.assert_close(singular, torch.tensor([2.75, 1.75, 0.75, 0, 0, 0]).double(), atol=1e-4, rtol=1e-4)


def test_wrong_requests():
    with pytest.raises(RequestError, match=r"code is -1\.0; expected a finite weight"):
        Reconstruction(code=-1.0)
    with pytest.raises(RequestError, match="probes is 0; expected at least 1 direction, or None"):
        Reconstruction(probes=0)
    with pytest.raises(RequestError, match="share masked is 1; expected one from 0 up, below 1"):
        Masking(1)
    with pytest.raises(RequestError, match=r"scale is -0\.1; expected a number of at least 0"):
        GaussianNoise(-0.1)
