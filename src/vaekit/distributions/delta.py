r"""A point mass as a distribution, so that an autoencoder is a model like the others."""

__all__ = ["Delta"]

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal, constraints, register_kl

from vaekit.distributions.divergences import find_formula


class Delta(Distribution):
    r"""All probability at one point: :math:`\delta(z - \text{loc})`.

    A point mass has no density, so `has_density` is false and `log_prob` refuses. Its rate against any prior is
    counted as zero: the infinite constant in the KL divergence does not depend on the parameters, and an
    autoencoder pays for its code through nothing but its size.

    Arguments:
        loc: The point, shape `(*batch, *event)`.
        event_dim: How many trailing axes make one event.

    Example:
        >>> q = Delta(torch.tensor([[1.0, 2.0]]))
        >>> q.rsample((3,)).shape, q.mean
        (torch.Size([3, 1, 2]), tensor([[1., 2.]]))
    """

    arg_constraints = {"loc": constraints.real}  # noqa: RUF012 - torch's own convention
    support = constraints.real_vector
    has_rsample = True
    has_density = False

    def __init__(self, loc: Tensor, event_dim: int = 1) -> None:
        self.loc = loc
        split = loc.dim() - event_dim
        super().__init__(loc.shape[:split], loc.shape[split:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """The point itself."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """Zero."""
        return torch.zeros_like(self.loc)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Return the point, repeated."""
        return self.loc.expand(self._extended_shape(torch.Size(sample_shape)))

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Return the point, repeated, cut off from the graph: an expansion to its own shape would still be in it."""
        return self.rsample(sample_shape).detach()

    def log_prob(self, value: Tensor) -> Tensor:
        """Refuse: a point mass has no density.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(
            "a point posterior has no density, so there is no Monte Carlo rate and no importance weight: "
            "use a posterior with a density (DiagonalGaussian) where a likelihood is wanted"
        )


def _kl_delta(q: Delta, p: Distribution) -> Tensor:
    return q.loc.new_zeros(q.batch_shape)


register_kl(Delta, Distribution)(_kl_delta)
find_formula(Delta(torch.zeros(1)), Independent(Normal(torch.zeros(1), torch.ones(1)), 1))
