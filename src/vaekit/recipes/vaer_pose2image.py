r"""Variational auto-encoded regression from poses to images."""

__all__ = ["vaer_pose2image"]

from typing import TYPE_CHECKING, Any

from vaekit.recipes.sharing import sharing
from vaekit.recipes.vaer import vaer

if TYPE_CHECKING:
    from vaekit.plan import DataSpec, Plan


@sharing(vaer, epochs=300, latent_dim=32, batch_size=50, network="conv", learning_rate=2e-3)
def vaer_pose2image(data: "DataSpec", **shared: Any) -> "Plan":
    """VAER from poses to images: what a pose never seen looks like.

    Variational auto-encoded regression (Yoo et al., 2017). Inputs are joint poses, outputs images, seen by
    convolutions. It wants images with a pose each.

    Args:
        data: The data's shape and levels.
    """
    return vaer(data, **shared)
