r"""pythae 0.1.2: its `VAE` and `BaseTrainer` with the same network, its progress bar and its console logging."""

__all__ = ["build", "train"]

import tempfile

import numpy as np
import numpy.typing as npt
import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from pythae.trainers.training_callbacks import TrainingCallback
from torch import Tensor, nn

from benchmarks.contestants import BATCH, HIDDEN, LATENT, LEARNING_RATE, PIXELS
from benchmarks.laps import Laps


class Encoder(BaseEncoder):  # type: ignore[misc]
    """Mean and log-variance of z."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(PIXELS, HIDDEN), nn.Tanh())
        self.embedding = nn.Linear(HIDDEN, LATENT)
        self.log_var = nn.Linear(HIDDEN, LATENT)

    def forward(self, x: Tensor) -> ModelOutput:
        """Encode a batch of shape `(batch, 784)`."""
        hidden = self.hidden(x)
        return ModelOutput(embedding=self.embedding(hidden), log_covariance=self.log_var(hidden))


class Decoder(BaseDecoder):  # type: ignore[misc]
    """Pixel probabilities, which is what pythae's loss takes."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(LATENT, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, PIXELS), nn.Sigmoid())

    def forward(self, z: Tensor) -> ModelOutput:
        """Decode a batch of shape `(batch, 2)`."""
        return ModelOutput(reconstruction=self.layers(z))


class EpochEnd(TrainingCallback):  # type: ignore[misc]
    """Calls the stopwatch."""

    def __init__(self, laps: Laps) -> None:
        self.laps = laps

    def on_epoch_end(self, training_config: BaseTrainerConfig, **kwargs: object) -> None:
        """End a lap."""
        self.laps()


def build() -> VAE:
    """Return pythae's VAE with this network."""
    config = VAEConfig(input_dim=(PIXELS,), latent_dim=LATENT, reconstruction_loss="bce")
    return VAE(config, Encoder(), Decoder())


def train(x: npt.NDArray[np.uint8], laps: Laps) -> None:
    """Train on bits drawn once, beforehand: pythae has no transform, so it is spared the binarisation."""
    torch.manual_seed(0)
    bits = torch.bernoulli(torch.from_numpy(x[: len(x) // BATCH * BATCH]).float() / 255)
    with tempfile.TemporaryDirectory() as folder:
        config = BaseTrainerConfig(
            output_dir=folder,
            per_device_train_batch_size=BATCH,
            num_epochs=laps.epochs,
            learning_rate=LEARNING_RATE,
            no_cuda=True,
        )
        dataset = BaseDataset(bits, torch.zeros(len(bits)))
        BaseTrainer(build(), dataset, training_config=config, callbacks=[EpochEnd(laps)]).train()
