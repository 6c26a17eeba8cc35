r"""Recurrent networks of symbols: an encoder that reads both ways, a conductor, a decoder that reads its past."""

__all__ = ["Conductor", "RecurrentEncoder", "SymbolDecoder", "one_hot"]

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vaekit.errors import RequestError
from vaekit.networks.mlp import check_shape

State = tuple[Tensor, Tensor]

_AT_ONCE = 2**16  # symbols that are read at once where no gradient is asked for: all gates of them are in memory


def one_hot(symbols: Tensor, levels: int) -> Tensor:
    r"""Return symbols, whole numbers of any type, shape `(...)`, as zeros with a one, shape `(..., levels)`.

    Example:
        >>> one_hot(torch.tensor([2.0, 0.0]), 3)
        tensor([[0., 0., 1.],
                [1., 0., 0.]])
    """
    return F.one_hot(symbols.long(), levels).to(torch.get_default_dtype())


def rows_at_once(steps: int) -> int:
    r"""Return how many sequences of so many steps are read at once where no gradient is asked for.

    Example:
        >>> rows_at_once(256)
        256
    """
    return max(1, _AT_ONCE // steps)


class RecurrentEncoder(nn.Module):
    r"""From a sequence of symbols to a vector: a bidirectional LSTM, and a linear layer on its final states.

    .. math::
        y = W \, [\overrightarrow h_T ; \overleftarrow h_1] + b

    with the states of the last layer after all symbols were read, forwards and backwards.

    References:
        Long short-term memory (Hochreiter and Schmidhuber, 1997).
        A hierarchical latent vector model for learning long-term structure in music (Roberts et al., 2018), section 3.

    Arguments:
        in_shape: Shape of one input, `(steps,)`.
        out_shape: Shape of one output.
        levels: Number of symbols.
        hidden: Units of each direction.
        layers: LSTMs one above the other.

    Raises:
        RequestError: If a size is less than 1; in `forward`, if the input has another shape.

    Example:
        >>> RecurrentEncoder((32,), (8,), 90, hidden=16)(torch.zeros(5, 32)).shape
        torch.Size([5, 8])
    """

    def __init__(
        self, in_shape: Sequence[int], out_shape: Sequence[int], levels: int, hidden: int = 256, layers: int = 1
    ) -> None:
        super().__init__()
        self.in_shape, self.out_shape, self.levels = tuple(in_shape), tuple(out_shape), levels
        if len(self.in_shape) != 1:
            raise RequestError(f"in_shape is {self.in_shape}; expected one axis, the steps of a sequence: pass (32,)")
        self.lstm = _lstm(levels, hidden, layers, bidirectional=True)
        self.output = nn.Linear(2 * hidden, math.prod(self.out_shape))

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Map symbols, whole numbers of any type, shape `(n, steps)`, to shape `(n, *out_shape)`."""
        check_shape(x, self.in_shape)
        parts = [x] if torch.is_grad_enabled() else x.split(rows_at_once(x.shape[1]))
        final = [self.lstm(one_hot(part, self.levels))[1][0][-2:] for part in parts]  # of the last layer, both ways
        both = torch.cat(final, dim=1).transpose(0, 1).flatten(1)
        return cast(Tensor, self.output(both).unflatten(1, self.out_shape))


class Conductor(nn.Module):
    r"""From a code to an embedding for each part of a sequence: an LSTM that takes one step a part.

    .. math::
        (h_0, m_0) = \tanh(V z + a), \qquad h_u, m_u = \mathrm{LSTM}(z, h_{u-1}, m_{u-1}), \qquad c_u = W h_u + b

    It reads z at every step, where the paper does not say what it reads.

    References:
        A hierarchical latent vector model for learning long-term structure in music (Roberts et al., 2018), section
        3.2.

    Arguments:
        code_dim: Size of z.
        out_shape: Number of parts, and size of an embedding.
        hidden: Units.
        layers: LSTMs one above the other.

    Raises:
        RequestError: If a size is less than 1, or there are not two.

    Example:
        >>> Conductor(4, (16, 8), hidden=12)(torch.zeros(5, 4)).shape
        torch.Size([5, 16, 8])
    """

    def __init__(self, code_dim: int, out_shape: Sequence[int], hidden: int = 256, layers: int = 1) -> None:
        super().__init__()
        if len(out_shape) != 2 or min(out_shape) < 1:
            raise RequestError(
                f"out_shape is {tuple(out_shape)}; expected the number of parts and the size of an embedding: pass "
                "(16, 128), say"
            )
        self.parts = out_shape[0]
        self.lstm = _lstm(code_dim, hidden, layers)
        self.start = nn.Linear(code_dim, 2 * layers * hidden)
        self.output = nn.Linear(hidden, out_shape[1])

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Map codes, shape `(n, code_dim)`, to embeddings, shape `(n, parts, size)`."""
        states, _ = self.lstm(z.unsqueeze(1).expand(-1, self.parts, -1), _start(self.start, z, self.lstm))
        return cast(Tensor, self.output(states))


class SymbolDecoder(nn.Module):
    r"""The next symbol of a sequence, from a code and the symbols before it: an LSTM that starts from the code.

    .. math::
        (h_0, m_0) = \tanh(V c + a), \qquad h_t, m_t = \mathrm{LSTM}([x_{t-1} ; c], h_{t-1}, m_{t-1}), \qquad
        \text{logits}_t = W h_t + b

    where :math:`x_0` is a vector of zeros. Given all symbols it takes all steps in one call; given one at a time, and
    the state that it returned, it takes one more step and computes nothing anew.

    References:
        A hierarchical latent vector model for learning long-term structure in music (Roberts et al., 2018), section
        3.2.

    Arguments:
        code_dim: Size of the code c.
        levels: Number of symbols.
        hidden: Units.
        layers: LSTMs one above the other.

    Raises:
        RequestError: If a size is less than 1.

    Example:
        >>> network = SymbolDecoder(4, 90, hidden=12)
        >>> network(torch.zeros(5, 32, 90), torch.zeros(5, 4))[0].shape
        torch.Size([5, 32, 90])
    """

    def __init__(self, code_dim: int, levels: int, hidden: int = 256, layers: int = 1) -> None:
        super().__init__()
        self.levels = levels
        self.lstm = _lstm(levels + code_dim, hidden, layers)
        self.start = nn.Linear(code_dim, 2 * layers * hidden)
        self.output = nn.Linear(hidden, levels)

    def forward(self, before: Tensor, code: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        r"""Return logits, shape `(n, steps, levels)`, and the state after these steps.

        Arguments:
            before: The symbol before each step, as a vector, shape `(n, steps, levels)`.
            code: Shape `(n, code_dim)`.
            state: What an earlier call returned, to go on from; None to begin.
        """
        seen = torch.cat([before, code.unsqueeze(1).expand(-1, before.shape[1], -1)], dim=2)
        outputs, state = self.lstm(seen, _start(self.start, code, self.lstm) if state is None else state)
        return self.output(outputs), cast(State, state)


def _lstm(size: int, hidden: int, layers: int, *, bidirectional: bool = False) -> nn.LSTM:
    for name, number in (("hidden", hidden), ("layers", layers), ("input", size)):
        if number < 1:
            raise RequestError(f"{name} is {number}; expected at least 1: pass 1 or more")
    lstm = nn.LSTM(size, hidden, layers, batch_first=True, bidirectional=bidirectional)
    with torch.no_grad():
        for name, bias in lstm.named_parameters():
            if name.startswith("bias_ih"):
                bias[hidden : 2 * hidden] += 1.0  # of the gates that keep the state: what is kept can be learned from
    return lstm


def _start(layer: nn.Module, code: Tensor, lstm: nn.LSTM) -> State:
    """The state of all layers at the start, from the code."""
    states = layer(code).tanh().view(len(code), 2, lstm.num_layers, lstm.hidden_size)
    hidden, memory = states.permute(1, 2, 0, 3).contiguous()
    return hidden, memory
