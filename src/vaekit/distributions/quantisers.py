r"""Quantisers: from vectors to codes and back, by the nearest entry of a codebook."""

__all__ = ["Codebook", "MovingCodebook", "Quantised", "Quantiser", "perplexity", "straight_through"]

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from vaekit.distributed import from_first, summed
from vaekit.distributions.k_means import k_means, nearest
from vaekit.errors import RequestError

POINTS = 64  # for each code, of those that k-means is shown
_NONE = 1e-6  # of a vector: a running mean of fewer is no longer known


class Quantised(NamedTuple):
    r"""What a quantiser makes of features.

    Attributes:
        features: What the encoder gave, :math:`z_e`, shape `(n, dim, *positions)`.
        codes: Whole numbers, shape `(n, *grid)`.
        embedded: What the codes stand for, :math:`z_q`, of the features' shape; its gradient goes straight to the
            features, as if there were no quantiser.
        commitment: :math:`\lVert z_e - \mathrm{sg}(z_q) \rVert^2`, which draws features to their codes, summed over
            an example, shape `(n,)`.
        codebook: :math:`\lVert \mathrm{sg}(z_e) - z_q \rVert^2`, which draws codes to the features, shape `(n,)`; None
            where gradients do not move them.
        parts: What the quantisers found that this one is made of.
    """

    features: Tensor
    codes: Tensor
    embedded: Tensor
    commitment: Tensor
    codebook: Tensor | None = None
    parts: "tuple[Quantised, ...]" = ()

    @classmethod
    def of(cls, features: Tensor, codes: Tensor, embedded: Tensor, parts: "Sequence[Quantised]") -> "Quantised":
        """Put parts together, whose commitments and losses are summed."""
        codebook = [part.codebook for part in parts if part.codebook is not None]
        return cls(
            features,
            codes,
            embedded,
            torch.stack([part.commitment for part in parts]).sum(0),
            torch.stack(codebook).sum(0) if codebook else None,
            tuple(parts),
        )


def straight_through(features: Tensor, embedded: Tensor) -> Tensor:
    r"""Return the values of `embedded`, to the bit, with the gradient going to `features` unchanged.

    References:
        Estimating or propagating gradients through stochastic neurons (Bengio, Léonard and Courville, 2013).

    Example:
        >>> z = torch.tensor([0.3, 1.8], requires_grad=True)
        >>> y = straight_through(z, z.round())
        >>> (y * torch.tensor([5.0, 7.0])).sum().backward()
        >>> y.tolist(), z.grad.tolist()
        ([0.0, 2.0], [5.0, 7.0])
    """
    return embedded.detach() + (features - features.detach())


def perplexity(counts: Tensor) -> Tensor:
    r"""Return how many codes are in use in effect, :math:`\exp(-\sum_k p_k \log p_k)`, from 1 to K.

    It is that of the counts given: of a few examples it is too low, for they cannot use many codes.

    Arguments:
        counts: How often each code occurs, shape `(..., K)`.

    Example:
        >>> perplexity(torch.tensor([[3.0, 3.0, 3.0, 3.0], [0.0, 9.0, 0.0, 0.0]]))
        tensor([4., 1.])
    """
    shares = counts / counts.sum(-1, keepdim=True).clamp_min(1)
    entropy: Tensor = torch.special.entr(shares).sum(-1)
    return entropy.exp()


class Quantiser(nn.Module, ABC):
    r"""From vectors to codes, and from codes to vectors.

    `forward` and `embed` change nothing, in whatever mode; what is learned without gradients is learned by `start`,
    before the first step, and by `learn`, which an objective calls in training.

    Attributes:
        dim: Size of a vector.
        codes: How many values a code takes, K.
        depth: How many codes describe one vector.
        starts: Whether `start` does anything.
    """

    dim: int
    codes: int
    depth: int = 1
    starts: bool = False

    @abstractmethod
    def forward(self, features: Tensor) -> Quantised:
        """Quantise features, shape `(n, dim, *positions)`, a vector at each position."""

    @abstractmethod
    def embed(self, codes: Tensor) -> Tensor:
        """Return what codes, shape `(n, *grid)`, stand for, shape `(n, dim, *positions)`."""

    def grid(self, positions: Sequence[int]) -> tuple[int, ...]:
        """Return the shape of the codes of one example that has a vector at each of these positions."""
        return tuple(positions)

    def counts(self, codes: Tensor) -> Tensor:
        """Count how often each code occurs, shape `(depth, K)`."""
        zeros = torch.zeros(self.codes, device=codes.device)
        # Of whole numbers, so that the order in which a GPU adds does not matter.
        return zeros.scatter_add(0, codes.flatten(), torch.ones_like(codes.flatten(), dtype=zeros.dtype)).unsqueeze(0)

    def start(self, features: Tensor) -> None:
        """Learn from the features of the first examples, shape `(n, dim, *positions)`, before any training."""

    def learn(self, found: Quantised) -> None:
        """Learn from what `forward` found of a batch, without gradients."""


def _exact(features: Tensor) -> torch.autocast:
    """Switch mixed precision off: half has too few digits to tell codes apart, or to average them."""
    return torch.autocast(features.device.type, enabled=False)


def _rows(features: Tensor) -> Tensor:
    """Lay out the vectors of all positions as rows, shape `(n * positions, dim)`, in single precision at least."""
    exact = features.to(torch.promote_types(features.dtype, torch.float32))
    return exact.movedim(1, -1).flatten(0, -2)


class Codebook(Quantiser):
    r"""A quantiser that gives each vector the number of the nearest entry of a codebook, which gradients move.

    .. math::
        z = \arg\min_k \lVert z_e - e_k \rVert , \qquad z_q = e_z

    The codebook is drawn to the features by its own loss, and entries that are never the nearest are never moved:
    from a random start most are not. `MovingCodebook` is the one to use; this one is what it is held against.

    References:
        Neural discrete representation learning (van den Oord, Vinyals and Kavukcuoglu, 2017), equation 3.

    Arguments:
        codes: How many entries, K.
        dim: Size of a vector.
        kmeans: Whether `start` sets the entries by k-means of features; else they are drawn from N(0, I).

    Raises:
        RequestError: If a size is less than 1.

    Example:
        >>> quantiser = Codebook(8, 2)
        >>> found = quantiser(torch.randn(5, 2, 7, 7))
        >>> found.codes.shape, bool((quantiser.embed(found.codes) == found.embedded).all())
        (torch.Size([5, 7, 7]), True)
    """

    weight: Tensor

    def __init__(self, codes: int, dim: int, *, kmeans: bool = True) -> None:
        super().__init__()
        if min(codes, dim) < 1:
            raise RequestError(f"there are {codes} codes of size {dim}; expected at least 1 of each: pass 512 and 64")
        self.codes, self.dim, self.starts = codes, dim, kmeans
        self._hold(torch.randn(codes, dim))

    def _hold(self, weight: Tensor) -> None:
        self.weight = nn.Parameter(weight)

    def forward(self, features: Tensor) -> Quantised:
        """Quantise features, shape `(n, dim, *positions)`, a vector at each position."""
        if features.dim() < 2 or features.shape[1] != self.dim:
            raise RequestError(
                f"features have shape {tuple(features.shape)}; expected (n, {self.dim}, ...), vectors of the "
                "codebook's size: let the encoder give as many channels"
            )
        with _exact(features):
            features = features.to(self.weight.dtype)
            codes = nearest(_rows(features), self.weight).view(features.shape[0], *features.shape[2:])
            embedded = self.embed(codes)
            return Quantised(
                features,
                codes,
                straight_through(features, embedded),
                _squared(features - embedded.detach()),
                _squared(features.detach() - embedded) if self.weight.requires_grad else None,
            )

    def embed(self, codes: Tensor) -> Tensor:
        """Return the entries of codes, shape `(n, *positions)`, as `(n, dim, *positions)`."""
        return embedding(codes, self.weight).movedim(-1, 1)

    @torch.no_grad()
    def start(self, features: Tensor) -> None:
        """Set the entries by k-means of features, shape `(n, dim, *positions)`, or of a part of them if they are many.

        Raises:
            RequestError: If one is not finite.
        """
        if self.starts:
            points = _rows(features).to(self.weight.dtype)
            points = points[torch.randperm(len(points), device=points.device)[: POINTS * self.codes]]
            self.weight.copy_(k_means(points, self.codes))


class MovingCodebook(Codebook):
    r"""A codebook whose entries are running means of the vectors that are theirs.

    .. math::
        N_k \leftarrow \gamma N_k + (1 - \gamma) n_k , \qquad
        m_k \leftarrow \gamma m_k + (1 - \gamma) \sum_{i: z_i = k} z_{e,i} , \qquad
        e_k = \frac{m_k}{N_k}

    with :math:`n_k` vectors of a batch in the cell of entry k. It is k-means on a stream of batches.

    N starts at ones and m at the entries: from zeros an entry without a vector would be a quotient of two numbers
    near zero, far from all data after one step and for good. An entry stays where it is once its :math:`N_k` is next
    to nothing; the smoothing of N that others have would draw it to the origin instead, and all rare entries a
    little. One whose share of the vectors falls below `expire` times the fair one, :math:`\sum_k N_k / K`, is put in
    the place of a vector of the batch, drawn at random, with the fair share to begin with: k-means leaves entries
    idle in one place that would be of use in another. With several processes sums are over all of them.

    References:
        Neural discrete representation learning (van den Oord, Vinyals and Kavukcuoglu, 2017), appendix A.1.
        Generating diverse high-fidelity images with VQ-VAE-2 (Razavi, van den Oord and Vinyals, 2019), equation 3.
        Jukebox: a generative model for music (Dhariwal et al., 2020), section 3, for entries that are put elsewhere.

    Arguments:
        codes: How many entries, K.
        dim: Size of a vector.
        decay: :math:`\gamma`; with 0 entries are the means of the last batch.
        expire: The share of the fair one below which an entry is put elsewhere; 0 for never.
        kmeans: Whether `start` sets the entries by k-means of features; else they are drawn from N(0, I).

    Raises:
        RequestError: If an argument is out of its range.

    Example:
        >>> quantiser = MovingCodebook(2, 1, decay=0.0, expire=0.0)
        >>> _ = quantiser.weight.copy_(torch.tensor([[0.0], [10.0]]))
        >>> quantiser.learn(quantiser(torch.tensor([[1.0], [2.0], [8.0]])))
        >>> quantiser.weight.flatten()
        tensor([1.5000, 8.0000])
    """

    sizes: Tensor
    sums: Tensor

    def __init__(
        self,
        codes: int,
        dim: int,
        *,
        decay: float = 0.99,
        expire: float = 0.3,
        kmeans: bool = True,
    ) -> None:
        super().__init__(codes, dim, kmeans=kmeans)
        if not 0 <= decay < 1:
            raise RequestError(f"decay is {decay}; expected a number from 0 up, below 1: pass 0.99")
        if not 0 <= expire < 1:
            raise RequestError(f"expire is {expire}; expected a share from 0 up, below 1: pass 0.3, or 0 for never")
        self.decay, self.expire = decay, expire
        self.register_buffer("sizes", torch.ones(codes))
        self.register_buffer("sums", self.weight.clone())

    def _hold(self, weight: Tensor) -> None:
        self.register_buffer("weight", weight)

    @torch.no_grad()
    def start(self, features: Tensor) -> None:
        """Set the entries by k-means of features, shape `(n, dim, *positions)`, or of a part of them if they are many.

        Raises:
            RequestError: If one is not finite.
        """
        super().start(features)
        self.sizes.fill_(1)
        self.sums.copy_(self.weight)

    @torch.no_grad()
    def learn(self, found: Quantised) -> None:
        """Move the entries to the features that they were found to be the nearest of."""
        codes = found.codes
        with _exact(found.features):
            points = _rows(found.features.detach())
            # A product, and not a sum in the order in which a GPU comes to it, which is not the same every time.
            own = (codes.flatten().unsqueeze(1) == torch.arange(self.codes, device=codes.device)).to(points.dtype)
            counts, sums = summed(own.sum(0)), summed(own.T @ points)
            sizes = torch.lerp(counts, self.sizes, self.decay)
            sums = torch.lerp(sums, self.sums, self.decay)
            weight = torch.where((sizes > _NONE).unsqueeze(1), sums / sizes.clamp_min(_NONE).unsqueeze(1), self.weight)
            if self.expire:
                fair = sizes.mean()
                chosen = from_first(points[torch.randint(len(points), (self.codes,), device=points.device)])
                dead = sizes < self.expire * fair
                sizes = torch.where(dead, fair, sizes)
                weight = torch.where(dead.unsqueeze(1), chosen, weight)
                sums = torch.where(dead.unsqueeze(1), chosen * fair, sums)
            self.sizes.copy_(sizes)
            self.sums.copy_(sums)
            self.weight.copy_(weight)


def _squared(difference: Tensor) -> Tensor:
    return difference.square().flatten(1).sum(1)
