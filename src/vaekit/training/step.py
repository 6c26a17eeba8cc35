r"""One training step's forward pass, from row numbers to the loss, as one module that can be compiled whole."""

__all__ = ["Step", "evaluate_terms"]

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from vaekit.models.base import LatentVariableModel, seed_of, seeded

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vaekit.data.augmentation import Augmentation
    from vaekit.data.rows import Rows
    from vaekit.data.transforms import Transform


class Step(nn.Module):
    r"""Gather rows, augment and transform them, and compute a phase's loss, all on the device.

    Arguments:
        model: What is trained.
        x: The training data as stored, shape `(n, *data_shape)`, on the device; None if they come batch by batch.
        transform: From data as stored to what the likelihood describes.
        context: What a conditional model is told of them, shape `(n, ...)`, on the device.
        augment: What rows are changed by before they are transformed.

    Shapes:
        `forward` takes row numbers, shape `(batch,)`, and without x also the rows themselves, as stored, and gives the
        scalar loss and the sum of each term over the batch, in the order of `term_names`.
    """

    def __init__(
        self,
        model: LatentVariableModel,
        x: Tensor | None,
        transform: "Transform",
        context: Tensor | None = None,
        augment: "Augmentation | None" = None,
    ) -> None:
        super().__init__()
        self.model = model
        # Not buffers: distributed training would broadcast them at every step.
        self._data = (x, context)
        self._transform = transform
        self._augment = augment

    def forward(self, rows: Tensor, phase: str, stored: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the loss and the summed terms."""
        x, context = self._data
        if x is not None:
            stored = x.index_select(0, rows)
        assert stored is not None
        if self._augment is not None:
            stored = self._augment(stored)
        given = None if context is None else context.index_select(0, rows)
        loss, terms = self.model(self._transform(stored), given, phase=phase)
        return loss, torch.stack([term.detach().sum() for term in terms.values()])

    @torch.no_grad()
    def prepare(self, rows: Tensor, stored: Tensor) -> None:
        """Show the model rows, as stored, before its first step; see `LatentVariableModel.prepare`."""
        context = self._data[1]
        self.model.prepare(self._transform(stored), None if context is None else context.index_select(0, rows))

    @torch.no_grad()
    def term_names(self, phase: str, x: Tensor) -> tuple[str, ...]:
        r"""Return the names of a phase's terms, from one pass over the first examples x that leaves all as it was.

        The pass also looks up the closed forms of the divergences, which the compiler could not follow.
        """
        training = self.model.training
        self.model.eval()
        context = self._data[1]
        with seeded(0):
            names = tuple(
                self.model(self._transform(x), None if context is None else context[: len(x)], phase=phase).terms
            )
        self.model.train(training)
        return names


@torch.no_grad()
def evaluate_terms(
    model: LatentVariableModel,
    x: "Rows",
    transform: "Transform",
    seed: int,
    device: torch.device,
    *,
    context: "NDArray[Any] | None" = None,
    rank: int = 0,
    ranks: int = 1,
) -> dict[str, Tensor]:
    r"""Return the objective's unweighted terms for stored data, in nats, each of shape `(n,)`.

    The draws of each block of rows depend on the seed and the block's number alone, so the result is the same
    whatever the batch size and however many processes share the work. With several `ranks` this gives the rows of
    every `ranks`-th block, starting at `rank`.

    Arguments:
        model: The model.
        x: Data as stored, shape `(n, *data_shape)`.
        transform: From data as stored to what the likelihood describes.
        seed: Of the transform's draws and of the posterior's.
        device: Where to compute.
        context: What a conditional model is told of them, shape `(n, ...)`.
        rank: Number of this process.
        ranks: Number of processes.
    """
    from vaekit.data.transforms import pairs

    parts: list[dict[str, Tensor]] = []
    training = model.training
    model.eval()
    for number, (block, given) in enumerate(pairs(x, transform, context, seed, device)):
        if number % ranks == rank:
            with seeded(seed_of(seed, number)):
                parts.append(model.objective(model, block, given).terms)
    model.train(training)
    names: Sequence[str] = list(parts[0]) if parts else ()
    return {name: torch.cat([part[name] for part in parts]) for name in names}
