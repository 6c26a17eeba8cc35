import numpy as np
import pytest

from vaekit.data import load_dataset
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
