r"""What a discrete model does with its codes."""

__all__ = ["code_metrics", "has_codes", "require_vectors"]

import math
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from vaekit.data.rows import Rows
from vaekit.data.transforms import Transform, pairs
from vaekit.distributions.quantisers import perplexity
from vaekit.errors import RequestError
from vaekit.evaluation.likelihood import mean_and_error
from vaekit.evaluation.posterior import evaluating
from vaekit.models import VectorQuantized

# What of the families is measured of vectors, and why codes will not do.
_OF_VECTORS = {
    "annealed": "it follows gradients through all of the latent space",
    "aggregate": "it takes densities apart unit by unit",
    "prior-match": "it takes distances between latents",
    "amortisation": "it refines Gaussians",
    "attributes": "a linear classifier reads the latents as coordinates",
    "disentanglement": "it reads the latents as coordinates",
}


def has_codes(model: object) -> bool:
    r"""Whether a model's latents are codes, whole numbers without an order, and not vectors."""
    return isinstance(model, VectorQuantized)


def require_vectors(family: str, model: object) -> None:
    r"""Refuse a model of codes for a family of metrics that is measured of vectors.

    Raises:
        RequestError: If it is one.
    """
    if has_codes(model) and family in _OF_VECTORS:
        raise RequestError(
            f"the model's latents are codes, whole numbers without an order, but {_OF_VECTORS[family]}: leave "
            f"{family} out for this model"
        )


@torch.no_grad()
def code_metrics(
    model: VectorQuantized,
    x: Rows,
    transform: Transform,
    *,
    context: NDArray[Any] | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> dict[str, Any]:
    r"""Return how many codes are in use over all examples, and how long a code of an example is.

    .. math::
        \text{perplexity} = \exp \Big( -\sum_k p_k \log p_k \Big) , \qquad
        \text{bits} = \frac{-\log_2 p(z)}{D}

    with the frequencies :math:`p_k` of the codes at all positions of all examples, and D numbers in an example. The
    bits are those of the codes alone, under the model's prior, from which an arithmetic coder can make as many: what
    the reconstruction lacks is not in them.

    References:
        Neural discrete representation learning (van den Oord, Vinyals and Kavukcuoglu, 2017).

    Arguments:
        model: The model.
        x: Data as stored, shape `(n, *data_shape)`.
        transform: From data as stored to what the likelihood describes.
        context: What a conditional model is told of them, shape `(n, ...)`.
        seed: Of the transform's draws.
        device: Where to compute.

    Returns:
        `perplexity` and `used_codes`, the share of codes that occur, of several codebooks the mean of each; `codes`,
        how many there are; `code_grid`, the shape of an example's; `code_bits_per_dim` with its `_se`, the standard
        error over examples; and `code_bits_per_dim_uniform`, without a prior that knows of their frequencies.

    Example:
        >>> import numpy as np
        >>> from vaekit.data.transforms import Scale
        >>> from vaekit.distributions import Conditional, FiniteScalar, Gaussian, UniformCodes
        >>> from vaekit.networks import FeatureDecoder, FeatureEncoder
        >>> decoder = Conditional(FeatureDecoder(2, (1, 8, 8)), Gaussian((1, 8, 8)))
        >>> model = VectorQuantized(
        ...     FeatureEncoder((1, 8, 8), 2), FiniteScalar((4, 4)), decoder, UniformCodes((2, 2), 16)
        ... )
        >>> found = code_metrics(model, np.zeros((10, 1, 8, 8), np.uint8), Scale(256))
        >>> found["code_bits_per_dim"]  # 4 codes of 4 bits for 64 pixels
        0.25
    """
    rates: list[Tensor] = []
    counts = torch.zeros(())
    with evaluating(model):
        for block, given in pairs(x, transform, context, seed, device):
            z = model.encode(block, given).mean
            counts = counts + model.quantiser.counts(z).double().cpu()
            rates.append(-model.latent(given).log_prob(z))
    bits = math.log(2) * math.prod(x.shape[1:])
    mean, error = mean_and_error(torch.cat(rates).cpu() / bits)
    return {
        "perplexity": perplexity(counts).mean().item(),
        "used_codes": (counts > 0).double().mean().item(),
        "codes": model.quantiser.codes,
        "code_grid": list(z.shape[1:]),
        "code_bits_per_dim": mean,
        "code_bits_per_dim_se": error,
        "code_bits_per_dim_uniform": z[0].numel() * math.log(model.quantiser.codes) / bits,
    }
