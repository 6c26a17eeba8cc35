r"""Traversal: one unit moves over the quantiles of its prior, and the others stay."""

__all__ = ["traverse"]

from collections.abc import Sequence

import torch
from torch import Tensor

from vaekit.errors import RequestError
from vaekit.latent.means import Decoded, mean_data, vector_prior
from vaekit.latent.quantiles import medians, prior_quantiles
from vaekit.models import VAE

ENDS = (0.01, 0.99)


@torch.no_grad()
def traverse(
    model: VAE,
    units: Sequence[int] | None = None,
    *,
    at: Tensor | None = None,
    quantiles: Sequence[float] | Tensor | int = 11,
    context: Tensor | None = None,
) -> Decoded:
    r"""Decode points in which one unit runs over quantiles of its prior while the others stay where they are.

    Quantiles, and not values, so that a unit of any prior is shown over the range that is used. Of a unit that the
    model ignores nothing changes.

    References:
        beta-VAE: learning basic visual concepts with a constrained variational framework (Higgins et al., 2017).

    Arguments:
        model: A model with continuous latent variables.
        units: Which units, by number; by default all, in order.
        at: Where the others stay, shape `(latent_dim,)`; by default at the medians of the prior.
        quantiles: Probabilities above 0 and below 1, or how many, evenly from 0.01 to 0.99.
        context: What a conditional model is told, shape `(1, ...)`.

    Returns:
        The points, shape `(units, k, latent_dim)`, and what they decode to.

    Raises:
        RequestError: If z is no vector, there is no such unit, a probability is not between 0 and 1, or
            the prior lives where units cannot move one at a time, such as on a simplex.

    Example:
        >>> from vaekit.distributions import Conditional, DiagonalGaussian, Gaussian, StandardNormal
        >>> encoder = Conditional(torch.nn.Linear(3, 4), DiagonalGaussian(2))
        >>> decoder = Conditional(torch.nn.Linear(2, 3), Gaussian((3,)))
        >>> z, x = traverse(VAE(encoder, decoder, StandardNormal(2)), [1], quantiles=[0.5, 0.975])
        >>> z
        tensor([[[0.0000, 0.0000],
                 [0.0000, 1.9600]]])
    """
    if isinstance(quantiles, int):
        if quantiles < 2:
            raise RequestError(f"quantiles is {quantiles}; expected at least 2 of them: pass 11, say")
        quantiles = torch.linspace(*ENDS, quantiles, dtype=torch.float64)
    u = torch.as_tensor(quantiles, dtype=torch.float64)
    prior = vector_prior(model, context)
    values = prior_quantiles(prior, u)
    latent_dim = len(values)
    chosen = list(range(latent_dim)) if units is None else list(units)
    check_units(chosen, latent_dim)
    start = (medians(prior) if at is None else at).to(values)
    if start.shape != (latent_dim,):
        raise RequestError(f"at has shape {tuple(start.shape)}; expected ({latent_dim},), one latent point")
    z = start.repeat(len(chosen), len(u), 1)
    for row, unit in enumerate(chosen):
        z[row, :, unit] = values[unit]
    support = getattr(prior, "support", None)
    if support is not None and not bool(support.check(z).all()):
        raise RequestError(
            f"the prior ({type(prior).__name__}) lives where units cannot move one at a time, {support}; "
            "expected independent units: interpolate between examples instead"
        )
    return Decoded(z, mean_data(model, z, context))


def check_units(units: Sequence[int], latent_dim: int) -> None:
    r"""Raise a `RequestError` unless all are numbers of units."""
    for unit in units:
        if not 0 <= unit < latent_dim:
            raise RequestError(f"there is no unit {unit}; expected numbers from 0 to {latent_dim - 1}: pass others")
