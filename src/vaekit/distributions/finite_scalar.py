r"""Finite scalar quantisation: each number of a vector rounded to a few levels."""

__all__ = ["FiniteScalar"]

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from vaekit.distributions.quantisers import Quantised, Quantiser, straight_through
from vaekit.errors import RequestError


class FiniteScalar(Quantiser):
    r"""A quantiser without a codebook: each number is bounded, and rounded to one of a few levels.

    .. math::
        \tilde z_j = \tfrac{L_j - 1}{2} \tanh z_{e,j} - o_j , \qquad
        z_{q,j} = \frac{\operatorname{round} \tilde z_j}{\lfloor L_j / 2 \rfloor} , \qquad
        \text{code} = \sum_j \Big( \operatorname{round} \tilde z_j + \lfloor L_j / 2 \rfloor \Big) \prod_{i<j} L_i

    with :math:`o_j = 1/2` for an even number of levels and 0 for an odd one. There is nothing to learn, so no code can
    die, and there is neither a commitment nor a loss of a codebook. Gradients pass through the rounding unchanged.

    The paper moves features of an even number of levels so that 0 stays 0, which leaves it off the middle of them; of
    two levels, where no gradient is left. Here 0 lies between the two levels in the middle.

    References:
        Finite scalar quantization: VQ-VAE made simple (Mentzer et al., 2023), section 3.1.

    Arguments:
        levels: How many levels each number takes, :math:`L_j`; their product is the number of codes.

    Raises:
        RequestError: If there is none, or one is less than 2.

    Example:
        >>> quantiser = FiniteScalar((8, 5, 5, 5))
        >>> found = quantiser(torch.randn(6, 4, 7, 7))
        >>> quantiser.codes, found.codes.shape, bool((quantiser.embed(found.codes) == found.embedded).all())
        (1000, torch.Size([6, 7, 7]), True)
    """

    sizes: Tensor
    bases: Tensor

    def __init__(self, levels: Sequence[int] = (8, 5, 5, 5)) -> None:
        super().__init__()
        if not levels or min(levels) < 2:
            raise RequestError(f"levels are {tuple(levels)}; expected at least 2 of each number: pass (8, 5, 5, 5)")
        self.dim, self.codes = len(levels), math.prod(levels)
        self.register_buffer("sizes", torch.tensor(levels), persistent=False)
        bases = [math.prod(levels[:place]) for place in range(len(levels))]
        self.register_buffer("bases", torch.tensor(bases), persistent=False)

    def forward(self, features: Tensor) -> Quantised:
        """Quantise features, shape `(n, len(levels), *positions)`."""
        if features.dim() < 2 or features.shape[1] != self.dim:
            raise RequestError(
                f"features have shape {tuple(features.shape)}; expected (n, {self.dim}, ...), a number for each of "
                "the levels: let the encoder give as many channels"
            )
        with torch.autocast(features.device.type, enabled=False):
            features = features.to(torch.promote_types(features.dtype, torch.float32))
            bounded, half = self._bounded(features), self._along(self.sizes // 2, features)
            digits = bounded.round()
            codes = ((digits.long() + half) * self._along(self.bases, features)).sum(1)
            embedded = straight_through(bounded / half, digits / half)
            return Quantised(features, codes, embedded, features.new_zeros(len(features)))

    def embed(self, codes: Tensor) -> Tensor:
        """Return what codes, shape `(n, *positions)`, stand for, shape `(n, len(levels), *positions)`."""
        codes = codes.unsqueeze(1)
        half = self._along(self.sizes // 2, codes)
        digits = codes // self._along(self.bases, codes) % self._along(self.sizes, codes) - half
        return digits.to(torch.get_default_dtype()) / half

    def _bounded(self, features: Tensor) -> Tensor:
        """Bring every number into the range of its levels."""
        sizes = self._along(self.sizes, features)
        return features.tanh() * (sizes - 1) / 2 - (1 - sizes % 2) / 2

    def _along(self, numbers: Tensor, features: Tensor) -> Tensor:
        """Lay numbers along the axis of a vector's entries."""
        return numbers.view(-1, *(1,) * (features.dim() - 2))
