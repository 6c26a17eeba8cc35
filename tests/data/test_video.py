r"""Videos are read frame by frame at their own times; pairs and regressions keep inputs beside outputs."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vaekit.data import load_dataset
from vaekit.errors import RequestError

av = pytest.importorskip("av")

VIDEO = Path(__file__).parents[3] / "shared" / "data" / "video"


def movie(n=30, height=32, width=48, seed=0):
    """Smooth colours that move, so that a codec keeps them: uint8 (n, H, W, 3)."""
    t, y, x = np.meshgrid(np.arange(n) / n, np.arange(height) / height, np.arange(width) / width, indexing="ij")
    waves = [np.sin(2 * np.pi * (x + k * t + 0.2 * seed) + k * y) for k in (1, 2, 3)]
    return np.rint(127.5 + 100 * np.stack(waves, -1)).astype(np.uint8)


def write(path, frames, fps=Fraction(30), codec="libx264"):
    """Write a video that is nearly lossless."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv444p" if codec == "libx264" else "yuv420p"
        if codec == "libx264":
            stream.options = {"crf": "1"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


WHOLE = {"validation": 0, "test": 0}


@pytest.mark.parametrize("ending", ["mp4", "mkv", "mov"])
@pytest.mark.parametrize("fps", [Fraction(25), Fraction(30000, 1001), Fraction(7)])
def test_a_video_comes_back_with_its_frames_and_times(tmp_path, ending, fps):
    frames = movie()
    data = load_dataset(write(tmp_path / f"a.{ending}", frames, fps), size="32x48", **WHOLE)
    assert (data.shape, data.levels, data.suggested, len(data.train)) == ((3, 32, 48), 256, "gaussian", 30)
    assert np.abs(data.train.x.astype(int) - np.moveaxis(frames, 3, 1)).max() <= 10
    tolerance = 6e-4 if ending == "mkv" else 1e-6  # Matroska counts in milliseconds
    np.testing.assert_allclose(data.train.context[:, 0], np.arange(30) / float(fps), atol=tolerance)
    assert data.train.spans == {0: slice(0, 30)}


def test_steps_and_limits_keep_the_times_of_the_frames_they_leave(tmp_path):
    path = write(tmp_path / "a.mp4", movie())
    whole = load_dataset(path, size="32x48", **WHOLE).train
    some = load_dataset(path, size="32x48", step=4, limit=5, **WHOLE).train
    np.testing.assert_array_equal(some.x, whole.x[:20:4])
    np.testing.assert_array_equal(some.context, whole.context[:20:4])


def test_frames_are_cropped_resized_and_grey_as_images_are(tmp_path):
    frames = movie(6, 64, 96)
    path = write(tmp_path / "a.mp4", frames)
    crop = load_dataset(path, size=32, crop=32, colour="grey", **WHOLE).train.x
    grey = frames[:, 16:48, 32:64].astype(float) @ [0.299, 0.587, 0.114]
    assert crop.shape == (6, 1, 32, 32)
    assert np.abs(crop[:, 0] - grey).max() <= 8
    # Made small in two steps, and in one by Pillow.
    small = load_dataset(path, size="12x16", **WHOLE).train.x
    for frame, made in zip(frames, small, strict=True):
        expected = Image.fromarray(frame[:, 5:-5]).resize((16, 12), Image.Resampling.LANCZOS)
        assert np.abs(np.moveaxis(made, 0, 2).astype(int) - np.asarray(expected)).max() <= 12


def test_a_folder_is_a_sequence_a_file_and_damaged_ones_are_counted(tmp_path):
    for number, n in enumerate((10, 20, 30)):
        write(tmp_path / f"{number}.mp4", movie(n, seed=number))
    (tmp_path / "3.mp4").write_bytes(b"\0" * 2000)
    (tmp_path / "4.avi").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("no video")
    with pytest.warns(UserWarning, match=r"3 videos, 2 skipped because damaged: 3\.mp4 \(.*4\.avi") as caught:
        data = load_dataset(tmp_path, size=16)
    assert len(caught) == 1
    assert data.note.startswith("3 videos, 2 skipped")
    assert data.label_names == ("0", "1", "2")
    assert {k: s.stop - s.start for k, s in data.train.spans.items()} == {0: 8, 1: 16, 2: 24}
    assert (data.train.context[[s.start for s in data.train.spans.values()]] == 0).all()
    with pytest.raises(RequestError, match=r"3\.mp4 cannot be read"):
        load_dataset(tmp_path / "3.mp4")


def test_what_comes_before_the_damage_is_kept(tmp_path):
    path = write(tmp_path / "a.mkv", movie(60), codec="mpeg4")
    whole = load_dataset(path, **WHOLE).train
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    some = load_dataset(path, **WHOLE).train
    assert 5 < len(some) < 60
    np.testing.assert_array_equal(some.x[: len(some) - 1], whole.x[: len(some) - 1])


def test_without_pyav_it_is_said_how_to_get_it(tmp_path, monkeypatch):
    path = write(tmp_path / "a.mp4", movie(3))
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(RequestError, match=r'pip install "vaekit\[video\]"'):
        load_dataset(path)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"size": 0}, "size is 0"),
        ({"size": None}, "size is None"),
        ({"crop": 0}, "crop is 0"),
        ({"colour": "auto"}, "colour is 'auto'; expected grey or rgb"),
        ({"step": 0}, "step is 0"),
        ({"limit": 0.5}, "limit is 0.5"),
        ({"size": 10**6}, "which memory has no room"),
    ],
)
def test_wrong_options_are_refused(tmp_path, options, said):
    path = write(tmp_path / "a.mp4", movie(3))
    with pytest.raises(RequestError, match=said.replace("which", "for which")):
        load_dataset(path, **options)


@pytest.mark.skipif(not VIDEO.is_dir(), reason="the folder of videos is not here")
def test_a_real_video_has_its_length_and_rate():
    data = load_dataset(VIDEO / "carphone.mp4", **WHOLE)
    assert len(data.train) == 120
    np.testing.assert_allclose(data.train.context[:, 0], np.arange(120) * 1001 / 30000, atol=1e-5)


# Pairs.


def pairs(folder, n=10, start=0):
    """Images whose grey is ten times the first number of their pose."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(start, start + n):
        Image.fromarray(np.full((6, 8), 10 * number, np.uint8)).save(folder / f"{number:02}.png")
    return np.stack([np.arange(start, start + n), np.random.default_rng(0).normal(size=n)], 1)


def matched(split):
    """Whether every image is beside its own pose."""
    return np.rint(split.x.mean((1, 2, 3)) / 10).tolist() == split.context[:, 0].tolist()


@pytest.mark.parametrize("ending", ["npy", "csv", "names", "heading"])
def test_images_stay_beside_their_poses(tmp_path, ending):
    poses = pairs(tmp_path)
    rows = [",".join(map(str, row)) for row in poses]
    if ending == "npy":
        np.save(tmp_path / "poses.npy", poses.reshape(10, 2, 1))
    elif ending == "names":
        lines = [f"{number:02}.png,{row}" for number, row in enumerate(rows)]
        (tmp_path / "poses.csv").write_text("\n".join(["image,a,b", *lines[::-1]]))  # in an order of their own
    else:
        (tmp_path / "poses.csv").write_text("\n".join((["a,b"] if ending == "heading" else []) + rows) + "\n")
    data = load_dataset(tmp_path)
    assert (data.shape, data.levels) == ((1, 6, 8), 256)
    assert all(matched(split) for split in data.splits.values())
    order = np.concatenate([split.context[:, 0] for split in data.splits.values()])
    assert order.tolist() == (list(range(10))[::-1] if ending == "names" else list(range(10)))
    np.testing.assert_allclose(data.train.context[0], poses[int(order[0])], atol=1e-6)


def test_a_damaged_image_is_skipped_with_its_pose_and_folders_are_sequences(tmp_path):
    for name, start in (("b", 10), ("a", 0)):
        np.save(tmp_path / name / "poses.npy", pairs(tmp_path / name, 10, start))
    (tmp_path / "a" / "03.png").write_bytes(b"no image")
    with pytest.warns(UserWarning, match=r"19 images, 1 skipped because damaged or too large: 03\.png"):
        data = load_dataset(tmp_path, **WHOLE)
    assert data.train.context[:, 0].tolist() == [n for n in range(20) if n != 3]
    assert matched(data.train)
    assert (data.train.spans, data.label_names) == ({0: slice(0, 9), 1: slice(9, 19)}, ("a", "b"))


def test_poses_that_do_not_fit_are_refused(tmp_path):
    pairs(tmp_path)
    np.save(tmp_path / "poses.npy", np.zeros((9, 2)))
    with pytest.raises(RequestError, match=r"poses of shape \(9, 2\) .* 10 images"):
        load_dataset(tmp_path)
    (tmp_path / "poses.npy").unlink()
    (tmp_path / "poses.csv").write_text("1,2\n3,x\n")
    with pytest.raises(RequestError, match=r"has the row '3,x'; expected 2 numbers"):
        load_dataset(tmp_path)
    (tmp_path / "poses.csv").unlink()
    with pytest.raises(RequestError, match=r"holds no poses\.npy and no poses\.csv"):
        load_dataset(tmp_path, kind="pairs")


# Inputs and outputs in a file.


def test_inputs_and_outputs_of_a_regression_are_context_and_examples(tmp_path):
    t = np.arange(30) / 30
    y = np.stack([np.sin(t), np.cos(t), t], 1)
    np.savez(tmp_path / "a.npz", x=t, y=y, sequence=np.repeat([0, 1], 15))
    data = load_dataset(tmp_path / "a.npz", **WHOLE)
    np.testing.assert_array_equal(data.train.x, y.astype(np.float32))
    np.testing.assert_array_equal(data.train.context, t[:, None].astype(np.float32))
    assert data.train.spans == {0: slice(0, 15), 1: slice(15, 30)}
    assert data.train.labels is None
    cut = load_dataset(tmp_path / "a.npz", test=3)
    assert cut.test.context[:, 0].tolist() == t.astype(np.float32)[[12, 13, 14, 27, 28, 29]].tolist()
    np.savez(tmp_path / "a.npz", x=t, y=y, c=t)
    with pytest.raises(RequestError, match="it holds outputs y and c"):
        load_dataset(tmp_path / "a.npz")


def test_labels_are_labels_still_and_sequences_may_stand_beside_them(tmp_path):
    x = np.random.default_rng(0).normal(size=(20, 3))
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(20) % 3, c=x[:, :1], sequence=np.arange(20) // 10)
    data = load_dataset(tmp_path / "a.npz", **WHOLE)
    np.testing.assert_array_equal(data.train.x, x.astype(np.float32))
    assert data.train.labels.tolist() == (np.arange(20) % 3).tolist()
    assert list(data.train.spans) == [0, 1]
    split = {"x_train": x[:12], "x_test": x[12:], "sequence_train": [0] * 6 + [1] * 6, "test_sequence": [2] * 8}
    np.savez(tmp_path / "b.npz", **split)
    data = load_dataset(tmp_path / "b.npz")
    assert (data.train.spans, data.test.spans) == ({0: slice(0, 5), 1: slice(5, 10)}, {2: slice(0, 8)})
