r"""The manifold that a two-dimensional latent space decodes to."""

__all__ = ["manifold_grid"]

import torch
from torch import Tensor

from vaekit.models.vae import VAE


@torch.no_grad()
def manifold_grid(model: VAE, n: int = 20) -> tuple[Tensor, list[float]]:
    r"""Decode an n by n grid of a two-dimensional latent space, spaced evenly in the prior's probability.

    Grid lines lie at :math:`\Phi^{-1}(u)` for n evenly spaced u, so that each cell holds as much of the prior.

    References:
        Auto-Encoding Variational Bayes (Kingma and Welling, 2014), appendix A.

    Arguments:
        model: A model with a two-dimensional latent space.
        n: Cells on a side.

    Returns:
        Means of p(x|z), shape `(n, n, *data_shape)`, the first axis running over z2 from top, high, to bottom, low,
        the second over z1 from left, low, to right, high; and the probabilities u, from low to high.
    """
    device = next(model.parameters()).device
    probabilities = (torch.arange(n) + 0.5) / n
    line = torch.special.ndtri(probabilities.double()).float().to(device)
    z2, z1 = torch.meshgrid(line.flip(0), line, indexing="ij")
    mean = model.decode(torch.stack([z1, z2], dim=-1).flatten(0, 1)).mean
    return mean.unflatten(0, (n, n)), probabilities.tolist()
