r"""Whether compiling pays, and memory that is kept instead of returned and mapped anew at every step."""

__all__ = ["compiling_pays", "keep_freed_memory"]

import ctypes
import shutil
import sys

import torch

# What one compilation costs and the share of a step that it saves, as measured by benchmarks/compile.py. They are
# constants, not timings of this run, so that the same request always takes the same path and gives the same weights.
COMPILE_SECONDS = 25.0
SAVED_SHARE = 0.2
FLOPS_PER_SECOND = {"cpu": 1e11, "cuda": 2e13}
OVERHEAD_SECONDS = {"cpu": 1.5e-3, "cuda": 2.5e-3}


def compiling_pays(parameters: int, batch_size: int, steps: int, device: torch.device) -> bool:
    r"""Whether `torch.compile` is expected to save more time than it takes.

    A step is estimated as six floating-point operations per parameter and example (two forward, four backward) plus
    a fixed overhead.

    Arguments:
        parameters: Number of trained parameters.
        batch_size: Examples (times draws) in a step.
        steps: Steps in the whole training.
        device: Where it runs.

    Example:
        >>> compiling_pays(800_000, 100, steps=1_000, device=torch.device("cpu"))
        False
        >>> compiling_pays(800_000, 100, steps=100_000, device=torch.device("cpu"))
        True
    """
    kind = "cpu" if device.type == "cpu" else "cuda"
    if kind == "cpu" and shutil.which("g++") is None and shutil.which("clang++") is None:
        return False
    step = 6 * parameters * batch_size / FLOPS_PER_SECOND[kind] + OVERHEAD_SECONDS[kind]
    return steps * step * SAVED_SHARE > COMPILE_SECONDS


def keep_freed_memory() -> None:
    r"""Tell glibc to keep freed memory for the next step.

    By default it returns blocks of megabytes to the system when they are freed, and the next step pays a page fault
    for every four kilobytes of them: a third of an uncompiled step on small networks. Elsewhere this does nothing.
    """
    if sys.platform == "linux":
        try:
            libc = ctypes.CDLL("libc.so.6")
            libc.mallopt(-3, 32 << 20)  # M_MMAP_THRESHOLD, at the largest value that glibc accepts
            libc.mallopt(-1, 1 << 30)  # M_TRIM_THRESHOLD
        except (OSError, AttributeError):  # another C library
            pass
