import pytest
import torch
from torch import nn

from vaekit.distributions import Conditional, Gaussian, StandardNormal
from vaekit.errors import RequestError
from vaekit.latent import manifold_grid
from vaekit.models import VAE
from vaekit.networks import MLP


def test_the_grid_is_even_in_the_priors_probability():
    # A decoder that gives back z, so that the grid can be read.
    decoder = nn.Linear(2, 2)
    with torch.no_grad():
        decoder.weight.copy_(torch.eye(2))
        decoder.bias.zero_()
    model = VAE(nn.Identity(), Conditional(decoder, Gaussian((2,), variance=1.0)), StandardNormal(2))
    grid, probabilities = manifold_grid(model, 5)
    assert grid.shape == (5, 5, 2)
    assert not grid.requires_grad
    assert probabilities == pytest.approx([0.1, 0.3, 0.5, 0.7, 0.9])
    u = torch.special.ndtr(grid)
    # z1 rises from left to right in every row; z2 falls from top to bottom in every column.
    torch.testing.assert_close(u[..., 0], torch.tensor(probabilities).expand(5, 5))
    torch.testing.assert_close(u[..., 1], torch.tensor(probabilities).flip(0)[:, None].expand(5, 5))


def test_a_model_of_more_dimensions_is_refused():
    model = VAE(nn.Identity(), Conditional(MLP((3,), (4,)), Gaussian((4,))), StandardNormal(3))
    with pytest.raises(RequestError, match=r"expected \(batch, 3\)"):
        manifold_grid(model, 2)
