r"""SqueezeNet 1.1, a small classifier of natural images."""

__all__ = ["SqueezeNet"]

from typing import cast

import torch
from torch import Tensor, nn

# What ends a stage: the first convolution, and every block after which maps get smaller or deeper.
_TAPS = (1, 4, 7, 9, 10, 11, 12)


class _Fire(nn.Module):
    """Squeeze to few channels, then expand by kernels of 1 and 3 side by side."""

    def __init__(self, channels: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze1x1 = nn.Conv2d(channels, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.squeeze1x1(x).relu()
        return torch.cat([self.expand1x1(x), self.expand3x3(x)], 1).relu()


class SqueezeNet(nn.Module):
    r"""SqueezeNet 1.1: one convolution, eight fire modules, and a 1×1 convolution averaged to a thousand logits.

    Parameters have torchvision's names. Pooling rounds sizes up, as where the weights were trained.

    References:
        SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size (Iandola et al., 2016).

    Arguments:
        classes: Number of logits.

    Example:
        >>> net = SqueezeNet()
        >>> x = torch.rand(2, 3, 64, 64)
        >>> net(x).shape, net.features(x).shape, sum(p.numel() for p in net.parameters())
        (torch.Size([2, 1000]), torch.Size([2, 512, 3, 3]), 1235496)
    """

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()

        def halve() -> nn.Module:
            return nn.MaxPool2d(3, stride=2, ceil_mode=True)

        self.features = nn.Sequential(
            *(nn.Conv2d(3, 64, 3, stride=2), nn.ReLU(), halve()),
            *(_Fire(64, 16, 64), _Fire(128, 16, 64), halve()),
            *(_Fire(128, 32, 128), _Fire(256, 32, 128), halve()),
            *(_Fire(256, 48, 192), _Fire(384, 48, 192), _Fire(384, 64, 256), _Fire(512, 64, 256)),
        )
        self.classifier = nn.Sequential(
            nn.Dropout(), nn.Conv2d(512, classes, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )

    def layers(self, x: Tensor) -> list[Tensor]:
        r"""Return the maps at the end of seven stages; the last has 512 channels, at a sixteenth of the size of x.

        These are the places where perceptual distances read this network.

        References:
            The unreasonable effectiveness of deep features as a perceptual metric (Zhang et al., 2018).
        """
        maps: list[Tensor] = []
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in _TAPS:
                maps.append(x)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, shape `(n, classes)`, of images of shape `(n, 3, height, width)`, each side at least 17."""
        return cast(Tensor, self.classifier(self.features(x)))
