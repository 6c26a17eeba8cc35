r"""A window on an image: a grid of Gaussian filters that are placed, spread and widened by five numbers."""

__all__ = ["AttentionWindow", "Window", "filterbank"]

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vaekit.errors import RequestError

_LOG_LIMIT = 20.0  # of what is read as a logarithm: its exponential is then neither 0 nor infinite in single precision


def filterbank(centre: Tensor, stride: Tensor, log_variance: Tensor, filters: int, size: int) -> Tensor:
    r"""Return the weights of N Gaussian filters on A pixels in a row, shape `(n, N, A)`; each filter's sum to 1.

    .. math::
        F_{i a} = \frac1{Z_i} \exp \Big( -\frac{(a - \mu_i)^2}{2 \sigma^2} \Big) , \qquad
        \mu_i = g + \big( i - \tfrac N2 - \tfrac12 \big) \delta , \qquad i = 1 \dots N ,\; a = 1 \dots A

    The normaliser :math:`Z_i` is that of a softmax over the pixels. A sum of exponentials is 0 for a narrow filter
    far from the image; this one then looks at the nearest pixel, and still has a gradient where it can.

    References:
        DRAW: A recurrent neural network for image generation (Gregor et al., 2015), equations 19, 20, 25 and 26.

    Arguments:
        centre: g, where the middle of the grid is, in pixels from 1 to A, shape `(n,)`.
        stride: :math:`\delta`, pixels between filters, shape `(n,)`.
        log_variance: :math:`\log \sigma^2`, in pixels squared, shape `(n,)`; held between -20 and 20.
        filters: N.
        size: A.

    Example:
        >>> one = torch.ones(1)
        >>> filterbank(2 * one, one, -9 * one, filters=3, size=3)  # narrow, a pixel apart: the identity
        tensor([[[1., 0., 0.],
                 [0., 1., 0.],
                 [0., 0., 1.]]])
    """
    pixels = torch.arange(1, size + 1, dtype=centre.dtype, device=centre.device)
    steps = torch.arange(1, filters + 1, dtype=centre.dtype, device=centre.device) - filters / 2 - 0.5
    means = centre[:, None] + steps * stride[:, None]
    precision = (-log_variance.clamp(-_LOG_LIMIT, _LOG_LIMIT)).exp()
    return ((pixels - means[:, :, None]).square() * (-0.5 * precision)[:, None, None]).softmax(-1)


class Window(NamedTuple):
    r"""A window at one place of each of n images.

    Attributes:
        rows: Filters over the rows, :math:`F_Y`, shape `(n, N, height)`.
        columns: Filters over the columns, :math:`F_X`, shape `(n, N, width)`.
        intensity: :math:`\gamma`, shape `(n,)`.
    """

    rows: Tensor
    columns: Tensor
    intensity: Tensor

    def read(self, x: Tensor) -> Tensor:
        r"""Return the glimpse :math:`\gamma F_Y x F_X^\top`, shape `(n, C, N, N)`, of x, `(n, C, height, width)`."""
        seen = self.rows[:, None] @ x @ self.columns[:, None].mT
        return self.intensity[:, None, None, None] * seen

    def write(self, patch: Tensor) -> Tensor:
        r"""Return :math:`\frac1\gamma F_Y^\top w F_X`, shape `(n, C, height, width)`, of patches w, `(n, C, N, N)`."""
        drawn = self.rows[:, None].mT @ patch @ self.columns[:, None]
        return drawn / self.intensity[:, None, None, None]


class AttentionWindow(nn.Module):
    r"""Reads five numbers as a window on images of one size.

    With the numbers :math:`(\tilde g_X, \tilde g_Y, \log \sigma^2, \log \tilde\delta, \log \gamma)`, images of A
    columns and B rows, and N by N filters,

    .. math::
        g_X = \tfrac{A + 1}2 (\tilde g_X + 1) , \qquad g_Y = \tfrac{B + 1}2 (\tilde g_Y + 1) , \qquad
        \delta = \tfrac{\max(A, B) - 1}{N - 1} \tilde\delta .

    Five zeros are a window in the middle that just covers the image. Pixels count from 1, which is where the middle
    of A pixels is :math:`(A + 1) / 2`. A single filter has no stride: for N = 1 the divisor is 1.

    References:
        DRAW: A recurrent neural network for image generation (Gregor et al., 2015), section 3.2.

    Arguments:
        image: Height and width of the images, B and A.
        filters: N.

    Raises:
        RequestError: If there is no pixel or no filter.

    Example:
        >>> window = AttentionWindow((28, 28), filters=2)
        >>> window(torch.zeros(3, 5)).read(torch.ones(3, 1, 28, 28)).shape
        torch.Size([3, 1, 2, 2])
        >>> window.box(torch.zeros(1, 5))  # left, top, right and bottom filters, and how wide each is
        tensor([[ 1.,  1., 28., 28.,  1.]])
    """

    numbers = 5

    def __init__(self, image: Sequence[int], filters: int) -> None:
        super().__init__()
        if filters < 1 or len(image) != 2 or min(image) < 1:
            raise RequestError(
                f"the window has {filters} filters on images of {tuple(image)}; expected at least 1 filter, and a "
                "height and a width of at least 1: pass 2 filters for (28, 28), say"
            )
        self.image, self.filters = tuple(image), filters

    def covering(self, *, writes: bool = False) -> Tensor:
        r"""Return five numbers by which the filters tile the image, to start from.

        Filters are :math:`\delta = \max(A, B) / N` apart and half as wide, so that together they see all of the image.
        Five zeros would be two by two filters in its corners, where there is seldom anything to see. A window that
        writes has the intensity :math:`1 / \delta^2`, with which a patch of one value is written as that value.

        Arguments:
            writes: Whether it is to write.
        """
        stride = max(self.image) / self.filters
        widest = (max(self.image) - 1) / max(self.filters - 1, 1)
        log_stride = math.log(stride / widest) if widest else 0.0
        return torch.tensor([0, 0, 2 * math.log(stride / 2), log_stride, -2 * math.log(stride) if writes else 0])

    def forward(self, numbers: Tensor) -> Window:
        """Read numbers of shape `(n, 5)`."""
        across, down, log_variance, stride, intensity = self._placed(numbers)
        height, width = self.image
        return Window(
            filterbank(down, stride, log_variance, self.filters, height),
            filterbank(across, stride, log_variance, self.filters, width),
            intensity,
        )

    def box(self, numbers: Tensor) -> Tensor:
        """Return the outermost filters and their width, shape `(n, 5)`: left, top, right, bottom, in pixels from 1."""
        across, down, log_variance, stride, _ = self._placed(numbers)
        reach = stride * (self.filters - 1) / 2
        deviation = (log_variance.clamp(-_LOG_LIMIT, _LOG_LIMIT) / 2).exp()
        return torch.stack([across - reach, down - reach, across + reach, down + reach, deviation], dim=-1)

    def _placed(self, numbers: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """The middle's column and row, the log variance, the stride and the intensity, each of shape `(n,)`."""
        exact = numbers.to(torch.promote_types(numbers.dtype, torch.float32))  # half has no digits for far pixels
        x, y, log_variance, log_stride, log_intensity = exact.unbind(-1)
        height, width = self.image
        widest = (max(self.image) - 1) / max(self.filters - 1, 1)
        return (
            (width + 1) / 2 * (x + 1),
            (height + 1) / 2 * (y + 1),
            log_variance,
            widest * log_stride.clamp(-_LOG_LIMIT, _LOG_LIMIT).exp(),
            log_intensity.clamp(-_LOG_LIMIT, _LOG_LIMIT).exp(),
        )
