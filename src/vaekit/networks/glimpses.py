r"""How a recurrent network looks at an image and draws on a canvas, through a window or all of it at once."""

__all__ = ["AttentiveReader", "AttentiveWriter", "Reader", "WholeReader", "WholeWriter", "Writer", "lstm"]

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vaekit.networks.attention_window import AttentionWindow


def lstm(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return the output and the cell of long short-term memory, from what arrives at its gates and the cell before.

    .. math::
        c_t = \sigma(f) \odot c_{t-1} + \sigma(i) \odot \tanh(g) , \qquad h_t = \sigma(o) \odot \tanh(c_t)

    Whoever calls it sums up what arrives, so that what is the same at every step is computed once.

    References:
        Long short-term memory (Hochreiter and Schmidhuber, 1997).
        Learning to forget: continual prediction with LSTM (Gers, Schmidhuber and Cummins, 2000), for f.

    Arguments:
        gates: i, f, g and o side by side, shape `(n, 4 * hidden)`.
        cell: Shape `(n, hidden)`.

    Example:
        >>> output, cell = lstm(torch.zeros(1, 8), torch.ones(1, 2))  # gates half open, and nothing new
        >>> cell
        tensor([[0.5000, 0.5000]])
    """
    i, f, g, o = gates.chunk(4, dim=-1)
    cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
    return o.sigmoid() * cell.tanh(), cell


class WholeReader(nn.Module):
    r"""Sees all of the image and all of the error, :math:`[x, \hat x_t]` with :math:`\hat x_t = x - \bar x_{t-1}`.

    Its share of a network's gates is :math:`W_1 x + W_2 (x - \bar x_{t-1}) + b`. The canvas alone changes from step
    to step, so that :math:`(W_1 + W_2) x + b` is computed once.

    References:
        DRAW: A recurrent neural network for image generation (Gregor et al., 2015), section 3.1.

    Arguments:
        shape: Shape of an image.
        hidden: Size of the decoder's state, which does not matter to it.
        gates: How many numbers it gives.

    Example:
        >>> reader = WholeReader((1, 8, 8), 16, 32)
        >>> x = torch.zeros(3, 1, 8, 8)
        >>> reader(reader.look(x), x, torch.zeros(3, 16)).shape
        torch.Size([3, 32])
    """

    def __init__(self, shape: Sequence[int], hidden: int, gates: int) -> None:
        super().__init__()
        self.image = nn.Linear(math.prod(shape), gates)
        self.error = nn.Linear(math.prod(shape), gates, bias=False)

    def look(self, x: Tensor) -> Tensor:
        """Return what of the images is needed at every step, a tensor with one row for each."""
        return F.linear(x.flatten(1), self.image.weight + self.error.weight, self.image.bias)

    def forward(self, looked: Tensor, drawn: Tensor, state: Tensor) -> Tensor:
        """Map what `look` gave, the image drawn so far and the decoder's state to gates, shape `(n, gates)`."""
        return looked - cast(Tensor, self.error(drawn.flatten(1)))


class AttentiveReader(nn.Module):
    r"""Sees image and error through a window that the decoder's state places.

    .. math::
        \gamma [F_Y x F_X^\top, F_Y \hat x_t F_X^\top] , \qquad \hat x_t = x - \bar x_{t-1}

    At first the window covers the image, about so for any state; see `AttentionWindow.covering`.

    References:
        DRAW: A recurrent neural network for image generation (Gregor et al., 2015), equation 27.

    Arguments:
        shape: Shape of an image, `(channels, height, width)`.
        hidden: Size of the decoder's state.
        gates: How many numbers it gives.
        filters: Filters along a side of the window.

    Example:
        >>> reader = AttentiveReader((1, 8, 8), 16, 32, filters=2)
        >>> x = torch.zeros(3, 1, 8, 8)
        >>> reader(reader.look(x), x, torch.zeros(3, 16)).shape
        torch.Size([3, 32])
    """

    def __init__(self, shape: Sequence[int], hidden: int, gates: int, filters: int) -> None:
        super().__init__()
        self.window = AttentionWindow(shape[1:], filters)
        self.place = nn.Linear(hidden, self.window.numbers)
        self.seen = nn.Linear(2 * shape[0] * filters**2, gates)
        with torch.no_grad():
            self.place.bias.copy_(self.window.covering())

    def look(self, x: Tensor) -> Tensor:
        """Return what of the images is needed at every step: all."""
        return x

    def forward(self, looked: Tensor, drawn: Tensor, state: Tensor) -> Tensor:
        """Map what `look` gave, the image drawn so far and the decoder's state to gates, shape `(n, gates)`."""
        both = torch.cat([looked, looked - drawn], dim=1)
        return cast(Tensor, self.seen(self.window(self.place(state)).read(both).flatten(1)))


class WholeWriter(nn.Module):
    r"""Draws on all of the canvas at once, :math:`W h + b`.

    Arguments:
        shape: Shape of the canvas.
        hidden: Size of the decoder's state.

    Example:
        >>> WholeWriter((1, 8, 8), 16)(torch.zeros(3, 16)).shape
        torch.Size([3, 1, 8, 8])
    """

    def __init__(self, shape: Sequence[int], hidden: int) -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.drawn = nn.Linear(hidden, math.prod(shape))

    def box(self, state: Tensor) -> Tensor | None:
        """Return where it draws: nowhere in particular."""
        return None

    def forward(self, state: Tensor) -> Tensor:
        """Map the decoder's state, shape `(n, hidden)`, to what is added to the canvas, shape `(n, *shape)`."""
        return cast(Tensor, self.drawn(state).unflatten(1, self.shape))


class AttentiveWriter(nn.Module):
    r"""Draws a patch through a window, :math:`\frac1\gamma F_Y^\top w F_X`, both given by the decoder's state.

    At first the window covers the canvas, about so for any state; see `AttentionWindow.covering`.

    References:
        DRAW: A recurrent neural network for image generation (Gregor et al., 2015), equations 28 and 29.

    Arguments:
        shape: Shape of the canvas, `(channels, height, width)`.
        hidden: Size of the decoder's state.
        filters: Filters along a side of the window, and numbers along a side of the patch.

    Example:
        >>> writer = AttentiveWriter((1, 8, 8), 16, filters=3)
        >>> writer(torch.zeros(3, 16)).shape, writer.box(torch.zeros(3, 16)).shape
        (torch.Size([3, 1, 8, 8]), torch.Size([3, 5]))
    """

    def __init__(self, shape: Sequence[int], hidden: int, filters: int) -> None:
        super().__init__()
        self.window = AttentionWindow(shape[1:], filters)
        self.patch = (shape[0], filters, filters)
        self.drawn = nn.Linear(hidden, self.window.numbers + math.prod(self.patch))
        with torch.no_grad():
            self.drawn.bias[: self.window.numbers] = self.window.covering(writes=True)

    def box(self, state: Tensor) -> Tensor | None:
        """Return where it draws, shape `(n, 5)`; see `AttentionWindow.box`."""
        return self.window.box(self.drawn(state)[:, : self.window.numbers])

    def forward(self, state: Tensor) -> Tensor:
        """Map the decoder's state, shape `(n, hidden)`, to what is added to the canvas, shape `(n, *shape)`."""
        numbers, patch = self.drawn(state).split((self.window.numbers, math.prod(self.patch)), dim=1)
        return cast(Tensor, self.window(numbers).write(patch.unflatten(1, self.patch)))


Reader = WholeReader | AttentiveReader
Writer = WholeWriter | AttentiveWriter
