r"""The named systems: for each a typed function that gives a plan for any data.

A recipe is one function of a `DataSpec` and keyword arguments, in a module that imports nothing heavy at the top, so
that its `--help` answers at once. To add one, write the module and name it in `RECIPES`.
"""

__all__ = ["RECIPES", "catalogue", "get"]

import inspect
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, cast

from vaekit.errors import RequestError, nearest

if TYPE_CHECKING:
    from vaekit.plan import Plan

RECIPES = {
    "vae": "vaekit.recipes.vae:vae",
    "aevb": "vaekit.recipes.aevb:aevb",
    "iwae-burda": "vaekit.recipes.iwae_burda:iwae_burda",
    "beta-vae": "vaekit.recipes.beta_vae:beta_vae",
    "cvae": "vaekit.recipes.cvae:cvae",
    "free-bits": "vaekit.recipes.free_bits:free_bits",
    "iwae": "vaekit.recipes.iwae:iwae",
    "planar-flow": "vaekit.recipes.planar_flow:planar_flow",
    "iaf-resnet": "vaekit.recipes.iaf_resnet:iaf_resnet",
    "vamp-prior": "vaekit.recipes.vamp_prior:vamp_prior",
    "info-vae": "vaekit.recipes.info_vae:info_vae",
    "beta-tcvae": "vaekit.recipes.beta_tcvae:beta_tcvae",
    "factor-vae": "vaekit.recipes.factor_vae:factor_vae",
    "dip-vae": "vaekit.recipes.dip_vae:dip_vae",
    "hierarchical": "vaekit.recipes.hierarchical:hierarchical",
    "autoencoder": "vaekit.recipes.autoencoder:autoencoder",
    "rae": "vaekit.recipes.rae:rae",
    "aae": "vaekit.recipes.aae:aae",
    "aae-style": "vaekit.recipes.aae_style:aae_style",
    "aae-semi": "vaekit.recipes.aae_semi:aae_semi",
    "aae-cluster": "vaekit.recipes.aae_cluster:aae_cluster",
    "vq-vae": "vaekit.recipes.vq_vae:vq_vae",
    "vq-vae-2": "vaekit.recipes.vq_vae_2:vq_vae_2",
    "dfc-vae": "vaekit.recipes.dfc_vae:dfc_vae",
    "draw": "vaekit.recipes.draw:draw",
    "music-vae-2bar": "vaekit.recipes.music_vae:music_vae_2bar",
    "music-vae-16bar": "vaekit.recipes.music_vae:music_vae_16bar",
    "music-vae-16bar-flat": "vaekit.recipes.music_vae:music_vae_16bar_flat",
    "vaer": "vaekit.recipes.vaer:vaer",
    "vaer-motion": "vaekit.recipes.vaer_motion:vaer_motion",
    "vaer-video": "vaekit.recipes.vaer_video:vaer_video",
    "vaer-pose2image": "vaekit.recipes.vaer_pose2image:vaer_pose2image",
}


def get(name: str) -> "Callable[..., Plan]":
    r"""Return the function of a recipe.

    Raises:
        RequestError: If there is none of that name.

    Example:
        >>> get("aevb").__name__
        'aevb'
    """
    name = name.replace("_", "-")
    if name not in RECIPES:
        raise RequestError(f"unknown recipe {name!r}; expected one of {', '.join(RECIPES)}.{nearest(name, RECIPES)}")
    module, _, function = RECIPES[name].partition(":")
    return cast("Callable[..., Plan]", getattr(import_module(module), function))


def catalogue() -> dict[str, str]:
    r"""Return each recipe's name and the first line of what it says of itself.

    Example:
        >>> list(catalogue())[0]
        'vae'
    """
    return {name: (inspect.getdoc(get(name)) or "").partition("\n")[0] for name in RECIPES}
