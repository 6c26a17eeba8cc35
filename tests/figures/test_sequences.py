r"""Stick figures, frames and bands show what they were given, from where they say, and are the same bytes each time."""

import hashlib
import warnings

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.patches import Rectangle
from PIL import Image

from vaekit.errors import RequestError
from vaekit.figures import save
from vaekit.figures.animation import save_animation
from vaekit.figures.motion import animate_poses, pose_strip
from vaekit.figures.regression import prediction_bands
from vaekit.figures.video import animate_frames, frame_strip

BONES = [(0, 1), (1, 2)]
NAMES = ("root", "left knee", "right hand")


@pytest.fixture
def joints():
    return np.random.default_rng(0).normal(size=(6, 3, 3)).cumsum(0)


def sticks(ax):
    """The bones that are drawn: the last collection of lines."""
    return np.array([c.get_segments() for c in ax.collections if isinstance(c, LineCollection)][-1])


# Poses.


@pytest.mark.parametrize("up", ["x", "y", "z"])
def test_from_the_front_the_screen_shows_two_coordinates_of_a_right_handed_space(joints, up):
    # Seen along the first of the other two axes, from its positive end: the second goes to the right.
    figure = pose_strip(joints, BONES, up=up, azimuth=0.0, elevation=0.0)
    top = "xyz".index(up)
    shown = [(top + 2) % 3, top]
    for pose, ax in zip(joints, figure.axes, strict=True):
        expected = np.array([[pose[a, shown], pose[b, shown]] for a, b in BONES])
        np.testing.assert_allclose(sticks(ax), expected, atol=1e-12)


def test_from_above_what_is_near_is_low_and_lengths_never_grow(joints):
    near, far = np.zeros((2, 1, 2, 3))
    near[0, :, 2], far[0, :, 2] = 5.0, -5.0  # y is up, and it is seen from the positive end of z
    at = [
        sticks(pose_strip(np.concatenate([near, far]), [(0, 1)], azimuth=0.0, elevation=30.0).axes[i]) for i in (0, 1)
    ]
    assert at[0][0, 0, 1] < at[1][0, 0, 1]
    lengths = np.linalg.norm(joints[:, [1, 2]] - joints[:, [0, 1]], axis=-1)
    for azimuth in (0.0, 40.0, 130.0):
        figure = pose_strip(joints, BONES, azimuth=azimuth, elevation=20.0)
        seen = [np.linalg.norm(np.diff(sticks(ax), axis=1)[:, 0], axis=-1) for ax in figure.axes]
        assert (np.array(seen) <= lengths + 1e-9).all()


def test_the_camera_stands_still_and_units_are_equal(joints):
    figure = pose_strip(joints, BONES, truth=joints + 1, columns=3)
    assert len({(ax.get_xlim(), ax.get_ylim()) for ax in figure.axes}) == 1
    assert all(ax.get_aspect() == 1 for ax in figure.axes)
    low, high = np.array([figure.axes[0].get_xlim(), figure.axes[0].get_ylim()]).T
    for ax in figure.axes:
        for lines in ax.collections:
            points = np.concatenate(lines.get_segments())
            assert (points >= low).all()
            assert (points <= high).all()


def test_the_ground_is_below_everything(joints):
    ax = pose_strip(joints, BONES, elevation=0.0).axes[0]
    ground = np.array(ax.collections[0].get_segments())
    np.testing.assert_allclose(ground[..., 1], joints[..., 1].min(), atol=1e-12)


def test_the_truth_is_behind_in_grey_and_sides_have_colours(joints):
    ax = pose_strip(joints, BONES, truth=joints + 1, names=NAMES, elevation=0.0, azimuth=0.0).axes[2]
    _, truth, drawn = ax.collections
    assert truth.get_zorder() < drawn.get_zorder()
    np.testing.assert_allclose(np.array(truth.get_segments()), np.array(drawn.get_segments()) + 1, atol=1e-12)
    colours = {tuple(c) for c in drawn.get_colors()}
    assert len(colours) == 2
    red, green, blue, _ = truth.get_colors()[0]
    assert max(red, green, blue) - min(red, green, blue) < 0.1


def test_times_are_written_and_those_observed_are_bold(joints):
    figure = pose_strip(joints, BONES, times=np.arange(6) / 4, observed=[1, 0, 0, 1, 0, 0])
    said = [(ax.texts[0].get_text(), ax.texts[0].get_weight()) for ax in figure.axes]
    assert said[:2] == [("0.00 s", "bold"), ("0.25 s", "normal")]


def test_an_animation_has_its_frames_and_moves(joints, tmp_path):
    path = animate_poses(joints, BONES, tmp_path / "a.gif", fps=10, height=80, times=np.arange(6) / 10)
    with Image.open(path) as image:
        assert image.n_frames == 6
        assert image.size[1] == 80
        frames = []
        for number in range(6):
            image.seek(number)
            assert image.info["duration"] == 100
            frames.append(image.convert("RGB").tobytes())
    assert len(set(frames)) == 6


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"joints": np.zeros((3, 6))}, r"joints have shape \(3, 6\)"),
        ({"joints": np.zeros((0, 3, 3))}, r"joints have shape \(0, 3, 3\)"),
        ({"joints": np.full((2, 3, 3), np.nan)}, "NaN"),
        ({"bones": [(0, 3)]}, "bones are"),
        ({"truth": np.zeros((1, 3, 3))}, "the truth has shape"),
        ({"times": [0.0]}, "times are 1 for 2 poses"),
        ({"up": "w"}, "up is 'w'"),
    ],
)
def test_wrong_poses_are_refused(arguments, said):
    given = {"joints": np.zeros((2, 3, 3)), "bones": BONES} | arguments
    with pytest.raises(RequestError, match=said):
        pose_strip(**given)


def test_a_figure_that_stands_still_in_one_point_is_drawn(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save(pose_strip(np.zeros((1, 3, 3)), BONES), tmp_path / "a.png")


# Frames.


def test_frames_are_shown_pixel_for_pixel_above_the_true_ones(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (3, 3, 4, 5), dtype=np.uint8)
    figure = frame_strip(x, truth=255 - x, times=[0.0, 0.5, 1.0], observed=[True, False, False])
    canvas = figure.axes[0].images[0].get_array()
    assert canvas.shape == (4 + 1 + 4, 3 * 5 + 2, 3)
    for number in range(3):
        tile = canvas[:4, 6 * number : 6 * number + 5]
        np.testing.assert_array_equal(tile, np.moveaxis(x[number], 0, 2))
        np.testing.assert_array_equal(canvas[5:, 6 * number : 6 * number + 5], 255 - tile)
    assert sum(isinstance(patch, Rectangle) for patch in figure.axes[0].patches) == 1
    assert [text.get_weight() for text in figure.axes[0].get_xticklabels()] == ["bold", "normal", "normal"]


def test_a_black_video_is_black_and_a_bright_one_bright():
    # Bytes are bytes, whatever the largest of them.
    for level in (0, 1, 3, 255):
        canvas = frame_strip(np.full((2, 1, 4, 4), level, np.uint8)).axes[0].images[0].get_array()
        assert canvas[:, :4].min() == canvas[:, :4].max() == level


def test_a_gif_lasts_as_long_as_it_should_at_any_rate(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (61, 1, 8, 8), dtype=np.uint8)
    for fps in (7.0, 24.0, 29.97, 60.0, 120.0):
        with Image.open(animate_frames(frames, tmp_path / "a.gif", fps=fps, height=8)) as image:
            times = []
            for number in range(image.n_frames):
                image.seek(number)
                times.append(image.info["duration"])
        assert min(times) >= 20  # viewers slow down what is faster
        assert abs(sum(times) - 1000 * 61 / fps) <= 30


def test_a_film_comes_back_frame_by_frame(tmp_path):
    av = pytest.importorskip("av")
    ramp = np.linspace(0, 200, 11 * 15).reshape(11, 15)
    frames = np.stack([np.repeat((ramp + 5 * n)[None], 3, 0) for n in range(9)]).astype(np.uint8)
    path = animate_frames(frames, tmp_path / "a.mp4", fps=12.5, height=44)
    with av.open(str(path)) as film:
        seen = [(frame.time, frame.to_ndarray(format="gray")) for frame in film.decode(video=0)]
    np.testing.assert_allclose([time for time, _ in seen], np.arange(9) / 12.5, atol=1e-6)
    for (_, picture), frame in zip(seen, frames, strict=True):
        assert picture.shape == (44, 60)
        assert np.abs(picture[2::4, 2::4].astype(int) - frame[0]).max() <= 12


@pytest.mark.parametrize("ending", ["gif", "mp4"])
def test_the_same_frames_are_the_same_bytes(tmp_path, ending, joints):
    if ending == "mp4":
        pytest.importorskip("av")
    marks = set()
    for number in range(2):
        path = animate_poses(joints, BONES, tmp_path / f"{number}.{ending}", height=65, names=NAMES)
        marks.add(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(marks) == 1
    assert sorted(tmp_path.iterdir()) == [tmp_path / f"{number}.{ending}" for number in range(2)]


def test_figures_are_the_same_bytes(tmp_path, joints):
    t = np.linspace(0, 1, 9)
    draw = {
        "poses": lambda: pose_strip(joints, BONES, times=np.arange(6), names=NAMES),
        "frames": lambda: frame_strip(np.zeros((4, 1, 5, 5)), times=np.arange(4)),
        "bands": lambda: prediction_bands(t, t[:, None], -t[:, None], 2 * t[:, None], names=["a"]),
    }
    for name, make in draw.items():
        assert (
            save(make(), tmp_path / f"{name}1.png").read_bytes() == save(make(), tmp_path / f"{name}2.png").read_bytes()
        )


@pytest.mark.parametrize(
    ("frames", "options", "said"),
    [
        ([], {}, "there are no frames"),
        ([np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8)], {}, r"a frame has shape \(4, 5, 3\)"),
        ([np.zeros((4, 4, 3))], {}, "type float64"),
        ([np.zeros((4, 4, 3), np.uint8)], {"fps": 0}, "fps is 0"),
    ],
)
def test_wrong_frames_are_refused_and_nothing_is_left(tmp_path, frames, options, said):
    with pytest.raises(RequestError, match=said):
        save_animation(iter(frames), tmp_path / "a.gif", back=False, **options)
    assert list(tmp_path.iterdir()) == []


def test_without_pyav_a_film_is_refused_and_a_gif_is_not(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    frames = np.zeros((2, 1, 8, 8))
    with pytest.raises(RequestError, match=r'pip install "vaekit\[video\]"'):
        animate_frames(frames, tmp_path / "a.mp4")
    assert animate_frames(frames, tmp_path / "a.gif").is_file()


# Bands.


def test_bands_go_from_end_to_end_in_the_order_of_the_inputs():
    t = np.array([2.0, 0.0, 1.0])
    mean, low, high = np.array([[5.0], [1.0], [3.0]]), np.array([[4.0], [0.5], [2.9]]), np.array([[7.0], [1.5], [3.3]])
    given = {"observed_inputs": [0.0], "observed": [[1.5]], "truth_inputs": [1.0, 0.0], "truth": [[7.0], [8.0]]}
    figure = prediction_bands(t, mean, low, high, level=0.9, **given)
    ax = figure.axes[0]
    (band,) = ax.collections
    edges = {tuple(point) for point in band.get_paths()[0].vertices.tolist()}
    for time, one, other in zip(t, low[:, 0], high[:, 0], strict=True):
        assert {(time, one), (time, other)} <= edges
    truth, line, points = ax.lines
    assert (line.get_xdata().tolist(), line.get_ydata().tolist()) == ([0, 1, 2], [1, 3, 5])
    assert truth.get_ydata().tolist() == [8, 7]
    assert (points.get_xdata().tolist(), points.get_marker()) == ([0.0], "o")
    said = [text.get_text() for text in figure.legends[0].get_texts()]
    assert said == ["prediction", "90% interval", "truth", "observed"]


def test_the_outputs_that_vary_most_are_drawn_with_their_names():
    t = np.linspace(0, 1, 20)
    mean = t[:, None] * np.array([1.0, 9.0, 3.0, 5.0])
    figure = prediction_bands(t, mean, mean, mean, most=2, names=["a", "b", "c", "d"])
    assert [ax.get_ylabel() for ax in figure.axes] == ["b", "d"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"mean": np.zeros((4, 1))}, "predictions have 3 inputs"),
        ({"mean": np.zeros(3)}, "reshape them"),
        ({"low": np.zeros((3, 2))}, r"lower ends \(3, 2\)"),
        ({"low": np.ones((3, 1))}, "no end below its beginning"),
        ({"observed_inputs": [0.0], "observed": [[1.0, 2.0]]}, "observed has 2 outputs, predictions 1"),
    ],
)
def test_wrong_bands_are_refused(arguments, said):
    given = {"inputs": np.zeros(3)} | dict.fromkeys(("mean", "low", "high"), np.zeros((3, 1))) | arguments
    with pytest.raises(RequestError, match=said):
        prediction_bands(**given)
