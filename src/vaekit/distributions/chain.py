r"""Conditional distributions one after the other, for latents in layers."""

__all__ = ["Chain"]

from torch import Tensor, nn
from torch.distributions import Distribution

from vaekit.distributions.ancestral import Ancestral


class Chain(nn.Module):
    r"""Two layers of latents: :math:`q(z_1 \mid x)\, q(z_2 \mid z_1)`, or top down :math:`p(z_2)\, p(z_1 \mid z_2)`.

    It is an encoder, or a prior, like any other: its distribution is over both layers side by side, always
    :math:`(z_1, z_2)`.

    References:
        Importance weighted autoencoders (Burda, Grosse and Salakhutdinov, 2016), section 5.

    Arguments:
        first: From x, or for a prior from nothing, to the first distribution.
        then: From a draw of it to the second.
        reverse: The second is of the layer that comes first in the vector, as in a prior from the top.

    Example:
        >>> import torch
        >>> from vaekit.distributions import Conditional, DiagonalGaussian, StandardNormal
        >>> from vaekit.networks import MLP
        >>> top, bottom = StandardNormal(2), Conditional(MLP((2,), (10,)), DiagonalGaussian(5))
        >>> Chain(top, bottom, reverse=True)().sample((3,)).shape
        torch.Size([3, 7])
    """

    def __init__(self, first: nn.Module, then: nn.Module, *, reverse: bool = False) -> None:
        super().__init__()
        self.first = first
        self.then = then
        self.reverse = reverse

    def forward(self, *given: Tensor) -> Distribution:
        """Return the joint distribution of both layers."""
        return Ancestral(self.first(*given), self.then, reverse=self.reverse)
