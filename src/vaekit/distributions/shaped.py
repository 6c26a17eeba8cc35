r"""Priors in the plane with a shape that is easily recognised, to see that codes take it."""

__all__ = ["FlowerPrior", "SwissRollPrior"]

import math

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaekit.distributions.fitted import full_mixture
from vaekit.distributions.mixtures import DiagonalMixture
from vaekit.errors import RequestError


def _in_the_plane(latent_dim: int, whose: str) -> None:
    if latent_dim != 2:
        raise RequestError(f"latent_dim is {latent_dim}; {whose} lies in the plane: pass 2, or another prior")


class FlowerPrior(nn.Module):
    r"""Gaussians in the plane around its centre, each drawn out away from it like the petal of a flower.

    References:
        Adversarial autoencoders (Makhzani et al., 2015), figure 2, with 10 petals.

    Arguments:
        petals: How many.
        radius: Distance of their means from the centre; by default the variance of each unit is about 1.
        length: Standard deviation away from the centre.
        width: Standard deviation across.
        latent_dim: Size of z, 2.

    Raises:
        RequestError: If there are no petals, or `latent_dim` is not 2.

    Example:
        >>> p = FlowerPrior()()
        >>> p.sample((3,)).shape, p.component_distribution.mean[0]
        (torch.Size([3, 2]), tensor([1.4000, 0.0000]))
    """

    weights: Tensor
    means: Tensor
    factors: Tensor

    def __init__(
        self, petals: int = 10, radius: float = 1.4, length: float = 0.5, width: float = 0.1, latent_dim: int = 2
    ) -> None:
        super().__init__()
        _in_the_plane(latent_dim, "the flower")
        if petals < 1:
            raise RequestError(f"petals is {petals}; expected at least 1: pass 10")
        angles = torch.arange(petals, dtype=torch.float64) * (2 * math.pi / petals)
        out = torch.stack([angles.cos(), angles.sin()], dim=1)
        across = torch.stack([-angles.sin(), angles.cos()], dim=1)
        axes = torch.stack([length * out, width * across], dim=2)
        real = torch.get_default_dtype()
        self.register_buffer("weights", torch.full((petals,), 1 / petals), persistent=False)
        self.register_buffer("means", (radius * out).to(real), persistent=False)
        self.register_buffer("factors", torch.linalg.cholesky(axes @ axes.mT).to(real), persistent=False)

    def forward(self, context: Tensor | None = None) -> Distribution:
        """Return p(z), the same whatever the context."""
        return full_mixture(self.weights, self.means, self.factors)


class SwissRollPrior(nn.Module):
    r"""A line rolled up in the plane, with Gaussian noise: :math:`z = \rho(t) + \sigma \varepsilon`.

    .. math::
        \rho(t) = r \sqrt t \; (\cos 2 \pi w \sqrt t, \sin 2 \pi w \sqrt t), \qquad t \sim \mathrm U[0, 1]

    so that the line is about as dense everywhere. The density is the mean of :math:`\mathcal N(z; \rho(t), \sigma^2)`
    over t, which is taken at points closer than :math:`\sigma`: the sum is then the integral to three digits or more,
    and p(z) is the mixture of these.

    References:
        Adversarial autoencoders (Makhzani et al., 2015), figure 3.

    Arguments:
        radius: Of the outer end, r; with 2 the variance of each unit is about 1.
        turns: How often it goes round, w.
        scale: Standard deviation of the noise, :math:`\sigma`.
        latent_dim: Size of z, 2.

    Raises:
        RequestError: If an argument is not positive, or `latent_dim` is not 2.

    Example:
        >>> p = SwissRollPrior()()
        >>> p.sample((3,)).shape, bool(p.log_prob(torch.tensor([2.0, 0.0])) > p.log_prob(torch.tensor([1.5, 0.0])))
        (torch.Size([3, 2]), True)
    """

    logits: Tensor
    loc: Tensor
    scale: Tensor

    def __init__(self, radius: float = 2.0, turns: float = 2.0, scale: float = 0.1, latent_dim: int = 2) -> None:
        super().__init__()
        _in_the_plane(latent_dim, "the Swiss roll")
        for name, value in (("radius", radius), ("turns", turns), ("scale", scale)):
            if not 0 < value < math.inf:
                raise RequestError(f"{name} is {value}; expected a positive number: pass 1, say")
        points = math.ceil(2 * radius * (2 * math.pi * turns + 1) / scale)  # at most half a deviation apart
        root = (torch.arange(points, dtype=torch.float64) + 0.5) / points  # of t: even steps along a radius
        angle = 2 * math.pi * turns * root
        line = radius * root.unsqueeze(1) * torch.stack([angle.cos(), angle.sin()], dim=1)
        real = torch.get_default_dtype()
        self.register_buffer("logits", root.log().to(real), persistent=False)
        self.register_buffer("loc", line.to(real), persistent=False)
        self.register_buffer("scale", torch.full((points, 2), float(scale)), persistent=False)

    def forward(self, context: Tensor | None = None) -> Distribution:
        """Return p(z), the same whatever the context."""
        return DiagonalMixture(self.logits, self.loc, self.scale, validate_args=False)
