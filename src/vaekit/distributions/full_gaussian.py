r"""The Gaussian with a full covariance that knows the density of its own draws."""

__all__ = ["FullNormal", "find_full_formulas"]

import math
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal

from vaekit.distributions.divergences import find_formula


class FullNormal(MultivariateNormal):
    r"""PyTorch's `MultivariateNormal`, with the density of a draw from its noise.

    .. math::
        z = \mu + L \varepsilon , \qquad
        \log q(z) = -\tfrac12 \lVert \varepsilon \rVert^2 - \sum_i \log L_{ii} - \tfrac d2 \log 2 \pi

    The general density solves :math:`L \varepsilon = z - \mu`, which magnifies the rounding of z by the condition of
    L; for a draw there is nothing to solve.

    Example:
        >>> q = FullNormal(torch.zeros(2), scale_tril=torch.eye(2))
        >>> z, log_q = q.rsample_and_log_prob((3,))
        >>> bool(torch.allclose(log_q, q.log_prob(z)))
        True
    """

    def rsample_and_log_prob(self, sample_shape: Any = ()) -> tuple[Tensor, Tensor]:
        """Draw z, shape `(*sample_shape, *batch_shape, latent_dim)`, with its log density in nats."""
        # The factor as it was given: `scale_tril` would expand it, and a prior's needs no copies.
        factor = self._unbroadcasted_scale_tril
        shape = self._extended_shape(torch.Size(sample_shape))
        noise = torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)
        z = self.loc + (factor @ noise.unsqueeze(-1)).squeeze(-1)
        log_scales = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return z, -noise.square().sum(-1) / 2 - log_scales - shape[-1] / 2 * math.log(2 * math.pi)


@cache
def find_full_formulas() -> None:
    r"""Have PyTorch find the divergences of Gaussians with full covariances, before a step is compiled.

    Whoever makes such a Gaussian asks for it, and not this module: to make the first takes PyTorch half a second.
    """
    full = FullNormal(torch.zeros(1), scale_tril=torch.ones(1, 1))
    diagonal: Independent[Distribution] = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)
    for p in (full, diagonal, MultivariateNormal(torch.zeros(1), torch.eye(1))):
        find_formula(full, p)
