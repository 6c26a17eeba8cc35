r"""The floor: the matrix products that any implementation of the step must do, into memory allocated once."""

__all__ = ["train"]

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.contestants import BATCH, HIDDEN, PIXELS
from benchmarks.laps import Laps


@torch.no_grad()
def train(x: npt.NDArray[np.uint8], laps: Laps) -> None:
    r"""Run the five products a step: two forward, and three backward (no gradient reaches the pixels).

    The products with the two latent units, 0.5 % of the arithmetic, are left out.
    """
    pixels, hidden = torch.rand(BATCH, PIXELS), torch.rand(BATCH, HIDDEN)
    first, last = torch.rand(HIDDEN, PIXELS), torch.rand(PIXELS, HIDDEN)
    out_hidden, out_pixels = torch.empty(BATCH, HIDDEN), torch.empty(BATCH, PIXELS)
    out_first, out_last = torch.empty_like(first), torch.empty_like(last)
    for _ in range(laps.epochs):
        for _ in range(len(x) // BATCH):
            torch.mm(pixels, first.T, out=out_hidden)  # encoder, forward
            torch.mm(hidden, last.T, out=out_pixels)  # decoder, forward
            torch.mm(pixels.T, hidden, out=out_last)  # gradient of the decoder's weights
            torch.mm(pixels, last, out=out_hidden)  # gradient that reaches the hidden layer
            torch.mm(hidden.T, pixels, out=out_first)  # gradient of the encoder's weights
        laps()
