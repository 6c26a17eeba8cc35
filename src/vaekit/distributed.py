r"""Which of several training processes this one is."""

__all__ = ["is_main_process"]

import os


def is_main_process() -> bool:
    r"""Whether this process is the one that was started, not one it started to share the work.

    Example:
        >>> is_main_process()
        True
    """
    return os.environ.get("LOCAL_RANK", "0") == "0"
