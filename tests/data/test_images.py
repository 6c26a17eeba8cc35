import os
import re
import shutil
import time
import warnings
from unittest import mock

import numpy as np
import pytest
from PIL import Image

from vaekit.data import images, load_dataset
from vaekit.data.rows import LazyRows
from vaekit.errors import RequestError


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.asarray(pixels, np.uint8))
    image.save(path, **options)


def everything(data):
    """All images of a dataset, whatever split they are in, in order of their mean."""
    x = np.concatenate([split.x for split in data.splits.values()])
    return x[np.argsort(x.reshape(len(x), -1).mean(1), kind="stable")]


def fill(folder, n=12, size=(8, 10), start=0, ending="png"):
    for i in range(n):
        save(folder / f"{i:03}.{ending}", np.full(size, start + 10 * i))


def only(folder, **options):
    """Load a folder of one image, made three because a dataset has three splits."""
    path = next(p for p in folder.iterdir())
    for copy in ("copy1", "copy2"):
        (folder / f"{copy}{path.suffix}").write_bytes(path.read_bytes())
    data = load_dataset(folder, **options)
    assert np.array_equal(data.train.x, data.test.x)
    return data.train.x[0]


def test_one_size_is_kept_to_the_bit(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 9, 7), dtype=np.uint8)
    for i, image in enumerate(pixels):
        save(tmp_path / f"{i}.png", image)
    data = load_dataset(tmp_path)
    assert (data.shape, data.levels, data.name) == ((1, 9, 7), 256, tmp_path.name)
    assert {x.tobytes() for x in everything(data)} == {x.tobytes() for x in pixels}
    assert data.fingerprint == load_dataset(data.reference, **data.options).fingerprint


def test_dark_images_are_not_bits(tmp_path):
    fill(tmp_path, 1)
    assert only(tmp_path).max() == 0
    assert load_dataset(tmp_path).levels == 256


def test_many_sizes_become_64(tmp_path):
    fill(tmp_path, 6, (20, 30))
    save(tmp_path / "z.png", np.full((90, 40), 77))
    data = load_dataset(tmp_path)
    assert data.shape == (1, 64, 64)
    assert 77 in {int(x.min()) for x in everything(data)}  # a flat image stays flat, and keeps its level


@pytest.mark.parametrize(
    ("size", "shape"),
    [(16, (16, 16)), ("16", (16, 16)), ("12x20", (12, 20)), ([12, 20], (12, 20)), ("12X20", (12, 20))],
)
def test_size_is_height_by_width(tmp_path, size, shape):
    fill(tmp_path)
    assert load_dataset(tmp_path, size=size).shape == (1, *shape)


def test_default_crop_keeps_the_aspect_ratio_about_the_centre(tmp_path):
    wide = np.zeros((20, 60))
    wide[:, 20:40] = 200
    save(tmp_path / "a.png", wide)
    x = only(tmp_path, size=20)
    assert (x == 200).all()


def test_crop_takes_a_centred_square_first(tmp_path):
    framed = np.zeros((50, 40))
    framed[15:35, 10:30] = 200
    save(tmp_path / "a.png", framed)
    assert only(tmp_path, crop=20).shape == (1, 20, 20)  # one size after the crop, so it is kept
    assert (load_dataset(tmp_path, crop=20).train.x == 200).all()
    assert (load_dataset(tmp_path, crop=20, size=10).train.x == 200).all()
    assert (load_dataset(tmp_path, crop=500, size=10).train.x == 0).any()  # larger than the image: its largest square


@pytest.mark.parametrize(
    ("modes", "colour", "channels"),
    [
        (("L", "L"), "auto", 1),
        (("L", "RGB"), "auto", 3),
        (("RGB", "P"), "auto", 3),
        (("1", "LA"), "auto", 1),
        (("RGB", "RGB"), "grey", 1),
        (("L", "L"), "rgb", 3),
        (("RGBA", "I;16"), "auto", 3),
    ],
)
def test_colour(tmp_path, modes, colour, channels):
    for i in range(6):
        save(tmp_path / f"{i}.png", Image.new(modes[i % 2], (8, 8)))
    assert load_dataset(tmp_path, colour=colour).shape == (channels, 8, 8)


def test_channels_are_red_green_blue(tmp_path):
    save(tmp_path / "a.png", np.broadcast_to(np.uint8([10, 20, 30]), (4, 5, 3)))
    assert only(tmp_path)[:, 2, 2].tolist() == [10, 20, 30]


def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path):
    levels = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)
    Image.fromarray(levels).save(tmp_path / "a.png")
    assert np.array_equal(only(tmp_path)[0].ravel(), np.arange(256))


@pytest.mark.parametrize(("top", "dtype"), [(1.0, np.float32), (255.0, np.float32), (65535, np.int32)])
def test_other_grey_is_scaled_by_its_range(tmp_path, top, dtype):
    Image.fromarray((np.linspace(0, 1, 16).reshape(4, 4) * top).astype(dtype)).save(tmp_path / "a.tiff")
    assert np.abs(only(tmp_path)[0].ravel() - np.linspace(0, 255, 16)).max() <= 0.5 + 1e-3


def test_transparency_lies_on_white(tmp_path):
    rgba = np.zeros((4, 4, 4), np.uint8)
    rgba[..., 3] = [0, 51, 204, 255]
    save(tmp_path / "rgba" / "a.png", rgba)
    assert only(tmp_path / "rgba")[:, 0].tolist() == [[255, 204, 51, 0]] * 3
    save(tmp_path / "la" / "a.png", Image.fromarray(rgba).convert("LA"))
    assert only(tmp_path / "la")[:, 0].tolist() == [[255, 204, 51, 0]]
    grey = Image.fromarray(np.uint8([[7, 9], [7, 9]]))
    save(tmp_path / "key" / "a.png", grey, transparency=7)
    assert only(tmp_path / "key")[0].tolist() == [[255, 9], [255, 9]]


@pytest.mark.parametrize("ending", ["jpg", "png", "tiff"])
def test_camera_orientation_is_undone(tmp_path, ending):
    image = Image.fromarray(np.uint8([[0] * 32] * 8 + [[255] * 32] * 8))  # dark above, light below, 16 high, 32 wide
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90° clockwise: then dark is on the right
    image.save(tmp_path / f"a.{ending}", exif=exif)
    x = only(tmp_path)
    assert x.shape == (1, 32, 16)
    assert x[0, :, :6].min() > 240
    assert x[0, :, 10:].max() < 15


def test_classes_from_subfolders(tmp_path):
    for start, name in ((0, "cat"), (1, "dog"), (2, "Ant")):
        fill(tmp_path / name, 10, start=start)
    save(tmp_path / "dog" / "deeper" / "a.png", np.full((8, 10), 201))
    data = load_dataset(tmp_path)
    assert data.label_names == ("Ant", "cat", "dog")
    for split in data.splits.values():
        for image, label in zip(split.x, split.labels, strict=True):
            assert data.label_names[label] == ["cat", "dog", "Ant"][int(image.min()) % 10]


def test_one_subfolder_or_loose_images_are_no_classes(tmp_path):
    fill(tmp_path / "one" / "img_align", 5)
    assert load_dataset(tmp_path / "one").train.labels is None
    fill(tmp_path / "two" / "a", 5)
    fill(tmp_path / "two" / "b", 5)
    save(tmp_path / "two" / "loose.png", np.zeros((8, 10)))
    data = load_dataset(tmp_path / "two")
    assert data.train.labels is None
    assert sum(len(split) for split in data.splits.values()) == 11


def test_subfolders_that_are_splits(tmp_path):
    for part, n, start in (("train", 6, 0), ("Val", 3, 1), ("test", 4, 2)):
        fill(tmp_path / part / "a", n, start=start)
        fill(tmp_path / part / "b", n, start=start + 3)
    data = load_dataset(tmp_path)
    assert [len(split) for split in data.splits.values()] == [12, 6, 8]
    for kind, split in enumerate(data.splits.values()):
        assert {int(x.min()) % 10 for x in split.x} == {kind, kind + 3}
        assert split.labels.tolist() == [0] * (len(split) // 2) + [1] * (len(split) // 2)
    assert data.label_names == ("a", "b")


def test_a_missing_split_is_drawn_from_train(tmp_path):
    fill(tmp_path / "train", 20)
    fill(tmp_path / "test", 4, start=5)
    data = load_dataset(tmp_path)
    assert [len(split) for split in data.splits.values()] == [18, 2, 4]
    assert {int(x.min()) % 10 for x in data.test.x} == {5}


def test_train_is_a_class_among_others(tmp_path):
    fill(tmp_path / "train", 6)
    fill(tmp_path / "tram", 6)
    assert load_dataset(tmp_path).label_names == ("train", "tram")


def test_train_alone_is_looked_into(tmp_path):
    fill(tmp_path / "train" / "a", 6)
    fill(tmp_path / "train" / "b", 6)
    assert load_dataset(tmp_path).label_names == ("a", "b")


def test_order_does_not_depend_on_the_directory(tmp_path):
    fill(tmp_path, 20)
    first = load_dataset(tmp_path).fingerprint
    walk = os.walk

    def backwards(root):
        for folder, below, names in walk(root):
            yield folder, below, names[::-1]

    with mock.patch.object(images.os, "walk", backwards):
        assert load_dataset(tmp_path).fingerprint == first


def damage(path, how):
    content = path.read_bytes()
    if how == "cut":
        path.write_bytes(content[: len(content) * 2 // 3])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "text":
        path.write_bytes(b"<html>404</html>")
    elif how == "flipped":
        path.write_bytes(content[:60] + bytes(b ^ 0xFF for b in content[60:90]) + content[90:])


@pytest.mark.parametrize("how", ["cut", "empty", "text", "flipped"])
def test_damaged_files_are_skipped_and_counted(tmp_path, how):
    noise = np.random.default_rng(0).integers(0, 256, (10, 20, 20), dtype=np.uint8)
    for i, image in enumerate(noise):
        save(tmp_path / f"{i}.png", image)
    for i in (2, 5):
        damage(tmp_path / f"{i}.png", how)
    with pytest.warns(UserWarning, match=r"8 images, 2 skipped because damaged or too large: 2\.png, 5\.png") as caught:
        data = load_dataset(tmp_path)
    assert len(caught) == 1
    assert data.note.startswith("8 images, 2 skipped")
    assert {x.tobytes() for x in everything(data)} == {noise[i].tobytes() for i in range(10) if i not in (2, 5)}


def test_too_many_pixels_are_skipped(tmp_path, monkeypatch):
    fill(tmp_path, 8)
    save(tmp_path / "large.png", np.zeros((40, 40)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # 1,600 would only warn, 80,000 raise
    save(tmp_path / "larger.png", np.zeros((200, 400)))
    with pytest.warns(UserWarning, match="8 images, 2 skipped") as caught:
        assert load_dataset(tmp_path).shape == (1, 8, 10)
    assert len(caught) == 1


def test_postscript_is_never_run(tmp_path):
    fill(tmp_path, 8)
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EOF\n")
    with mock.patch("subprocess.check_call") as run, pytest.warns(UserWarning, match="1 skipped"):
        load_dataset(tmp_path)
    assert not run.called


def test_other_files_are_passed_over_in_silence(tmp_path):
    fill(tmp_path, 8)
    (tmp_path / "labels.csv").write_text("a,b")
    (tmp_path / ".hidden.png").write_bytes(b"")
    fill(tmp_path / ".cache", 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = load_dataset(tmp_path)
    assert sum(len(split) for split in data.splits.values()) == 8


@pytest.mark.parametrize("ending", ["jpg", "bmp", "gif", "webp", "tiff", "ppm"])
def test_formats(tmp_path, ending):
    fill(tmp_path, 6, ending=ending)
    data = load_dataset(tmp_path, colour="grey")
    assert data.shape == (1, 8, 10)
    assert np.abs(everything(data).mean((1, 2, 3)) - 10 * np.arange(6)).max() <= 1


def test_large_jpeg_decodes_small_as_it_does_whole(tmp_path):
    ramp = np.add.outer(np.linspace(0, 127, 800), np.linspace(0, 127, 1200))
    save(tmp_path / "a.jpg", ramp, quality=95)
    x = only(tmp_path, size=32)
    whole = Image.open(tmp_path / "a.jpg").crop((200, 0, 1000, 800)).resize((32, 32), Image.Resampling.LANCZOS)
    assert np.abs(x[0].astype(int) - np.asarray(whole).astype(int)).max() <= 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"size": 0}, "size is 0; expected pixels"),
        ({"size": "12x"}, "size is '12x'"),
        ({"size": "1x2x3"}, "size is"),
        ({"size": 12.5}, "size is 12.5"),
        ({"size": True}, "size is True"),
        ({"size": "big"}, "size is 'big'"),
        ({"crop": 0}, "crop is 0; expected the side of a square"),
        ({"crop": "140"}, "crop is '140'"),
        ({"colour": "gray"}, r"colour is 'gray'; expected auto, grey or rgb\. Did you mean 'grey'"),
        ({"color": "grey"}, r"the option 'color'.*Did you mean 'colour'"),
        ({"validation": 2.0}, "expected a part from 0 to below 1"),
        ({"size": 10**7}, r"take 745,058\.1 GiB, which neither memory has room for nor .*: pass a smaller size"),
    ],
)
def test_wrong_options_are_refused(tmp_path, options, said):
    fill(tmp_path, 8)
    with pytest.raises(RequestError, match=said):
        load_dataset(tmp_path, **options)


def test_folder_without_images_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(RequestError, match="holds no file that ends as an image does"):
        load_dataset(tmp_path)
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(RequestError, match=r"holds no readable image to train on: 1 of 1 .*such as a\.png"):
        load_dataset(tmp_path)


def test_many_files_go_through_with_a_bar(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "_PROGRESS_FROM", 300)
    for i in range(301):
        save(tmp_path / f"{i:03}.bmp", np.full((4, 4), i % 256))
    data = load_dataset(tmp_path)
    assert sum(len(split) for split in data.splits.values()) == 301


# Folders that do not fit in memory.


@pytest.fixture
def noise(tmp_path):
    """A folder of classes, with two damaged files in it."""
    pixels = np.random.default_rng(0).integers(0, 256, (24, 9, 7, 3), dtype=np.uint8)
    for i, image in enumerate(pixels):
        save(tmp_path / "images" / "ab"[i % 2] / f"{i:02}.png", image)
    for name in ("a/04.png", "b/13.png"):
        damage(tmp_path / "images" / name, "cut")
    return tmp_path / "images"


def quiet(*arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load_dataset(*arguments, **options)


@pytest.mark.parametrize("options", [{}, {"size": "5x6", "colour": "grey"}, {"crop": 4, "seed": 3, "test": 5}])
@pytest.mark.parametrize("splits", [False, True])
def test_a_folder_that_does_not_fit_is_the_same_but_read_as_needed(noise, with_memory, cache, options, splits):
    if splits:
        for i, part in enumerate(("train", "val", "test")):
            fill(noise / part / "a", 6, (9, 7), start=i)
            fill(noise / part / "b", 6, (9, 7), start=i + 3)
        for name in ("a", "b"):
            shutil.rmtree(noise / name)
    whole = quiet(noise, **options)
    assert not cache.exists()
    with_memory(100)
    lazy = quiet(noise, **options)
    again = quiet(noise, **options)
    with_memory(None)
    back = quiet(noise, **options)
    for data, kind in ((lazy, LazyRows), (again, LazyRows), (back, np.ndarray)):
        assert (data.shape, data.levels, data.label_names, data.note, data.suggested) == (
            whole.shape, 256, whole.label_names, whole.note, "gaussian",
        )  # fmt: skip
        for name, split in whole.splits.items():
            assert isinstance(data.splits[name].x, kind)
            np.testing.assert_array_equal(np.asarray(data.splits[name].x), split.x)
            np.testing.assert_array_equal(data.splits[name].labels, split.labels)
        assert data.fingerprint == whole.fingerprint


def test_images_are_decoded_once_and_that_is_said(noise, with_memory, cache, monkeypatch):
    with_memory(100)
    with pytest.warns(UserWarning, match="images") as caught:
        load_dataset(noise)
    said = [str(warning.message) for warning in caught]
    assert len(said) == 2
    assert re.search(r"24 images of 9x7 do not fit in memory; they were decoded once, to .*can be deleted", said[0])
    assert "22 images, 2 skipped because damaged or too large: 04.png, 13.png" in said[1]
    assert caught[0].filename == caught[1].filename
    assert sorted(path.suffix for path in cache.iterdir()) == [".bytes", ".json"]
    assert next(cache.glob("*.bytes")).stat().st_size == 22 * 9 * 7 * 3
    monkeypatch.setattr(images, "decode", None)
    monkeypatch.setattr(images, "header", None)
    with pytest.warns(UserWarning, match="2 skipped") as caught:
        load_dataset(noise)
    assert len(caught) == 1


@pytest.mark.parametrize("change", ["pixels", "new", "gone", "time", "size", "colour"])
def test_a_folder_that_changed_is_decoded_anew(noise, with_memory, cache, change):
    with_memory(100)
    quiet(noise)
    path, options = noise / "a" / "00.png", {}
    if change == "pixels":
        save(path, np.zeros((9, 7, 3)))
    elif change == "new":
        save(noise / "a" / "99.png", np.zeros((9, 7, 3)))
    elif change == "gone":
        path.unlink()
    elif change == "time":
        os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    else:
        options = {"size": {"size": 8}, "colour": {"colour": "grey"}}[change]
    lazy = quiet(noise, **options)
    assert len(list(cache.glob("*.bytes"))) == 2
    with_memory(None)
    shutil.rmtree(cache)
    assert quiet(noise, **options).fingerprint == lazy.fingerprint


def test_the_cache_is_deleted_at_will(noise, with_memory, cache):
    with_memory(100)
    data = quiet(noise)
    shutil.rmtree(cache)
    assert np.asarray(data.train.x).shape == (18, 3, 9, 7)  # an open file stays
    assert quiet(noise).fingerprint == data.fingerprint


@pytest.mark.parametrize("file", ["*.bytes", "*.json"])
def test_a_damaged_cache_is_made_again(noise, with_memory, cache, file):
    with_memory(100)
    quiet(noise)
    path = next(cache.glob(file))
    whole = path.read_bytes()
    path.write_bytes(whole[:10])
    assert np.asarray(quiet(noise).train.x).shape == (18, 3, 9, 7)
    assert path.read_bytes() == whole


def test_a_stop_while_decoding_leaves_nothing_that_counts(noise, with_memory, cache, monkeypatch):
    with_memory(100)
    cache.mkdir()
    old, young = cache / ".images-1.bytes.12.tmp", cache / ".images-2.bytes.12.tmp"
    other = cache / "images-3.bytes"
    for path, age in ((old, 7200), (young, 0), (other, 7200)):
        path.write_bytes(b"half")
        os.utime(path, (time.time() - age,) * 2)
    decode = images.decode

    def stop(path, **options):
        if path.name == "20.png":
            raise KeyboardInterrupt
        return decode(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(images, "decode", stop)
        with pytest.raises(KeyboardInterrupt):
            quiet(noise)
    assert sorted(cache.iterdir()) == [young, other]
    assert len(quiet(noise).train) == 18


def test_no_room_on_the_disk_is_said(noise, with_memory, cache, monkeypatch):
    with_memory(100)
    monkeypatch.setattr("vaekit.data.decoded.shutil.disk_usage", lambda path: mock.Mock(free=100))
    with pytest.raises(RequestError, match=r"which neither memory has room for nor .*\(no space left on the disk\)"):
        quiet(noise)
    assert list(cache.iterdir()) == []


def test_a_link_that_leads_nowhere_is_skipped(noise):
    (noise / "a" / "link.png").symlink_to(noise / "nowhere.png")
    assert quiet(noise).note.startswith("22 images, 3 skipped")
