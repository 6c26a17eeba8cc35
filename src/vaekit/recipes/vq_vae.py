r"""The vector-quantised VAE."""

__all__ = ["Quantisation", "quantiser_of", "vq_vae"]

from typing import TYPE_CHECKING, Any, Literal

from vaekit.recipes.compose import Parts, planned
from vaekit.recipes.sharing import sharing

if TYPE_CHECKING:
    from vaekit.distributions import Quantiser
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
def vq_vae(
    data: "DataSpec",
    *,
    codes: int = 512,
    code_dim: int = 64,
    quantiser: Quantisation = "ema",
    decay: float = 0.99,
    commitment: float = 0.25,
    kmeans: bool = True,
    expire: float = 0.1,
    depth: int = 4,
    levels: tuple[int, ...] = (8, 5, 5, 5),
    channels: tuple[int, ...] = (32, 64),
    blocks: int = 2,
    likelihood: str = "auto",
    prior: Literal["pixelcnn", "uniform"] = "pixelcnn",
    prior_epochs: int = 10,
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
        commitment: Weight of the squared distance between features and their codes, summed over an example.
        kmeans: Start the codebook from k-means of the first features, and not from N(0, I).
        expire: Put codes elsewhere whose share of the features is below so much of the fair one; 0 for never.
        depth: Codebooks of the residual quantiser.
        levels: Of each number, for fsq; their product is the number of codes.
        channels: Channels of the encoder's convolutions, each of which halves the image; the decoder has them in
            reverse.
        blocks: Residual blocks of the encoder, and of the decoder.
        likelihood: As in the recipe vae.
        prior: Of the codes: pixelcnn, fitted to those of the training data when the rest is trained; or uniform.
        prior_epochs: Passes over the codes in its training.
        conditional: Tell it the label of an example, so that samples of a class can be drawn; the codes know nothing
            of labels.
    """
    from vaekit.distributions import Conditional, PixelCNNPrior, UniformCodes
    from vaekit.distributions import likelihood as likelihood_of
    from vaekit.models import VectorQuantized
    from vaekit.networks import FeatureDecoder, FeatureEncoder
    from vaekit.objectives import Commitment
    from vaekit.objectives.base import choice
    from vaekit.recipes.build import context_of, start_at_mean
    from vaekit.stages import ExPostDensity

    fitted = choice("prior", prior, ("pixelcnn", "uniform")) == "pixelcnn"
    context, context_dim = context_of(data) if conditional else (None, 0)
    name = data.suggested if likelihood == "auto" else likelihood
    density = likelihood_of(name, data.shape)
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
    encoder = FeatureEncoder(data.shape, book.dim, channels, blocks=blocks)
    decoder = FeatureDecoder(book.dim, density.parameter_shape, tuple(reversed(channels)), blocks=blocks)
    start_at_mean(decoder.output, density, data)
    grid = book.grid(encoder.out_shape[1:])
    model = VectorQuantized(
        encoder,
        book,
        Conditional(decoder, density),
        PixelCNNPrior(grid, book.codes, context_dim, epochs=prior_epochs) if fitted else UniformCodes(grid, book.codes),
        context=context,
    )
    stages = {"stages": (ExPostDensity("prior"),)} if fitted else {}
    parts = Parts(objective=lambda _: Commitment(commitment), plan=stages)
    return planned(data, model, parts, name, **shared, warmup=0.0)
