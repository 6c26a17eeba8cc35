r"""The multilayer perceptron."""

__all__ = ["MLP", "activation", "check_shape"]

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from vaekit.errors import RequestError, nearest

_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "leaky-relu": nn.LeakyReLU,
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
}


def activation(name: str | Callable[[], nn.Module]) -> nn.Module:
    r"""Return a new activation module, by name or from a callable that makes one.

    Raises:
        RequestError: If the name is unknown.

    Example:
        >>> activation("tanh"), activation(nn.Hardswish)
        (Tanh(), Hardswish())
    """
    if not isinstance(name, str):
        return name()
    if name not in _ACTIVATIONS:
        known = ", ".join(_ACTIVATIONS)
        raise RequestError(f"unknown activation {name!r}; expected one of {known}.{nearest(name, _ACTIVATIONS)}")
    return _ACTIVATIONS[name]()


def check_shape(x: Tensor, expected: tuple[int, ...]) -> None:
    r"""Raise a `RequestError` unless `x` is a batch of examples of the expected shape."""
    if tuple(x.shape[1:]) != expected:
        wanted = ", ".join(map(str, expected))
        raise RequestError(
            f"input has shape {tuple(x.shape)}; expected (batch, {wanted}): "
            "reshape it, or use data like the training data"
        )


_activation = activation  # the argument of `MLP` has the function's name


class MLP(nn.Module):
    r"""A multilayer perceptron between any two shapes: flatten, layers with an activation between them, unflatten.

    Arguments:
        in_shape: Shape of one input.
        out_shape: Shape of one output.
        hidden: Widths of the hidden layers, from input to output.
        activation: Name of the activation, or a callable that makes a module.
        glorot: Draw weights as Glorot and Bengio (2010) do and set biases to zero, instead of PyTorch's default.
        context_dim: Size of a context vector, joined to the input of every layer, so that it is not lost among many
            inputs; 0 for none.

    Raises:
        RequestError: In `forward`, if the input has another shape.

    Example:
        >>> net = MLP((1, 28, 28), (4,), hidden=(500,), activation="tanh")
        >>> net(torch.zeros(16, 1, 28, 28)).shape
        torch.Size([16, 4])
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        out_shape: Sequence[int],
        hidden: Sequence[int] = (500,),
        activation: str | Callable[[], nn.Module] = "relu",
        *,
        glorot: bool = False,
        context_dim: int = 0,
    ) -> None:
        super().__init__()
        self.in_shape, self.out_shape = tuple(in_shape), tuple(out_shape)
        widths = [math.prod(self.in_shape), *hidden, math.prod(self.out_shape)]
        if min(widths) < 1:
            raise RequestError(f"layer widths are {widths}; every layer needs at least 1 unit: pass positive widths")
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise(widths):
            layers += [nn.Linear(fan_in + context_dim, fan_out), _activation(activation)]
        self.layers = nn.Sequential(*layers[:-1])
        if glorot:
            for layer in self.layers:
                if isinstance(layer, nn.Linear):
                    nn.init.xavier_uniform_(layer.weight)
                    nn.init.zeros_(layer.bias)

    @property
    def output(self) -> nn.Linear:
        """The last layer, whose bias a recipe may set from the data's mean."""
        return cast(nn.Linear, self.layers[-1])

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Map `x`, shape `(n, *in_shape)`, to shape `(n, *out_shape)`."""
        check_shape(x, self.in_shape)
        flat = x.flatten(1)
        if context is None:
            return cast(Tensor, self.layers(flat).unflatten(1, self.out_shape))
        told = context.flatten(1)
        for layer in self.layers:
            flat = layer(torch.cat([flat, told], dim=1) if isinstance(layer, nn.Linear) else flat)
        return cast(Tensor, flat.unflatten(1, self.out_shape))
