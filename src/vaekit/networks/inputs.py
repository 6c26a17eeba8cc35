r"""Inputs of a regression: what of a context is an input, in which units, and which belong to one sequence."""

__all__ = ["Inputs"]

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vaekit.errors import RequestError

if TYPE_CHECKING:
    from vaekit.plan import DataSpec

_MEASURED = 1000  # inputs whose nearest neighbours set the unit


class Inputs(nn.Module):
    r"""Inputs in units of their own: standardised for a network, in distances of neighbours for a kernel.

    A network gets each input less its mean, by its standard deviation over the training inputs. A kernel gets
    positions, which are these divided by the median distance of a training input to its nearest one in the same
    sequence, repeated inputs left out: a kernel of length scale 1 then reaches as far as the next observed input,
    whether inputs are seconds or poses, and whether one frame in two is observed or one in sixteen.

    Arguments:
        size: Number of inputs, d.
        sequences: Whether a context begins with the number of its sequence.

    Raises:
        RequestError: In use, if a context does not have the size expected.

    Example:
        >>> inputs = Inputs(1)
        >>> inputs.fit(np.array([[0.0], [2.0], [4.0], [6.0]]))
        >>> inputs.positions(torch.tensor([[0.0], [2.0], [4.0]])).diff(dim=0).flatten().round(decimals=3)
        tensor([1., 1.])
    """

    center: Tensor
    scale: Tensor
    unit: Tensor

    def __init__(self, size: int, *, sequences: bool = False) -> None:
        super().__init__()
        self.size, self.sequences = size, sequences
        self.register_buffer("center", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))
        self.register_buffer("unit", torch.ones(()))

    @classmethod
    def of(cls, data: "DataSpec") -> "Inputs":
        r"""Return the inputs that data describe, measured on their training examples where these are at hand.

        Raises:
            RequestError: If the data have no inputs.
        """
        shape = data.context_shape
        if shape is None or len(shape) != 1 or shape[0] <= data.sequences:
            raise RequestError(
                f"{data.name} has {'no inputs' if shape is None else f'inputs of shape {shape}'} to regress on; "
                "expected a vector for each example, such as its time: pass an .npz file with outputs x and inputs c"
            )
        inputs = cls(shape[0] - data.sequences, sequences=data.sequences)
        if data.examples is not None and data.examples.context is not None:
            inputs.fit(data.examples.context, data.examples.sequence)
        return inputs

    def fit(self, x: NDArray[Any], sequence: NDArray[np.int64] | None = None) -> None:
        r"""Measure the units of inputs.

        Arguments:
            x: Training inputs, shape `(n, d)`.
            sequence: Which sequence each belongs to, shape `(n,)`.
        """
        x = np.asarray(x, np.float64)
        spread = x.std(0)
        center, scale = x.mean(0), np.where(spread > 1e-6 * np.abs(x).max(0, initial=0.0), spread, 1.0)
        standard = (x - center) / scale
        some = np.linspace(0, len(x) - 1, min(len(x), _MEASURED)).round().astype(np.int64)
        nearest = []
        for row in some:
            own = standard if sequence is None else standard[sequence == sequence[row]]
            distances = np.sqrt(((own - standard[row]) ** 2).sum(1))
            apart = distances[distances > 1e-9]
            nearest += [apart.min()] if len(apart) else []
        unit = float(np.median(nearest)) if nearest else 1.0
        for buffer, value in ((self.center, center), (self.scale, scale), (self.unit, np.asarray(unit))):
            buffer.copy_(torch.from_numpy(value))

    def forward(self, given: Tensor) -> Tensor:
        """Return the inputs standardised, shape `(n, d)`, from contexts, shape `(n, d)` or `(n, 1 + d)`."""
        if given.ndim != 2 or given.shape[1] != self.size + self.sequences:
            words = f"the number of a sequence and {self.size} inputs" if self.sequences else f"{self.size} inputs"
            raise RequestError(
                f"a context has shape {tuple(given.shape)}; expected (n, {self.size + self.sequences}), {words} a row"
            )
        return (given[:, -self.size :] - self.center) / self.scale

    def positions(self, given: Tensor) -> Tensor:
        """Return the inputs in distances of neighbours, shape `(n, d)`."""
        standard: Tensor = self(given)
        return standard / self.unit

    def groups(self, given: Tensor) -> Tensor | None:
        """Return the number of the sequence of each row, shape `(n,)`, or None where there are none."""
        return given[:, 0] if self.sequences else None
