r"""Batches read ahead: the right ones, in order, and no thread that outlives them."""

import gc
import threading
import time
import warnings

import numpy as np
import pytest
import torch

from vaekit.data.rows import LazyRows, Subset
from vaekit.data.stream import batches, resident
from vaekit.data.transforms import Binarise, Identity, Scale, view
from vaekit.errors import RequestError

X = np.random.default_rng(0).integers(0, 256, (2345, 1, 3, 2), dtype=np.uint8)
ORDER = np.random.default_rng(1).permutation(2345)


class Watched(LazyRows):
    """Rows that count how they are read, and can be slow or broken."""

    def __init__(self, wait=0.0, broken=None):
        self.shape, self.dtype, self.wait, self.broken = X.shape, X.dtype, wait, broken
        self.reads = []

    def read(self, rows):
        self.reads.append(len(rows))
        time.sleep(self.wait)
        if self.broken is not None and self.broken in rows:
            raise RequestError(f"row {self.broken} is broken")
        return X[rows]


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("vaekit-rows")]


@pytest.mark.parametrize("batch", [1000, 100, 7, 5000])
@pytest.mark.parametrize("source", [X, Subset(X, np.arange(2345)), Watched()])
@pytest.mark.parametrize("as_tensor", [False, True])
def test_batches_are_those_of_the_array(source, batch, as_tensor):
    parts = list(batches(source, torch.from_numpy(ORDER) if as_tensor else ORDER, batch))
    assert [len(part) for part in parts[:-1]] == [batch] * ((2345 - 1) // batch)
    assert all(part.dtype == torch.uint8 and part.is_contiguous() for part in parts)
    assert torch.equal(torch.cat(parts), torch.from_numpy(X[ORDER]))
    assert threads() == []


def test_a_batch_may_be_written_to_without_harm():
    for source in (X, Subset(X, np.arange(2345))):
        next(batches(source, np.arange(2345), 2345)).zero_()
        assert X.any()


def test_rows_that_may_not_be_written_to_are_copied():
    class ReadOnly(Watched):
        def read(self, rows):
            return np.frombuffer(X[rows].tobytes(), np.uint8).reshape(-1, *X.shape[1:])

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        part = next(batches(ReadOnly(), ORDER, 10))
    assert torch.equal(part.clone(), torch.from_numpy(X[ORDER[:10]]))
    part.zero_()


def test_the_order_of_threads_is_not_that_of_batches():
    class Uneven(Watched):
        def read(self, rows):
            time.sleep(0.02 * (rows[0] % 3))
            return X[rows]

    got = torch.cat(list(batches(Uneven(), np.arange(60), 5, ahead=8)))
    assert torch.equal(got, torch.from_numpy(X[:60]))


def test_no_more_is_read_ahead_than_asked():
    source = Watched()
    stream = batches(source, np.arange(2345), 10, ahead=3)
    assert source.reads == []
    next(stream)
    time.sleep(0.1)
    assert 1 <= len(source.reads) <= 4
    next(stream)
    time.sleep(0.1)
    assert len(source.reads) <= 5
    stream.close()


def test_large_batches_are_not_piled_up(monkeypatch):
    monkeypatch.setattr("vaekit.data.stream._AHEAD_BYTES", 2 * 100 * 6)
    source = Watched()
    stream = batches(source, np.arange(2345), 100, ahead=50)
    next(stream)
    time.sleep(0.1)
    assert len(source.reads) <= 3
    stream.close()


def test_reading_goes_on_while_the_consumer_works():
    source = Watched()
    stream = batches(source, np.arange(200), 10, ahead=3)
    for count in (4, 5, 6):
        next(stream)
        deadline = time.monotonic() + 10
        while len(source.reads) < count:  # nothing is asked for meanwhile
            assert time.monotonic() < deadline
            time.sleep(0.001)
    stream.close()


@pytest.mark.parametrize("stop", ["close", "forget", "error", "interrupt"])
def test_no_thread_is_left_when_the_consumer_stops_early(stop):
    stream = batches(Watched(wait=0.01), np.arange(2345), 10)
    next(stream)
    assert threads()
    if stop == "close":
        stream.close()
    elif stop == "forget":
        del stream
        gc.collect()
    else:
        with pytest.raises(KeyboardInterrupt if stop == "interrupt" else ZeroDivisionError):
            stream.throw(KeyboardInterrupt() if stop == "interrupt" else ZeroDivisionError())
    assert threads() == []


def test_one_that_is_never_begun_starts_nothing():
    stream = batches(Watched(), ORDER, 10)
    assert threads() == []
    del stream


def test_an_error_is_raised_where_its_batch_was_wanted():
    stream = batches(Watched(broken=25), np.arange(100), 10)
    assert [int(part[0, 0, 0, 0]) for _, part in zip(range(2), stream, strict=False)] == [X[0, 0, 0, 0], X[10, 0, 0, 0]]
    with pytest.raises(RequestError, match="row 25 is broken"):
        next(stream)
    assert threads() == []
    with pytest.raises(StopIteration):
        next(stream)


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"batch": 5, "ahead": 0}])
def test_wrong_numbers_are_refused_at_once(wrong):
    with pytest.raises(RequestError, match="is 0; expected at least 1"):
        batches(X, ORDER, **wrong)


def test_no_rows_no_batches():
    assert list(batches(X, np.array([], np.int64), 10)) == []


@pytest.mark.parametrize("transform", [Binarise(256), Scale(256), Identity()])
def test_a_view_of_what_is_not_in_memory_is_the_same(transform):
    lazy = Subset(X[ORDER], np.argsort(ORDER))
    for one, other in zip(view(X, transform, 3), view(lazy, transform, 3), strict=True):
        assert torch.equal(one, other)
    for one, other in zip(view(X[5:1500], transform, 3), view(lazy[5:1500], transform, 3), strict=True):
        assert torch.equal(one, other)


def test_the_first_block_of_a_view_reads_no_more_than_a_few():
    source = Watched()
    assert next(iter(view(source[:20], Scale(256)))).shape == (20, 1, 3, 2)
    assert source.reads == [20]
    stream = view(source, Scale(256))
    next(stream)
    stream.close()
    assert threads() == []


def test_what_is_resident(with_memory, tmp_path):
    with_memory(X.nbytes)
    assert resident(X, "cpu")
    assert not resident(Subset(X, ORDER), "cpu")
    np.save(tmp_path / "x.npy", X)
    assert not resident(np.load(tmp_path / "x.npy", mmap_mode="r"), "cpu")
    with_memory(X.nbytes - 1)
    assert not resident(X, torch.device("cpu"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_batches_cross_to_a_gpu_unchanged():
    for device in range(torch.cuda.device_count()):
        parts = list(batches(Subset(X, np.arange(2345)), ORDER, 100, f"cuda:{device}"))
        assert all(part.device == torch.device("cuda", device) for part in parts)
        assert torch.equal(torch.cat(parts).cpu(), torch.from_numpy(X[ORDER]))
    assert resident(X, "cuda")
