r"""Rows that are read when they are asked for behave as the array that they are not."""

import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from vaekit.data import load_dataset, memory, npy
from vaekit.data.memory import available_memory, fits_in_memory
from vaekit.data.npy import FileRows, member_rows, npy_rows
from vaekit.data.rows import Converted, LazyRows, Subset, blocks, joined, mean_of, spread, take
from vaekit.errors import RequestError

X = np.random.default_rng(0).normal(size=(37, 2, 3)).astype(np.float32)
ORDER = np.random.default_rng(1).permutation(37)


def file_rows(tmp_path):
    np.save(tmp_path / "x.npy", X)
    return npy_rows(tmp_path / "x.npy")


def member(tmp_path):
    np.savez(tmp_path / "x.npz", first=np.zeros(5), x=X)
    return member_rows(tmp_path / "x.npz", "x")


SOURCES = {
    "file": file_rows,
    "member": member,
    "subset": lambda tmp_path: Subset(X[ORDER], np.argsort(ORDER)),
    "subset of a subset": lambda tmp_path: Subset(Subset(X[ORDER], np.argsort(ORDER)[::-1]), np.arange(37)[::-1]),
    "slice": lambda tmp_path: Subset(np.concatenate([X, X]), np.arange(74))[20:57][np.argsort(np.r_[20:37, :20])],
    "converted": lambda tmp_path: Converted(file_rows(tmp_path), lambda x: x.astype(np.float64))[:],
    "joined": lambda tmp_path: joined(Subset(X, np.arange(11)), X[11:]),
    "joined slices": lambda tmp_path: joined(*(lambda x: (x[:30], x[30:]))(file_rows(tmp_path)))[:],
}


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize(
    "rows",
    [
        np.arange(37),
        ORDER,
        ORDER[:5],
        np.array([3, 3, 2, 3, -1, -37]),
        np.array([], np.int64),
        [4, 1],
        np.arange(37) % 3 == 1,
        5,
        -2,
        np.int64(36),
    ],
    ids=str,
)
def test_chosen_rows_are_those_of_the_array(tmp_path, name, rows):
    source = SOURCES[name](tmp_path)
    got = source[rows]
    assert type(got) is np.ndarray
    np.testing.assert_array_equal(got, X[rows])
    assert (source.shape, source.ndim, len(source)) == (X.shape, 3, 37)
    assert got.dtype == source.dtype


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize(
    "part", [slice(None), slice(3, 9), slice(-4, None), slice(None, None, -2), slice(30, 99), slice(5, 5)], ids=str
)
def test_slices_are_rows_again_and_read_nothing(tmp_path, name, part, monkeypatch):
    source = SOURCES[name](tmp_path)
    monkeypatch.setattr(FileRows, "read", None)
    got = source[part] if isinstance(source, LazyRows) else Subset(source, np.arange(37))[part]
    monkeypatch.undo()
    assert isinstance(got, LazyRows)
    np.testing.assert_array_equal(np.asarray(got), X[part])
    np.testing.assert_array_equal(np.asarray(got[1:][::-1]), X[part][1:][::-1])


@pytest.mark.parametrize("wrong", [37, -38, [0, 37], 1.5, [[1, 2]], np.zeros(36, bool)])
def test_rows_that_are_not_there(tmp_path, wrong):
    with pytest.raises(IndexError):
        file_rows(tmp_path)[wrong]


def test_iterating_ends():
    assert [float(row[0, 0]) for row in Subset(X, [2, 1])] == [X[2, 0, 0], X[1, 0, 0]]


def test_neighbours_are_read_together_in_the_order_of_the_file(tmp_path, monkeypatch):
    source, read = file_rows(tmp_path), []
    read_at = npy._read_at

    def watched(file, size, place):
        read.append(((place - source.offset) // 24, size // 24))
        return read_at(file, size, place)

    monkeypatch.setattr(npy, "_read_at", watched)
    np.testing.assert_array_equal(source[np.array([9, 20, 8, 7, 30])], X[[9, 20, 8, 7, 30]])
    assert read == [(7, 3), (20, 1), (30, 1)]


@pytest.mark.parametrize("at_once", [1, 7, 24, 1000])
def test_reading_goes_on_where_the_system_stops(tmp_path, monkeypatch, at_once):
    monkeypatch.setattr("vaekit.data.npy._AT_ONCE", at_once)
    np.testing.assert_array_equal(np.asarray(file_rows(tmp_path)), X)


def test_systems_without_positions_read_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(npy, "_read_at", npy._read_in_turn)
    np.testing.assert_array_equal(file_rows(tmp_path)[ORDER], X[ORDER])


@pytest.mark.parametrize("dtype", ["u1", "?", ">f8", "<f2", "i4", "U3"])
def test_every_type_is_read(tmp_path, dtype):
    x = (np.arange(60).reshape(20, 3) % 2).astype(dtype)
    np.save(tmp_path / "x.npy", x)
    rows = npy_rows(tmp_path / "x.npy")
    assert rows.dtype == x.dtype
    np.testing.assert_array_equal(rows[np.array([3, 0])], x[[3, 0]])


def test_files_are_closed(tmp_path):
    np.save(tmp_path / "x.npy", X)
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else pytest.skip("no /proc")
    for _ in range(20):
        npy_rows(tmp_path / "x.npy")[np.array([1])]
    assert len(os.listdir("/proc/self/fd")) <= before + 1


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: np.save(path, np.asfortranarray(np.ones((4, 5)))), "Fortran order"),
        (lambda path: np.save(path, np.array([[None]])), "unpickling"),
        (lambda path: path.write_bytes(b"nothing of that kind"), "magic string"),
    ],
)
def test_files_that_have_no_rows(tmp_path, make, said):
    make(tmp_path / "x.npy")
    with pytest.raises(ValueError, match=said):
        npy_rows(tmp_path / "x.npy")


def test_a_file_that_is_cut_short_is_refused_when_it_is_opened(tmp_path):
    np.save(tmp_path / "x.npy", X)
    content = (tmp_path / "x.npy").read_bytes()
    (tmp_path / "x.npy").write_bytes(content[:-1])
    with pytest.raises(ValueError, match=r"ends 1 bytes before its array of shape \(37, 2, 3\) does"):
        npy_rows(tmp_path / "x.npy")


@pytest.mark.parametrize("how", ["cut", "overwritten", "longer"])
def test_a_file_that_changes_while_in_use_is_noticed(tmp_path, how):
    rows = file_rows(tmp_path)
    assert rows[0].shape == (2, 3)
    path = tmp_path / "x.npy"
    with open(path, "r+b") as file:
        if how == "cut":
            file.truncate(path.stat().st_size - 100)
        else:
            file.seek(0, 2 if how == "longer" else 0)
            file.write(b"\0" * 50)
    if how == "overwritten":
        os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))  # clocks are coarse
    with pytest.raises(RequestError, match=r"x\.npy has changed since it was opened"):
        rows[np.array([36])]


def test_a_file_that_is_replaced_is_read_to_the_end_as_it_was(tmp_path):
    rows = file_rows(tmp_path)
    np.save(tmp_path / "other.npy", X + 1)
    os.replace(tmp_path / "other.npy", tmp_path / "x.npy")
    np.testing.assert_array_equal(np.asarray(rows), X)


def test_blocks_are_all_rows_in_order(monkeypatch):
    monkeypatch.setattr("vaekit.data.rows._BLOCK_BYTES", 5 * 24)
    for rows in (X, Subset(X, np.arange(37))):
        seen = list(blocks(rows, "Reading"))
        assert [start for start, _ in seen] == list(range(0, 37, 5))
        np.testing.assert_array_equal(np.concatenate([block for _, block in seen]), X)
    assert list(blocks(X[:0])) == []


@pytest.mark.parametrize("n", [1, 2, 65_535, 65_536, 65_537, 200_001])
def test_spread_goes_from_first_to_last_evenly(n):
    chosen = spread(n, 65_536)
    assert (chosen[0], chosen[-1], len(chosen)) == (0, n - 1, min(n, 65_536))
    steps = np.diff(chosen)
    assert n == 1 or (steps.min() >= 1 and steps.max() - steps.min() <= 1)


def test_the_mean_is_that_of_the_rows_and_the_same_bits_when_they_are_not_in_memory():
    assert np.allclose(mean_of(X), X.mean(0), atol=1e-6)
    many = np.random.default_rng(0).normal(size=(70_000, 2)).astype(np.float32)
    assert np.abs(mean_of(many) - many.mean(0)).max() < 5e-3  # of 65,536 of them
    order = np.random.default_rng(1).permutation(70_000)
    assert (mean_of(Subset(many[order], np.argsort(order))) == mean_of(many)).all()
    assert (mean_of(np.full((3, 2), 255, np.uint8)) == 255).all()


def test_take_copies_what_fits_and_only_that(with_memory):
    with_memory(3 * 10 * 24)
    assert type(take(X, ORDER[:10])) is np.ndarray
    lazy = take(X, ORDER[:11])
    assert isinstance(lazy, Subset)
    assert lazy.rows is X
    np.testing.assert_array_equal(np.asarray(lazy), X[ORDER[:11]])
    assert isinstance(take(Subset(X, ORDER), [1]), Subset)


def test_joined_copies_what_fits_and_only_that(with_memory):
    assert type(joined(X, X)) is np.ndarray
    with_memory(X.nbytes)
    lazy = joined(X[:5], X[5:])
    assert isinstance(lazy, LazyRows)
    np.testing.assert_array_equal(lazy[ORDER], X[ORDER])


# Memory.


def test_memory_is_what_the_machine_says_or_less():
    assert 2**24 < available_memory() <= 2**63
    assert fits_in_memory(0)
    assert not fits_in_memory(available_memory())


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({"a/b": ("1000", 900, 300), "a": ("max", 0, 0)}, 400),
        ({"a/b": ("1000", 900, 300), "a": ("500", 450, 0)}, 50),
        ({"a/b": ("max", 10, 0)}, 2**63),
        ({"": ("700", 800, 0)}, 0),
        ({}, 2**63),
    ],
)
def test_a_container_leaves_what_its_groups_leave(tmp_path, monkeypatch, own, expected):
    for name, (limit, used, cached) in own.items():
        group = tmp_path / name
        group.mkdir(parents=True, exist_ok=True)
        (group / "memory.max").write_text(f"{limit}\n")
        (group / "memory.current").write_text(f"{used}\n")
        (group / "memory.stat").write_text(f"anon 5\ninactive_file {cached - cached // 3}\nactive_file {cached // 3}\n")
    (tmp_path / "cgroup").write_text("1:cpu:/x\n0::/a/b\n")
    monkeypatch.setattr(memory, "_CONTROL", tmp_path)
    read = memory.Path.read_text
    monkeypatch.setattr(
        memory.Path,
        "read_text",
        lambda path: read(tmp_path / "cgroup" if str(path) == "/proc/self/cgroup" else path),
    )
    assert memory._container() == expected


def sparse(path, rows, width):
    """A .npy file of zeros that takes no room on the disk."""
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": (rows, width)})
        offset = file.tell()
        file.truncate(offset + rows * width)
    return offset


@pytest.mark.skipif(sys.platform != "linux", reason="needs sparse files, and peak memory in KiB")
@pytest.mark.slow
def test_a_file_of_gigabytes_is_loaded_and_read_in_megabytes(tmp_path):
    path = tmp_path / "large.npy"
    offset = sparse(path, 200_000, 2**14)  # 3.1 GiB
    with open(path, "r+b") as file:
        for row in range(0, 200_000, 1000):
            file.seek(offset + row * 2**14)
            file.write(bytes([row // 1000 + 2]))
    code = f"""
import resource, numpy as np
from vaekit.data import load_dataset, memory, npy
from vaekit.data.rows import mean_of
import vaekit.data.transforms
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
memory.BUDGET, before = 2**28, peak()
data = load_dataset({str(path)!r})
assert data.levels == 256 and data.shape == (2**14,)
mean_of(data.validation.x); data.fingerprint
seen = 0
for block in vaekit.data.transforms.view(data.test.x, vaekit.data.transforms.Scale(256)):
    seen += len(block)
assert seen == 20_000
marked = [x[np.flatnonzero(x.indices % 1000 == 0)][:, 0] for x in (s.x for s in data.splits.values())]
assert sorted(np.concatenate(marked)) == list(range(2, 202)), marked
print((peak() - before) // 2**20)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    # One block of 1,000 rows is 16 MiB as stored and 64 MiB as float32, and a few blocks are on their way.
    assert int(done.stdout) < 800


def test_loading_holds_blocks_and_row_numbers_only(tmp_path, with_memory):
    x = np.zeros((40_000, 500), np.float64)
    np.save(tmp_path / "x.npy", x)
    del x
    with_memory(2**20)
    tracemalloc.start()
    data = load_dataset(tmp_path / "x.npy")  # 160 MB
    assert data.fingerprint
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60e6
