r"""Deep residual convolutional networks for images of any size and any number of channels."""

__all__ = ["ResidualDecoder", "ResidualEncoder"]

from collections.abc import Callable, Sequence
from typing import cast

from torch import Tensor, nn
from torch.nn.functional import interpolate

from vaekit.errors import RequestError
from vaekit.networks.convolutional import _channels, _halvings, _image_shape
from vaekit.networks.mlp import MLP, check_shape
from vaekit.networks.mlp import activation as new_activation

_Activation = str | Callable[[], nn.Module]


class _Block(nn.Module):
    """A pre-activation residual block: x + conv(act(conv(act(x)))), at the same size, half of it, or a given one."""

    def __init__(
        self, channels: int, out: int, activation: _Activation, *, stride: int = 1, size: tuple[int, int] | None = None
    ) -> None:
        super().__init__()
        self.first = nn.Sequential(new_activation(activation), nn.Conv2d(channels, out, 3, stride, padding=1))
        self.second = nn.Sequential(new_activation(activation), nn.Conv2d(out, out, 3, padding=1))
        same = channels == out and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(channels, out, 1, stride)
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        if self.size is not None:
            # From n to 2n or 2n - 1: each pixel is seen twice, but for the last where the size is odd.
            x = interpolate(x, self.size, mode="nearest")
        return cast(Tensor, self.shortcut(x) + self.second(self.first(x)))


def _blocks(blocks: int) -> int:
    if blocks < 1:
        raise RequestError(f"blocks is {blocks}; expected at least 1 residual block for each size: pass 1 or more")
    return blocks


class ResidualEncoder(nn.Module):
    r"""A convolution, then residual blocks of which the first of each level halves the image, then linear layers.

    .. math::
        x \leftarrow S x + C_2\, a(C_1\, a(x))

    with 3×3 convolutions C, an activation a, and for S the identity, or a 1×1 convolution where the shape changes.
    There is no normalisation: an example's output depends on no other. The defaults, three levels of 16, 32 and 32
    channels with ELUs and one fully connected layer of 450, are in the spirit of the network that Kingma et al. used
    for MNIST.

    References:
        Identity mappings in deep residual networks (He et al., 2016).
        Improving variational inference with inverse autoregressive flow (Kingma et al., 2016).

    Arguments:
        in_shape: `(channels, height, width)`, each at least 1.
        out_shape: Shape of one output.
        channels: Channels of each level; each level halves the image, rounding up.
        hidden: Widths of fully connected layers between the convolutions and the output.
        activation: Name of the activation, or a callable that makes a module.
        blocks: Residual blocks of each level.
        context_dim: Size of a context vector, joined to the input of the fully connected part; 0 for none.

    Raises:
        RequestError: If the data are not images, `channels` is empty, `blocks` is less than 1, or `forward` is given
            another shape.

    Example:
        >>> import torch
        >>> net = ResidualEncoder((3, 37, 50), (20,), channels=(8, 16))
        >>> net(torch.zeros(4, 3, 37, 50)).shape
        torch.Size([4, 20])
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        out_shape: Sequence[int],
        channels: Sequence[int] = (16, 32, 32),
        hidden: Sequence[int] = (450,),
        activation: str | Callable[[], nn.Module] = "elu",
        *,
        blocks: int = 2,
        context_dim: int = 0,
    ) -> None:
        super().__init__()
        depth, height, width = self.in_shape = _image_shape(in_shape)
        channels, blocks = _channels(channels), _blocks(blocks)
        self.stem = nn.Conv2d(depth, channels[0], 3, padding=1)
        levels: list[nn.Module] = []
        depth = channels[0]
        for out in channels:
            level = [_Block(depth, out, activation, stride=2)]
            level += [_Block(out, out, activation) for _ in range(blocks - 1)]
            levels.append(nn.Sequential(*level))
            depth = out
        smallest = (_halvings(height, len(channels))[-1], _halvings(width, len(channels))[-1])
        self.levels = nn.Sequential(*levels)
        self.activation = new_activation(activation)
        self.head = MLP((depth, *smallest), out_shape, hidden, activation, context_dim=context_dim)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Map images `x`, shape `(n, channels, height, width)`, to shape `(n, *out_shape)`."""
        check_shape(x, self.in_shape)
        return cast(Tensor, self.head(self.activation(self.levels(self.stem(x))), context))


class ResidualDecoder(nn.Module):
    r"""Linear layers, then residual blocks that retrace the sizes of `ResidualEncoder` exactly, then a convolution.

    The last block of each level sees its input enlarged by repeating pixels, to the size that the encoder had.

    References:
        Improving variational inference with inverse autoregressive flow (Kingma et al., 2016).

    Arguments:
        in_shape: Shape of one input.
        out_shape: `(channels, height, width)` of the output, each at least 1.
        channels: Channels of each level, from small image to large; each level doubles the image.
        hidden: Widths of fully connected layers before the first feature map.
        activation: Name of the activation, or a callable that makes a module.
        blocks: Residual blocks of each level.
        context_dim: Size of a context vector, joined to the input of the fully connected part; 0 for none.

    Raises:
        RequestError: If the output is not an image, `channels` is empty, `blocks` is less than 1, or `forward` is
            given another shape.

    Example:
        >>> import torch
        >>> net = ResidualDecoder((20,), (3, 37, 50), channels=(16, 8))
        >>> net(torch.zeros(4, 20)).shape
        torch.Size([4, 3, 37, 50])
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        out_shape: Sequence[int],
        channels: Sequence[int] = (32, 32, 16),
        hidden: Sequence[int] = (450,),
        activation: str | Callable[[], nn.Module] = "elu",
        *,
        blocks: int = 2,
        context_dim: int = 0,
    ) -> None:
        super().__init__()
        out_channels, height, width = _image_shape(out_shape)
        channels, blocks = _channels(channels), _blocks(blocks)
        heights, widths = _halvings(height, len(channels)), _halvings(width, len(channels))
        self.head = MLP(in_shape, (channels[0], heights[-1], widths[-1]), hidden, activation, context_dim=context_dim)
        sizes = zip(reversed(heights[:-1]), reversed(widths[:-1]), strict=True)
        levels: list[nn.Module] = []
        for depth, out, size in zip(channels, (*channels[1:], channels[-1]), sizes, strict=True):
            level = [_Block(depth, depth, activation) for _ in range(blocks - 1)]
            levels.append(nn.Sequential(*level, _Block(depth, out, activation, size=size)))
        self.levels = nn.Sequential(*levels)
        self.activation = new_activation(activation)
        self.output = nn.Conv2d(channels[-1], out_channels, 3, padding=1)

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Map `z`, shape `(n, *in_shape)`, to images of shape `(n, *out_shape)`."""
        return cast(Tensor, self.output(self.activation(self.levels(self.head(z, context)))))
