r"""Quantiles of a prior's units, in closed form or from draws."""

__all__ = ["medians", "prior_quantiles"]

from typing import cast

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent

from vaekit.errors import RequestError
from vaekit.models.base import seeded

DRAWS = 10_000


def prior_quantiles(prior: Distribution, probabilities: Tensor, *, seed: int = 0) -> Tensor:
    r"""Return the quantiles of each unit's marginal distribution under the prior, shape `(latent_dim, k)`.

    .. math::
        F_j(q_{ji}) = u_i, \qquad F_j(q) = P(z_j \le q)

    They are exact where the units are independent and their quantile function is known; else, as for a mixture or a
    flow, those of 10,000 draws.

    Arguments:
        prior: A distribution of one z, `batch_shape ()` or `(1,)`.
        probabilities: :math:`u`, shape `(k,)`, each above 0 and below 1.
        seed: Of the draws.

    Raises:
        RequestError: If a probability is not between 0 and 1.

    Example:
        >>> from torch.distributions import Normal
        >>> prior = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
        >>> prior_quantiles(prior, torch.tensor([0.5, 0.975]))
        tensor([[0.0000, 1.9600],
                [0.0000, 1.9600]])
    """
    if not bool(((probabilities > 0) & (probabilities < 1)).all()):
        raise RequestError(f"quantiles are {probabilities.tolist()}; expected numbers above 0 and below 1")
    u = probabilities.double()[:, None]
    if isinstance(prior, Independent) and prior.reinterpreted_batch_ndims == 1 and not prior.base_dist.event_shape:
        try:
            # The quantile function of one unit is taken in double precision: single would lose the tails.
            base = prior.base_dist.expand(torch.Size((1, *prior.event_shape)))
            return cast(Tensor, base.icdf(u.to(prior.mean.device)).to(prior.mean).T)
        except NotImplementedError:
            pass
    with seeded(seed):
        draws = prior.sample(torch.Size((DRAWS,))).flatten(1)
    # One unit at a time, for torch's quantile limits how much it sorts at once.
    return torch.stack([unit.double().quantile(u[:, 0].to(unit.device)) for unit in draws.T]).to(draws)


def medians(prior: Distribution) -> Tensor:
    r"""Return the median of each unit under the prior, shape `(latent_dim,)`: where a unit is that is not moved."""
    return prior_quantiles(prior, torch.tensor([0.5]))[:, 0]
