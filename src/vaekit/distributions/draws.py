r"""One symbol drawn from logits: at a temperature, and from the likeliest symbols alone."""

__all__ = ["check_draw", "draw", "nucleus"]

import math

import torch
from torch import Tensor

from vaekit.errors import RequestError


def check_draw(temperature: float, top_p: float = 1.0) -> None:
    r"""Refuse a temperature that is negative or not finite, and a share of the probability that is none."""
    if not 0 <= temperature < math.inf:
        raise RequestError(f"temperature is {temperature}; expected a finite number of at least 0: pass 1.0")
    if not 0 < top_p <= 1:
        raise RequestError(f"top_p is {top_p}; expected a share above 0, at most 1: pass 1.0 to leave nothing out")


def nucleus(logits: Tensor, top_p: float) -> Tensor:
    r"""Return logits, shape `(..., K)`, with minus infinity for all but the likeliest symbols.

    Kept are the fewest symbols that have the probability `top_p` together.

    References:
        The curious case of neural text degeneration (Holtzman et al., 2020), section 3.1.

    Example:
        >>> nucleus(torch.tensor([0.5, 0.3, 0.2]).log(), 0.7).exp()
        tensor([0.5000, 0.3000, 0.0000])
    """
    ordered, places = logits.softmax(-1).sort(-1, descending=True)
    beyond = ordered.cumsum(-1) - ordered >= top_p  # those before it suffice
    return logits.masked_fill(torch.zeros_like(beyond).scatter(-1, places, beyond), -math.inf)


def draw(logits: Tensor, temperature: float = 1.0, top_p: float = 1.0) -> Tensor:
    r"""Draw a symbol from each row of logits, shape `(n, K)`; long, shape `(n,)`.

    Arguments:
        logits: Shape `(n, K)`.
        temperature: Divides the logits; 0 takes the likeliest symbol.
        top_p: Draw from the fewest symbols that have this probability together, at that temperature.

    Example:
        >>> draw(torch.tensor([[0.0, 2.0, 1.0]]), temperature=0.0)
        tensor([1])
    """
    if temperature == 0:
        return logits.argmax(1)
    logits = logits / temperature
    if top_p < 1:
        logits = nucleus(logits, top_p)
    return logits.softmax(1).multinomial(1)[:, 0]
