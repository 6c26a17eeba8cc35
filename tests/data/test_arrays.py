import numpy as np
import pytest

from vaekit.data import from_arrays, load_dataset
from vaekit.data.rows import Converted, LazyRows, mean_of
from vaekit.errors import RequestError

X = np.random.default_rng(0).integers(0, 256, (40, 6, 5), dtype=np.uint8)
Y = np.arange(40) % 4


def test_npy(tmp_path):
    np.save(tmp_path / "cells.npy", X)
    data = load_dataset(tmp_path / "cells.npy", seed=3)
    assert (data.name, data.shape, data.levels) == ("cells", (1, 6, 5), 256)
    assert [len(split) for split in data.splits.values()] == [32, 4, 4]
    assert data.train.labels is None
    # A run can load the same again from what is written down.
    again = load_dataset(data.reference, **data.options)
    assert again.fingerprint == data.fingerprint != load_dataset(str(tmp_path / "cells.npy")).fingerprint


@pytest.mark.parametrize("name", ["x", "arr_0", "cells"])
@pytest.mark.parametrize("label", ["y", "labels", None])
def test_npz_of_one_array(tmp_path, name, label):
    np.savez(tmp_path / "a.npz", **{name: X}, **({label: Y} if label else {}))
    data = load_dataset(tmp_path / "a.npz")
    assert data.shape == (1, 6, 5)
    assert (data.train.labels is None) == (label is None)
    for image, y in zip(data.test.x, data.test.labels if label else [], strict=False):
        assert y == Y[(image[0] == X).all((1, 2))][0]


@pytest.mark.parametrize("validation", ["validation", "valid", "val"])
@pytest.mark.parametrize("pattern", ["{}", "x_{}", "{}_x"])
def test_npz_of_splits_is_used_as_it_is(tmp_path, validation, pattern):
    names = {"train": X[:20], validation: X[20:30], "test": X[30:]}
    arrays = {pattern.format(name): x for name, x in names.items()}
    np.savez_compressed(tmp_path / "a.npz", **arrays, y_train=Y[:20], labels_test=Y[30:])
    data = load_dataset(tmp_path / "a.npz")
    assert np.array_equal(data.train.x[:, 0], X[:20])
    assert np.array_equal(data.validation.x[:, 0], X[20:30])
    assert np.array_equal(data.test.x[:, 0], X[30:])
    assert np.array_equal(data.train.labels, Y[:20])
    assert np.array_equal(data.test.labels, Y[30:])
    assert data.validation.labels is None


def test_npz_with_a_split_missing_draws_it_from_train(tmp_path):
    np.savez(tmp_path / "a.npz", x_train=X[:30], x_test=X[30:], y_train=Y[:30], y_test=Y[30:])
    data = load_dataset(tmp_path / "a.npz")
    assert [len(split) for split in data.splits.values()] == [27, 3, 10]
    assert np.array_equal(data.test.x[:, 0], X[30:])
    images = {image.tobytes() for split in (data.train, data.validation) for image in split.x}
    assert images == {image.tobytes() for image in X[:30]}
    assert "validation drawn at random" in data.note


def test_key_chooses_an_array(tmp_path):
    np.savez(tmp_path / "a.npz", imgs=X, latents=np.zeros((40, 3)))
    with pytest.raises(RequestError, match=r"holds imgs, latents; expected x.*key=NAME"):
        load_dataset(tmp_path / "a.npz")
    assert load_dataset(tmp_path / "a.npz", key="imgs").shape == (1, 6, 5)
    with pytest.raises(RequestError, match=r"expected one of imgs, latents.*Did you mean 'imgs'"):
        load_dataset(tmp_path / "a.npz", key="img")


def cut(content):
    return content[: len(content) * 2 // 3]


def scramble(content):
    middle = len(content) // 2
    return content[:middle] + bytes(b ^ 0x5A for b in content[middle : middle + 200]) + content[middle + 200 :]


@pytest.mark.parametrize("ending", [".npy", ".npz"])
@pytest.mark.parametrize("damage", [cut, lambda c: b"", lambda c: b"hello\nworld" * 9, lambda c: c[:8], scramble])
def test_damaged_files_are_refused_in_one_line(tmp_path, ending, damage):
    path = tmp_path / f"a{ending}"
    (np.save if ending == ".npy" else np.savez_compressed)(path, X)
    path.write_bytes(damage(path.read_bytes()))
    if ending == ".npy" and damage is scramble:
        assert load_dataset(path).shape == (1, 6, 5)  # a .npy file has no checksum: nobody can tell
        return
    with pytest.raises(RequestError, match=r"cannot be read|needs unpickling") as caught:
        load_dataset(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("ending", [".npy", ".npz"])
def test_nothing_is_unpickled(tmp_path, ending):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "exploded"), "w"))

    path = tmp_path / f"a{ending}"
    array = np.empty((4, 2), object)
    array[:] = Bomb()
    (np.save if ending == ".npy" else np.savez)(path, array)
    with pytest.raises(RequestError, match="unpickling"):
        load_dataset(path)
    assert not (tmp_path / "exploded").exists()


def test_wrong_values_name_the_file(tmp_path):
    x = np.zeros((20, 3))
    x[7, 1] = np.nan
    np.save(tmp_path / "a.npy", x)
    with pytest.raises(RequestError, match=r"a\.npy: x holds 1 of 60 values.*first nan at \(7, 1\)"):
        load_dataset(tmp_path / "a.npy")
    np.savez(tmp_path / "a.npz", train=np.zeros((20, 3)), test=x)
    with pytest.raises(RequestError, match=r"a\.npz: test holds 1 of 60 values"):
        load_dataset(tmp_path / "a.npz")


# Files that do not fit in memory.


def same(one, other):
    """Whether two datasets are the same to the bit, one of them not in memory."""
    assert (one.shape, one.levels, one.label_names, one.suggested, one.note) == (
        other.shape,
        other.levels,
        other.label_names,
        other.suggested,
        other.note,
    )
    for name, split in one.splits.items():
        x, y = split.x, other.splits[name].x
        assert isinstance(x, np.ndarray)
        assert isinstance(y, LazyRows)
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
        np.testing.assert_array_equal(np.asarray(y), x)
        order = np.random.default_rng(0).permutation(len(x))
        np.testing.assert_array_equal(y[order], x[order])
        np.testing.assert_array_equal(split.labels, other.splits[name].labels)
    assert (mean_of(one.train.x) == mean_of(other.train.x)).all()
    assert one.fingerprint == other.fingerprint


RANDOM = np.random.default_rng(7)


@pytest.mark.parametrize(
    "x",
    [
        X,
        X.astype(np.float64) - 100.5,
        X.astype(">f4"),
        (X / 1000).astype(np.float16),
        X.astype(np.int64) * 3,
        X > 99,
        (X > 99).astype(np.uint8),
        X.reshape(40, -1),
        RANDOM.integers(0, 256, (40, 5, 4, 3), dtype=np.uint8),
        RANDOM.integers(0, 256, (40, 3, 4, 3), dtype=np.uint8),
        RANDOM.normal(size=(40, 5, 4, 1)),
    ],
    ids=lambda x: f"{x.dtype}-{x.shape}",
)
def test_a_file_that_does_not_fit_is_the_same_but_read_as_needed(tmp_path, with_memory, x):
    np.save(tmp_path / "a.npy", x)
    whole = load_dataset(tmp_path / "a.npy", seed=3)
    with_memory(100)
    same(whole, load_dataset(tmp_path / "a.npy", seed=3))
    mapped = load_dataset(np.load(tmp_path / "a.npy", mmap_mode="r"), seed=3)
    same(whole, mapped)
    assert isinstance(mapped.train.x.rows, Converted)  # and not an array that was made of it


def test_an_archive_that_does_not_fit_is_the_same_but_read_as_needed(tmp_path, with_memory):
    np.savez(tmp_path / "a.npz", x_train=X[:20], valid=X[20:30], test_x=X[30:], y_train=Y[:20], y_test=Y[30:])
    np.savez(tmp_path / "b.npz", imgs=X, labels=Y, latents=np.zeros((40, 2)))
    whole = [load_dataset(tmp_path / "a.npz"), load_dataset(tmp_path / "b.npz", key="imgs")]
    with_memory(100)
    same(whole[0], load_dataset(tmp_path / "a.npz"))
    same(whole[1], load_dataset(tmp_path / "b.npz", key="imgs"))


def test_an_array_in_memory_is_not_copied_where_there_is_no_room(with_memory):
    x = X.reshape(40, -1).astype(np.float32)
    whole = from_arrays(x, Y)
    with_memory(100)
    lazy = from_arrays(x, Y)
    same(whole, lazy)
    assert np.shares_memory(lazy.train.x.rows, x)


def test_what_fits_is_in_memory(tmp_path, with_memory):
    np.save(tmp_path / "a.npy", X)
    size = (tmp_path / "a.npy").stat().st_size
    with_memory(3 * size)
    assert isinstance(load_dataset(tmp_path / "a.npy").train.x, np.ndarray)
    with_memory(3 * size - 1)
    assert isinstance(load_dataset(tmp_path / "a.npy").train.x, LazyRows)


@pytest.mark.parametrize(
    ("save", "said"),
    [
        (lambda path: np.savez_compressed(path, x=X), r"a\.npz: the arrays do not fit in memory, and x is compressed"),
        (lambda path: np.savez(path, x=np.asfortranarray(X)), r"a\.npz cannot be read \(it is in Fortran order"),
        (lambda path: np.savez(path, x=np.array([[None]] * 9)), r"a\.npz needs unpickling"),
    ],
)
def test_archives_that_cannot_be_read_in_parts(tmp_path, with_memory, save, said):
    save(tmp_path / "a.npz")
    with_memory(10)
    with pytest.raises(RequestError, match=said) as caught:
        load_dataset(tmp_path / "a.npz")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", [cut, lambda c: c[:8], lambda c: c[:-1]])
def test_a_file_that_is_cut_short_is_refused_before_it_is_read(tmp_path, with_memory, damage):
    np.save(tmp_path / "a.npy", X)
    (tmp_path / "a.npy").write_bytes(damage((tmp_path / "a.npy").read_bytes()))
    with_memory(100)
    with pytest.raises(RequestError, match=r"a\.npy cannot be read") as caught:
        load_dataset(tmp_path / "a.npy")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({(20_011, 3): np.nan}, r"x holds 1 of 160,000 values that are NaN or infinite, the first nan at \(20011, 3\)"),
        ({(31_000, 0): -np.inf, (20_011, 3): 1e300}, r"holds 1 of .* the first -inf at \(31000, 0\)"),
        ({(39_999, 1): np.inf, (20_011, 3): np.nan}, r"holds 2 of .* the first nan at \(20011, 3\)"),
        ({(39_999, 1): 1e300, (20_011, 3): -1e200}, r"x holds -1e\+200 at \(20011, 3\); expected magnitudes below"),
    ],
)
@pytest.mark.parametrize("available", [100, None])
def test_a_wrong_value_deep_in_a_file_is_named_by_its_place(tmp_path, with_memory, monkeypatch, bad, said, available):
    x = np.zeros((40_000, 4))
    for place, value in bad.items():
        x[place] = value
    np.save(tmp_path / "a.npy", x)
    monkeypatch.setattr("vaekit.data.rows._BLOCK_BYTES", 32 * 777)
    with_memory(available)
    with pytest.raises(RequestError, match=rf"a\.npy: .*{said}"):
        load_dataset(tmp_path / "a.npy")


def test_bits_are_told_from_bytes_by_the_last_value(tmp_path, with_memory, monkeypatch):
    monkeypatch.setattr("vaekit.data.rows._BLOCK_BYTES", 50)
    x = np.ones((400, 3), np.uint8)
    with_memory(100)
    np.save(tmp_path / "a.npy", x)
    assert load_dataset(tmp_path / "a.npy").levels == 2
    x[-1, -1] = 2
    np.save(tmp_path / "a.npy", x)
    assert load_dataset(tmp_path / "a.npy").levels == 256


def test_a_file_that_changes_between_loading_and_reading_is_noticed(tmp_path, with_memory):
    np.save(tmp_path / "a.npy", X)
    with_memory(100)
    data = load_dataset(tmp_path / "a.npy")
    np.save(tmp_path / "a.npy", X[:5])
    with pytest.raises(RequestError, match=r"a\.npy has changed since it was opened"):
        np.asarray(data.train.x)
