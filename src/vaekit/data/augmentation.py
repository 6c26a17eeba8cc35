r"""Augmentation: examples, as stored, that training sees changed at every visit, and nothing else does."""

__all__ = ["Affine", "Augmentation", "Transpose"]

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Protocol

from vaekit.errors import RequestError
from vaekit.music.tokens import NO_EVENT, NOTE_OFF, SYMBOLS

if TYPE_CHECKING:  # a plan imports this, and answers `--help` without torch
    from torch import Tensor

_LOWEST = max(NOTE_OFF, NO_EVENT) + 1  # the symbol of the lowest pitch


class Augmentation(Protocol):
    r"""A map of stored rows to rows that could have been stored, drawn anew at every call."""

    def __call__(self, x: "Tensor") -> "Tensor":
        """Return rows of the type, shape and device of x, `(n, *shape)`, by PyTorch's own random state."""
        ...

    def describe(self) -> str:
        """Say what is done."""
        ...


@dataclass(frozen=True)
class Affine:
    r"""Each image turned, sheared, stretched and shifted a little, by numbers that are drawn for it evenly.

    .. math::
        y(p) = x(A p + t), \qquad A = R(\phi) \begin{pmatrix} a & s \\ 0 & b \end{pmatrix}

    for positions p from the image's centre. Between pixels y is interpolated linearly, and beyond the edge x is 0.

    Arguments:
        turn: The largest :math:`|\phi|`, in degrees.
        shear: The largest :math:`|s|`.
        stretch: The largest :math:`|a - 1|` and :math:`|b - 1|`, below 1.
        shift: The largest :math:`|t|` along each axis, as a share of the image's width and height.

    Raises:
        RequestError: If one of them is below 0 or not finite, or images would be stretched by all of their size; in
            use, if rows are no images.

    Example:
        >>> import torch
        >>> x = torch.zeros(1, 1, 5, 5, dtype=torch.uint8)
        >>> x[0, 0, 2, 2] = 200
        >>> y = Affine()(x)
        >>> y.dtype, y.shape, torch.equal(Affine(0, 0, 0, 0)(x), x)
        (torch.uint8, torch.Size([1, 1, 5, 5]), True)
    """

    turn: float = 17.0
    shear: float = 0.3
    stretch: float = 0.15
    shift: float = 0.07

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 <= value < (1 if field.name == "stretch" else math.inf):
                raise RequestError(
                    f"{field.name} is {value}; expected a number from 0 up"
                    f"{', below 1' if field.name == 'stretch' else ''}: pass {field.default}, say"
                )

    def __call__(self, x: "Tensor") -> "Tensor":
        """Return images as they could have been seen, shape `(n, channels, height, width)`, of the type of x."""
        import torch
        from torch.nn import functional as F

        if x.dim() != 4:
            raise RequestError(
                f"examples are of shape {tuple(x.shape[1:])}; expected images to turn: augment no others"
            )
        n, _, height, width = x.shape

        def drawn(most: float, *shape: int) -> "Tensor":
            return (2 * torch.rand(n, *shape, device=x.device) - 1) * most

        turn, (a, b) = drawn(math.radians(self.turn)), (1 + drawn(self.stretch, 2)).unbind(1)
        s, cos, sin = drawn(self.shear), turn.cos(), turn.sin()
        # grid_sample counts from -1 to 1 along either axis, whatever its length.
        rows = (cos * a, (cos * s - sin * b) * (height / width), sin * a * (width / height), sin * s + cos * b)
        matrix = torch.cat([torch.stack(rows, 1).view(n, 2, 2), drawn(2 * self.shift, 2, 1)], 2)
        seen = x if x.is_floating_point() else x.float()
        grid = F.affine_grid(matrix.to(seen.dtype), list(x.shape), align_corners=False)
        moved = F.grid_sample(seen, grid, align_corners=False)
        return moved if x.is_floating_point() else moved.round_().to(x.dtype)

    def describe(self) -> str:
        """Say what is done."""
        return (
            f"turned by up to {self.turn:g} degrees, sheared by {self.shear:g}, stretched by {self.stretch:.0%} and "
            f"shifted by {self.shift:.0%}"
        )


@dataclass(frozen=True)
class Transpose:
    r"""Each melody moved up or down as a whole, by a number of semitones that is drawn for it.

    All shifts up to the largest that leave every note on the keys of a piano are as likely. Ends of notes and steps
    in which nothing happens stay as they are.

    References:
        A hierarchical latent vector model for learning long-term structure in music (Roberts et al., 2018), whose
        released configurations transpose by up to 5 semitones.

    Arguments:
        semitones: The largest shift, up or down.

    Raises:
        RequestError: If that is no whole number from 1 to 87.

    Example:
        >>> import torch
        >>> x = torch.tensor([[41, 1, 43, 0, 45]], dtype=torch.uint8).expand(1000, -1)
        >>> y = Transpose(2)(x).int()
        >>> sorted((y - x).unique(dim=0).tolist())  # doctest: +NORMALIZE_WHITESPACE
        [[-2, 0, -2, 0, -2], [-1, 0, -1, 0, -1], [0, 0, 0, 0, 0], [1, 0, 1, 0, 1], [2, 0, 2, 0, 2]]
    """

    semitones: int = 5

    def __post_init__(self) -> None:
        most = SYMBOLS - 1 - _LOWEST
        if isinstance(self.semitones, bool) or not isinstance(self.semitones, int) or not 1 <= self.semitones <= most:
            raise RequestError(
                f"semitones is {self.semitones!r}; expected a whole number from 1 to {most}: pass 5, say, or leave "
                "melodies where they are"
            )

    def __call__(self, x: "Tensor") -> "Tensor":
        """Return melodies in other keys: symbols, shape `(n, steps)`, of the type of x."""
        import torch

        symbols = x.int()
        pitched = symbols >= _LOWEST
        down = torch.where(pitched, symbols, SYMBOLS).amin(1).sub(_LOWEST).clamp(max=self.semitones)
        up = symbols.amax(1).sub(SYMBOLS - 1).neg().clamp(max=self.semitones)
        drawn = (torch.rand(len(x), device=x.device) * (down + up + 1)).int()
        return torch.where(pitched, symbols + (drawn - down)[:, None], symbols).to(x.dtype)

    def describe(self) -> str:
        """Say what is done."""
        return f"transposed by up to {self.semitones} semitones"
