r"""Batches of data that are not on the device, read ahead of the step that wants them."""

__all__ = ["batches", "resident"]

import math
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaekit.data.memory import available_memory
from vaekit.data.rows import Rows
from vaekit.errors import RequestError

_READERS = 4  # threads, most of them waiting for the disk
_AHEAD_BYTES = 2**28


def resident(x: Rows, device: torch.device | str) -> bool:
    r"""Whether rows should be moved to the device as a whole: they are in memory, and leave the device half of its own.

    Arguments:
        x: The rows.
        device: The device.

    Example:
        >>> resident(np.zeros((10, 2)), "cpu")
        True
    """
    device = torch.device(device)
    if not isinstance(x, np.ndarray) or isinstance(x, np.memmap):
        return False
    if device.type == "cpu":
        return x.nbytes <= available_memory()
    if device.type == "cuda":
        return 2 * x.nbytes <= torch.cuda.mem_get_info(device)[0]
    if device.type == "mps":
        return 2 * x.nbytes <= torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    return True


def batches(
    x: Rows,
    order: NDArray[Any] | Tensor,
    batch: int,
    device: torch.device | str = "cpu",
    *,
    ahead: int = 4,
) -> Generator[Tensor, None, None]:
    r"""Yield rows in a given order, as tensors on a device, in batches (the last may have fewer).

    They are read in background threads, a bounded way ahead, and cross to a GPU from pinned memory while it computes.
    Order and values are those of `x[order]`. An error in a thread is raised where its batch was wanted; when the
    iterator is closed or forgotten, the threads end.

    Arguments:
        x: Stored rows.
        order: Row numbers, shape `(n,)`.
        batch: Rows in a batch.
        device: Where to put them.
        ahead: Batches to read ahead, at most; fewer where they are large.

    Raises:
        RequestError: If `batch` or `ahead` is below 1.

    Example:
        >>> x = np.arange(10, dtype=np.float32)[:, None]
        >>> [part.ravel().tolist() for part in batches(x, np.array([3, 1, 4, 1, 5]), 2)]
        [[3.0, 1.0], [4.0, 1.0], [5.0]]
    """
    for name, value in (("batch", batch), ("ahead", ahead)):
        if value < 1:
            raise RequestError(f"{name} is {value}; expected at least 1: pass {name}=4, say")
    numbers = order.cpu().numpy() if isinstance(order, Tensor) else np.asarray(order)
    size = batch * math.prod(x.shape[1:]) * x.dtype.itemsize
    ahead = max(1, min(ahead, _AHEAD_BYTES // max(1, size)))
    return _batches(x, numbers.astype(np.int64, copy=False), batch, torch.device(device), ahead)


def _batches(
    x: Rows, order: NDArray[np.int64], batch: int, device: torch.device, ahead: int
) -> Generator[Tensor, None, None]:
    pinned = device.type == "cuda"

    def read(start: int) -> Tensor:
        rows = torch.from_numpy(np.require(x[order[start : start + batch]], requirements=["C", "W"]))
        return rows.pin_memory() if pinned else rows

    starts = iter(range(0, len(order), batch))
    waiting: deque[Future[Tensor]] = deque()
    # Pinned memory belongs to a GPU: without this it would be the first, whichever is asked for.
    pool = ThreadPoolExecutor(
        min(_READERS, ahead), "vaekit-rows", *((torch.cuda.set_device, (device,)) if pinned and device.index else ())
    )
    try:
        for start in starts:
            waiting.append(pool.submit(read, start))
            if len(waiting) > ahead:
                yield waiting.popleft().result().to(device, non_blocking=pinned)
        while waiting:
            yield waiting.popleft().result().to(device, non_blocking=pinned)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
