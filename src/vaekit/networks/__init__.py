r"""Networks: from an input of one shape to parameters of another."""

from vaekit.networks.attention_window import AttentionWindow
from vaekit.networks.batch_norm import batch_normalised
from vaekit.networks.context import OneHot
from vaekit.networks.convolutional import ConvDecoder, ConvEncoder
from vaekit.networks.feature_maps import FeatureDecoder, FeatureEncoder
from vaekit.networks.leading import Leading
from vaekit.networks.mlp import MLP, activation
from vaekit.networks.pixelcnn import GatedPixelCNN
from vaekit.networks.recurrent import Conductor, RecurrentEncoder, SymbolDecoder
from vaekit.networks.residual import ResidualDecoder, ResidualEncoder
from vaekit.networks.standardised import Standardised
from vaekit.networks.vgg import VGG

__all__ = [
    "AttentionWindow",
    "MLP",
    "Conductor",
    "ConvDecoder",
    "ConvEncoder",
    "FeatureDecoder",
    "FeatureEncoder",
    "GatedPixelCNN",
    "Leading",
    "OneHot",
    "RecurrentEncoder",
    "ResidualDecoder",
    "ResidualEncoder",
    "Standardised",
    "SymbolDecoder",
    "VGG",
    "activation",
    "batch_normalised",
]
