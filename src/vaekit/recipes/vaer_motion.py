r"""Variational auto-encoded regression of motion."""

__all__ = ["vaer_motion"]

from typing import TYPE_CHECKING, Any

from vaekit.recipes.sharing import sharing
from vaekit.recipes.vaer import vaer

if TYPE_CHECKING:
    from vaekit.plan import DataSpec, Plan


@sharing(vaer, epochs=400, latent_dim=16, learning_rate=2e-3, hidden=(256, 256), activation="silu", standardise=False)
def vaer_motion(data: "DataSpec", **shared: Any) -> "Plan":
    """VAER of motion: poses at any time, from those at some, as between key frames.

    Variational auto-encoded regression (Yoo et al., 2017). Inputs are times, outputs poses; every clip is a sequence.
    It wants motion, such as --data clips, where {"gap": 8} as --data-options observes every eighth frame.

    All of a pose is in metres, so that no entry has a unit of its own.

    Args:
        data: The data's shape and levels.
    """
    return vaer(data, **shared)
