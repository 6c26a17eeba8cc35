r"""Distributions over grids of codes: a code that is certain, and codes that are all as likely."""

__all__ = ["CertainCode", "DiscreteUniform", "UniformCodes"]

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints, register_kl

from vaekit.distributions.divergences import find_formula
from vaekit.errors import RequestError


class CertainCode(Distribution):
    r"""All probability on one grid of codes: :math:`q(z) = 1` for it and 0 for every other.

    Unlike a point among real numbers (`Delta`) it has a probability, and so a rate: against a prior p it is
    :math:`-\log p(z)` exactly, what the code costs.

    Arguments:
        code: The codes, whole numbers, shape `(*batch, *event)`.
        event_dim: How many trailing axes make one event.

    Example:
        >>> q = CertainCode(torch.tensor([[1, 2], [0, 3]]))
        >>> q.log_prob(torch.tensor([[1, 2], [1, 2]]))
        tensor([0., -inf])
        >>> torch.distributions.kl_divergence(q, UniformCodes((2,), 8)()) / math.log(8)
        tensor([2., 2.])
    """

    arg_constraints = {"code": constraints.nonnegative_integer}  # noqa: RUF012 - torch's own convention
    support = constraints.nonnegative_integer
    has_rsample = True  # of nothing that a gradient could pass through; a draw is the code

    def __init__(self, code: Tensor, event_dim: int = 1) -> None:
        self.code = code
        split = code.dim() - event_dim
        super().__init__(code.shape[:split], code.shape[split:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """The code itself."""
        return self.code

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Return the code, repeated."""
        return self.code.expand(self._extended_shape(torch.Size(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        """Return 0 for the code and minus infinity for any other."""
        same = (value == self.code).flatten(value.dim() - len(self.event_shape)).all(-1)
        return torch.zeros(same.shape, device=same.device).masked_fill(~same, -math.inf)


class DiscreteUniform(Distribution):
    r"""All grids of codes with the same probability: :math:`-\log p(z) = h w \log K` for h·w codes of K values.

    Arguments:
        codes: How many values a code takes, K.
        event_shape: Shape of the grid.
        device: Where draws and probabilities are.

    Example:
        >>> p = DiscreteUniform(512, (7, 7))
        >>> round(-p.log_prob(torch.zeros(3, 7, 7, dtype=torch.long))[0].item(), 2), p.sample((2,)).shape
        (305.68, torch.Size([2, 7, 7]))
    """

    arg_constraints = {}  # noqa: RUF012 - torch's own convention

    def __init__(self, codes: int, event_shape: Sequence[int], device: torch.device | str = "cpu") -> None:
        self.codes, self.device = codes, device
        super().__init__(torch.Size(), torch.Size(event_shape), validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        """Whole numbers from 0 to K - 1."""
        return constraints.integer_interval(0, self.codes - 1)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draw codes, shape `(*sample_shape, *event_shape)`."""
        return torch.randint(self.codes, self._extended_shape(torch.Size(sample_shape)), device=self.device)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log probability in nats, the same for every value."""
        batch = value.shape[: value.dim() - len(self.event_shape)]
        return torch.full(batch, -math.prod(self.event_shape) * math.log(self.codes), device=value.device)


class UniformCodes(nn.Module):
    r"""The uniform prior over grids of codes, which a vector-quantised model is trained with.

    References:
        Neural discrete representation learning (van den Oord, Vinyals and Kavukcuoglu, 2017), section 3.1.

    Arguments:
        grid: Shape of the grid.
        codes: How many values a code takes.

    Raises:
        RequestError: If a size is less than 1.

    Example:
        >>> UniformCodes((7, 7), 512)().event_shape
        torch.Size([7, 7])
    """

    place: Tensor

    def __init__(self, grid: Sequence[int], codes: int) -> None:
        super().__init__()
        if min((codes, *grid)) < 1:
            raise RequestError(f"the grid is {tuple(grid)} with {codes} codes; expected sizes of at least 1: pass more")
        self.grid, self.codes = tuple(grid), codes
        self.register_buffer("place", torch.zeros(()), persistent=False)

    def forward(self, context: Tensor | None = None) -> Distribution:
        """Return p(z), the same whatever the context."""
        return DiscreteUniform(self.codes, self.grid, self.place.device)


def _kl_certain(q: CertainCode, p: Distribution) -> Tensor:
    return -p.log_prob(q.code)


register_kl(CertainCode, Distribution)(_kl_certain)
find_formula(CertainCode(torch.zeros(1, dtype=torch.long)), DiscreteUniform(2, (1,)))
