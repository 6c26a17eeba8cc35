import pytest
import torch

from vaekit.errors import RequestError
from vaekit.latent import manifold_grid, principal_directions, principal_grid


def test_the_grid_is_even_in_the_priors_probability(identity):
    model = identity(2)
    grid, probabilities = manifold_grid(model, 5)
    assert grid.shape == (5, 5, 2)
    assert not grid.requires_grad
    assert probabilities == pytest.approx([0.1, 0.3, 0.5, 0.7, 0.9])
    u = torch.special.ndtr(grid)
    # z1 rises from left to right in every row; z2 falls from top to bottom in every column.
    torch.testing.assert_close(u[..., 0], torch.tensor(probabilities).expand(5, 5))
    torch.testing.assert_close(u[..., 1], torch.tensor(probabilities).flip(0)[:, None].expand(5, 5))


def test_other_units_stay_where_they_are_put(identity):
    model = identity(4)
    grid, probabilities = manifold_grid(model, 3, units=(3, 1), at=torch.tensor([5.0, 0.0, -7.0, 0.0]))
    assert (grid[..., 0] == 5).all()
    assert (grid[..., 2] == -7).all()
    u = torch.special.ndtr(grid)
    torch.testing.assert_close(u[..., 3], torch.tensor(probabilities).expand(3, 3))
    torch.testing.assert_close(u[..., 1], torch.tensor(probabilities).flip(0)[:, None].expand(3, 3))


def test_principal_directions_are_those_of_the_covariance():
    generator = torch.Generator().manual_seed(0)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))[0]
    codes = torch.randn(500, 3, generator=generator, dtype=torch.float64) * torch.tensor([3.0, 2.0, 0.5]) @ turn.T + 1
    found = principal_directions(codes)
    variance, vectors = torch.linalg.eigh(codes.T.cov())
    torch.testing.assert_close(found.scale, variance.flip(0).sqrt())
    torch.testing.assert_close((found.directions @ vectors.flip(1)).abs(), torch.eye(3, dtype=torch.float64))
    torch.testing.assert_close(found.project(codes).std(0), found.scale)
    again = principal_directions(-codes)  # a direction has no sign of its own
    torch.testing.assert_close(again.directions, found.directions)


def test_the_grid_of_principal_directions_spans_the_codes_quantiles(identity):
    model = identity(3)
    codes = torch.randn(400, 3, generator=torch.Generator().manual_seed(1)) * torch.tensor([0.1, 4.0, 2.0]) + 3
    principal = principal_directions(codes)
    grid, probabilities = principal_grid(model, principal, 5)
    along = principal.project(grid)
    line = torch.special.ndtri(torch.tensor(probabilities))
    torch.testing.assert_close(along[2, :, 0], line * principal.scale[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(along[:, 2, 1], line.flip(0) * principal.scale[1], rtol=1e-4, atol=1e-4)
    assert along[..., 2].abs().max() < 1e-4


@pytest.mark.parametrize("units", [(0, 2), (0, -1), (1, 1)])
def test_units_that_make_no_plane_are_refused(identity, units):
    with pytest.raises(RequestError, match="expected"):
        manifold_grid(identity(2), 2, units=units)
