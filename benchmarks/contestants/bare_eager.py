r"""What most scripts do: a `DataLoader` over tensors in memory, an eager step, Adam as it comes."""

__all__ = ["train"]

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.contestants import BATCH, LEARNING_RATE
from benchmarks.contestants._network import Network
from benchmarks.laps import Laps


def train(x: npt.NDArray[np.uint8], laps: Laps) -> None:
    """Train, and print the mean loss of every epoch."""
    torch.manual_seed(0)
    loader = DataLoader(TensorDataset(torch.from_numpy(x).float() / 255), BATCH, shuffle=True, drop_last=True)
    network = Network()
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    for epoch in range(laps.epochs):
        total = 0.0
        for (grey,) in loader:
            optimizer.zero_grad()
            loss = network(torch.bernoulli(grey))
            loss.backward()
            optimizer.step()
            total += loss.item()
        print(f"epoch {epoch} loss {total / len(loader):.3f}")
        laps()
