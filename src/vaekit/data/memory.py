r"""How much memory there is, and whether data fit in it."""

__all__ = ["available_memory", "fits_in_memory"]

import os
from pathlib import Path

BUDGET: int | None = None  # bytes; set it to say what is available instead of measuring

# Data in memory are there up to three times for a moment: as read, as stored or split, and as the trainer has them.
_COPIES = 3
_CONTROL = Path("/sys/fs/cgroup")


def available_memory() -> int:
    r"""Return how many bytes this process can have: what the machine has free, or its container leaves it.

    Example:
        >>> available_memory() > 2**20
        True
    """
    if BUDGET is not None:
        return BUDGET
    return min(_machine(), _container())


def fits_in_memory(nbytes: int) -> bool:
    r"""Whether data fit in memory, with room for the copies that loading and training make.

    Arguments:
        nbytes: Size of the data, in bytes, as stored.

    Example:
        >>> fits_in_memory(2**20), fits_in_memory(2**60)
        (True, False)
    """
    return _COPIES * nbytes <= available_memory()


def _machine() -> int:
    try:
        fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, ValueError, KeyError):  # only Linux says
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):  # not every system says
        return 2**63


def _container() -> int:
    """What control groups leave, of this process's and those above it. Cached files do not count: they make way."""
    free = 2**63
    try:
        own = Path("/proc/self/cgroup").read_text().partition("0::/")[2].splitlines()
        place = _CONTROL / (own[0] if own else "")
        for group in (place, *place.parents):
            if not group.is_relative_to(_CONTROL):
                break
            limit = (group / "memory.max").read_text().strip() if (group / "memory.max").is_file() else "max"
            if limit != "max":
                counts = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
                cached = int(counts.get("inactive_file", 0)) + int(counts.get("active_file", 0))
                used = int((group / "memory.current").read_text()) - cached
                free = min(free, max(int(limit) - used, 0))
    except (OSError, ValueError):  # no control groups, or of the first version
        pass
    return free
