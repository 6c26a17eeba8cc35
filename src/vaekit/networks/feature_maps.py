r"""Convolutional networks from images to maps of features, and back."""

__all__ = ["FeatureDecoder", "FeatureEncoder"]

from collections.abc import Callable, Sequence
from typing import cast

from torch import Tensor, nn
from torch.nn.functional import pad

from vaekit.networks.convolutional import _channels, _halvings, _image_shape
from vaekit.networks.mlp import activation as new_activation
from vaekit.networks.mlp import check_shape
from vaekit.networks.residual import _blocks

_Activation = str | Callable[[], nn.Module]


class _Block(nn.Module):
    """A residual block that is cheap: x + conv1(act(conv3(act(x)))), with half as many channels in between."""

    def __init__(self, channels: int, activation: _Activation) -> None:
        super().__init__()
        inner = max(1, channels // 2)
        self.layers = nn.Sequential(
            new_activation(activation),
            nn.Conv2d(channels, inner, 3, padding=1),
            new_activation(activation),
            nn.Conv2d(inner, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, x + self.layers(x))


class FeatureEncoder(nn.Module):
    r"""Convolutions that each halve the image (rounding up), residual blocks at the smallest size, and a projection.

    There are no fully connected layers: every position of the map sees its surroundings.

    References:
        Neural discrete representation learning (van den Oord, Vinyals and Kavukcuoglu, 2017), section 4.1.

    Arguments:
        in_shape: `(channels, height, width)`, each at least 1.
        features: Channels of the map.
        channels: Channels after each halving.
        activation: Name of the activation, or a callable that makes a module.
        blocks: Residual blocks.

    Raises:
        RequestError: If the data are not images, a number is less than 1, or `forward` is given another shape.

    Example:
        >>> import torch
        >>> net = FeatureEncoder((3, 37, 50), 64)
        >>> net.out_shape, net(torch.zeros(4, 3, 37, 50)).shape
        ((64, 10, 13), torch.Size([4, 64, 10, 13]))
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        features: int,
        channels: Sequence[int] = (32, 64),
        activation: _Activation = "relu",
        *,
        blocks: int = 2,
    ) -> None:
        super().__init__()
        depth, height, width = self.in_shape = _image_shape(in_shape)
        channels, blocks = _channels(channels), _blocks(blocks)
        (features,) = _channels((features,))
        halvings = []
        for out in channels:
            halvings.append(nn.Conv2d(depth, out, 4, stride=2, padding=1))
            depth = out
        self.halvings = nn.ModuleList(halvings)
        self.activation = new_activation(activation)
        self.blocks = nn.Sequential(*(_Block(depth, activation) for _ in range(blocks)))
        self.projection = nn.Conv2d(depth, features, 1)
        times = len(channels)
        self.out_shape = (features, _halvings(height, times)[-1], _halvings(width, times)[-1])

    def forward(self, x: Tensor) -> Tensor:
        """Map images `x`, shape `(n, channels, height, width)`, to shape `(n, *out_shape)`."""
        check_shape(x, self.in_shape)
        for number, halving in enumerate(self.halvings):
            # With a row or a column of zeros more where the size is odd, so that nothing is left out.
            x = halving(pad(self.activation(x) if number else x, (0, x.shape[3] % 2, 0, x.shape[2] % 2)))
        return cast(Tensor, self.projection(self.activation(self.blocks(x))))


class FeatureDecoder(nn.Module):
    r"""A projection, residual blocks, then transposed convolutions that retrace the sizes of `FeatureEncoder` exactly.

    References:
        Neural discrete representation learning (van den Oord, Vinyals and Kavukcuoglu, 2017), section 4.1.

    Arguments:
        features: Channels of the map.
        out_shape: `(channels, height, width)` of the output, each at least 1.
        channels: Channels from the small map to the image, of each doubling's input.
        activation: Name of the activation, or a callable that makes a module.
        blocks: Residual blocks.

    Raises:
        RequestError: If the output is not an image, a number is less than 1, or `forward` is given another shape.

    Example:
        >>> import torch
        >>> net = FeatureDecoder(64, (3, 37, 50))
        >>> net(torch.zeros(4, 64, 10, 13)).shape
        torch.Size([4, 3, 37, 50])
    """

    def __init__(
        self,
        features: int,
        out_shape: Sequence[int],
        channels: Sequence[int] = (64, 32),
        activation: _Activation = "relu",
        *,
        blocks: int = 2,
    ) -> None:
        super().__init__()
        out_channels, height, width = _image_shape(out_shape)
        channels, blocks = _channels(channels), _blocks(blocks)
        heights, widths = _halvings(height, len(channels)), _halvings(width, len(channels))
        self.in_shape = (*_channels((features,)), heights[-1], widths[-1])
        self.sizes = list(zip(reversed(heights[:-1]), reversed(widths[:-1]), strict=True))
        self.projection = nn.Conv2d(features, channels[0], 3, padding=1)
        self.blocks = nn.Sequential(*(_Block(channels[0], activation) for _ in range(blocks)))
        self.activation = new_activation(activation)
        outs = (*channels[1:], out_channels)
        self.doublings = nn.ModuleList(
            nn.ConvTranspose2d(depth, out, 4, stride=2, padding=1) for depth, out in zip(channels, outs, strict=True)
        )

    @property
    def output(self) -> nn.ConvTranspose2d:
        """The last layer, whose bias a recipe may set from the data's mean."""
        return cast(nn.ConvTranspose2d, self.doublings[-1])

    def forward(self, z: Tensor) -> Tensor:
        """Map `z`, shape `(n, features, height, width)` of the small map, to images of shape `(n, *out_shape)`."""
        check_shape(z, self.in_shape)
        x = self.blocks(self.projection(z))
        for doubling, (height, width) in zip(self.doublings, self.sizes, strict=True):
            x = doubling(self.activation(x))[..., :height, :width]
        return cast(Tensor, x)
