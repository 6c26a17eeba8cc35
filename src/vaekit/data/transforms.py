r"""From stored values to what a model sees: scaled, binarised or dequantised, on the device, inside the step."""

__all__ = ["Binarise", "Dequantise", "Identity", "Scale", "Transform", "contexts", "default_transform", "pairs", "view"]

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaekit.data.rows import Rows
from vaekit.data.stream import batches
from vaekit.errors import RequestError

_BLOCK = 1000


class Transform(Protocol):
    r"""A map from stored values, of shape `(batch, *shape)`, to float32 of the same shape. It never writes to x."""

    @property
    def random(self) -> bool:
        """Whether two calls on the same stored values differ."""
        ...

    def __call__(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Transform a batch, with the random numbers of `generator`, or of the device's own if None."""
        ...

    def describe(self) -> str:
        """Say in a few words what is done, for the protocol next to a reported number."""
        ...


def _check(levels: int) -> None:
    if not isinstance(levels, int) or not 2 <= levels <= 2**16:
        raise RequestError(f"levels is {levels!r}; expected an integer from 2 to 65536: pass 256 for bytes")


def _sixteen_bits(x: Tensor, generator: torch.Generator | None) -> Tensor:
    """Draw an integer from -2^15 to 2^15 - 1 for every entry of x, as int16 of its shape."""
    if x.device.type not in ("cpu", "cuda"):
        return torch.randint(-(2**15), 2**15, x.shape, dtype=torch.int16, device=x.device, generator=generator)
    # One 64-bit draw makes four of 16 bits: a fifth of the time of torch.rand, and the draw is what binarising costs.
    quarter = ((x.numel() + 3) // 4,)
    if torch.compiler.is_compiling():
        # random_ does not trace. randint excludes its upper end, one value in 2^64.
        wide = torch.randint(-(2**63), 2**63 - 1, quarter, dtype=torch.int64, device=x.device, generator=generator)
    else:
        wide = torch.empty(quarter, dtype=torch.int64, device=x.device).random_(-(2**63), None, generator=generator)
    return wide.view(torch.int16)[: x.numel()].view(x.shape)


class Levelled(Protocol):
    r"""Data, or a description of data, with a number of levels."""

    @property
    def levels(self) -> int | None:
        """Number of values an entry takes as stored; None for real numbers."""
        ...


@dataclass(frozen=True)
class Identity:
    r"""The values as stored, :math:`y = x`, in float32: x itself if that is its type.

    Example:
        >>> Identity()(torch.tensor([[-1.5, 2.0]]))
        tensor([[-1.5000,  2.0000]])
    """

    random = False

    def __call__(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return x as float32, of the same shape."""
        return x.float()

    def describe(self) -> str:
        """Say what is done."""
        return "values as stored"


@dataclass(frozen=True)
class Scale:
    r"""Levels to [0, 1], :math:`y = x / (\text{levels} - 1)`.

    Arguments:
        levels: Number of values an entry of x can take, from 0 to levels - 1.

    Raises:
        RequestError: If `levels` is not an integer from 2 to 65536.

    Example:
        >>> Scale(256)(torch.tensor([[0, 51, 255]], dtype=torch.uint8))
        tensor([[0.0000, 0.2000, 1.0000]])
    """

    levels: int
    random = False

    def __post_init__(self) -> None:
        _check(self.levels)

    def __call__(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return x scaled to [0, 1], of the same shape."""
        return x.float() if self.levels == 2 else x.float() / (self.levels - 1)

    def describe(self) -> str:
        """Say what is done."""
        return "bits as stored" if self.levels == 2 else f"{self.levels} levels scaled to [0, 1]"


@dataclass(frozen=True)
class Binarise:
    r"""Every entry 1 with the probability that its grey level is, drawn anew at every call ("dynamic").

    .. math::
        y \sim \mathrm{Bernoulli}\left( \frac{x}{\text{levels} - 1} \right)

    The ends are exact: 0 is never and levels - 1 is always 1. In between the probability is kept to
    :math:`2^{-16}`. Floating-point input is taken as probabilities; bits (two levels) come back as they are.

    References:
        On the quantitative analysis of deep belief networks (Salakhutdinov and Murray, 2008).

    Arguments:
        levels: Number of values an entry of x can take, from 0 to levels - 1.

    Raises:
        RequestError: If `levels` is not an integer from 2 to 65536.

    Example:
        >>> y = Binarise(256)(torch.full((1000, 4), 51, dtype=torch.uint8), torch.Generator().manual_seed(0))
        >>> y.unique(), round(y.mean().item(), 1)
        (tensor([0., 1.]), 0.2)
    """

    levels: int

    def __post_init__(self) -> None:
        _check(self.levels)

    @property
    def random(self) -> bool:
        """Whether two calls differ: always, but for bits."""
        return self.levels > 2

    def __call__(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return zeros and ones in float32, of the shape of x."""
        if x.is_floating_point():
            return (torch.rand(x.shape, device=x.device, generator=generator) < x).float()
        if self.levels == 2:
            return x.float()
        # The draw lies below the threshold with probability round(2^16 x / (levels - 1)) / 2^16: never for 0, for
        # which the threshold is under the least draw, and always for levels - 1, for which it is above the greatest.
        threshold = x.float().mul_(2**16 / (self.levels - 1)).sub_(2**15 + 0.5)
        # Writing the bits over the thresholds spares two passes over memory: a third of the time.
        return torch.lt(_sixteen_bits(x, generator), threshold, out=threshold)

    def describe(self) -> str:
        """Say what is done."""
        return "bits as stored" if self.levels == 2 else "dynamic binarisation"


@dataclass(frozen=True)
class Dequantise:
    r"""Levels to reals in [0, 1), spread evenly over the width of a level, drawn anew at every call.

    .. math::
        y = \frac{x + u}{\text{levels}}, \qquad u \sim \mathrm{U}[0, 1)

    A density of y then bounds the probability of the levels from below:
    :math:`\mathbb{E}_u \log p(y) - D \log \text{levels} \le \log P(x)` for x with D entries.

    References:
        A note on the evaluation of generative models (Theis, van den Oord and Bethge, 2016).

    Arguments:
        levels: Number of values an entry of x can take, from 0 to levels - 1.

    Raises:
        RequestError: If `levels` is not an integer from 2 to 65536.

    Example:
        >>> x = torch.tensor([[0, 128, 255]], dtype=torch.uint8)
        >>> y = Dequantise(256)(x, torch.Generator().manual_seed(0))
        >>> (y * 256).floor()
        tensor([[  0., 128., 255.]])
    """

    levels: int
    random = True

    def __post_init__(self) -> None:
        _check(self.levels)

    def __call__(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return reals in [0, 1), of the shape of x."""
        # u is a multiple of 2^-16: x + u is then exact in float32 for up to 256 levels, and never rounds to x + 1.
        u = (_sixteen_bits(x, generator).float() + 2**15) / 2**16
        return (x.float() + u) / self.levels

    def describe(self) -> str:
        """Say what is done."""
        return f"uniform dequantisation of {self.levels} levels to [0, 1)"


def default_transform(data: Levelled, likelihood: str) -> Transform:
    r"""Return the transform that makes of stored data what a likelihood is a likelihood of.

    Real numbers stay as they are. Levels are scaled to [0, 1], except that a Bernoulli needs bits: there more than
    two levels are binarised; and that a categorical likelihood is one of the levels, as symbols are, which stay.

    Arguments:
        data: The dataset, or what describes it.
        likelihood: Name of the likelihood, such as "bernoulli", "gaussian", "continuous-bernoulli" or "categorical".

    Example:
        >>> from vaekit.data import from_arrays
        >>> data = from_arrays(np.arange(200, dtype=np.uint8).reshape(50, 4))
        >>> default_transform(data, "bernoulli"), default_transform(data, "gaussian")
        (Binarise(levels=256), Scale(levels=256))
    """
    if data.levels is None or likelihood == "categorical":
        return Identity()
    if likelihood == "bernoulli" and data.levels > 2:
        return Binarise(data.levels)
    return Scale(data.levels)


def view(
    x: Rows | Tensor,
    transform: Transform,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Iterator[Tensor]:
    r"""Yield x as a model sees it, in order, in blocks of 1000 rows (the last may have fewer).

    The random numbers of a block depend on the seed and the block's number alone, and are drawn on the CPU: the
    same x and seed are the same view at every batch size and on every device. Rows that are not in memory are read a
    few blocks ahead.

    Arguments:
        x: Stored values, of shape `(n, *shape)`.
        transform: What to do to them.
        seed: Seed of the view, not negative.
        device: Where to put the blocks.

    Raises:
        RequestError: If `seed` is not an integer from 0 up.

    Example:
        >>> [tuple(block.shape) for block in view(np.zeros((2500, 3), np.uint8), Scale(256))]
        [(1000, 3), (1000, 3), (500, 3)]
    """
    if not isinstance(seed, int) or seed < 0:
        raise RequestError(f"seed is {seed!r}; expected an integer from 0 up: pass seed=0")
    return _blocks(x, transform, seed, torch.device(device))


def contexts(context: NDArray[Any] | None, n: int, device: torch.device | str = "cpu") -> Iterator[Tensor | None]:
    r"""Yield what a conditional model is told of n examples in the blocks of `view`, or None for each of them.

    Arguments:
        context: Of shape `(n, ...)`, or None for a model that is told nothing.
        n: How many examples.
        device: Where to put the blocks.

    Example:
        >>> [len(block) for block in contexts(np.zeros(1200, np.int64), 1200)], list(contexts(None, 1200))
        ([1000, 200], [None, None])
    """
    for start in range(0, n, _BLOCK):
        yield None if context is None else torch.as_tensor(context[start : start + _BLOCK]).to(device)


def pairs(
    x: Rows | Tensor,
    transform: Transform,
    context: NDArray[Any] | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Iterator[tuple[Tensor, Tensor | None]]:
    r"""Yield the blocks of `view`, each with what a conditional model is told of its rows: those of `contexts`.

    Example:
        >>> x, labels = np.zeros((1200, 3), np.uint8), np.zeros(1200, np.int64)
        >>> [(len(block), len(given)) for block, given in pairs(x, Scale(256), labels)]
        [(1000, 1000), (200, 200)]
    """
    return zip(view(x, transform, seed, device), contexts(context, len(x), device), strict=True)


def _blocks(x: Rows | Tensor, transform: Transform, seed: int, device: torch.device) -> Iterator[Tensor]:
    for number, block in enumerate(_stored(x)):
        if transform.random:
            state = np.random.SeedSequence((seed, number)).generate_state(1)
            generator = torch.Generator().manual_seed(int(state[0]))
            yield transform(block.cpu(), generator).to(device)
        else:
            yield transform(block.to(device))


def _stored(x: Rows | Tensor) -> Iterator[Tensor]:
    if isinstance(x, Tensor):
        yield from x.split(_BLOCK)
    elif isinstance(x, np.ndarray):
        for start in range(0, len(x), _BLOCK):
            yield torch.tensor(x[start : start + _BLOCK])
    else:
        yield from batches(x, np.arange(len(x)), _BLOCK)
