r"""The network of the two bare PyTorch loops, written as a script would write it."""

__all__ = ["Network"]

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.contestants import HIDDEN, LATENT, PIXELS


class Network(nn.Module):
    """The encoder, the decoder and the negative bound of a batch of bits."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(PIXELS, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, 2 * LATENT))
        self.decoder = nn.Sequential(nn.Linear(LATENT, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, PIXELS))

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean over the batch, in nats; `x` has shape `(batch, 784)`."""
        mean, log_scale = self.encoder(x).chunk(2, dim=1)
        scale = log_scale.exp()
        logits = self.decoder(mean + scale * torch.randn_like(mean))
        distortion = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        rate = 0.5 * (mean.square() + scale.square() - 1).sum() - log_scale.sum()
        return (distortion + rate) / len(x)
