r"""The explorer: a latent space by hand, on a page in the browser. What is heavy is imported when it is used."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vaekit.explorer.description import describe

__all__ = ["describe"]


def __getattr__(name: str) -> Any:
    if name == "describe":
        from vaekit.explorer.description import describe

        return describe
    raise AttributeError(f"module 'vaekit.explorer' has no attribute {name!r}")
