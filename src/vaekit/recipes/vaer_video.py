r"""Variational auto-encoded regression of video."""

__all__ = ["vaer_video"]

from typing import TYPE_CHECKING, Any

from vaekit.recipes.sharing import sharing
from vaekit.recipes.vaer import vaer

if TYPE_CHECKING:
    from vaekit.plan import DataSpec, Plan


@sharing(vaer, epochs=300, latent_dim=32, batch_size=50, network="conv", learning_rate=2e-3)
def vaer_video(data: "DataSpec", **shared: Any) -> "Plan":
    """VAER of video: frames at any time, from those at some.

    Variational auto-encoded regression (Yoo et al., 2017). Inputs are times, outputs frames, seen by convolutions. It
    wants a video, where {"gap": 4, "size": 64} as --data-options observes every fourth frame, scaled.

    Args:
        data: The data's shape and levels.
    """
    return vaer(data, **shared)
