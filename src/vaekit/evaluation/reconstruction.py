r"""How well examples come back from their codes: squared error, PSNR, SSIM and perceptual distance."""

__all__ = ["PSNR_LIMIT", "Layered", "has_pictures", "perceptual_distance", "reconstruction_metrics"]

import math
from collections.abc import Callable, Iterator
from typing import Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from vaekit.data.rows import Rows
from vaekit.data.transforms import Binarise, Dequantise, Identity, Scale, Transform, pairs, view
from vaekit.errors import RequestError
from vaekit.evaluation.likelihood import mean_and_error
from vaekit.evaluation.posterior import evaluating, random_rows
from vaekit.models import VAE

PSNR_LIMIT = 100.0  # decibels, of an image that comes back exactly: JSON has no infinity
_WINDOW = 11  # the side of SSIM's Gaussian window
_NUMBERS = 2**18  # entries of images at once
_IMAGES = 20  # images at once in the network of features


class Layered(Protocol):
    r"""A frozen network of features, such as `vaekit.evaluation.features.FeatureNet`."""

    def describe(self) -> str:
        """Say which network it is, for the protocol."""
        ...

    def layers(self, x: Tensor) -> list[Tensor]:
        """Return activations, each `(n, channels, height, width)`, of images in [0, 1], `(n, C, H, W)`."""
        ...


def perceptual_distance(features: Layered, x: Tensor, y: Tensor) -> Tensor:
    r"""Return the distance of images as a network sees them, shape `(n,)`, from 0 to 4.

    .. math::
        d(x, y) = \frac1L \sum_l \frac{1}{H_l W_l} \sum_{h, w}
        \left\| \frac{f_l(x)_{hw}}{\|f_l(x)_{hw}\|} - \frac{f_l(y)_{hw}}{\|f_l(y)_{hw}\|} \right\|^2

    This is the learned perceptual distance (LPIPS) without what is learned: every channel has weight 1, so that it
    needs no data of human judgements, and its numbers are not LPIPS numbers.

    References:
        The unreasonable effectiveness of deep features as a perceptual metric (Zhang et al., 2018), equation 1.

    Arguments:
        features: The network; distances under different networks are not comparable.
        x: Images in [0, 1], shape `(n, C, H, W)`.
        y: As many of the same shape.

    Example:
        >>> class Pixels:
        ...     def describe(self):
        ...         return "pixels"
        ...     def layers(self, x):
        ...         return [x]
        >>> red, green = torch.eye(3)[:2].view(2, 1, 3, 1, 1)
        >>> perceptual_distance(Pixels(), red, green)
        tensor([2.])
    """
    distances = [
        (F.normalize(a, dim=1) - F.normalize(b, dim=1)).square().sum(1).mean((1, 2))
        for a, b in zip(features.layers(x), features.layers(y), strict=True)
    ]
    return torch.stack(distances).mean(0)


@torch.no_grad()
def reconstruction_metrics(
    model: VAE,
    x: Rows,
    transform: Transform,
    *,
    context: NDArray[Any] | None = None,
    features: Layered | None = None,
    perceptual_images: int = 1000,
    seed: int = 0,
    device: torch.device | str = "cpu",
    advance: Callable[[int], object] | None = None,
) -> dict[str, Any]:
    r"""Return how far reconstructions are from the data as stored, on the scale from 0 to 1.

    The reconstruction of x is the mean of :math:`p(x \mid z)` at the mean of :math:`q(z \mid x)`; of an image it is
    clipped to [0, 1], as a picture of it would be. What it is held against are the grey levels as stored, over
    levels - 1, also where the model is shown bits drawn from them: so numbers of models with different transforms
    can be compared. Where what the model sees is random, there is the error against that too.

    .. math::
        \mathrm{MSE} = \tfrac1D \|x - \hat x\|^2, \qquad \mathrm{PSNR} = -10 \log_{10} \mathrm{MSE}

    All are means over images of each image's own number. PSNR stops at 100 decibels, which is what an image that
    comes back exactly counts.

    References:
        Image quality assessment: from error visibility to structural similarity (Wang et al., 2004), for SSIM: here
        with a Gaussian window of 11 pixels and deviation 1.5, images being mirrored at their borders.

    Arguments:
        model: The model.
        x: Data as stored, shape `(n, *data_shape)`; images are `(n, C, H, W)` with C of 1, 3 or 4.
        transform: From data as stored to what the likelihood describes.
        context: What a conditional model is told of them, shape `(n, ...)`.
        features: A network, for the perceptual distance of images.
        perceptual_images: How many images it looks at, for it takes most of the time: at random, or all where there
            are no more.
        seed: Of the transform's draws.
        device: Where to compute.
        advance: Called with the number of examples done.

    Returns:
        `mse`; for images in [0, 1] also `psnr` in decibels, `ssim` where they are large enough for its window, and
        `perceptual` if `features` are given; `seen_mse`, against what the model sees, where that is random; each
        with its `_se`, the standard error over examples. Of images also `sharpness`, the squared differences of
        neighbouring pixels in all reconstructions over those in the data: 1 where they are as sharp, less where they
        are blurred. The protocol says what is left out and why.

    Raises:
        RequestError: If there is no example, or `features` are given for what is no image of 1 or 3 channels, or to
            look at no image.

    Example:
        >>> import numpy as np
        >>> from vaekit.distributions import Conditional, DiagonalGaussian, Gaussian, StandardNormal
        >>> encoder = Conditional(torch.nn.Linear(3, 4), DiagonalGaussian(2))
        >>> decoder = torch.nn.Linear(2, 3)
        >>> _ = torch.nn.init.zeros_(decoder.weight), torch.nn.init.constant_(decoder.bias, 0.5)
        >>> model = VAE(encoder, Conditional(decoder, Gaussian((3,))), StandardNormal(2))
        >>> reconstruction_metrics(model, np.zeros((20, 3), np.uint8), Scale(256))["mse"]
        0.25
    """
    if not len(x):
        raise RequestError("there are no examples to reconstruct; expected at least 1: pass more")
    left_out = _left_out(x, transform)
    if features is not None and ("psnr" in left_out or x.shape[1] == 4):
        raise RequestError(
            f"features are for images of 1 or 3 channels with values in [0, 1]; these are examples of shape "
            f"{x.shape[1:]}, {x.dtype}: leave features out"
        )
    if features is not None and perceptual_images < 1:
        raise RequestError(
            f"perceptual_images is {perceptual_images}; expected at least 1: pass 1000, or leave features out"
        )
    shown = np.zeros(len(x), bool)
    shown[random_rows(len(x), perceptual_images if features is not None else 0, seed)] = True
    columns: dict[str, list[Tensor]] = {}
    energies: list[Tensor] = []
    with evaluating(model):
        for rows, stored, seen, given in _parts(x, transform, context, seed, device):
            result = model.reconstruct(seen, given)
            if "psnr" not in left_out:
                result = result.clamp(0, 1)
            found = {"mse": _squared_error(stored, result)}
            if "psnr" not in left_out:
                found["psnr"] = (-10 * found["mse"].log10()).clamp(max=PSNR_LIMIT)
            if "ssim" not in left_out:
                found["ssim"] = _similarity(stored, result)
            if "psnr" not in left_out:
                energies.append(torch.stack([_gradient_energy(stored), _gradient_energy(result)]))
            if features is not None and shown[rows].any():
                # The activations of an image are many times its size.
                both = zip(*(part[shown[rows]].split(_IMAGES) for part in (stored, result)), strict=True)
                found["perceptual"] = torch.cat([perceptual_distance(features, *pair) for pair in both])
            if transform.random:
                found["seen_mse"] = _squared_error(seen, result)
            for name, values in found.items():
                columns.setdefault(name, []).append(values)
            if advance is not None:
                advance(len(seen))
    numbers: dict[str, Any] = {}
    for name, parts in columns.items():
        numbers[name], numbers[f"{name}_se"] = mean_and_error(torch.cat(parts))
    if energies and (there := torch.cat(energies, dim=1).sum(1))[0] > 0:
        numbers["sharpness"] = float(there[1] / there[0])
    return numbers | {"protocol": _protocol(len(x), transform, features, int(shown.sum()), left_out, seed)}


def _scale(transform: Transform) -> Scale | None:
    """What takes stored levels to [0, 1]."""
    return Scale(transform.levels) if isinstance(transform, Scale | Binarise | Dequantise) else None


def _as_stored(rows: Rows, transform: Transform) -> Tensor:
    block, scale = torch.tensor(rows), _scale(transform)
    # Real numbers that are to be binarised are probabilities already.
    return block.float() if scale is None or block.is_floating_point() else scale(block)


def _parts(
    x: Rows, transform: Transform, context: NDArray[Any] | None, seed: int, device: torch.device | str
) -> Iterator[tuple[slice, Tensor, Tensor, Tensor | None]]:
    """Examples as stored, in [0, 1] where they have levels, as the model sees them, and with their contexts."""
    size = max(1, _NUMBERS // max(1, math.prod(x.shape[1:])))
    done = 0
    for block, given in pairs(x, transform, context, seed, device):
        for start in range(0, len(block), size):
            seen, told = block[start : start + size], None if given is None else given[start : start + size]
            rows = slice(done, done + len(seen))
            yield rows, _as_stored(np.asarray(x[rows]), transform).to(device), seen, told
            done += len(seen)


def _left_out(x: Rows, transform: Transform) -> dict[str, str]:
    """What makes no sense for these data, and why."""
    shape = x.shape[1:]
    reason = ""
    if len(shape) != 3 or shape[0] not in (1, 3, 4):
        reason = "examples are no images"
    elif _scale(transform) is None or x.dtype.kind == "f":
        low, high = _range(x)
        if low < 0 or high > 1:
            reason = f"values from {low:.3g} to {high:.3g} are not within [0, 1]"
    if reason:
        return {"psnr": reason, "ssim": reason}
    if min(shape[1:]) < _WINDOW:
        return {"ssim": f"its window is {_WINDOW} pixels wide and images are {shape[1]} by {shape[2]}"}
    return {}


def has_pictures(x: Rows, transform: Transform) -> bool:
    r"""Whether examples are what networks of features look at: images of 1 or 3 channels with values in [0, 1].

    Example:
        >>> import numpy as np
        >>> images = np.zeros((5, 1, 16, 16), np.uint8)
        >>> has_pictures(images, Scale(256)), has_pictures(images.astype(np.float32) - 1, Identity())
        (True, False)
    """
    return "psnr" not in _left_out(x, transform) and x.shape[1] in (1, 3)


def _range(x: Rows) -> tuple[float, float]:
    ends = [(block.min().item(), block.max().item()) for block in view(x, Identity())]
    return min(low for low, _ in ends), max(high for _, high in ends)


def _squared_error(x: Tensor, y: Tensor) -> Tensor:
    return (x.double() - y.double()).square().flatten(1).mean(1)


def _gradient_energy(x: Tensor) -> Tensor:
    """Squared differences of neighbouring pixels, summed over each image."""
    return sum((x.double().diff(dim=axis).square().flatten(1).sum(1) for axis in (-1, -2)), x.new_zeros(()))


def _similarity(x: Tensor, y: Tensor) -> Tensor:
    from torchmetrics.functional.image import structural_similarity_index_measure

    # As channels of one image, for which convolution is six times as fast, and the numbers are the same.
    # Single precision costs 1e-4 in flat regions, whose variances almost cancel; double takes ten times as long.
    y, target = y.flatten(0, 1)[None], x.flatten(0, 1)[None]
    _, index = structural_similarity_index_measure(y, target, data_range=1.0, return_full_image=True)
    return cast(Tensor, index).mean((2, 3)).view(len(x), -1).mean(1)


def _protocol(
    n: int, transform: Transform, features: Layered | None, shown: int, left_out: dict[str, str], seed: int
) -> str:
    scale = _scale(transform)
    parts = [
        f"{n:,} examples; the mean of p(x|z) at the mean of q(z|x)" + ("" if "psnr" in left_out else " in [0, 1]"),
        f"against the {scale.levels} levels as stored, scaled to [0, 1]" if scale else "against the values as stored",
    ]
    if transform.random:
        parts.append(f"the model sees, and seen_mse is against, {transform.describe()} drawn once, seed {seed}")
    if "psnr" not in left_out:
        parts.append("sharpness is the gradient energy of all reconstructions over that of the data")
    if "ssim" not in left_out:
        parts.append(f"SSIM with a Gaussian window of {_WINDOW} pixels")
    if features is not None:
        few = "" if shown == n else f" of {shown:,} of them"
        parts.append(f"perceptual distance{few} by {features.describe()}, unweighted, which is not LPIPS")
    for reason in dict.fromkeys(left_out.values()):
        names = " and ".join(name.upper() for name, why in left_out.items() if why == reason)
        parts.append(f"no {names}, for {reason}")
    return "; ".join([*parts, "means over examples, ± is one standard error"])
