r"""A network that sees the leading numbers of its input."""

__all__ = ["Leading"]

from typing import cast

from torch import Tensor, nn


class Leading(nn.Module):
    r"""Another network, given the first `size` numbers of each vector: the lowest layer of several layers of latents.

    Arguments:
        size: How many numbers.
        network: What they are given to.

    Example:
        >>> import torch
        >>> Leading(2, nn.Linear(2, 3))(torch.zeros(4, 5)).shape
        torch.Size([4, 3])
    """

    def __init__(self, size: int, network: nn.Module) -> None:
        super().__init__()
        self.size = size
        self.network = network

    @property
    def output(self) -> nn.Module:
        """The last layer of the other network."""
        return cast(nn.Module, self.network.output)

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Map z, shape `(n, more)`, to the network's output for `z[:, :size]`."""
        z = z[:, : self.size]
        return cast(Tensor, self.network(z) if context is None else self.network(z, context))
