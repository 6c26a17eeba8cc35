import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn import datasets

from vaekit.data import celeba, load_dataset
from vaekit.errors import RequestError

FACES = Path(__file__).parents[3] / "shared" / "data" / "faces"
NAMES = [f"Trait_{number}" for number in range(39)] + ["Smiling"]


def picture(number):
    """A face of CelebA's size: a grey of its own, in a red frame that the crop takes away."""
    pixels = np.zeros((218, 178, 3), np.uint8)
    pixels[..., 0] = 255
    pixels[35:183, 15:163] = 10 * number
    return Image.fromarray(pixels)


def write(root, n=10, partition=None, anno="", ending=""):
    """CelebA's layout with n faces; who has attribute a is who has bit a % 4 in the number."""
    images = root / ("Img" if anno else "") / "img_align_celeba"
    images.mkdir(parents=True)
    (root / anno).mkdir(exist_ok=True)
    rows = []
    for number in range(1, n + 1):
        name = f"{number:06}.jpg"
        picture(number).save(images / name, quality=95, subsampling=0)
        rows.append(name + " " + " ".join(" 1" if number >> (a % 4) & 1 else "-1" for a in range(40)))
    lines = [str(n), " ".join(NAMES) + " ", *rows]
    (root / anno / "list_attr_celeba.txt").write_text("\n".join(lines) + ending)
    if partition is not None:
        folder = root / ("Eval" if anno else "")
        folder.mkdir(exist_ok=True)
        text = "".join(f"{i:06}.jpg {split}\n" for i, split in enumerate(partition, 1))
        (folder / "list_eval_partition.txt").write_text(text)


def numbers(split):
    """The numbers of the faces of a split, read from their greys."""
    return np.rint(split.x.mean((1, 2, 3)) / 10).astype(int).tolist()


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VAEKIT_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("anno", ["", "Anno"])
def test_celeba_is_recognised_with_its_partition_and_attributes(tmp_path, anno):
    root = tmp_path / "celeba"
    write(root, partition=[0, 0, 2, 0, 1, 0, 0, 2, 1, 0], anno=anno, ending="\n\n")
    data = load_dataset(root)
    assert (data.name, data.shape, data.levels, data.label_names) == ("celeba", (3, 64, 64), 256, None)
    assert {name: numbers(split) for name, split in data.splits.items()} == {
        "train": [1, 2, 4, 6, 7, 10],
        "validation": [5, 9],
        "test": [3, 8],
    }
    assert data.context_names == tuple(NAMES)
    for split in data.splits.values():
        bits = np.array([[n >> (a % 4) & 1 for a in range(40)] for n in numbers(split)], np.float32)
        assert split.context.dtype == np.float32
        assert np.array_equal(split.context, bits)
        # Nothing of the frame is left: red is as the other colours, but where JPEG rings beside it.
        assert np.ptp(split.x[..., 4:-4, 4:-4].astype(int), axis=1).max() <= 6
    assert data.fingerprint == load_dataset(data.reference, **data.options).fingerprint


def test_an_attribute_can_be_the_class(tmp_path):
    write(tmp_path, partition=[0] * 6 + [1, 1, 2, 2])
    data = load_dataset(tmp_path, label="Smiling", size=16, crop=100)
    assert (data.shape, data.classes, data.label_names) == ((3, 16, 16), 2, ("not Smiling", "Smiling"))
    assert data.train.labels.tolist() == [n >> (39 % 4) & 1 for n in range(1, 7)]
    with pytest.raises(RequestError, match="Did you mean 'Smiling'"):
        load_dataset(tmp_path, label="smiling")


def test_crop_is_the_square_at_the_centre(tmp_path):
    write(tmp_path, n=4, partition=[0, 0, 1, 2])
    data = load_dataset(tmp_path, size=178, crop=178)
    face = data.train.x[0]
    red = (face[0].astype(int) - face[1]) > 128
    # 178 by 178 of 178 by 218: the frame is 15 wide at either side, and 35 - 20 above and below.
    assert np.flatnonzero(~red[89]).tolist() == list(range(15, 163))
    assert np.flatnonzero(~red[:, 89]).tolist() == list(range(15, 163))


def test_damaged_and_missing_faces_are_skipped_and_counted(tmp_path):
    write(tmp_path, partition=[0] * 8 + [1, 2])
    images = tmp_path / "img_align_celeba"
    (images / "000002.jpg").write_bytes((images / "000002.jpg").read_bytes()[:700])
    (images / "000005.jpg").unlink()
    with pytest.warns(UserWarning, match=r"2 of 10 images are missing or damaged, as 000002.jpg"):
        data = load_dataset(tmp_path)
    assert "2 skipped" in data.note
    assert numbers(data.train) == [1, 3, 4, 6, 7, 8]
    assert data.train.context[:, 0].tolist() == [1, 1, 0, 0, 1, 0]


def test_without_a_partition_splits_are_drawn_and_attributes_stay_with_their_faces(tmp_path):
    write(tmp_path, n=20)
    data = load_dataset(tmp_path, validation=4, test=5)
    assert [len(split) for split in data.splits.values()] == [11, 4, 5]
    assert "drawn at random" in data.note
    assert sorted(n for split in data.splits.values() for n in numbers(split)) == list(range(1, 21))
    for split in data.splits.values():
        assert [n & 1 for n in numbers(split)] == split.context[:, 0].tolist()
    assert numbers(load_dataset(tmp_path, seed=1).train) != numbers(load_dataset(tmp_path).train)


def test_many_faces_are_decoded_once(tmp_path, monkeypatch):
    write(tmp_path, partition=[0, 2, 0, 1] * 2 + [0, 0])
    direct = load_dataset(tmp_path)
    (tmp_path / "img_align_celeba" / "000003.jpg").write_bytes(b"")
    monkeypatch.setattr(celeba, "_KEPT_FROM", 5)
    with pytest.warns(UserWarning, match="1 of 10"):
        first = load_dataset(tmp_path)
    monkeypatch.setattr(celeba, "decode", None)  # no image is opened again
    with pytest.warns(UserWarning, match="1 of 10"):
        again = load_dataset(tmp_path)
    assert again.fingerprint == first.fingerprint
    assert np.array_equal(np.asarray(again.test.x), direct.test.x)
    assert numbers(again.train) == [1, 5, 7, 9, 10]
    monkeypatch.setattr("vaekit.data.memory.BUDGET", 0)  # read from the file as needed
    with pytest.warns(UserWarning, match="1 of 10"):
        lazy = load_dataset(tmp_path)
    assert not isinstance(lazy.train.x, np.ndarray)
    assert lazy.fingerprint == first.fingerprint


def test_dark_faces_are_not_bits(tmp_path):
    write(tmp_path, n=3, partition=[0, 1, 2])
    for path in (tmp_path / "img_align_celeba").iterdir():
        Image.new("RGB", (178, 218)).save(path)
    assert load_dataset(tmp_path).levels == 256


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("list_attr_celeba.txt", "3\nA B\n000001.jpg 1 -1\n000002.jpg 1\n", r"'000002.jpg 1' in line 4"),
        ("list_attr_celeba.txt", "3\nA B\n000001.jpg 1 0\n", "1 or -1"),
        ("list_attr_celeba.txt", "", "holds 0 lines"),
        ("list_eval_partition.txt", "000001.jpg 3\n", "0, 1 or 2"),
        ("list_eval_partition.txt", "000001.jpg 0\n", "lacks 3 of the images"),
    ],
)
def test_lists_that_are_not_as_published(tmp_path, file, text, words):
    write(tmp_path, n=4, partition=[0, 0, 1, 2])
    (tmp_path / file).write_text(text)
    with pytest.raises(RequestError, match=words):
        load_dataset(tmp_path)


def test_what_cannot_be_read_is_refused(tmp_path):
    write(tmp_path, n=4, partition=[1, 1, 1, 2])
    with pytest.raises(RequestError, match="no face to train on"):
        load_dataset(tmp_path)
    with pytest.raises(RequestError, match="size is 0"):
        load_dataset(tmp_path, size=0)
    (tmp_path / "img_align_celeba").rename(tmp_path / "other")
    with pytest.raises(RequestError, match="no folder img_align_celeba"):
        load_dataset(tmp_path)


def test_olivetti_says_what_to_do_where_it_is_missing(tmp_path, monkeypatch):
    with pytest.raises(RequestError, match=r"download is off; expected scikit-learn's olivetti_py3\.pkz there"):
        load_dataset("olivetti", folder=str(tmp_path), download=False)

    def offline(**options):
        assert options == {"data_home": str(tmp_path), "download_if_missing": True}
        raise OSError("no route to host")

    monkeypatch.setattr(datasets, "fetch_olivetti_faces", offline)
    with pytest.raises(RequestError, match=r"no route to host.*connect to the internet once"):
        load_dataset("olivetti", folder=str(tmp_path))


def test_a_damaged_olivetti_file_is_named(tmp_path):
    (tmp_path / "olivetti_py3.pkz").write_bytes(b"nothing of the kind")
    with pytest.raises(RequestError, match="cannot be read"):
        load_dataset("olivetti", folder=str(tmp_path), download=False)


@pytest.mark.skipif(not (FACES / "olivetti_py3.pkz").exists(), reason="needs the Olivetti faces, which do not ship")
def test_olivetti_is_whole_and_every_person_is_in_every_split():
    data = load_dataset("olivetti", folder=str(FACES), download=False)
    assert (data.shape, data.levels, data.classes) == ((1, 64, 64), 243, 40)
    for split, each in zip(data.splits.values(), (7, 1, 2), strict=True):
        assert np.bincount(split.labels).tolist() == [each] * 40
    # Nothing is rounded, and every picture is there once.
    theirs = datasets.fetch_olivetti_faces(data_home=FACES, download_if_missing=False)
    ours = np.concatenate([split.x for split in data.splits.values()])
    labels = np.concatenate([split.labels for split in data.splits.values()])
    rows = {image.tobytes(): person for image, person in zip(theirs.images, theirs.target, strict=True)}
    found = {(x[0] / 242).astype(np.float32).round(6).tobytes(): p for x, p in zip(ours, labels, strict=True)}
    assert {np.frombuffer(b, np.float32).round(6).tobytes(): p for b, p in rows.items()} == found
    assert len(found) == 400


@pytest.mark.skipif(not (FACES / "celeba").exists(), reason="needs faces of CelebA, which do not ship")
def test_celeba_as_it_is():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = load_dataset(FACES / "celeba", size=16)
    assert sum(len(split) for split in data.splits.values()) == 999
    assert len(data.context_names) == 40
    # Women of this sample wear lipstick, and men beards: columns are where the names say.
    has = dict(zip(data.context_names, data.train.context.T, strict=True))
    assert np.corrcoef(has["Male"], has["Wearing_Lipstick"])[0, 1] < -0.6
    assert np.corrcoef(has["Male"], has["No_Beard"])[0, 1] < -0.3
    # And rows are whose the names say: blond faces are brighter at the top than black-haired ones.
    top = data.train.x[:, :, :3].mean((1, 2, 3))
    assert top[has["Blond_Hair"] == 1].mean() > top[has["Black_Hair"] == 1].mean() + 30
