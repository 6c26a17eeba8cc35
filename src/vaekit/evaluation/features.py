r"""Feature nets: fixed networks through which the evaluation looks at images."""

__all__ = ["FeatureNet", "feature_net", "features_of", "suggest_features"]

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from vaekit.errors import RequestError, nearest
from vaekit.networks.digit_classifier import DigitClassifier
from vaekit.networks.inception import FIDInception
from vaekit.networks.pretrained import WEIGHTS, file_hash, read_weights, shipped_weights
from vaekit.networks.squeezenet import SqueezeNet

ROWS = 250  # images in the network at once
_NAMES = ("mnist", "squeezenet", "inception:PATH", "values")
_FID_WEIGHTS = "6726825d"  # how the SHA-256 of the weights that FID is published with begins


class FeatureNet(nn.Module):
    r"""A frozen network that gives features of images in [0, 1].

    It never trains: its parameters need no gradient, and `train()` leaves it, and what is in it, in evaluation mode.
    Gradients with respect to images pass through it.

    For a network of one's own, either give it as `body`, or derive a class and say in `prepare` what it expects of
    images.

    Arguments:
        name: What to call it beside a number.
        dim: Number of features.
        body: A network from prepared images to features, shape `(n, dim)`. `layers` needs its method `layers`.
        sha256: Hash of its weights; by default that of its state dict.

    Example:
        >>> net = FeatureNet("averages", 3, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
        >>> net(torch.ones(2, 3, 8, 8)).shape, net.train().training
        (torch.Size([2, 3]), False)
    """

    name: str
    dim: int
    sha256: str

    def __init__(self, name: str, dim: int, body: nn.Module, sha256: str = "") -> None:
        super().__init__()
        self.name = name
        self.dim = dim
        self.body = body
        self.sha256 = sha256 or _digest(body)
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode, so that nothing here drops out or learns from what it looks at."""
        return super().train(False)

    def prepare(self, x: Tensor) -> Tensor:
        """Return images as the network expects them: size, channels, range."""
        return x

    def layers(self, x: Tensor) -> list[Tensor]:
        r"""Return maps from inside the network, each `(n, channels, height, width)`, for perceptual distances.

        Raises:
            RequestError: If the network has none to show, or x are no images in [0, 1].
        """
        layers = getattr(self.body, "layers", None)
        if layers is None:
            raise RequestError(
                f"the feature net {self.name!r} has no layers to show; expected one of mnist, squeezenet and "
                "inception:PATH, or a body with a method `layers`"
            )
        return cast(list[Tensor], layers(self.prepare(_checked(x))))

    def forward(self, x: Tensor) -> Tensor:
        r"""Return features, shape `(n, dim)`, of images in [0, 1], shape `(n, channels, height, width)`.

        Raises:
            RequestError: If x are no images of one or three channels, or not in [0, 1].
        """
        return cast(Tensor, self.body(self.prepare(_checked(x))))

    def describe(self) -> str:
        """Say which network this is, for the protocol beside a number."""
        return f"{self.name} features ({self.dim}, weights {self.sha256[:8]})"


def _digest(body: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(body.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _checked(x: Tensor) -> Tensor:
    if x.ndim != 4 or x.shape[1] not in (1, 3) or not x.is_floating_point():
        raise RequestError(
            f"images have shape {tuple(x.shape)} and type {x.dtype}; expected floating point of shape "
            "(n, channels, height, width) with 1 or 3 channels: use features='values' for data that are no images"
        )
    # A look at the values would break the graph of a compiled training step, for which they were checked before.
    if not torch.compiler.is_compiling() and len(x):
        low, high = (value.item() for value in x.detach().aminmax())
        if not (low >= -1e-3 and high <= 1.001):
            raise RequestError(
                f"images have values from {low:.4g} to {high:.4g}; expected them in [0, 1]: divide bytes by 255, and "
                "clamp(0, 1) what a decoder gives"
            )
    return x


def _resized(x: Tensor, height: int, width: int) -> Tensor:
    """Interpolate linearly, with a low-pass filter where the image becomes smaller."""
    if x.shape[2:] == (height, width):
        return x
    return interpolate(x, (height, width), mode="bilinear", align_corners=False, antialias=True)


def _grey(x: Tensor) -> Tensor:
    """Return the luma of colour images."""
    if x.shape[1] == 1:
        return x
    weights = torch.tensor([0.299, 0.587, 0.114], device=x.device, dtype=x.dtype)
    return (x * weights.view(3, 1, 1)).sum(1, keepdim=True)


def _filled(network: Callable[[], nn.Module], weights: dict[str, Tensor]) -> nn.Module:
    """Return a network with these weights, without first drawing others at random."""
    with torch.device("meta"):
        body = network()
    body.load_state_dict(weights, assign=True)
    return body


class _Digits(FeatureNet):
    def __init__(self) -> None:
        body = _filled(DigitClassifier, shipped_weights("digits"))
        super().__init__("mnist", 128, body, WEIGHTS["digits"])

    def forward(self, x: Tensor) -> Tensor:
        return cast(DigitClassifier, self.body).features(self.prepare(_checked(x)))

    def prepare(self, x: Tensor) -> Tensor:
        # Pooling is ten times as fast in this layout.
        return _resized(_grey(x), 28, 28).contiguous(memory_format=torch.channels_last)


class _SqueezeNet(FeatureNet):
    """SqueezeNet, its inputs as where it was trained: blue, green, red, from 0 to 255, less their means."""

    mean: Tensor

    def __init__(self) -> None:
        body = _filled(SqueezeNet, shipped_weights("squeezenet1_1"))
        super().__init__("squeezenet", 512, body, WEIGHTS["squeezenet1_1"])
        self.register_buffer("mean", torch.tensor([104.006, 116.669, 122.679]).view(3, 1, 1), persistent=False)

    def prepare(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        # Below 64 pixels its last maps would be a point or nothing, above 256 objects are larger than it knows.
        factor = min(max(min(height, width), 64), 256) / min(height, width)
        x = _resized(x, max(1, round(height * factor)), max(1, round(width * factor)))
        return x.expand(-1, 3, -1, -1).flip(1) * 255 - self.mean

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)[-1].mean((2, 3))


class _Inception(FeatureNet):
    """The network of the Fréchet inception distance, with weights of the user's."""

    def __init__(self, path: str) -> None:
        found = file_hash(path)
        weights = read_weights(path)
        with torch.device("meta"):
            expected = FIDInception().state_dict()
        weights = {name: tensor for name, tensor in weights.items() if not name.startswith("AuxLogits.")}
        # How many batches a normalisation saw means nothing here, and not all files say.
        missing = [name for name in expected if name not in weights and not name.endswith("num_batches_tracked")]
        wrong = [name for name in weights if name not in expected or weights[name].shape != expected[name].shape]
        if missing or wrong:
            raise RequestError(
                f"the weights {path!r} do not fit: {len(missing)} parameters are missing"
                + (f" ({missing[0]})" if missing else "")
                + f" and {len(wrong)} are not of this network"
                + (f" ({wrong[0]} of shape {tuple(weights[wrong[0]].shape)})" if wrong else "")
                + "; expected those of pt_inception-2015-12-05, with 1008 classes: look for the file that FID tools use"
            )
        weights = {name: weights[name].float() if name in weights else torch.zeros(()) for name in expected}
        super().__init__("inception", 2048, _filled(FIDInception, weights), found)

    def prepare(self, x: Tensor) -> Tensor:
        # Without a low-pass filter, as in the tools that published numbers come from.
        x = interpolate(x.expand(-1, 3, -1, -1), (299, 299), mode="bilinear", align_corners=False)
        return 2 * x - 1

    def forward(self, x: Tensor) -> Tensor:
        return cast(FIDInception, self.body).features(self.prepare(_checked(x)))

    def describe(self) -> str:
        known = "the published ones of FID" if self.sha256.startswith(_FID_WEIGHTS) else "not those of published FIDs"
        return f"{self.name} features ({self.dim}, weights {self.sha256[:8]}, {known})"


class _Values(FeatureNet):
    """The values themselves, for data that are no images and for images of a few pixels."""

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__("values", math.prod(shape), nn.Flatten())
        self.shape = tuple(shape)

    def forward(self, x: Tensor) -> Tensor:
        if tuple(x.shape[1:]) != self.shape:
            raise RequestError(
                f"data have shape {tuple(x.shape)}; expected (n, {', '.join(map(str, self.shape))}): "
                "take features of data of one shape"
            )
        return x.flatten(1).float()

    def describe(self) -> str:
        return f"the {self.dim} values themselves as features"


def feature_net(net: str | FeatureNet, shape: Sequence[int] | None = None) -> FeatureNet:
    r"""Return a feature net by its name.

    - `mnist`: the classifier of digits that comes with the package. 64 hidden units, and the averages of 64 maps of
      strokes, each half with a total variance of 1 over MNIST. Knows grey, binary and blurred digits. Other sizes
      become 28 by 28, colours become grey.
    - `squeezenet`: SqueezeNet 1.1, trained on ImageNet, comes with the package: 512 averages of its last maps. Grey
      images become colour, and the shorter side is brought to between 64 and 256 pixels.
    - `inception:PATH`: the network of the Fréchet inception distance with weights that you have, safetensors or a
      PyTorch state dict; 2048 features. Images are resized to 299 by 299 as by pytorch-fid; tools that resize as
      TensorFlow did, or round images to bytes, give slightly other numbers. Never yet compared with the published
      weights' reference values.
    - `values`: the data's own values, whatever their shape.

    Arguments:
        net: A name, or a `FeatureNet`, which comes back as it is.
        shape: Shape of an example, which `values` needs.

    Raises:
        RequestError: If there is no such net, its weights are missing, damaged or do not fit.

    Example:
        >>> net = feature_net("mnist")
        >>> net.dim, net(torch.rand(2, 1, 28, 28)).shape, [m.shape[1] for m in net.layers(torch.rand(2, 3, 32, 40))]
        (128, torch.Size([2, 128]), [24, 48, 64])
        >>> feature_net("inception")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        vaekit.errors.RequestError: features are 'inception'; its weights do not come with vaekit: ...
    """
    if isinstance(net, FeatureNet):
        return net
    if not isinstance(net, str):
        raise RequestError(
            f"features are a {type(net).__name__}; expected one of {', '.join(_NAMES)}, or a FeatureNet: wrap a "
            "network as vaekit.evaluation.features.FeatureNet(name, dim, network)"
        )
    kind, _, path = net.partition(":")
    if kind == "inception":
        if not path:
            raise RequestError(
                "features are 'inception'; its weights do not come with vaekit: pass inception:PATH, the path of "
                "pt_inception-2015-12-05, the file that FID tools use"
            )
        return _Inception(path)
    if net == "values":
        if shape is None:
            raise RequestError("features are 'values' of data of no known shape; expected their shape: pass shape")
        return _Values(shape)
    makers: dict[str, Callable[[], FeatureNet]] = {"mnist": _Digits, "squeezenet": _SqueezeNet}
    if net not in makers:
        raise RequestError(f"features are {net!r}; expected one of {', '.join(_NAMES)}.{nearest(net, _NAMES)}")
    return makers[net]()


def suggest_features(shape: Sequence[int]) -> str:
    r"""Return the name of the feature net that suits data of a shape, as far as a shape can tell.

    Grey images of up to 32 by 32 pixels are taken for digits or the like; data that are no images of one or three
    channels, and images under 8 pixels, are compared by their values.

    Example:
        >>> suggest_features((1, 28, 28)), suggest_features((3, 32, 32)), suggest_features((17,))
        ('mnist', 'squeezenet', 'values')
    """
    if len(shape) != 3 or shape[0] not in (1, 3) or min(shape[1:]) < 8:
        return "values"
    return "mnist" if shape[0] == 1 and max(shape) <= 32 else "squeezenet"


@torch.no_grad()
def features_of(net: FeatureNet, blocks: Iterable[Tensor], *, advance: Callable[[int], Any] | None = None) -> Tensor:
    r"""Return the features of blocks of images, shape `(n, dim)`, float32 on the CPU.

    Arguments:
        net: The feature net.
        blocks: Batches of images in [0, 1], on the net's device.
        advance: Called with the number of images done.

    Raises:
        RequestError: If there are no images, or what the net gives is not `(n, dim)` finite numbers.

    Example:
        >>> features_of(feature_net("values", (3,)), [torch.zeros(4, 3), torch.ones(2, 3)]).shape
        torch.Size([6, 3])
    """
    found: list[Tensor] = []
    for block in blocks:
        for part in block.split(ROWS):
            features = net(part)
            if features.shape != (len(part), net.dim):
                raise RequestError(
                    f"the feature net {net.name!r} gives shape {tuple(features.shape)}; expected "
                    f"({len(part)}, {net.dim}), one row an image: make its dim and its output agree"
                )
            found.append(features.float().cpu())
            if advance is not None:
                advance(len(part))
    if not found:
        raise RequestError("there are no images to take features of; expected at least one")
    return torch.cat(found)
