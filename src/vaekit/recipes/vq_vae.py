r"""The vector-quantised VAE."""

__all__ = ["Quantisation", "quantised", "quantiser_of", "vq_vae"]

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from vaekit.recipes.compose import Parts, planned
from vaekit.recipes.sharing import sharing

if TYPE_CHECKING:
    from torch import nn

    from vaekit.distributions import Quantiser
    from vaekit.networks import FeatureEncoder
    from vaekit.plan import DataSpec, Plan

Quantisation = Literal["ema", "gradient", "residual", "fsq"]


def quantiser_of(
    kind: str,
    *,
    codes: int,
    code_dim: int,
    decay: float,
    expire: float,
    kmeans: bool,
    depth: int,
    levels: tuple[int, ...],
) -> "Quantiser":
    r"""Return a quantiser by name.

    Arguments:
        kind: "ema", "gradient", "residual" or "fsq".
        codes: Entries of a codebook.
        code_dim: Their size.
        decay: Of the running means.
        expire: The share of the fair one below which an entry is put elsewhere.
        kmeans: Whether entries start from k-means.
        depth: Codebooks of a residual quantiser.
        levels: Of a finite scalar one.

    Raises:
        RequestError: If there is none of that name, or an argument is out of its range.
    """
    from vaekit.distributions import Codebook, FiniteScalar, MovingCodebook, ResidualQuantiser
    from vaekit.objectives.base import choice

    choice("quantiser", kind, ("ema", "gradient", "residual", "fsq"))
    if kind == "fsq":
        return FiniteScalar(levels)
    if kind == "gradient":
        return Codebook(codes, code_dim, kmeans=kmeans)
    books = [
        MovingCodebook(codes, code_dim, decay=decay, expire=expire, kmeans=kmeans)
        for _ in range(depth if kind == "residual" else 1)
    ]
    return ResidualQuantiser(books) if kind == "residual" else books[0]


@sharing(planned, without=("warmup",))
def quantised(
    data: "DataSpec",
    encoder: "FeatureEncoder",
    book: "Quantiser",
    fitted: "Callable[[int], nn.Module]",
    context: "nn.Module | None" = None,
    *,
    channels: tuple[int, ...] = (32, 64),
    blocks: int = 2,
    likelihood: str = "auto",
    commitment: float = 0.25,
    prior: Literal["pixelcnn", "uniform"] = "pixelcnn",
    prior_epochs: int = 10,
    **shared: Any,
) -> "Plan":
    """Return the plan of a model that quantises what an encoder gives.

    Args:
        channels: Channels of the encoder's convolutions, each of which halves the image; the decoder has them in
            reverse.
        blocks: Residual blocks of the encoder, and of the decoder.
        likelihood: As in the recipe vae.
        commitment: Weight of the squared distance between features and their codes, summed over an example.
        prior: Of the codes: pixelcnn, fitted to those of the training data when the rest is trained; or uniform.
        prior_epochs: Passes over the codes in its training.
    """
    from vaekit.distributions import Conditional, UniformCodes
    from vaekit.distributions import likelihood as likelihood_of
    from vaekit.models import VectorQuantized
    from vaekit.networks import FeatureDecoder
    from vaekit.objectives import Commitment
    from vaekit.objectives.base import choice
    from vaekit.recipes.build import start_at_mean
    from vaekit.stages import ExPostDensity

    stages = (ExPostDensity("prior"),) if choice("prior", prior, ("pixelcnn", "uniform")) == "pixelcnn" else ()
    name = data.suggested if likelihood == "auto" else likelihood
    density = likelihood_of(name, data.shape)
    decoder = FeatureDecoder(book.dim, density.parameter_shape, tuple(reversed(channels)), blocks=blocks)
    start_at_mean(decoder.output, density, data)
    uniform = UniformCodes(book.grid(encoder.out_shape[1:]), book.codes)
    latent = fitted(prior_epochs) if stages else uniform
    model = VectorQuantized(encoder, book, Conditional(decoder, density), latent, context=context)
    parts = Parts(objective=lambda _: Commitment(commitment), plan={"stages": stages})
    return planned(data, model, parts, name, **shared, warmup=0.0)


@sharing(quantised)
def vq_vae(
    data: "DataSpec",
    *,
    codes: int = 512,
    code_dim: int = 64,
    quantiser: Quantisation = "ema",
    decay: float = 0.99,
    kmeans: bool = True,
    expire: float = 0.3,
    depth: int = 4,
    levels: tuple[int, ...] = (8, 5, 5, 5),
    conditional: bool = False,
    **shared: Any,
) -> "Plan":
    """A VAE whose latents are a grid of codes.

    Neural discrete representation learning (van den Oord, Vinyals and Kavukcuoglu, 2017). Published on CIFAR-10 with
    512 codes of 64 numbers on an 8 by 8 grid, decay 0.99, commitment 0.25, step size 3e-4, batches of 32: a squared
    error of 0.056 of the data's variance, with a perplexity near 327. Their networks are 256 channels wide: for that
    pass --channels 256,256. Any image will do: the grid is smaller by a factor of two for each of the channels.

    Args:
        data: The data's shape and levels.
        codes: How many codes there are, K.
        code_dim: Size of the vector that a code stands for.
        quantiser: ema, a codebook of running means; gradient, a codebook moved by its loss, most of which stays
            unused; residual, several codebooks in sequence; or fsq, which rounds numbers to a few levels each.
        decay: Of the running means.
        kmeans: Start the codebook from k-means of the first features; it starts from N(0, I) otherwise.
        expire: Put codes elsewhere whose share of the features is below so much of the fair one; 0 for never.
        depth: Codebooks of the residual quantiser.
        levels: Of each number, for fsq; their product is the number of codes.
        conditional: Tell the prior the label of an example, so that samples of a class can be drawn; the codes know
            nothing of labels.
    """
    from vaekit.distributions import PixelCNNPrior
    from vaekit.networks import FeatureEncoder
    from vaekit.recipes.build import context_of

    book = quantiser_of(
        quantiser,
        codes=codes,
        code_dim=code_dim,
        decay=decay,
        expire=expire,
        kmeans=kmeans,
        depth=depth,
        levels=levels,
    )
    context, size = context_of(data) if conditional else (None, 0)
    encoder = FeatureEncoder(data.shape, book.dim, shared["channels"], blocks=shared["blocks"])
    grid = book.grid(encoder.out_shape[1:])
    return quantised(
        data, encoder, book, lambda epochs: PixelCNNPrior(grid, book.codes, size, epochs=epochs), context, **shared
    )
