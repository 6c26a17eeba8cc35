r"""The explorer: a latent space by hand, on a page in the browser. What is heavy is imported when it is used."""

from vaekit.explorer.opening import explore, serve

__all__ = ["explore", "serve"]
