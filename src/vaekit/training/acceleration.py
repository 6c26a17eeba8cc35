r"""Whether compiling pays, and memory that is kept instead of returned and mapped anew at every step."""

__all__ = ["compilable", "compiling_pays", "keep_freed_memory"]

import ctypes
import shutil
import sys

import torch

# What a compilation costs, the share of the time that it saves, and what a processor does in a second, in round
# figures of the order seen on two cores (those for a GPU are a guess). They are constants, not timings of this run, so
# that the same request always takes the same path and gives the same weights.
COMPILE_SECONDS = {"cpu": 20.0, "cuda": 30.0}
SAVED_SHARE = 0.25
MULTIPLICATIONS_PER_SECOND = {"cpu": 5e10, "cuda": 1e13}
CALL_SECONDS = {"cpu": 1.5e-3, "cuda": 2.5e-3}


def compilable(model: torch.nn.Module) -> bool:
    r"""Whether the compiler follows all of a model's steps: it leaves recurrent networks as they are.

    What is left beside them is no faster compiled: a step of a MusicVAE took a processor 0.60 s as it was and 0.63 s
    compiled, after a quarter of a minute of compiling, and minutes of it where its decoder goes symbol by symbol.

    Of a recurrence that is written out step by step the compiler makes one long program: that of eight glimpses of a
    DRAW was not done after minutes, and one glimpse compiled by itself was no faster, for most of its time goes into
    products of matrices. A module of that kind says so, with `unrolled = True`. `compile=True` compiles it even so.

    Example:
        >>> [compilable(model) for model in (torch.nn.Linear(2, 2), torch.nn.LSTM(2, 2))]
        [True, False]
    """
    return not any(isinstance(m, torch.nn.RNNBase) or getattr(m, "unrolled", False) for m in model.modules())


def compiling_pays(multiplications: float, device: torch.device, calls: int = 0) -> bool:
    r"""Whether `torch.compile` is expected to save more time than it takes.

    Arguments:
        multiplications: Multiplications of matrix elements in all; a training step has three for each parameter
            and example, one forward and two backward.
        device: Where they run.
        calls: How often the compiled program is called; each call has a fixed cost beside the arithmetic.

    Example:
        >>> step = 3 * 800_000 * 100
        >>> [compiling_pays(step * calls, torch.device("cpu"), calls) for calls in (1_000, 100_000)]
        [False, True]
    """
    kind = "cpu" if device.type == "cpu" else "cuda"
    if kind == "cpu" and shutil.which("g++") is None and shutil.which("clang++") is None:
        return False
    seconds = multiplications / MULTIPLICATIONS_PER_SECOND[kind] + calls * CALL_SECONDS[kind]
    return seconds * SAVED_SHARE > COMPILE_SECONDS[kind]


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
