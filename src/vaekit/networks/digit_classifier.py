r"""A small classifier of handwritten digits, whose last hidden layer describes a digit to the evaluation."""

__all__ = ["DigitClassifier"]

from typing import cast

import torch
from torch import Tensor, nn


class DigitClassifier(nn.Module):
    r"""Three convolutions, each with a ReLU and but for the last a max-pool, 64 hidden units, and ten logits.

    .. math::
        1 \times 28^2 \to 24 \times 14^2 \to 48 \times 7^2 \to 64 \times 5^2 \to 64 \to 10

    It has no normalisation layers: what training used of them is folded into the weights, so that the network has no
    state that a training mode could move. `scripts/train_digit_features.py` trains the weights that are shipped, and
    scales them so that each half of the features has a total variance of 1 over the training images.

    Example:
        >>> net = DigitClassifier()
        >>> x = torch.rand(2, 1, 28, 28)
        >>> net(x).shape, net.features(x).shape, sum(p.numel() for p in net.parameters())
        (torch.Size([2, 10]), torch.Size([2, 128]), 141866)
    """

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            [nn.Conv2d(1, 24, 5, padding=2), nn.Conv2d(24, 48, 3, padding=1), nn.Conv2d(48, 64, 3)]
        )
        self.hidden = nn.Linear(64 * 5 * 5, 64)
        self.output = nn.Linear(64, 10)

    def layers(self, x: Tensor) -> list[Tensor]:
        """Return the maps after each convolution and ReLU: `(n, 24, 28, 28)`, `(n, 48, 14, 14)`, `(n, 64, 5, 5)`."""
        maps: list[Tensor] = []
        for convolution in self.convolutions:
            maps.append(convolution(nn.functional.max_pool2d(maps[-1], 2) if maps else x).relu())
        return maps

    def features(self, x: Tensor) -> Tensor:
        """Return 64 hidden units, which tell digits apart, and 64 map averages, which tell strokes: `(n, 128)`."""
        last = self.layers(x)[-1]
        return torch.cat([self.hidden(last.flatten(1)).relu(), last.mean((2, 3))], 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of the ten digits, shape `(n, 10)`, of images in [0, 1], shape `(n, 1, 28, 28)`."""
        return cast(Tensor, self.output(self.hidden(self.layers(x)[-1].flatten(1)).relu()))
