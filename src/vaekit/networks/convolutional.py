r"""Convolutional networks for images of any size and any number of channels."""

__all__ = ["ConvDecoder", "ConvEncoder"]

from collections.abc import Callable, Sequence
from typing import cast

from torch import Tensor, nn

from vaekit.errors import RequestError
from vaekit.networks.mlp import MLP, check_shape
from vaekit.networks.mlp import activation as new_activation


def _halvings(size: int, times: int) -> list[int]:
    """Sizes before and after each stride-2 convolution, which rounds up."""
    sizes = [size]
    for _ in range(times):
        sizes.append((sizes[-1] + 1) // 2)
    return sizes


def _image_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    if len(shape) != 3 or min(shape) < 1:
        raise RequestError(
            f"a convolutional network was given data of shape {tuple(shape)}; expected images "
            "(channels, height, width): use an MLP for other data"
        )
    return shape[0], shape[1], shape[2]


def _channels(channels: Sequence[int]) -> tuple[int, ...]:
    if not channels or min(channels) < 1:
        raise RequestError(
            f"channels are {tuple(channels)}; expected a positive number for each of one or more convolutions: "
            "pass (32, 64), say, or use an MLP"
        )
    return tuple(channels)


class ConvEncoder(nn.Module):
    r"""Stride-2 convolutions, each halving the image (rounding up), then one linear layer.

    Arguments:
        in_shape: `(channels, height, width)`, each at least 1.
        out_shape: Shape of one output.
        channels: Channels after each convolution.
        hidden: Widths of fully connected layers between the convolutions and the output.
        activation: Name of the activation, or a callable that makes a module.
        context_dim: Size of a context vector, joined to the input of the fully connected part; 0 for none.

    Raises:
        RequestError: If the data are not images, `channels` is empty, or `forward` is given another shape.

    Example:
        >>> import torch
        >>> net = ConvEncoder((3, 37, 50), (20,))
        >>> net(torch.zeros(4, 3, 37, 50)).shape
        torch.Size([4, 20])
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        out_shape: Sequence[int],
        channels: Sequence[int] = (32, 64, 64),
        hidden: Sequence[int] = (),
        activation: str | Callable[[], nn.Module] = "relu",
        *,
        context_dim: int = 0,
    ) -> None:
        super().__init__()
        depth, height, width = self.in_shape = _image_shape(in_shape)
        channels = _channels(channels)
        layers: list[nn.Module] = []
        for out_channels in channels:
            layers += [nn.Conv2d(depth, out_channels, 3, stride=2, padding=1), new_activation(activation)]
            depth = out_channels
        smallest = (_halvings(height, len(channels))[-1], _halvings(width, len(channels))[-1])
        self.convolutions = nn.Sequential(*layers)
        self.head = MLP((depth, *smallest), out_shape, hidden, activation, context_dim=context_dim)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Map images `x`, shape `(n, channels, height, width)`, to shape `(n, *out_shape)`."""
        check_shape(x, self.in_shape)
        return cast(Tensor, self.head(self.convolutions(x), context))


class ConvDecoder(nn.Module):
    r"""One linear layer, then stride-2 transposed convolutions that retrace the sizes of `ConvEncoder` exactly.

    Arguments:
        in_shape: Shape of one input.
        out_shape: `(channels, height, width)` of the output, each at least 1.
        channels: Channels of the feature maps, from small image to large.
        hidden: Widths of fully connected layers before the first feature map.
        activation: Name of the activation, or a callable that makes a module.
        context_dim: Size of a context vector, joined to the input of the fully connected part; 0 for none.

    Raises:
        RequestError: If the output is not an image, `channels` is empty, or `forward` is given another shape.

    Example:
        >>> import torch
        >>> net = ConvDecoder((20,), (3, 37, 50))
        >>> net(torch.zeros(4, 20)).shape
        torch.Size([4, 3, 37, 50])
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        out_shape: Sequence[int],
        channels: Sequence[int] = (64, 64, 32),
        hidden: Sequence[int] = (),
        activation: str | Callable[[], nn.Module] = "relu",
        *,
        context_dim: int = 0,
    ) -> None:
        super().__init__()
        out_channels, height, width = _image_shape(out_shape)
        channels = _channels(channels)
        heights, widths = _halvings(height, len(channels)), _halvings(width, len(channels))
        self.head = MLP(in_shape, (channels[0], heights[-1], widths[-1]), hidden, activation, context_dim=context_dim)
        layers: list[nn.Module] = []
        targets = zip(reversed(heights[:-1]), reversed(widths[:-1]), [*channels[1:], out_channels], strict=True)
        for depth, (tall, wide, out) in zip(channels, targets, strict=True):
            # A stride-2 transposed convolution gives 2n - 1 rows, or 2n with one row of output padding:
            # the parity of the size to be met decides.
            padding = (1 - tall % 2, 1 - wide % 2)
            layers += [
                new_activation(activation),
                nn.ConvTranspose2d(depth, out, 3, stride=2, padding=1, output_padding=padding),
            ]
        self.convolutions = nn.Sequential(*layers)

    @property
    def output(self) -> nn.ConvTranspose2d:
        """The last layer, whose bias a recipe may set from the data's mean."""
        return cast(nn.ConvTranspose2d, self.convolutions[-1])

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Map `z`, shape `(n, *in_shape)`, to images of shape `(n, *out_shape)`."""
        return cast(Tensor, self.convolutions(self.head(z, context)))
