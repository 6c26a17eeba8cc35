r"""Batch normalisation put into a network that has none."""

__all__ = ["batch_normalised"]

from typing import TypeVar

from torch import nn

N = TypeVar("N", bound=nn.Module)


def batch_normalised(network: N) -> N:
    r"""Put batch normalisation after each linear layer and convolution of a network but the last, in place.

    References:
        Batch normalization: accelerating deep network training by reducing internal covariate shift (Ioffe and
        Szegedy, 2015).

    Arguments:
        network: Such as an `MLP` or a `ConvEncoder`, whose layers are called in the order in which it lists them.

    Returns:
        The network.

    Example:
        >>> from vaekit.networks import MLP
        >>> sum(isinstance(m, nn.BatchNorm1d) for m in batch_normalised(MLP((4,), (2,), hidden=(8, 8))).modules())
        2
    """
    layers = [
        (parent, name, layer)
        for parent in network.modules()
        for name, layer in parent.named_children()
        if isinstance(layer, nn.Linear | nn.Conv2d)
    ]
    for parent, name, layer in layers[:-1]:
        norm = (
            nn.BatchNorm1d(layer.out_features) if isinstance(layer, nn.Linear) else nn.BatchNorm2d(layer.out_channels)
        )
        setattr(parent, name, nn.Sequential(layer, norm))
    return network
