import subprocess
import sys

import numpy as np
import pytest

from vaekit.data import Dataset, catalogue, load_dataset
from vaekit.errors import RequestError


def test_catalogue_is_cheap():
    code = (
        "import sys, vaekit.data as d; assert len(d.catalogue()) >= 4;"
        "assert not {'torch', 'sklearn', 'scipy', 'rich'} & set(sys.modules);"
        "d.Scale; assert 'torch' in sys.modules; assert set(d.__all__) <= set(dir(d)) | set(d.__all__)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# The faces are downloaded: test_faces.py reads them where they are.
@pytest.mark.parametrize("name", sorted(catalogue().keys() - {"olivetti"}))
def test_every_name_loads_and_is_whole(name):
    data = load_dataset(name)
    assert isinstance(data, Dataset)
    assert (data.name, data.reference, data.options) == (name, name, {})
    assert data.source
    assert data.note
    for split in data.splits.values():
        assert len(split) > 0
        assert split.x.shape[1:] == data.shape
        if split.labels is not None:
            assert (split.labels.dtype, split.labels.min(), split.labels.max()) == (
                np.int64,
                0,
                len(data.label_names) - 1,
            )
        x = split.x if isinstance(split.x, np.ndarray) else np.asarray(split.x[:500])
        if data.levels:
            assert x.dtype == np.uint8
            if data.suggested == "categorical":  # the least and the last symbol need not be there
                assert 0 <= x.min() < x.max() < data.levels
            else:
                assert (x.min(), x.max()) == (0, data.levels - 1)
        else:
            assert x.dtype == np.float32
            assert np.isfinite(x).all()
    assert load_dataset(name).fingerprint == data.fingerprint


@pytest.mark.parametrize("spelling", ["swiss_roll", "Swiss-Roll", "SWISS_ROLL"])
def test_spellings_of_a_name(spelling):
    data = load_dataset(spelling, n=50)
    assert (data.name, data.reference, data.options) == ("swiss-roll", spelling, {"n": 50})


def test_dataset_passes_through():
    data = load_dataset("swiss-roll", n=50)
    assert load_dataset(data) is data
    with pytest.raises(RequestError, match="loaded already, and n cannot change"):
        load_dataset(data, n=60)


def test_array_goes_through_with_its_options():
    x = np.arange(20.0)[:, None]
    data = load_dataset(x, labels=np.arange(20), seed=4, test=5)
    assert len(data.test) == 5
    assert data.options == {"seed": 4, "test": 5}
    assert np.array_equal(data.train.labels, data.train.x[:, 0])


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("minst", r"data is 'minst'; expected one of mnist, .*folder of images\. Did you mean 'mnist'\?"),
        ("mnist_statik", r"Did you mean 'mnist-static'"),
        ("zzz", r"data is 'zzz'; expected one of mnist, .* or a path to a \.npy or \.npz file"),
        ("", "data is ''; expected one of mnist"),
        ("data/zzz.npz", "data is 'data/zzz.npz', which does not exist; expected a path"),
        ("zzz.npy", "which does not exist"),
        ("./mnist", "which does not exist"),
        (7, "data is a int; expected a name, a path, a numpy array or a Dataset"),
        ([[1.0]], "data is a list"),
        (None, "data is a NoneType"),
    ],
)
def test_unknown_references_are_refused(reference, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RequestError, match=said) as caught:
        load_dataset(reference)
    assert "\n" not in str(caught.value)


def test_files_of_another_kind_are_refused(tmp_path):
    (tmp_path / "a.xls").write_text("")
    with pytest.raises(RequestError, match=r"a file that ends in '\.xls'; expected a path to a \.npy"):
        load_dataset(tmp_path / "a.xls")


def test_a_name_wins_over_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save(tmp_path / "x.npy", np.zeros((10, 2)))
    (tmp_path / "digits").mkdir()
    assert load_dataset("digits").shape == (1, 8, 8)
    with pytest.raises(RequestError, match="holds no file"):
        load_dataset("./digits")
    assert load_dataset("x.npy").reference == "x.npy"


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("mnist", {"size": 3}, "mnist was given the option 'size'; expected no options"),
        ("swiss-roll", {"noize": 1}, r"expected one of n, noise, seed\. Did you mean 'noise'"),
        ("swiss-roll", {"n": 9}, "n is 9; expected a number of points of at least 10"),
        ("swiss-roll", {"n": 1e3}, "n is 1000.0"),
        ("swiss-roll", {"noise": -1}, "noise is -1"),
        ("swiss-roll", {"noise": float("nan")}, "noise is nan"),
        ("swiss-roll", {"seed": -1}, "seed is -1"),
    ],
)
def test_wrong_options_are_refused(name, options, said):
    with pytest.raises(RequestError, match=said):
        load_dataset(name, **options)


def test_digits_split_is_stratified():
    data = load_dataset("digits")
    whole = sum(np.bincount(split.labels) for split in data.splits.values())
    for split, part in zip(data.splits.values(), (0.7, 0.1, 0.2), strict=True):
        assert np.abs(np.bincount(split.labels) - part * whole).max() <= 1
    images = {x.tobytes() for split in data.splits.values() for x in split.x}
    assert len(images) == 1797  # all different, so no image is in two splits


def test_swiss_roll_is_standardised_and_labelled_along_the_roll():
    data = load_dataset("swiss-roll", n=4000, noise=0.0)
    assert np.abs(data.train.x.mean(0)).max() < 1e-5
    assert np.abs(data.train.x.std(0) - 1).max() < 1e-5
    assert np.bincount(data.train.labels, minlength=10).min() > 200
    # The arms are far apart beside the points, so neighbours in space are neighbours along the roll.
    x, labels = data.train.x[:1500], data.train.labels[:1500]
    distance = ((x[:, None] - x) ** 2).sum(2) + 9 * np.eye(len(x))
    assert np.abs(labels - labels[distance.argmin(1)]).max() <= 1
    assert load_dataset("swiss-roll", seed=1).fingerprint != load_dataset("swiss-roll").fingerprint


def test_sprites_have_a_name_and_their_archive_is_known_by_its_layout(tmp_path):
    data = load_dataset("sprites")
    assert (data.shape, data.levels, len(data.train)) == ((1, 64, 64), 2, 717_280)
    classes = np.stack(np.unravel_index(np.arange(12), (1, 1, 2, 3, 2, 1)), axis=1)
    np.savez(
        tmp_path / "archive.npz",
        imgs=np.random.default_rng(0).integers(0, 2, (12, 8, 8)).astype(np.uint8),
        latents_classes=classes,
        latents_values=classes.astype(np.float64),
    )
    assert load_dataset(tmp_path / "archive.npz").shape == (1, 8, 8)
