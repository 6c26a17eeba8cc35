r"""VGG-16 and VGG-19, classifiers of natural images, with weights that the user has."""

__all__ = ["VGG", "load_vgg"]

import os
from typing import cast

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from vaekit.errors import RequestError, nearest

_CONVOLUTIONS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
_WIDTHS = (64, 128, 256, 512, 512)
_ONLY_19 = "features.16.weight"  # the fourth convolution of the third block; in VGG-16 a pooling stands there


class VGG(nn.Module):
    r"""The convolutions of VGG: five blocks of them with rectifiers, a pooling that halves the image between blocks.

    Parameters have torchvision's names. Layers are called by their rectifier: `relu3_1` is the first of the third
    block. What lies behind the last layer that is wanted is not built, the classifier never.

    References:
        Very deep convolutional networks for large-scale image recognition (Simonyan and Zisserman, 2015).

    Arguments:
        depth: 16 or 19.
        until: The last layer; by default all.

    Attributes:
        places: Where in `features` each layer is, by its name.

    Raises:
        RequestError: If there is no such depth or layer.

    Example:
        >>> net = VGG(19, until="relu3_1")
        >>> net(torch.zeros(2, 3, 64, 48)).shape, list(net.places)
        (torch.Size([2, 256, 16, 12]), ['relu1_1', 'relu1_2', 'relu2_1', 'relu2_2', 'relu3_1'])
    """

    def __init__(self, depth: int = 19, until: str | None = None) -> None:
        super().__init__()
        if depth not in _CONVOLUTIONS:
            raise RequestError(f"depth is {depth}; expected 16 or 19, the weight layers of VGG: pass 19")
        known = [f"relu{block}_{i + 1}" for block, n in enumerate(_CONVOLUTIONS[depth], 1) for i in range(n)]
        if until is not None and until not in known:
            raise RequestError(
                f"VGG-{depth} has no layer {until!r}; expected one of {', '.join(known)}.{nearest(until, known)}"
            )
        self.places: dict[str, int] = {}
        layers: list[nn.Module] = []
        for name in known[: len(known) if until is None else known.index(until) + 1]:
            block, number = map(int, name.removeprefix("relu").split("_"))
            width = _WIDTHS[block - 1]
            if number == 1 and block > 1:
                layers.append(nn.MaxPool2d(2))
            before = width if number > 1 else (3, *_WIDTHS)[block - 1]
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
            self.places[name] = len(layers) - 1
        self.features = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Return the maps of the last layer of images, shape `(n, 3, height, width)`."""
        return cast(Tensor, self.features(x))


def load_vgg(path: str | os.PathLike[str], until: str | None = None) -> VGG:
    r"""Return VGG-16 or VGG-19, whichever a file holds, with its weights in float32.

    Only safetensors are read, and of them only what is needed. torchvision's file becomes one by
    `safetensors.torch.save_file(torch.load("vgg19.pth", weights_only=True), "vgg19.safetensors")`.

    Arguments:
        path: Weights under torchvision's names, `features.0.weight` and so on.
        until: The last layer that is wanted; by default all.

    Raises:
        RequestError: If the file cannot be read, or does not hold these weights.
    """
    name = os.fspath(path)
    remedy = "save torchvision's vgg16 or vgg19 state_dict with safetensors.torch.save_file"
    try:
        with safe_open(name, "pt") as file:
            stored = set(file.keys())
            if any(key.endswith("running_mean") for key in stored):
                raise RequestError(
                    f"the weights {name!r} are of a VGG with batch normalisation; expected one without: {remedy}"
                )
            with torch.device("meta"):
                net = VGG(19 if _ONLY_19 in stored else 16, until)
            wanted = {key: tensor.shape for key, tensor in net.state_dict().items()}
            weights = {key: file.get_tensor(key).float() for key in wanted if key in stored}
    except (OSError, SafetensorError) as error:
        missing = "no such file" if isinstance(error, FileNotFoundError) else "no safetensors"
        reason = getattr(error, "strerror", None) or missing
        raise RequestError(
            f"weights are {name!r}, which cannot be read ({reason}); expected a .safetensors file: {remedy}"
        ) from error
    wrong = [key for key, shape in wanted.items() if key not in weights or weights[key].shape != shape]
    if wrong:
        found = tuple(weights[wrong[0]].shape) if wrong[0] in weights else "missing"
        raise RequestError(
            f"the weights {name!r} do not fit: {wrong[0]} is {found}; expected {tuple(wanted[wrong[0]])}: {remedy}"
        )
    net.load_state_dict(weights, assign=True)
    return net
