r"""The gated PixelCNN: for every place of a grid of codes, a guess from the codes before it."""

__all__ = ["GatedPixelCNN"]

from collections.abc import Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from vaekit.errors import RequestError


class GatedPixelCNN(nn.Module):
    r"""Logits of each code of a grid given those before it, in raster order, and a context.

    A vertical stack sees the rows above, all of their columns; a horizontal stack sees the places to the left in the
    same row, and at every layer what the vertical stack knows. Both together leave no blind spot. Where others mask
    their kernels, both stacks here are fed the grid moved by one place, down or to the right: from there on, kernels
    that look up, or to the left, and at their own place may see all they reach. Each layer is gated,

    .. math::
        y = \tanh(W_f * x + V_f c) \odot \sigma(W_g * x + V_g c),

    and adds to what came before it. The last layer starts at zero, so that an untrained network is exactly uniform.

    References:
        Conditional image generation with PixelCNN decoders (van den Oord et al., 2016), equations 2 to 4, figure 2.

    Arguments:
        levels: Number of codes, K.
        grid: Rows and columns, (h, w).
        channels: Width of both stacks.
        layers: Number of layers. A place sees `kernel // 2` columns further to the right with each.
        kernel: Width of a kernel, were it not cut to what comes before; odd.
        context_dim: Size of a context's vectors, or channels of its maps; 0 for no context.
        spatial: Contexts are maps, shape `(n, context_dim, any height, any width)`, and not vectors, shape
            `(n, context_dim)`. They are spread over the grid.

    Raises:
        RequestError: If a size is less than 1, the kernel is even, or in use if the context is not as expected.

    Example:
        >>> network = GatedPixelCNN(128, (7, 7), channels=8, layers=2, context_dim=10)
        >>> network(torch.zeros(5, 7, 7, dtype=torch.long), torch.zeros(5, 10)).shape
        torch.Size([5, 128, 7, 7])
    """

    def __init__(
        self,
        levels: int,
        grid: Sequence[int],
        *,
        channels: int = 64,
        layers: int = 6,
        kernel: int = 3,
        context_dim: int = 0,
        spatial: bool = False,
    ) -> None:
        super().__init__()
        if len(grid) != 2 or min(grid) < 1:
            raise RequestError(f"grid is {tuple(grid)}; expected rows and columns: pass (7, 7), say")
        for name, size in (("levels", levels), ("channels", channels), ("layers", layers), ("kernel", kernel)):
            if size < 1:
                raise RequestError(f"{name} is {size}; expected at least 1: pass 1 or more")
        if kernel % 2 == 0:
            raise RequestError(f"kernel is {kernel}; expected an odd number: pass {kernel + 1}")
        if context_dim < 0:
            raise RequestError(f"context_dim is {context_dim}; expected at least 0: pass 0 for no context")
        self.levels, self.grid = levels, (int(grid[0]), int(grid[1]))
        self.context_dim, self.spatial = context_dim, spatial and context_dim > 0
        self.embedding = nn.Embedding(levels, channels)
        # A grid is no texture: the same codes mean something else in its middle and at its edge.
        self.place = nn.Parameter(torch.zeros(channels, *self.grid))
        # What a map says of a place depends on what is around it, before and after.
        self.spread = (
            nn.Sequential(
                nn.Conv2d(context_dim, channels, 3, padding=1), nn.ELU(), nn.Conv2d(channels, channels, 3, padding=1)
            )
            if self.spatial
            else nn.Identity()
        )
        told = channels if self.spatial else context_dim
        self.layers = nn.ModuleList(_Layer(channels, kernel, told) for _ in range(layers))
        self.read = nn.Sequential(nn.ELU(), nn.Conv2d(channels, channels, 1), nn.ELU())
        self.output = nn.Conv2d(channels, levels, 1)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)  # type: ignore[arg-type]

    def forward(self, codes: Tensor, context: Tensor | None = None) -> Tensor:
        """Return logits, shape `(n, levels, h, w)`, for codes, long, shape `(n, h, w)`, all places at once."""
        return self.across(codes, self.above(codes, self.told(context)))

    def told(self, context: Tensor | None) -> Tensor | None:
        """Return what all layers are told of contexts: a map of the grid's size, or of one place for all."""
        expected = 4 if self.spatial else 2
        if (context is None) != (self.context_dim == 0):
            have = "no context" if context is None else f"a context of shape {tuple(context.shape)}"
            need = (
                f"one of {self.context_dim} {'channels' if self.spatial else 'numbers'}" if context is None else "none"
            )
            raise RequestError(f"there is {have}; expected {need}: build the network with another context_dim")
        if context is None:
            return None
        if context.ndim != expected or context.shape[1] != self.context_dim:
            shape = f"(n, {self.context_dim}{', height, width' if self.spatial else ''})"
            raise RequestError(
                f"the context has shape {tuple(context.shape)}; expected {shape}: build the network with another "
                "context_dim, or with spatial=True for maps"
            )
        if not self.spatial:
            return context[:, :, None, None]
        spread: Tensor = self.spread(context)
        return interpolate(spread, size=self.grid)

    def above(self, codes: Tensor, told: Tensor | None = None) -> list[Tensor]:
        r"""Return what the vertical stack hands over at each layer, from the rows above each place.

        Arguments:
            codes: The first rows of codes, shape `(n, rows, w)`, of which the last one is not looked at.
            told: What `told` returned.

        Returns:
            For each layer a map, shape `(n, 2 channels, rows, w)`.
        """
        rows = codes.shape[1]
        v = pad(self._embedded(codes)[:, :, :-1], (0, 0, 1, 0)) + self.place[:, :rows]
        told = None if told is None else told[:, :, :rows]
        links = []
        for layer in cast(Iterable[_Layer], self.layers):
            v, link = layer.down(v, told)
            links.append(link)
        return links

    def across(self, codes: Tensor, links: Sequence[Tensor], top: int = 0) -> Tensor:
        r"""Return logits from the places to the left and what the vertical stack handed over.

        Arguments:
            codes: The first columns of some rows of codes, shape `(n, rows, columns)`, of which the last column is not
                looked at.
            links: What `above` returned, of the same places.
            top: Number of the first of these rows.
        """
        rows, columns = codes.shape[1:]
        h = pad(self._embedded(codes)[..., :-1], (1, 0)) + self.place[:, top : top + rows, :columns]
        for layer, link in zip(cast(Iterable[_Layer], self.layers), links, strict=True):
            h = layer.across(h, link)
        logits: Tensor = self.output(self.read(h))
        return logits

    def _embedded(self, codes: Tensor) -> Tensor:
        embedded: Tensor = self.embedding(codes)
        return embedded.permute(0, 3, 1, 2)


class _Layer(nn.Module):
    r"""One layer of both stacks."""

    def __init__(self, channels: int, kernel: int, context_dim: int) -> None:
        super().__init__()
        self.reach = kernel // 2
        self.vertical = nn.Conv2d(channels, 2 * channels, (self.reach + 1, kernel))
        self.link = nn.Conv2d(2 * channels, 2 * channels, 1)
        self.horizontal = nn.Conv2d(channels, 2 * channels, (1, self.reach + 1))
        self.out = nn.Conv2d(channels, channels, 1)
        self.context = nn.Conv2d(context_dim, 4 * channels, 1, bias=False) if context_dim else None

    def down(self, v: Tensor, told: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the vertical stack after this layer, and what the horizontal one gets from it."""
        seen = self.vertical(pad(v, (self.reach, self.reach, self.reach, 0)))
        link = self.link(seen)
        if self.context is not None:
            for_vertical, for_horizontal = self.context(told).chunk(2, 1)
            seen, link = seen + for_vertical, link + for_horizontal
        return v + _gated(seen), link

    def across(self, h: Tensor, link: Tensor) -> Tensor:
        """Return the horizontal stack after this layer."""
        after: Tensor = h + self.out(_gated(self.horizontal(pad(h, (self.reach, 0))) + link))
        return after


def _gated(x: Tensor) -> Tensor:
    features, gates = x.chunk(2, 1)
    return features.tanh() * gates.sigmoid()
