r"""A likelihood head that compares images as a frozen network sees them."""

__all__ = ["FrozenFeatures", "Perceived", "Perceptual", "frozen_features"]

from collections.abc import Callable, Sequence
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from vaekit.distributions.likelihoods import Likelihood
from vaekit.errors import RequestError, nearest
from vaekit.networks.pretrained import shipped_weights
from vaekit.networks.squeezenet import SqueezeNet
from vaekit.networks.vgg import load_vgg

Inputs = Literal["torchvision", "caffe"]

_FIRES = {"conv1": 1, "fire2": 3, "fire3": 4, "fire4": 6, "fire5": 7, "fire6": 9, "fire7": 10, "fire8": 11, "fire9": 12}


class FrozenFeatures(nn.Module):
    r"""Maps from inside a network that never trains, of images in [0, 1].

    Its parameters need no gradient, and `train()` leaves it, and what is in it, in evaluation mode, so that no
    statistics move. Gradients with respect to images pass through it. Grey images become colour.

    Arguments:
        body: The network's layers, from prepared images of three channels.
        places: Which of the layers to show, by number.
        mean: What the network subtracts from red, green and blue from 0 to 255.
        scale: What it divides them by.
        reverse: Whether it expects blue first; `mean` and `scale` are then given blue first too.

    Example:
        >>> features = frozen_features("squeezenet", ("conv1", "fire3"))
        >>> [tuple(m.shape) for m in features(torch.rand(2, 1, 64, 64))], features.train().training
        ([(2, 64, 31, 31), (2, 128, 15, 15)], False)
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        body: nn.Sequential,
        places: Sequence[int],
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        scale: Sequence[float] = (1.0, 1.0, 1.0),
        *,
        reverse: bool = False,
    ) -> None:
        super().__init__()
        self.body = nn.Sequential(*list(body)[: max(places) + 1])
        self.places = tuple(places)
        self.reverse = reverse
        self.unit = sum(scale) / len(scale)
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(scale).view(-1, 1, 1), persistent=False)
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode."""
        return super().train(False)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the maps, each `(n, channels, height, width)`, of images in [0, 1], `(n, 1 or 3, height, width)`."""
        x = x.expand(-1, 3, -1, -1)
        x = (255 * (x.flip(1) if self.reverse else x) - self.mean) / self.scale
        found = {}
        for number, layer in enumerate(self.body):
            x = layer(x)
            if number in self.places:
                found[number] = x
        return [found[place] for place in self.places]


def frozen_features(
    net: str = "squeezenet", layers: Sequence[str] = (), inputs: Inputs = "torchvision"
) -> FrozenFeatures:
    r"""Return a network's features by name.

    - `squeezenet`: SqueezeNet 1.1, trained on ImageNet, comes with the package. Layers `conv1` and `fire2` to `fire9`;
      by default conv1, fire3 and fire5, the last at each of the first three sizes of the image.
    - `vgg:PATH`: VGG-16 or VGG-19 with weights that you have, in a .safetensors file under torchvision's names.
      Layers `relu1_1` to `relu5_4`; by default relu1_1, relu2_1 and relu3_1, as published.

    Arguments:
        net: The name.
        layers: Names of the layers.
        inputs: What VGG's weights were trained with: "torchvision" for red, green, blue from 0 to 1, less their means
            and over their deviations, as of the weights that torchvision trained; "caffe" for blue, green, red from 0
            to 255 less their means, as of the weights that VGG's authors published, which were brought under the same
            names.

    Raises:
        RequestError: If there is no such network or layer, or its weights are missing or do not fit.
    """
    kind, _, path = net.partition(":")
    if net == "squeezenet":
        layers = layers or ("conv1", "fire3", "fire5")
        places = _places("squeezenet", layers, _FIRES)
        with torch.device("meta"):
            fires = SqueezeNet()
        fires.load_state_dict(shipped_weights("squeezenet1_1"), assign=True)
        return FrozenFeatures(fires.features, places, (104.006, 116.669, 122.679), reverse=True)
    if kind != "vgg":
        names = ("squeezenet", "vgg:PATH")
        raise RequestError(f"features are {net!r}; expected one of {', '.join(names)}.{nearest(net, names)}")
    if not path:
        raise RequestError(
            "features are 'vgg'; its weights do not come with vaekit: pass vgg:PATH, the path of a .safetensors file "
            "with torchvision's parameters"
        )
    if inputs not in ("torchvision", "caffe"):
        raise RequestError(
            f"inputs are {inputs!r}; expected torchvision or caffe.{nearest(inputs, ('torchvision', 'caffe'))}"
        )
    layers = layers or ("relu1_1", "relu2_1", "relu3_1")
    vgg = load_vgg(path, max(layers))  # their names sort as they come
    places = _places(f"the VGG of {path}", layers, vgg.places)
    if inputs == "caffe":
        return FrozenFeatures(vgg.features, places, (103.939, 116.779, 123.68), reverse=True)
    return FrozenFeatures(vgg.features, places, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))


def _places(whose: str, layers: Sequence[str], known: dict[str, int]) -> list[int]:
    for name in layers:
        if name not in known:
            raise RequestError(
                f"{whose} has no layer {name!r}; expected some of {', '.join(known)}.{nearest(name, known)}"
            )
    return [known[name] for name in layers]


class Perceived(Distribution):
    r"""An image, and how far others are from it as a network sees them, in place of a density.

    .. math::
        \log p(x) = -\sum_l \frac{w_l}2 \| \Phi_l(x) - \Phi_l(\hat x) \|^2 - \frac v2 \|x - \hat x\|^2

    It does not integrate to one over x, and many x have the same features: `has_density` is false, and what is
    computed from it is no bound of any likelihood. To sample is to return the image; there is no noise.

    Arguments:
        image: The image, shape `(*batch, channels, height, width)`.
        features: Maps of images, as of `FrozenFeatures`.
        weights: :math:`w_l`, one for each map.
        pixel: :math:`v`.
    """

    arg_constraints = {}  # noqa: RUF012 - torch's own convention
    support = constraints.independent(constraints.unit_interval, 3)
    has_rsample = True
    has_density = False

    def __init__(
        self, image: Tensor, features: Callable[[Tensor], list[Tensor]], weights: Sequence[float], pixel: float = 0.0
    ) -> None:
        self.image, self.features, self.weights, self.pixel = image, features, tuple(weights), pixel
        super().__init__(image.shape[:-3], image.shape[-3:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """The image."""
        return self.image

    @property
    def variance(self) -> Tensor:
        """Zero: there is no noise."""
        return torch.zeros_like(self.image)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Return the image, repeated."""
        return self.image.expand(self._extended_shape(torch.Size(sample_shape)))

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Return the image, repeated, cut off from the graph."""
        return self.rsample(sample_shape).detach()

    def log_prob(self, value: Tensor) -> Tensor:
        """Return minus the weighted distance, shape `batch_shape`; 0 for the image itself."""
        pairs = zip(self._maps(self.image), self._maps(value), strict=True)
        distances = [weight * _distance(a, b) for weight, (a, b) in zip(self.weights, pairs, strict=True)]
        if self.pixel:
            distances.append(self.pixel * _distance(self.image, value))
        return -torch.stack(distances).sum(0) / 2

    def _maps(self, x: Tensor) -> list[Tensor]:
        return [m.view(*x.shape[:-3], *m.shape[1:]) for m in self.features(x.reshape(-1, *x.shape[-3:]))]


def _distance(a: Tensor, b: Tensor) -> Tensor:
    # A sum of a hundred thousand squares is beyond half precision.
    return (a.float() - b.float() if a.dtype.itemsize < 4 else a - b).square().sum((-3, -2, -1))


class Perceptual(Likelihood):
    r"""Images compared by the features of a frozen network, as a head: the feature perceptual loss.

    The decoder's output is the image's logits, so that it always lies in [0, 1]. What it becomes, `Perceived`, says
    that it is no density, and the evaluation estimates no likelihood with it.

    The network is no part of the model: it has none of its parameters, its weights are not in the model's state
    dict, nothing puts it into training mode, and it follows the model to its device.

    References:
        Deep feature consistent variational autoencoder (Hou, Shen, Sun and Qiu, 2017), section 3.2.

    Arguments:
        event_shape: Shape of one image, `(1 or 3, height, width)`.
        features: The network; by default SqueezeNet.
        weights: Of the layers' mean squares, :math:`\beta_l`, one number for all or one for each: :math:`w_l =
            \beta_l s^2 / (C_l H_l W_l)`. There s is what the network divides images from 0 to 255 by, so that one
            number suits networks that were trained with either scale. Published: 0.5.
        pixel: Weight of the squared distance of the images themselves.

    Raises:
        RequestError: If x are no images of one or three channels, or too small for the network, or the weights are
            negative or not as many as there are layers.

    Example:
        >>> p = Perceptual((3, 64, 64))(torch.zeros(2, 3, 64, 64))
        >>> p.mean.unique(), p.log_prob(p.mean), p.has_density
        (tensor([0.5000]), tensor([-0., -0.]), False)
    """

    from_logits = True
    features: FrozenFeatures

    def __init__(
        self,
        event_shape: Sequence[int],
        features: FrozenFeatures | None = None,
        weights: float | Sequence[float] = 0.5,
        pixel: float = 0.0,
    ) -> None:
        super().__init__(event_shape)
        if len(self.event_shape) != 3 or self.event_shape[0] not in (1, 3):
            raise RequestError(
                f"the data have shape {self.event_shape}; expected images (channels, height, width) of 1 or 3 "
                "channels, which the network of a perceptual likelihood can look at: use another likelihood"
            )
        # Not as a submodule: it would then be saved, counted and trained with the model.
        object.__setattr__(self, "features", frozen_features() if features is None else features)
        try:
            with torch.no_grad():
                sizes = [m[0].numel() for m in self.features(self.features.mean.new_zeros(1, *self.event_shape))]
        except RuntimeError as error:
            raise RequestError(
                f"images of {self.event_shape[1]} by {self.event_shape[2]} are too small for the last of these layers: "
                "choose layers nearer to the image, or larger images"
            ) from error
        numbers = [weights] * len(sizes) if isinstance(weights, int | float) else list(weights)
        if len(numbers) != len(sizes) or not all(0 <= number < float("inf") for number in (*numbers, pixel)):
            raise RequestError(
                f"weights are {weights} and pixel {pixel}; expected numbers of at least 0, {len(sizes)} for as many "
                "layers or one for all of them, and one for the pixels: pass 0.5 and 0"
            )
        unit = self.features.unit**2
        self.weights = tuple(number * unit / size for number, size in zip(numbers, sizes, strict=True))
        self.pixel = pixel

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Take the network along to a device or a type."""
        self.features._apply(fn)  # type: ignore[no-untyped-call]
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def forward(self, parameters: Tensor) -> Distribution:
        """Read the image's logits, shape `(n, *event_shape)`."""
        return Perceived(parameters.sigmoid(), self.features, self.weights, self.pixel)
