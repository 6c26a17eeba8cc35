r"""A careful bare loop: bytes in memory, batches by `index_select`, a compiled loss, fused Adam."""

__all__ = ["train"]

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from benchmarks.contestants import BATCH, LEARNING_RATE
from benchmarks.contestants._network import Network
from benchmarks.laps import Laps


def train(x: npt.NDArray[np.uint8], laps: Laps) -> None:
    """Train, and print the mean loss of every epoch."""
    torch.manual_seed(0)
    data = torch.from_numpy(x)
    network = Network()
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, fused=True)

    @torch.compile
    def loss_of(rows: Tensor) -> Tensor:
        batch = data.index_select(0, rows)
        loss: Tensor = network((torch.rand(batch.shape) * 255 < batch).float())
        return loss

    for epoch in range(laps.epochs):
        total = torch.zeros(())
        batches = torch.randperm(len(data)).split(BATCH)[: len(data) // BATCH]
        for rows in batches:
            optimizer.zero_grad(set_to_none=True)
            loss = loss_of(rows)
            loss.backward()
            optimizer.step()
            total += loss.detach()
        print(f"epoch {epoch} loss {total.item() / len(batches):.3f}")
        laps()
