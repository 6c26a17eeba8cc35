r"""Networks: from an input of one shape to parameters of another."""

from vaekit.networks.convolutional import ConvDecoder, ConvEncoder
from vaekit.networks.mlp import MLP, activation
from vaekit.networks.residual import ResidualDecoder, ResidualEncoder

__all__ = ["MLP", "ConvDecoder", "ConvEncoder", "ResidualDecoder", "ResidualEncoder", "activation"]
