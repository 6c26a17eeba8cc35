r"""Which of several training processes this one is."""

__all__ = ["is_main_process", "leave"]

import os


def is_main_process() -> bool:
    r"""Whether this process is the one that was started, not one it started to share the work.

    Example:
        >>> is_main_process()
        True
    """
    return os.environ.get("LOCAL_RANK", "0") == "0"


def leave() -> None:
    r"""Take leave of the other processes, if there are any: exiting without it may abort in their threads."""
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()
