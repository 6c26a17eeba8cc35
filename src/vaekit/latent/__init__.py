r"""Moving about in latent space."""

from vaekit.latent.manifold import manifold_grid
from vaekit.latent.styles import style_grid

__all__ = ["manifold_grid", "style_grid"]
