r"""Motion is read as files have it: skeletons, rotations and places, sequences and times."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from vaekit.data import load_dataset
from vaekit.data.bvh import read_bvh
from vaekit.data.deepmimic import HUMANOID, read_deepmimic, shipped_clips
from vaekit.data.quaternions import about, matrices, normalised
from vaekit.data.skeleton import Skeleton, rigid
from vaekit.errors import RequestError

MOTION = Path(__file__).parents[3] / "shared" / "data" / "motion"

BVH = """HIERARCHY
ROOT hips
{{
  OFFSET 0.0 0.0 0.0
  CHANNELS 6 Xposition Yposition Zposition {order}
  JOINT upper arm
  {{
    OFFSET 0.0 1.0 0.0
    CHANNELS 3 {order}
    JOINT hand
    {{
      OFFSET 2.0 0.0 0.0
      CHANNELS 3 {order}
      End Site
      {{
        OFFSET 0.5 0.0 0.0
      }}
    }}
  }}
  JOINT leg
  {{
    OFFSET 0.0 -1.0 0.0
    CHANNELS 3 {order}
    End Site
    {{
      OFFSET 0.0 -1.0 0.0
    }}
  }}
}}
MOTION
Frames: {n}
Frame Time: 0.05
{rows}
"""
ORDERS = ("XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX")


def bvh(path, frames, order="ZXY"):
    """Write frames: each the place of the root and for the four joints that turn their angles in the order given."""
    rows = "\n".join(" ".join(f"{value:.9f}" for value in frame) for frame in frames)
    said = " ".join(f"{axis}rotation" for axis in order)
    path.write_text(BVH.format(order=said, n=len(frames), rows=rows))
    return path


def walk(n=30, seed=0):
    """Angles that change slowly, and a root that moves."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(size=(n, 3)).cumsum(0) / 9, 4 * rng.normal(size=(n, 12)).cumsum(0)], axis=1)


# Skeletons.


def chain(lengths):
    offsets = np.zeros((len(lengths) + 1, 3))
    offsets[1:, 0] = lengths
    return Skeleton(tuple("abcdef"[: len(offsets)]), tuple(range(-1, len(lengths))), offsets)


def test_a_flat_arm_is_where_trigonometry_puts_it():
    arm = chain([2.0, 1.0])
    one, two = np.linspace(0, 2, 7), np.linspace(1, -1, 7)
    turns = np.stack([matrices(about([0, 0, 1.0], angle)) for angle in (one, two, 0 * one)], axis=1)
    places = arm.forward(turns, np.tile([5.0, 0, 0], (7, 1)))
    np.testing.assert_allclose(places[:, 1], np.stack([5 + 2 * np.cos(one), 2 * np.sin(one), 0 * one], 1), atol=1e-12)
    hand = places[:, 1] + np.stack([np.cos(one + two), np.sin(one + two), 0 * one], 1)
    np.testing.assert_allclose(places[:, 2], hand, atol=1e-12)


def test_bones_keep_their_lengths_and_the_whole_turns_with_the_root():
    rng = np.random.default_rng(0)
    turns = matrices(rng.normal(size=(40, 18, 4)))
    places = HUMANOID.forward(turns, rng.normal(size=(40, 3)))
    lengths = np.linalg.norm(HUMANOID.offsets[[child for _, child in HUMANOID.bones]], axis=1)
    np.testing.assert_allclose(HUMANOID.lengths(places), np.broadcast_to(lengths, (40, 17)), atol=1e-12)
    turn = matrices(rng.normal(size=4))
    rotated = HUMANOID.forward(np.concatenate([turn @ turns[:, :1], turns[:, 1:]], 1), places[:, 0])
    around = places - places[:, :1]
    np.testing.assert_allclose(rotated - rotated[:, :1], around @ turn.T, atol=1e-12)


@pytest.mark.parametrize("parents", [(0, 0, 1), (-1, 2, 1), (-1, -1, 0), (-1, 0, 7)])
def test_what_is_no_tree_is_refused(parents):
    with pytest.raises(RequestError, match="the parents of the joints are"):
        Skeleton(("a", "b", "c"), parents)
    with pytest.raises(RequestError, match="knows places but no offsets"):
        Skeleton(("a", "b", "c"), (-1, 0, 1)).forward(np.zeros((1, 3, 3, 3)), np.zeros((1, 3)))


def test_bones_are_found_by_what_keeps_its_length():
    rng = np.random.default_rng(3)
    parents = (-1, 0, 1, 2, 0, 4, 5)
    offsets = np.concatenate([np.zeros((1, 3)), rng.normal(size=(6, 3))])
    offsets[4] = -offsets[1]  # two on one joint keep their distance too, but a longer one
    angles = rng.normal(size=(300, 7, 4)).cumsum(0)
    places = Skeleton(tuple("abcdefg"), parents, offsets).forward(matrices(normalised(angles)), np.zeros((300, 3)))
    order = rng.permutation(np.arange(1, 7))  # joints may be listed in any order
    mixed = places[:, [0, *order]]
    number = {int(old): new for new, old in enumerate([0, *order])}
    found = {frozenset(bone) for bone in rigid(mixed).bones}
    assert found == {frozenset((number[p], number[j])) for j, p in enumerate(parents) if p >= 0}


# BVH.


def test_a_bvh_written_by_hand_has_the_pose_it_says(tmp_path):
    still = [0.0] * 15
    bent = [1.0, 2.0, 3.0, *[0.0] * 3, 90.0, 0.0, 0.0, 0.0, 90.0, 0.0, 0.0, 0.0, 0.0]  # arm about z, hand about x
    clip = read_bvh(bvh(tmp_path / "a.bvh", [still, bent], "ZXY"))
    assert clip.skeleton.names == ("hips", "upper arm", "hand", "hand end", "leg", "leg end")
    assert clip.skeleton.parents == (-1, 0, 1, 2, 0, 4)
    assert clip.times.tolist() == [0.0, 0.05]
    straight = [[0, 0, 0], [0, 1, 0], [2, 1, 0], [2.5, 1, 0], [0, -1, 0], [0, -2, 0]]
    np.testing.assert_allclose(clip.joints[0], straight, atol=1e-12)
    up = [[1, 2, 3], [1, 3, 3], [1, 5, 3], [1, 5.5, 3], [1, 1, 3], [1, 0, 3]]
    np.testing.assert_allclose(clip.joints[1], up, atol=1e-12)


@pytest.mark.parametrize("order", ORDERS)
def test_channels_turn_in_the_order_they_are_listed(tmp_path, order):
    frames = walk(5)
    clip = read_bvh(bvh(tmp_path / "a.bvh", frames, order))
    for joint, column in ((0, 3), (1, 6), (2, 9), (4, 12)):
        angles = np.deg2rad(frames[:, column : column + 3])
        expected = np.broadcast_to(np.eye(3), (5, 3, 3))
        for axis, angle in zip(order, angles.T, strict=True):
            expected = expected @ matrices(about(np.eye(3)["XYZ".index(axis)], angle))
        np.testing.assert_allclose(matrices(clip.rotations[:, joint]), expected, atol=1e-7)


def test_positions_of_other_joints_stand_in_place_of_offsets(tmp_path):
    path = bvh(tmp_path / "a.bvh", [[0.0] * 15] * 2)
    text = path.read_text().replace(
        "OFFSET 2.0 0.0 0.0\n      CHANNELS 3 ", "OFFSET 0 0 0\n      CHANNELS 6 Zposition Xposition Yposition "
    )
    head, motion = text.split("Frame Time: 0.05\n")
    rows = [[0.0] * 9 + [9.0, 7.0, 8.0] + [0.0] * 6, [0.0] * 9 + [9.0, 7.5, 8.0] + [0.0] * 6]
    path.write_text(head + "Frame Time: 0.05\n" + "\n".join(" ".join(map(str, row)) for row in rows))
    clip = read_bvh(path)
    np.testing.assert_allclose(clip.joints[:, 2], [[7, 9, 9], [7.5, 9, 9]])
    np.testing.assert_allclose(clip.skeleton.offsets[2], [7.25, 8, 9])
    assert motion


def test_places_of_a_bvh_keep_bone_lengths_and_round_trip_through_npy(tmp_path):
    clip = read_bvh(bvh(tmp_path / "a.bvh", walk(60)))
    assert np.ptp(clip.skeleton.lengths(clip.joints), axis=0).max() < 1e-12
    np.save(tmp_path / "a.npy", clip.joints.astype(np.float32))
    whole = {"root": "kept", "validation": 0, "test": 0}
    one = load_dataset(tmp_path / "a.bvh", **whole)
    two = load_dataset(tmp_path / "a.npy", fps=20, up="y", parents=clip.skeleton.parents, **whole)
    np.testing.assert_allclose(one.train.x, two.train.x, atol=1e-5)
    np.testing.assert_allclose(one.train.context, two.train.context, atol=1e-7)
    np.testing.assert_allclose(two.poses.joints(two.train.x), clip.joints, atol=1e-5)
    assert two.poses.skeleton.bones == one.poses.skeleton.bones


DAMAGE = {
    "cut": lambda text: text[: len(text) * 2 // 3],
    "no motion": lambda text: text.partition("MOTION")[0],
    "a number more": lambda text: text + " 1.0",
    "nan": lambda text: text.rstrip().rpartition(" ")[0] + " nan",
    "no frames": lambda text: text.replace("Frames: 30", "Frames: -1"),
    "no time": lambda text: text.replace("0.05", "0"),
    "braces": lambda text: text.replace("{", "", 1),
    "two roots": lambda text: text.replace("JOINT leg", "ROOT leg"),
    "a channel": lambda text: text.replace("Xposition", "Xscale"),
    "html": lambda text: "<html>404</html>",
    "empty": lambda text: "",
}


@pytest.mark.parametrize("how", DAMAGE)
def test_damaged_bvh_files_are_skipped_and_counted_and_alone_refused(tmp_path, how):
    for number in range(3):
        bvh(tmp_path / f"{number}.bvh", walk(seed=number))
    path = tmp_path / "1.bvh"
    path.write_text(DAMAGE[how](path.read_text()))
    with pytest.warns(UserWarning, match=r"2 sequences, 1 skipped because damaged: 1\.bvh \(") as caught:
        data = load_dataset(tmp_path)
    assert len(caught) == 1
    assert data.label_names == ("0", "2")
    assert data.note.startswith("2 sequences, 1 skipped")
    with pytest.raises(RequestError, match=r"1\.bvh cannot be read \(.*\); expected a whole file"):
        load_dataset(path)


# DeepMimic.


def test_the_shipped_clips_are_people_on_the_ground():
    clips = shipped_clips()
    assert (len(clips), sum(len(clip) for clip in clips)) == (15, 1620)
    for clip in clips:
        joints = clip.joints
        lengths = clip.skeleton.lengths(joints)
        assert np.ptp(lengths, axis=0).max() < 1e-12
        # Were an axis or an order wrong, feet would hang in the air or below the ground, and heads be low.
        assert -0.08 < joints[..., 1].min() < 0.03
        assert joints[..., 1].max() < 2.05
        assert (np.diff(clip.times) > 0).all()
    head = {clip.name: clip.joints[:, 15, 1] for clip in clips}
    assert 1.3 < head["walk"].min() < head["walk"].max() < 1.6
    assert head["cartwheel"].min() < 0.5 < 1.4 < head["cartwheel"].max()


def test_knees_bend_backwards_and_the_right_is_on_the_right():
    (walk,) = shipped_clips("walk")
    joints = walk.joints - walk.joints[:, :1]
    forward = joints[:, [16, 17], 0] - joints[:, [5, 11], 0]
    assert forward.mean() > 0.08  # toes are before ankles
    assert (joints[:, 3, 2] > joints[:, 9, 2]).all()
    for hip, knee, ankle in ((3, 4, 5), (9, 10, 11)):
        straight = (joints[:, hip, 0] + joints[:, ankle, 0]) / 2
        assert (joints[:, knee, 0] - straight).mean() > 0.02


def test_rotations_do_not_jump_where_the_motion_does_not():
    for clip in shipped_clips():
        cosine = (clip.rotations[1:] * clip.rotations[:-1]).sum(-1)
        assert (cosine >= 0).all()
        if clip.name != "backflip":  # 16 frames a second of a somersault do turn by more
            assert np.rad2deg(2 * np.arccos(np.clip(cosine, -1, 1))).max() < 90


def test_a_deepmimic_file_is_read_number_by_number(tmp_path):
    frame = [0.25, 1.0, 2.0, 3.0, *[2.0, 0, 0, 0] * 3, *[1.0, 0, 0, 0, -0.5, 1, 0, 0, 0, 1, 0, 0, 0, 0.75] * 2]
    (tmp_path / "humanoid3d_hop.txt").write_text(json.dumps({"Loop": "wrap", "Frames": [frame, frame]}))
    clip = read_deepmimic(tmp_path / "humanoid3d_hop.txt")
    assert (clip.name, clip.times.tolist(), clip.root.tolist()) == ("hop", [0.0, 0.25], [[1, 2, 3]] * 2)
    turned = dict(zip(HUMANOID.names, clip.rotations[0], strict=True))
    for name, angle in (("right knee", -0.5), ("left knee", -0.5), ("right elbow", 0.75), ("left elbow", 0.75)):
        np.testing.assert_allclose(turned[name], [np.cos(angle / 2), 0, 0, np.sin(angle / 2)])
    np.testing.assert_allclose(turned["chest"], [1, 0, 0, 0])
    knee, ankle = clip.joints[0, 4], clip.joints[0, 5]
    expected = 0.40987 * np.array([-np.sin(0.5), -np.cos(0.5), 0])
    np.testing.assert_allclose(ankle - knee, expected, atol=1e-12)


@pytest.mark.skipif(not MOTION.is_dir(), reason="the folder of motion files is not here")
def test_the_shipped_clips_are_those_of_the_files():
    files = load_dataset(MOTION / "deepmimic", validation=0, test=0)
    shipped = load_dataset("clips", validation=0, test=0)
    assert files.label_names == shipped.label_names
    assert files.train.spans == shipped.train.spans
    np.testing.assert_allclose(files.train.x, shipped.train.x, atol=1e-5)


@pytest.mark.skipif(not MOTION.is_dir(), reason="the folder of motion files is not here")
def test_real_places_of_joints_have_bones_that_hardly_stretch():
    file = min((MOTION / "climb").glob("*.npy"))
    data = load_dataset(file, fps=60, root="kept", step=10, validation=0, test=0)
    assert data.poses.up == "z"
    places = np.load(file)[::10]
    np.testing.assert_allclose(data.poses.joints(data.train.x), places, atol=1e-5)
    lengths = data.poses.skeleton.lengths(places)
    assert lengths.mean() < 0.15
    assert np.median(lengths.std(0)) < 0.01


# Datasets.


@pytest.mark.parametrize("representation", ["positions", "quaternions", "6d"])
@pytest.mark.parametrize("root", ["kept", "height", "removed"])
def test_every_representation_comes_back_as_the_same_joints(representation, root):
    clips = shipped_clips("walk,jump")
    data = load_dataset("clips", clips="walk,jump", representation=representation, root=root)
    for name, split in data.splits.items():
        for number, span in split.spans.items():
            clip = clips[number]
            first = {"train": 0, "validation": 0.8, "test": 0.9}[name]
            start = int(np.argmin(np.abs(clip.times - split.context[span][0, 0])))
            assert abs(start - first * len(clip)) < 2
            expected = clip.joints[start : start + span.stop - span.start].copy()
            if root != "kept":
                expected[..., [0, 2]] -= expected[:, :1, [0, 2]]
            if root == "removed":
                expected[..., 1] -= expected[:, :1, 1]
            np.testing.assert_allclose(data.poses.joints(split.x[span]), expected, atol=2e-6)


def test_rows_are_centred_scaled_by_one_number_and_have_no_column_that_stands_still():
    data = load_dataset("clips")
    x = np.asarray(data.train.x, np.float64)
    assert np.abs(x.mean(0)).max() < 1e-5
    assert abs(x.var(0).mean() - 1) < 1e-5
    assert x.std(0).min() > 0.01
    assert data.shape == (18 * 3 - 2,)  # the root stays over one spot
    assert (data.suggested, data.levels) == ("gaussian", None)
    joints = data.poses.joints(x)
    assert np.abs(joints[:, 0][:, [0, 2]]).max() < 1e-6
    # An error of 1 in a row is one of `scale` metres.
    moved = x.copy()
    moved[:, 10] += 1
    assert np.abs(np.linalg.norm(data.poses.joints(moved) - joints, axis=-1).max(1) - data.poses.scale).max() < 1e-9


def test_any_numbers_of_a_rotation_representation_are_a_figure_with_its_bones():
    data = load_dataset("clips", representation="6d")
    rows = np.random.default_rng(0).normal(size=(3, 4, *data.shape))
    joints = data.poses.joints(rows)
    assert joints.shape == (3, 4, 18, 3)
    lengths = HUMANOID.lengths(joints.reshape(12, 18, 3))
    np.testing.assert_allclose(lengths, np.broadcast_to(lengths[0], lengths.shape), atol=1e-9)
    with pytest.raises(RequestError, match="poses have shape"):
        data.poses.joints(rows[..., 1:])


def test_times_sequences_and_steps_are_those_of_the_clips():
    data = load_dataset("clips", step=3, validation=0, test=0)
    clips = shipped_clips()
    for clip, (number, span) in zip(clips, data.train.spans.items(), strict=True):
        np.testing.assert_allclose(data.train.context[span, 0], clip.times[::3], atol=1e-6)
        assert data.label_names[number] == clip.name
        assert (data.train.labels[span] == number).all()


def test_frames_are_held_out_by_options():
    data = load_dataset("clips", clips="walk", gap=4, validate=None)
    whole = load_dataset("clips", clips="walk", validation=0, test=0)
    observed = sorted({*range(0, 39, 4), 38})
    # Rows are scaled over what is observed, so that places of joints are what can be compared.
    seen, all_of_it = data.poses.joints(data.train.x), whole.poses.joints(whole.train.x)
    np.testing.assert_allclose(seen, all_of_it[observed], atol=1e-5)
    np.testing.assert_array_equal(data.test.context, np.delete(whole.train.context, observed, 0))
    assert data.options == {"clips": "walk", "gap": 4, "validate": None}
    # By default one of five of those observed validates, and is observed no less.
    parts = load_dataset("clips", clips="walk", gap=4)
    assert len(parts.validation) == 2
    both = np.concatenate([parts.train.context, parts.validation.context])
    np.testing.assert_array_equal(np.sort(both, 0), data.train.context)
    with pytest.raises(RequestError, match="was given test beside gap"):
        load_dataset("clips", gap=4, test=0.1)
    with pytest.raises(RequestError, match="the option 'gap'"):
        load_dataset("swiss-roll", gap=4)


def test_a_single_file_has_no_labels_and_a_folder_takes_many_skeletons_apart(tmp_path):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(40, 4, 3)))
    assert load_dataset(tmp_path / "a.npy").train.labels is None
    np.save(tmp_path / "b.npy", np.random.default_rng(0).normal(size=(40, 5, 3)))
    with pytest.raises(RequestError, match=r"b has 5 joints, a 4, .* expected one skeleton"):
        load_dataset(tmp_path)


def test_only_what_looks_like_joints_is_taken_for_motion(tmp_path):
    clouds = np.random.default_rng(0).normal(size=(20, 5, 3))
    np.save(tmp_path / "a.npy", clouds)
    assert load_dataset(tmp_path / "a.npy").poses is not None
    assert load_dataset(tmp_path / "a.npy", kind="arrays").shape == (5, 3)
    for array in (clouds[..., :2], clouds.astype(np.int64), np.zeros((20, 300, 3))):
        np.save(tmp_path / "a.npy", array)
        assert load_dataset(tmp_path / "a.npy").poses is None
    np.save(tmp_path / "a.npy", clouds.astype(np.int64))
    assert load_dataset(tmp_path / "a.npy", kind="motion").poses is not None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"representation": "6D"}, r"representation is '6D'; expected one of positions, quaternions, 6d\."),
        ({"root": "keep"}, r"root is 'keep'; .*Did you mean 'kept'"),
        ({"step": 0}, "step is 0"),
        ({"clips": "walk,fly"}, "clip 'fly' is not there; expected of backflip"),
        ({"kind": "motion"}, "the option 'kind'"),
    ],
)
def test_wrong_options_of_clips_are_refused(options, said):
    with pytest.raises(RequestError, match=said):
        load_dataset("clips", **options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"fps": 0}, "fps is 0"),
        ({"up": "north"}, "up is 'north'"),
        ({"representation": "6d"}, "a knows only the places of its joints"),
        ({"parents": [-1, 0]}, "a skeleton has 4 names, 2 parents"),
        ({"kind": "dance"}, "kind is 'dance'; expected one of arrays, table, images, motion, video, pairs"),
    ],
)
def test_wrong_options_of_files_are_refused(tmp_path, options, said):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(40, 4, 3)))
    with pytest.raises(RequestError, match=said):
        load_dataset(tmp_path / "a.npy", **options)


def test_a_folder_of_motion_is_told_from_one_of_images(tmp_path):
    bvh(tmp_path / "a.bvh", walk())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (tmp_path / "README.txt").write_text("no motion")
        assert load_dataset(tmp_path).poses is not None
