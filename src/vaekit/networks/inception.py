r"""The Inception network that the Fréchet inception distance is defined by."""

__all__ = ["FIDInception"]

from collections.abc import Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d

Kernel = int | tuple[int, int]
# What follows what in a branch: channels, kernel and stride; or a fork of two, side by side.
Step = tuple[int, Kernel] | tuple[int, Kernel, int]
Branch = Sequence[Step | Literal["fork"]]


class _Convolution(nn.Module):
    """Convolution without bias, batch normalisation, ReLU."""

    def __init__(self, channels: int, out: int, kernel: Kernel, stride: int = 1, padding: Kernel = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, kernel, stride=stride, padding=padding, bias=False)
        self.bn = nn.BatchNorm2d(out, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.bn(self.conv(x)).relu())


def _same(kernel: Kernel) -> Kernel:
    return kernel // 2 if isinstance(kernel, int) else (kernel[0] // 2, kernel[1] // 2)


class _Mixed(nn.Module):
    """Branches of convolutions side by side, and a pooled one.

    Stride-1 convolutions and pools keep the size, stride-2 ones have no padding. A branch of one convolution has its
    own name, the steps of a longer one are numbered, and the arms of a fork are lettered.
    """

    def __init__(self, channels: int, branches: dict[str, Branch], pool: str, pooled: int | None = None) -> None:
        super().__init__()
        self.pool = pool
        self.paths: list[list[list[str]]] = []
        for name, steps in branches.items():
            depth, path = channels, []
            for number, step in enumerate(steps, 1):
                label = name if len(steps) == 1 else f"{name}_{number}"
                if step == "fork":
                    arms: dict[str, Kernel] = {f"{label}a": (1, 3), f"{label}b": (3, 1)}
                    for arm, kernel in arms.items():
                        self.add_module(arm, _Convolution(depth, depth, kernel, padding=_same(kernel)))
                    path.append(list(arms))
                    continue
                out, kernel, stride = step if len(step) == 3 else (*step, 1)
                self.add_module(label, _Convolution(depth, out, kernel, stride, 0 if stride > 1 else _same(kernel)))
                path.append([label])
                depth = out
            self.paths.append(path)
        self.branch_pool = nn.Identity() if pooled is None else _Convolution(channels, pooled, 1)

    def forward(self, x: Tensor) -> Tensor:
        outputs = []
        for path in self.paths:
            y = x
            for arms in path:
                y = torch.cat([self.get_submodule(arm)(y) for arm in arms], 1)
            outputs.append(y)
        if self.pool == "mean":
            # TensorFlow leaves the padding out of the mean.
            outputs.append(self.branch_pool(avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)))
        elif self.pool == "max":
            outputs.append(self.branch_pool(max_pool2d(x, 3, stride=1, padding=1)))
        else:
            outputs.append(max_pool2d(x, 3, stride=2))
        return torch.cat(outputs, 1)


def _small(channels: int, pooled: int) -> _Mixed:
    branches: dict[str, Branch] = {
        "branch1x1": [(64, 1)],
        "branch5x5": [(48, 1), (64, 5)],
        "branch3x3dbl": [(64, 1), (96, 3), (96, 3)],
    }
    return _Mixed(channels, branches, "mean", pooled)


def _long(width: int) -> _Mixed:
    w, across, down = width, (1, 7), (7, 1)
    branches: dict[str, Branch] = {
        "branch1x1": [(192, 1)],
        "branch7x7": [(w, 1), (w, across), (192, down)],
        "branch7x7dbl": [(w, 1), (w, down), (w, across), (w, down), (192, across)],
    }
    return _Mixed(768, branches, "mean", 192)


def _wide(channels: int, pool: str) -> _Mixed:
    branches: dict[str, Branch] = {
        "branch1x1": [(320, 1)],
        "branch3x3": [(384, 1), "fork"],
        "branch3x3dbl": [(448, 1), (384, 3), "fork"],
    }
    return _Mixed(channels, branches, pool, 192)


class FIDInception(nn.Module):
    r"""Inception-v3 as in TensorFlow's graph of 2015-12-05, which the Fréchet inception distance is defined by.

    It differs from the published network in three ways that its weights expect: means of 3×3 pools leave padding
    out, the last block pools by maximum, and there are 1008 logits. Parameters have the names in which the weights are
    passed around (`pt_inception-2015-12-05`). Weights do not come with the package, and without them this code could
    be compared with others' by its structure, its parameters and its outputs for random weights alone.

    References:
        Rethinking the Inception architecture for computer vision (Szegedy et al., 2016).
        GANs trained by a two time-scale update rule converge to a local Nash equilibrium (Heusel et al., 2017).

    Example:
        >>> with torch.device("meta"):  # as many, without drawing them
        ...     net = FIDInception()
        >>> sum(p.numel() for p in net.parameters())
        23850960
    """

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = _Convolution(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = _Convolution(32, 32, 3)
        self.Conv2d_2b_3x3 = _Convolution(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = _Convolution(64, 80, 1)
        self.Conv2d_4a_3x3 = _Convolution(80, 192, 3)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = _small(192, 32), _small(256, 64), _small(288, 64)
        fewer: dict[str, Branch] = {"branch3x3": [(384, 3, 2)], "branch3x3dbl": [(64, 1), (96, 3), (96, 3, 2)]}
        self.Mixed_6a = _Mixed(288, fewer, "halve")
        self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = _long(128), _long(160), _long(160), _long(192)
        fewer = {
            "branch3x3": [(192, 1), (320, 3, 2)],
            "branch7x7x3": [(192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3, 2)],
        }
        self.Mixed_7a = _Mixed(768, fewer, "halve")
        self.Mixed_7b, self.Mixed_7c = _wide(1280, "mean"), _wide(2048, "max")
        self.fc = nn.Linear(2048, 1008)

    def layers(self, x: Tensor) -> list[Tensor]:
        """Return maps of 64, 192, 768 and 2048 channels, those whose means other tools offer as features."""
        first = max_pool2d(self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x))), 3, stride=2)
        second = max_pool2d(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(first)), 3, stride=2)
        third = self.Mixed_6a(self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(second))))
        third = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(third))))
        return [first, second, third, self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(third)))]

    def features(self, x: Tensor) -> Tensor:
        """Return the means of the last maps, shape `(n, 2048)`, of images in [-1, 1], shape `(n, 3, 299, 299)`."""
        return self.layers(x)[-1].mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, shape `(n, 1008)`."""
        return cast(Tensor, self.fc(self.features(x)))
