r"""The distribution of a grid of codes, each given those before it, and the prior that is fitted to such grids."""

__all__ = ["AutoregressiveGrid", "PixelCNNPrior"]

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints
from torch.nn.functional import cross_entropy

from vaekit.distributions.draws import draw
from vaekit.distributions.fitted import HeldOut, fit_numbers
from vaekit.errors import RequestError
from vaekit.networks.pixelcnn import GatedPixelCNN

_ROWS = 500  # grids that are drawn at once: more take memory and no less time
_CLIP = 1.0  # largest norm of a gradient
_LAST = 0.01  # what is left of the learning rate at the end


class AutoregressiveGrid(Distribution):
    r"""A distribution over grids of codes, each code given those before it in raster order.

    .. math::
        p(z \mid c) = \prod_i p(z_i \mid z_1, \dots, z_{i-1}, c)

    Codes are long, from 0 to K - 1. A grid of three axes, (levels, h, w) as of a residual quantiser, is read place by
    place and level by level: its rows are put one below the other, all levels of a row before the next row.

    Arguments:
        network: Gives the logits of all places at once.
        grid: Shape of the codes: (h, w) as the network has it, or (levels, h, w) for one of levels · h rows.
        context: What it depends on, one row for each member of the batch; None for a batch of none.
        temperature: Divides the logits. Below 1, samples are more likely ones and less varied.

    Raises:
        RequestError: If the grid is not that of the network, or the temperature not above 0.

    Example:
        >>> p = AutoregressiveGrid(GatedPixelCNN(5, (2, 3), channels=4, layers=1), (2, 3))
        >>> z = p.sample((10,))
        >>> z.shape, p.log_prob(z).shape  # untrained, it is uniform
        (torch.Size([10, 2, 3]), torch.Size([10]))
    """

    arg_constraints = {}  # noqa: RUF012 - torch's own convention

    def __init__(
        self,
        network: GatedPixelCNN,
        grid: Sequence[int],
        context: Tensor | None = None,
        *,
        temperature: float = 1.0,
    ) -> None:
        if _rows(grid) != network.grid:
            raise RequestError(
                f"the grid is {tuple(grid)}, of rows and columns {_rows(grid)}; expected those of the network, "
                f"{network.grid}: build it with GatedPixelCNN(levels, {_rows(grid)})"
            )
        if not 0 < temperature < math.inf:
            raise RequestError(f"temperature is {temperature}; expected a number above 0: pass 1.0")
        self.network, self.context, self.temperature = network, context, temperature
        batch = torch.Size() if context is None else context.shape[:1]
        super().__init__(batch, torch.Size(grid), validate_args=False)

    @property
    def support(self) -> Any:
        """Whole numbers from 0 to K - 1 in every place."""
        return constraints.independent(constraints.integer_interval(0, self.network.levels - 1), len(self.event_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log probability in nats, shape `(..., *batch_shape)`, of codes, shape `(..., *grid)`."""
        axes = len(self.event_shape)
        lead = torch.broadcast_shapes(value.shape[:-axes], self.batch_shape)
        codes = _unfold(value.expand(*lead, *self.event_shape).reshape(-1, *self.event_shape))
        logits = self.network(codes, self._contexts(lead)) / self.temperature
        return -cross_entropy(logits, codes, reduction="none").sum((1, 2)).view(lead)

    @torch.no_grad()
    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draw codes, long, shape `(*sample_shape, *batch_shape, *grid)`, one place after the other."""
        lead = torch.Size(sample_shape) + self.batch_shape
        n, contexts = lead.numel(), self._contexts(lead)
        drawn = [
            self._drawn(min(_ROWS, n - start), None if contexts is None else contexts[start : start + _ROWS])
            for start in range(0, n, _ROWS)
        ]
        codes = torch.cat(drawn) if drawn else self._blank(0)
        return _fold(codes, self.event_shape).reshape(*lead, *self.event_shape)

    def _drawn(self, n: int, context: Tensor | None) -> Tensor:
        codes, told = self._blank(n), self.network.told(context)
        height, width = self.network.grid
        for i in range(height):
            # What comes from above is the same for a whole row; then only the row itself is gone through again.
            links = [link[:, :, i:] for link in self.network.above(codes[:, : i + 1], told)]
            for j in range(width):
                seen = [link[..., : j + 1] for link in links]
                logits = self.network.across(codes[:, i : i + 1, : j + 1], seen, top=i)[:, :, 0, -1]
                codes[:, i, j] = draw(logits, self.temperature)
        return codes

    def _blank(self, n: int) -> Tensor:
        return torch.zeros(n, *self.network.grid, dtype=torch.long, device=self.network.place.device)

    def _contexts(self, lead: torch.Size) -> Tensor | None:
        if self.context is None:
            return None
        own = self.context.shape[1:]
        return self.context.expand(*lead, *own).reshape(-1, *own)


class PixelCNNPrior(nn.Module):
    r"""A gated PixelCNN as the prior of a grid of codes, fitted when the codes are there.

    Until it is fitted it is uniform. Its parameters ask for gradients only while it is fitted, so that the training
    of the model leaves them alone.

    References:
        Conditional image generation with PixelCNN decoders (van den Oord et al., 2016).
        Neural discrete representation learning (van den Oord et al., 2017), section 3.3.

    Arguments:
        grid: Shape of the codes, (h, w), or (levels, h, w) as of a residual quantiser.
        levels: Number of codes, K.
        context_dim: Size of the contexts' vectors, or channels of their maps; 0 for none.
        spatial: Contexts are maps; see `GatedPixelCNN`.
        channels: Width of the network.
        layers: Depth of the network.
        kernel: Width of its kernels.
        epochs: Passes over the codes in a fit.
        batch_size: Codes in a step.
        learning_rate: Adam's first step size, which falls along a cosine.

    Raises:
        RequestError: If a size is out of its range.

    Example:
        >>> prior = PixelCNNPrior((2, 2), 3, channels=8, layers=2, epochs=5, batch_size=10, learning_rate=0.01)
        >>> codes = torch.zeros(100, 2, 2, dtype=torch.long)
        >>> prior.fit(codes)["nll"] < 0.1
        True
        >>> prior().sample((3,)).flatten(1)
        tensor([[0, 0, 0, 0],
                [0, 0, 0, 0],
                [0, 0, 0, 0]])
    """

    def __init__(
        self,
        grid: Sequence[int],
        levels: int,
        context_dim: int = 0,
        *,
        spatial: bool = False,
        channels: int = 32,
        layers: int = 6,
        kernel: int = 3,
        epochs: int = 10,
        batch_size: int = 100,
        learning_rate: float = 3e-3,
    ) -> None:
        super().__init__()
        for name, size in (("epochs", epochs), ("batch_size", batch_size)):
            if size < 1:
                raise RequestError(f"{name} is {size}; expected at least 1: pass 1 or more")
        if not 0 < learning_rate < math.inf:
            raise RequestError(f"learning_rate is {learning_rate}; expected a number above 0: pass 0.001, say")
        self.grid = tuple(grid)
        self.epochs, self.batch_size, self.learning_rate = epochs, batch_size, learning_rate
        self._options: dict[str, Any] = {"channels": channels, "layers": layers, "kernel": kernel}
        self._options |= {"context_dim": context_dim, "spatial": spatial}
        self.network = GatedPixelCNN(levels, _rows(grid), **self._options).requires_grad_(False)

    def forward(self, context: Tensor | None = None, *, temperature: float = 1.0) -> AutoregressiveGrid:
        """Return p(z), or p(z | c) for contexts, one row for each distribution of the batch."""
        return AutoregressiveGrid(self.network, self.grid, context, temperature=temperature)

    def fit(
        self,
        codes: Tensor,
        seed: int = 0,
        *,
        context: Tensor | None = None,
        held_out: HeldOut | None = None,
        advance: Callable[[float], object] | None = None,
    ) -> dict[str, float]:
        r"""Fit the network to codes by Adam, from its start, and keep the epoch that is best on held-out codes.

        Arguments:
            codes: What to fit, long, shape `(n, *grid)`; it is done on their device.
            seed: Of the start and of the order of the codes.
            context: What each of them depends on, one row a code.
            held_out: Codes and contexts to choose the epoch by; without them the last one is kept.
            advance: Called with the share of the work that is done, from 0 to 1.

        Returns:
            "nll" and "held_out_nll", in nats per example, "best_epoch", and as "bits_per_code" what a code costs, of
            the held-out codes if there are any.

        Raises:
            RequestError: If the codes are not whole numbers from 0 to K - 1 on the prior's grid.
        """
        for given in (codes,) if held_out is None else (codes, held_out[0]):
            self._check(given)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            start = GatedPixelCNN(self.network.levels, self.network.grid, **self._options)
        self.network.load_state_dict(start.state_dict())
        self.network.to(codes.device).requires_grad_(True)
        try:
            with torch.enable_grad():
                best = self._train(codes, context, held_out, torch.Generator().manual_seed(seed), advance)
        finally:
            self.network.requires_grad_(False)
        found = fit_numbers(self, codes, context, held_out)
        bits = found.get("held_out_nll", found["nll"]) / math.log(2) / math.prod(self.grid)
        return found | {"bits_per_code": bits, "best_epoch": best}

    def _train(
        self,
        codes: Tensor,
        context: Tensor | None,
        held_out: HeldOut | None,
        shuffle: torch.Generator,
        advance: Callable[[float], object] | None,
    ) -> int:
        """Take all steps, load the best epoch's weights, and return its number."""
        optimizer = torch.optim.Adam(self.network.parameters(), self.learning_rate)
        per_epoch = math.ceil(len(codes) / self.batch_size)
        steps = self.epochs * per_epoch
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, _LAST * self.learning_rate)
        best, lowest, kept = self.epochs, math.inf, None
        for epoch in range(self.epochs):
            order = torch.randperm(len(codes), generator=shuffle).to(codes.device)
            for step, rows in enumerate(order.split(self.batch_size), epoch * per_epoch + 1):
                p = self(None if context is None else context[rows])
                optimizer.zero_grad()
                (-p.log_prob(codes[rows]).mean() / math.prod(self.grid)).backward()
                nn.utils.clip_grad_norm_(self.network.parameters(), _CLIP)
                optimizer.step()
                schedule.step()
                if advance is not None:
                    advance(step / steps)
            if held_out is not None:
                nll = fit_numbers(self, *held_out)["nll"]
                if nll < lowest:
                    weights = {name: weight.clone() for name, weight in self.network.state_dict().items()}
                    best, lowest, kept = epoch + 1, nll, weights
        if kept is not None:
            self.network.load_state_dict(kept)
        return best

    def _check(self, codes: Tensor) -> None:
        levels = self.network.levels
        if codes.is_floating_point() or codes.shape[1:] != self.grid or not len(codes):
            raise RequestError(
                f"the codes are {codes.dtype} of shape {tuple(codes.shape)}; expected whole numbers of shape "
                f"(n, {', '.join(map(str, self.grid))}): fit this prior to a quantiser's codes"
            )
        low, high = int(codes.min()), int(codes.max())
        if low < 0 or high >= levels:
            raise RequestError(
                f"the codes go from {low} to {high}; expected 0 to {levels - 1}: pass levels={high + 1} to the prior"
            )


def _rows(grid: Sequence[int]) -> tuple[int, int]:
    """Rows and columns of a grid whose levels, if it has them, are rows of their own."""
    if len(grid) not in (2, 3):
        raise RequestError(f"grid is {tuple(grid)}; expected (h, w) or (levels, h, w): pass (7, 7), say")
    return math.prod(grid[:-1]), grid[-1]


def _unfold(codes: Tensor) -> Tensor:
    """Put the levels of a row below each other, shape `(n, levels · h, w)`."""
    return codes if codes.ndim == 3 else codes.transpose(1, 2).flatten(1, 2)


def _fold(codes: Tensor, grid: Sequence[int]) -> Tensor:
    """Undo `_unfold`."""
    return codes if len(grid) == 2 else codes.unflatten(1, (grid[1], grid[0])).transpose(1, 2)
