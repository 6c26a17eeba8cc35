r"""Augmentation: examples, as stored, that training sees changed at every visit, and nothing else does."""

__all__ = ["Augmentation", "Transpose"]

from dataclasses import dataclass
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
