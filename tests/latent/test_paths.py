import math

import pytest
import torch
from torch import nn
from torch.distributions import Laplace

from vaekit.distributions import Conditional, DiagonalGaussian, Factorised, Gaussian, LearnedNormal, StandardNormal
from vaekit.errors import RequestError
from vaekit.latent import interpolate, linear_path, mean_codes, mean_data, spherical_path
from vaekit.models import VAE
from vaekit.networks import MLP, OneHot

PATHS = [linear_path, spherical_path]


def points(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("path", PATHS)
def test_the_points_passed_are_exact(path):
    stops = points(4, 7) * torch.tensor([0.1, 1.0, 30.0, 5.0])[:, None]
    found = path(stops, 6)
    assert found.shape == (3 * 5 + 1, 7)
    assert (found[::5] == stops).all()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kind", ["any", "opposite", "one ray", "from the origin"])
def test_there_and_back_is_one_way(path, kind):
    a = points(5)
    b = {"any": points(5, seed=1), "opposite": -2 * a, "one ray": 3 * a, "from the origin": torch.zeros(5)}[kind]
    there, back = path(torch.stack([a, b]), 9), path(torch.stack([b, a]), 9)
    assert there.isfinite().all()
    torch.testing.assert_close(there, back.flip(0))


@pytest.mark.parametrize("kind", ["any", "opposite", "close"])
def test_a_spherical_path_keeps_the_norm_of_its_ends_and_turns_steadily(kind):
    a = points(6).double()
    b = {"any": points(6, seed=1).double(), "opposite": -a, "close": a + 1e-9 * points(6, seed=1)}[kind]
    b = b * a.norm() / b.norm()
    path = spherical_path(torch.stack([a, b]), 11)
    torch.testing.assert_close(path.norm(dim=1), a.norm().expand(11))
    turns = (path[1:] - path[:-1]).norm(dim=1)
    torch.testing.assert_close(turns, turns[0].expand(10), rtol=1e-4, atol=1e-15)
    assert turns[0] > 0


def test_norms_in_between_are_in_between_and_directions_those_of_the_formula_by_sines():
    a, b = torch.tensor([2.0, 0.0, 0.0]).double(), torch.tensor([3.0, 3.0, 1.0]).double()
    path = spherical_path(torch.stack([a, b]), 5)
    torch.testing.assert_close(path.norm(dim=1), torch.linspace(float(a.norm()), float(b.norm()), 5).double())
    u, v = a / a.norm(), b / b.norm()
    angle = torch.acos(u @ v)
    for t, z in zip(torch.linspace(0, 1, 5).double(), path, strict=True):
        expected = (torch.sin((1 - t) * angle) * u + torch.sin(t * angle) * v) / torch.sin(angle)
        torch.testing.assert_close(z / z.norm(), expected)


def test_at_tiny_angles_a_spherical_path_points_where_a_straight_one_does():
    a = points(5).double()
    both = torch.stack([a, a + 1e-7 * points(5, seed=1)])
    straight, round_ = linear_path(both, 7), spherical_path(both, 7)
    torch.testing.assert_close(nn.functional.normalize(round_), nn.functional.normalize(straight), rtol=0, atol=1e-13)


def test_on_one_ray_a_spherical_path_is_straight():
    a = points(4).double()
    both = torch.stack([a, 2.5 * a])
    torch.testing.assert_close(spherical_path(both, 6), linear_path(both, 6))


def test_the_ends_of_an_interpolation_are_reconstructions_and_the_middle_is_decoded(identity):
    model = identity(3)
    x = points(3, 3)
    z, decoded = interpolate(model, x, 5)
    torch.testing.assert_close(z[::4], mean_codes(model, x), rtol=0, atol=0)
    torch.testing.assert_close(decoded[::4], model.reconstruct(x))
    torch.testing.assert_close(decoded[2], (x[0] + x[1]) / 2)
    again = interpolate(model, mean_codes(model, x), 5, encoded=True)
    torch.testing.assert_close(again.x, decoded, rtol=0, atol=0)


def test_a_spherical_path_turns_about_the_priors_mean_in_its_own_scale(identity):
    prior = LearnedNormal(2)
    with torch.no_grad():
        prior.loc.copy_(torch.tensor([1.0, -2.0]))
        prior.log_scale.copy_(torch.tensor([2.0, 0.5]).log())
    model = identity(2, prior)
    ends = torch.tensor([[3.0, -2.0], [1.0, -1.5]])  # one standard deviation along each unit
    z = interpolate(model, ends, 3, spherical=True, encoded=True).z
    assert (z[[0, 2]] == ends).all()
    half = math.sqrt(0.5)
    torch.testing.assert_close(z[1], torch.tensor([1 + 2 * half, -2 + half / 2]))


def test_a_spherical_path_wants_a_gaussian(identity):
    model = identity(2, Factorised(2, Laplace, loc=0.0, scale=1.0))
    with pytest.raises(RequestError, match="take the linear path"):
        interpolate(model, points(2, 2), 3, spherical=True)


@pytest.mark.parametrize(("n", "steps", "words"), [(1, 5, "at least 2, a start"), (2, 1, "steps is 1")])
def test_no_path_is_refused(identity, n, steps, words):
    with pytest.raises(RequestError, match=words):
        interpolate(identity(2), points(n, 2), steps)


def test_classes_change_halfway_and_numbers_steadily():
    # The decoder gives back what it is told.
    posterior = DiagonalGaussian(2)

    class Told(nn.Module):
        def forward(self, z, context=None):
            return context

    def model(network):
        told = Conditional(Told(), Gaussian((3,), variance=1.0))
        encoder = Conditional(MLP((3,), posterior.parameter_shape, context_dim=3), posterior)
        return VAE(encoder, told, StandardNormal(2), context=network)

    x, numbers = points(2, 3), torch.tensor([[0.0, 0.0, 4.0], [1.0, 2.0, 0.0]])
    found = interpolate(model(nn.Identity()), x, 5, context=numbers).x
    torch.testing.assert_close(found, linear_path(numbers, 5))
    found = interpolate(model(OneHot(3)), x, 5, context=torch.tensor([2, 0])).x
    assert found.argmax(1).tolist() == [2, 2, 2, 0, 0]
    found = interpolate(model(OneHot(3)), x, 5, context=torch.tensor([1])).x
    assert found.argmax(1).tolist() == [1] * 5


def test_batches_change_nothing(identity, monkeypatch):
    model, z = identity(3), points(10, 3)
    monkeypatch.setattr("vaekit.latent.means.ROWS", 4)
    torch.testing.assert_close(mean_data(model, mean_codes(model, z)), z)
    assert mean_data(model, z.view(2, 5, 3)).shape == (2, 5, 3)


def test_codes_without_a_mean_or_a_vector_are_refused(identity):
    class Discrete(nn.Module):
        def forward(self, x):
            return torch.distributions.Independent(torch.distributions.Categorical(torch.ones(len(x), 4, 8)), 1)

    class Grid(nn.Module):
        def forward(self, x):
            return torch.distributions.Independent(torch.distributions.Normal(torch.zeros(len(x), 4, 4), 1.0), 2)

    model = identity(2)
    for encoder in (Discrete(), Grid()):
        model.encoder = encoder
        with pytest.raises(RequestError, match="no continuous latent vector"):
            mean_codes(model, points(2, 2))
    with pytest.raises(RequestError, match="no continuous latent vector"):
        mean_codes(nn.Linear(2, 2), points(2, 2))
