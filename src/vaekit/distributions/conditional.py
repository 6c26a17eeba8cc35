r"""A conditional distribution: a network that yields parameters, a head that reads them."""

__all__ = ["Conditional", "Head"]

from typing import Protocol, cast

from torch import Tensor, nn
from torch.distributions import Distribution

from vaekit.errors import RequestError


class Head(Protocol):
    r"""What turns a network's output into a distribution.

    A head says which output it wants, so that the network can be built to fit:
    `parameter_shape` is the shape of one example's parameters, without the batch axis.
    """

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        """Shape of one example's parameters, without the batch axis."""
        ...

    def __call__(self, parameters: Tensor) -> Distribution:
        """Read the parameters, shape `(n, *parameter_shape)`."""
        ...


class Conditional(nn.Module):
    r"""The conditional distribution :math:`p(y \mid x, c) = \mathrm{head}(\mathrm{network}(x, c))`.

    An encoder is a `Conditional` whose head is a posterior; a decoder is one whose head is a likelihood.

    Arguments:
        network: Maps `x`, shape `(n, *in_shape)`, to parameters, shape `(n, *head.parameter_shape)`.
            It is called with a second argument only when there is a context.
        head: Reads the parameters as a distribution over `y`.

    Raises:
        RequestError: In `forward`, if the network's output is not of the shape that the head reads.

    Example:
        >>> from vaekit.distributions import DiagonalGaussian
        >>> from vaekit.networks import MLP
        >>> import torch
        >>> head = DiagonalGaussian(2)
        >>> encoder = Conditional(MLP((784,), head.parameter_shape, hidden=(500,)), head)
        >>> q = encoder(torch.zeros(16, 784))
        >>> q.batch_shape, q.event_shape
        (torch.Size([16]), torch.Size([2]))
    """

    def __init__(self, network: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.head = head

    def forward(self, x: Tensor, context: Tensor | None = None) -> Distribution:
        """Return the distribution over y given x, one for each row of x."""
        parameters = self.network(x) if context is None else self.network(x, context)
        expected = getattr(self.head, "parameter_shape", None)
        # Else a head may split too few or too many numbers without a word, and describe something else.
        if expected is not None and tuple(parameters.shape[1:]) != tuple(expected):
            raise RequestError(
                f"the network gives parameters of shape {tuple(parameters.shape[1:])} for an example; expected "
                f"{tuple(expected)}, which {type(self.head).__name__} reads: build the network with "
                "head.parameter_shape"
            )
        return cast(Distribution, self.head(parameters))
