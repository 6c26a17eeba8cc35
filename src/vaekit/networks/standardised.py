r"""A network that sees its inputs in units of their own."""

__all__ = ["Standardised"]

from typing import cast

from torch import Tensor, nn


class Standardised(nn.Module):
    r"""The network of :math:`(x - \mathrm{origin}) / \mathrm{unit}`.

    Weights as they are initialised, and step sizes as they are usual, are for inputs of order one. Dollars, seconds
    since 1970 and milligrams are not.

    Arguments:
        network: What is called with the input in its units, and with a context if there is one.
        origin: Where they are counted from, of a shape that broadcasts to an input's.
        unit: In what, positive.

    Example:
        >>> import torch
        >>> net = Standardised(nn.Identity(), torch.tensor([100.0]), torch.tensor([20.0]))
        >>> net(torch.tensor([[80.0], [120.0]])).flatten()
        tensor([-1.,  1.])
    """

    origin: Tensor
    unit: Tensor

    def __init__(self, network: nn.Module, origin: Tensor, unit: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("origin", origin)
        self.register_buffer("unit", unit)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Map x, as the network does; it is told the context only where there is one."""
        seen = (x - self.origin) / self.unit
        return cast(Tensor, self.network(seen) if context is None else self.network(seen, context))
