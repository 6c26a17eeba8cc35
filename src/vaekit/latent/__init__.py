r"""Moving about in latent space."""

from vaekit.latent.manifold import manifold_grid

__all__ = ["manifold_grid"]
