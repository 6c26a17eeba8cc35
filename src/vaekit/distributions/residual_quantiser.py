r"""Several codebooks in sequence, each for what those before it leave."""

__all__ = ["ResidualQuantiser"]

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from vaekit.distributions.quantisers import Codebook, Quantised, Quantiser, straight_through
from vaekit.errors import RequestError


class ResidualQuantiser(Quantiser):
    r"""Codebooks in sequence: each quantises what those before it leave, and a vector is the sum of its entries.

    .. math::
        r_1 = z_e , \qquad q_l = \text{nearest entry of book } l \text{ to } r_l , \qquad r_{l+1} = r_l - q_l ,
        \qquad z_q = \sum_l q_l

    L books of K entries tell :math:`K^L` vectors apart, from coarse to fine: the first l codes of a vector describe
    it by themselves. The commitment, and where gradients move the codebooks their loss, is the sum over books of the
    squared length that each leaves.

    References:
        SoundStream: an end-to-end neural audio codec (Zeghidour et al., 2021), section III.C.
        Autoregressive image generation using residual quantization (Lee et al., 2022), section 3.1.

    Arguments:
        books: Codebooks of vectors of one size, with as many entries each.

    Raises:
        RequestError: If there is no book, or they differ in size.

    Example:
        >>> from vaekit.distributions import MovingCodebook
        >>> quantiser = ResidualQuantiser([MovingCodebook(8, 2) for _ in range(3)])
        >>> found = quantiser(torch.randn(5, 2, 7, 7))
        >>> found.codes.shape, found.embedded.shape
        (torch.Size([5, 3, 7, 7]), torch.Size([5, 2, 7, 7]))
    """

    def __init__(self, books: Sequence[Codebook]) -> None:
        super().__init__()
        sizes = {(book.codes, book.dim) for book in books}
        if len(sizes) != 1:
            raise RequestError(
                f"the codebooks have (codes, dim) {sorted(sizes)}; expected at least 1 book, and all of one size: "
                "make them alike"
            )
        self.books = nn.ModuleList(books)
        self.codes, self.dim = sizes.pop()
        self.depth = len(books)
        self.starts = any(book.starts for book in books)

    def _books(self) -> list[Codebook]:
        return [cast(Codebook, book) for book in self.books]

    def grid(self, positions: Sequence[int]) -> tuple[int, ...]:
        """Return the shape of the codes of one example: the books, then the positions."""
        return (self.depth, *positions)

    def forward(self, features: Tensor) -> Quantised:
        """Quantise features, shape `(n, dim, *positions)`; codes have shape `(n, depth, *positions)`."""
        rest, found = features, []
        for book in self._books():
            found.append(book(rest))
            rest = found[-1].features - found[-1].embedded.detach()
        codes = torch.stack([one.codes for one in found], dim=1)
        features = found[0].features
        return Quantised.of(features, codes, straight_through(features, self.embed(codes)), found)

    def embed(self, codes: Tensor) -> Tensor:
        """Return the sums of the entries of codes, shape `(n, l, *positions)`, of the first l books or of all."""
        parts = [book.embed(part) for book, part in zip(self._books(), codes.unbind(1), strict=False)]
        return torch.stack(parts).sum(0)

    def counts(self, codes: Tensor) -> Tensor:
        """Count how often each code of each book occurs, shape `(depth, K)`."""
        return torch.cat([book.counts(part) for book, part in zip(self._books(), codes.unbind(1), strict=True)])

    @torch.no_grad()
    def start(self, features: Tensor) -> None:
        """Start each book from what those before it leave of the features, shape `(n, dim, *positions)`."""
        for book in self._books():
            book.start(features)
            features = features - book(features).embedded

    def learn(self, found: Quantised) -> None:
        """Let each book learn from what those before it left."""
        for book, part in zip(self._books(), found.parts, strict=True):
            book.learn(part)
