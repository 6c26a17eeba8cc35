r"""The vector-quantised VAE on two grids."""

__all__ = ["vq_vae_2"]

from typing import TYPE_CHECKING, Any

from vaekit.recipes.sharing import sharing
from vaekit.recipes.vq_vae import quantised, vq_vae

if TYPE_CHECKING:
    from vaekit.plan import DataSpec, Plan


@sharing(vq_vae, without=("quantiser", "depth", "levels", "conditional"))
def vq_vae_2(data: "DataSpec", *, top_channels: int = 64, **shared: Any) -> "Plan":
    """A VAE of codes on two grids: a coarse one for what is global, and a fine one for the rest.

    Generating diverse high-fidelity images with VQ-VAE-2 (Razavi, van den Oord and Vinyals, 2019). Published on
    ImageNet at 256 by 256 with 512 codes of 64 numbers on grids of 32 by 32 and 64 by 64, 128 channels, decay 0.99,
    commitment 0.25, step size 3e-4, batches of 128. The coarse grid here is half as large as the fine one, as theirs
    is, and its prior comes first: p(top) p(bottom | top).

    Args:
        data: The data's shape and levels.
        top_channels: Channels of the convolutions between the two grids.
    """
    from torch import nn

    from vaekit.distributions import MovingCodebook, TwoLevelPrior, TwoLevelQuantiser
    from vaekit.networks import FeatureDecoder, FeatureEncoder

    codes, size, channels, blocks = shared.pop("codes"), shared.pop("code_dim"), shared["channels"], shared["blocks"]
    options = {name: shared.pop(name) for name in ("decay", "expire", "kmeans")}
    above, below = MovingCodebook(codes, size, **options), MovingCodebook(codes, size, **options)
    encoder = FeatureEncoder(data.shape, size, channels, blocks=blocks)
    down = FeatureEncoder(encoder.out_shape, size, (top_channels,), blocks=blocks)
    up = FeatureDecoder(size, encoder.out_shape, (top_channels,), blocks=blocks)
    grid, coarse = encoder.out_shape[1:], down.out_shape[1:]
    book = TwoLevelQuantiser(above, below, down, up, nn.Conv2d(2 * size, size, 1), grid, coarse)
    return quantised(data, encoder, book, lambda epochs: TwoLevelPrior(grid, coarse, codes, epochs=epochs), **shared)
