r"""Model structures: the contract, and what composes under it."""

from vaekit.models.base import LatentVariableModel, seeded
from vaekit.models.draw import DRAW, DrawDecoder, DrawEncoder
from vaekit.models.regression import VAERegression
from vaekit.models.vae import VAE
from vaekit.models.vector_quantized import VectorQuantized

__all__ = [
    "DRAW",
    "VAE",
    "DrawDecoder",
    "DrawEncoder",
    "LatentVariableModel",
    "VAERegression",
    "VectorQuantized",
    "seeded",
]
