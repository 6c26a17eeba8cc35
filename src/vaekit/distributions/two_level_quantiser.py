r"""Codes on two grids, a coarse one and a fine one that knows of it, and their prior."""

__all__ = ["TwoLevelCodes", "TwoLevelPrior", "TwoLevelQuantiser"]

import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints
from torch.nn.functional import interpolate

from vaekit.distributions.fitted import HeldOut
from vaekit.distributions.pixelcnn_prior import PixelCNNPrior
from vaekit.distributions.quantisers import Quantised, Quantiser
from vaekit.errors import RequestError

_TOLD = 16  # numbers that a code of the top grid is told to the bottom prior in


class TwoLevelQuantiser(Quantiser):
    r"""A coarse grid of codes for what is global, and a fine one for what is left, whose features see the coarse one.

    .. math::
        z_t = \text{top}(\text{down}(f)) , \qquad
        z_b = \text{bottom}(\text{join}(f, \text{up}(z_t))) , \qquad
        z_q = (z_b, z_t \text{ enlarged})

    with features f of the fine grid. What the decoder gets has the channels of both, on the fine grid. An example's
    codes are one vector: those of the bottom row by row, then those of the top.

    References:
        Generating diverse high-fidelity images with VQ-VAE-2 (Razavi, van den Oord and Vinyals, 2019), section 3.1.

    Arguments:
        top: Quantiser of the coarse grid, of as many codes as the other.
        bottom: Quantiser of the fine grid.
        down: From features, shape `(n, channels, *grid)`, to those of the coarse grid, `(n, top.dim, *top_grid)`.
        up: From what top codes stand for to a map, shape `(n, channels, *grid)`.
        join: From features and that map, side by side, to the bottom's features, shape `(n, bottom.dim, *grid)`.
        grid: Rows and columns of the fine grid.
        top_grid: Rows and columns of the coarse grid.

    Raises:
        RequestError: If the quantisers have not as many codes.
    """

    def __init__(
        self,
        top: Quantiser,
        bottom: Quantiser,
        down: nn.Module,
        up: nn.Module,
        join: nn.Module,
        grid: Sequence[int],
        top_grid: Sequence[int],
    ) -> None:
        super().__init__()
        if top.codes != bottom.codes:
            raise RequestError(f"there are {top.codes} and {bottom.codes} codes; expected as many in both grids")
        self.top, self.bottom, self.down, self.up, self.join = top, bottom, down, up, join
        self.positions, self.top_positions = tuple(grid), tuple(top_grid)
        self.codes, self.dim, self.depth = top.codes, bottom.dim + top.dim, top.depth + bottom.depth
        self.starts = top.starts or bottom.starts

    def grid(self, positions: Sequence[int]) -> tuple[int, ...]:
        """Return the shape of the codes of one example: one vector of both grids."""
        return (math.prod(self.positions) + math.prod(self.top_positions),)

    def forward(self, features: Tensor) -> Quantised:
        """Quantise features, shape `(n, channels, *grid)`; codes have shape `(n, bottom codes + top codes)`."""
        top = cast(Quantised, self.top(self.down(features)))
        bottom = cast(Quantised, self.bottom(self._joined(features, top.embedded)))
        codes = torch.cat([bottom.codes.flatten(1), top.codes.flatten(1)], dim=1)
        return Quantised.of(features, codes, self._both(bottom.embedded, top.embedded), (bottom, top))

    def embed(self, codes: Tensor) -> Tensor:
        """Return what codes of both grids stand for, shape `(n, dim, *grid)`."""
        bottom, top = self.split(codes)
        return self._both(self.bottom.embed(bottom), self.top.embed(top))

    def split(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the codes of the bottom, shape `(n, *grid)`, and of the top, shape `(n, *top_grid)`."""
        return _split(codes, self.positions, self.top_positions)

    def counts(self, codes: Tensor) -> Tensor:
        """Count how often each code of each grid occurs, shape `(depth, K)`, the bottom's first."""
        bottom, top = self.split(codes)
        return torch.cat([self.bottom.counts(bottom), self.top.counts(top)])

    @torch.no_grad()
    def start(self, features: Tensor) -> None:
        """Start the top from the features, then the bottom from what it sees of them and the top."""
        above = self.down(features)
        self.top.start(above)
        self.bottom.start(self._joined(features, self.top(above).embedded))

    def learn(self, found: Quantised) -> None:
        """Let both learn from what they found."""
        bottom, top = found.parts
        self.bottom.learn(bottom)
        self.top.learn(top)

    def _joined(self, features: Tensor, top: Tensor) -> Tensor:
        return cast(Tensor, self.join(torch.cat([features, self.up(top)], dim=1)))

    def _both(self, bottom: Tensor, top: Tensor) -> Tensor:
        return torch.cat([bottom, interpolate(top, self.positions)], dim=1)


class TwoLevelCodes(Distribution):
    r"""The joint distribution of codes of two grids, :math:`p(z_b, z_t) = p(z_t) \, p(z_b \mid z_t)`.

    Arguments:
        top: :math:`p(z_t)`.
        bottom: Returns :math:`p(z_b \mid z_t)` for top codes, shape `(rows, *top_grid)`, one for each row.
        grid: Rows and columns of the fine grid.
    """

    arg_constraints = {}  # noqa: RUF012 - torch's own convention

    def __init__(self, top: Distribution, bottom: Callable[[Tensor], Distribution], grid: Sequence[int]) -> None:
        self.top, self.bottom, self.positions = top, bottom, tuple(grid)
        size = math.prod(self.positions) + top.event_shape.numel()
        super().__init__(top.batch_shape, torch.Size((size,)), validate_args=False)

    @property
    def support(self) -> Any:
        """Whole numbers from 0 to K - 1."""
        return constraints.independent(cast(Any, self.top.support).base_constraint, 1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log probability in nats, shape `(..., *batch_shape)`, of codes, shape `(..., size)`."""
        lead = torch.broadcast_shapes(value.shape[:-1], self.batch_shape)
        bottom, top = _split(value.expand(*lead, -1).flatten(0, -2), self.positions, self.top.event_shape)
        above = self.top.log_prob(top.view(*lead, *self.top.event_shape))
        return above + self.bottom(top).log_prob(bottom).view(lead)

    @torch.no_grad()
    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draw the codes of the top, and of the bottom given these, shape `(*sample_shape, *batch_shape, size)`."""
        top = self.top.sample(torch.Size(sample_shape))
        lead = top.shape[: top.dim() - len(self.top.event_shape)]
        rows = top.reshape(-1, *self.top.event_shape)
        bottom = self.bottom(rows).sample()
        return torch.cat([bottom.flatten(1), rows.flatten(1)], dim=1).view(*lead, -1)


class TwoLevelPrior(nn.Module):
    r"""A PixelCNN for the coarse grid, and for the fine one another that sees the coarse codes.

    What a coarse code is told in is a vector of its own, drawn once and not learned: codes are names, and it is the
    network that learns what they mean. Both are uniform until they are fitted. A context is not taken.

    References:
        Generating diverse high-fidelity images with VQ-VAE-2 (Razavi, van den Oord and Vinyals, 2019), section 3.2.

    Arguments:
        grid: Rows and columns of the fine grid.
        top_grid: Rows and columns of the coarse grid.
        codes: Number of codes of each, K.
        options: Those of `PixelCNNPrior`, for both.

    Example:
        >>> prior = TwoLevelPrior((4, 4), (2, 2), 3, channels=8, layers=2)
        >>> z = prior().sample((5,))
        >>> z.shape, (-prior().log_prob(z) / math.log(3)).round(decimals=3)
        (torch.Size([5, 20]), tensor([20., 20., 20., 20., 20.]))
    """

    names: Tensor

    def __init__(self, grid: Sequence[int], top_grid: Sequence[int], codes: int, **options: Any) -> None:
        super().__init__()
        self.top = PixelCNNPrior(top_grid, codes, **options)
        self.bottom = PixelCNNPrior(grid, codes, _TOLD, spatial=True, **options)
        self.register_buffer("names", torch.randn(codes, _TOLD))

    def forward(self, context: Tensor | None = None) -> Distribution:
        """Return p(z)."""
        return TwoLevelCodes(self.top(), self._bottom, self.bottom.grid)

    def fit(
        self,
        codes: Tensor,
        seed: int = 0,
        *,
        context: Tensor | None = None,
        held_out: HeldOut | None = None,
        advance: Callable[[float], object] | None = None,
    ) -> dict[str, float]:
        r"""Fit the coarse prior, then the fine one given coarse codes; see `PixelCNNPrior.fit`.

        Returns:
            "nll" and, where codes are held out, "held_out_nll" of both together, in nats per example, and
            "bits_per_code", of the held-out codes if there are any.
        """

        def part(start: float, share: float) -> Callable[[float], object]:
            return lambda done: None if advance is None else advance(start + share * done)

        others = None if held_out is None else self._split(held_out[0])
        bottom, top = self._split(codes)
        small = top[0].numel() / (top[0].numel() + bottom[0].numel())
        above = self.top.fit(top, seed, held_out=None if others is None else (others[1], None), advance=part(0, small))
        below = self.bottom.fit(
            bottom,
            seed,
            context=self._told(top),
            held_out=None if others is None else (others[0], self._told(others[1])),
            advance=part(small, 1 - small),
        )
        found = {name: above[name] + below[name] for name in ("nll", "held_out_nll") if name in above}
        bits = found.get("held_out_nll", found["nll"]) / math.log(2) / codes.shape[1]
        return found | {"bits_per_code": bits}

    def _bottom(self, top: Tensor) -> Distribution:
        return cast(Distribution, self.bottom(self._told(top)))

    def _told(self, top: Tensor) -> Tensor:
        return self.names[top].movedim(-1, 1)

    def _split(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        return _split(codes, self.bottom.grid, self.top.grid)


def _split(codes: Tensor, grid: Sequence[int], top_grid: Sequence[int]) -> tuple[Tensor, Tensor]:
    bottom, top = codes.split((math.prod(grid), math.prod(top_grid)), dim=1)
    return bottom.unflatten(1, tuple(grid)), top.unflatten(1, tuple(top_grid))
