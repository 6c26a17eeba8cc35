r"""Which of several training processes this one is."""

__all__ = ["from_first", "is_main_process", "leave", "summed"]

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def is_main_process() -> bool:
    r"""Whether this process is the one that was started, not one it started to share the work.

    Example:
        >>> is_main_process()
        True
    """
    return os.environ.get("LOCAL_RANK", "0") == "0"


def summed(values: "Tensor") -> "Tensor":
    r"""Add up a tensor over all training processes, in place; alone, it is returned as it is.

    Example:
        >>> import torch
        >>> summed(torch.ones(2))
        tensor([1., 1.])
    """
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(values)
    return values


def from_first(values: "Tensor") -> "Tensor":
    r"""Return the first process's values in all of them, in place; alone, they are returned as they are.

    Example:
        >>> import torch
        >>> from_first(torch.ones(2))
        tensor([1., 1.])
    """
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        distributed.broadcast(values, 0)
    return values


def leave() -> None:
    r"""Take leave of the other processes, if there are any: exiting without it may abort in their threads."""
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()
