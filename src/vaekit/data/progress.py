r"""Progress of what takes a while before a training begins."""

__all__ = ["tracked"]

from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


def tracked(items: Iterable[T], text: str, total: int) -> Iterable[T]:
    r"""Yield items, with a progress bar on a terminal.

    Arguments:
        items: The items.
        text: What is being done; nothing is shown without it.
        total: How many items there are.

    Example:
        >>> list(tracked("ab", "Reading letters", 2))
        ['a', 'b']
    """
    if not text:
        return items
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    quiet = not console.is_terminal  # where a bar would only leave an empty line
    return track(items, text, total=total, console=console, transient=True, disable=quiet)
