r"""Examples in a report: poses are stick figures, and what is no pose is as it was."""

import numpy as np

from vaekit import figures
from vaekit.data import from_arrays, load_dataset
from vaekit.report.examples import reconstructions_of, samples_of


def test_poses_are_drawn_as_poses_with_the_originals_behind_them():
    data = load_dataset("clips", clips=["walk"])
    x = data.train.x[:20]
    figure = reconstructions_of(data, x, x + 0.05)
    assert len(figure.axes) == 16
    alone = len(samples_of(data, x).axes[0].get_children())
    assert len(figure.axes[0].get_children()) > alone


def test_what_is_no_pose_is_drawn_as_before():
    data = from_arrays(np.zeros((30, 1, 4, 4), np.uint8))
    x = np.linspace(0, 1, 5 * 16).reshape(5, 1, 4, 4)
    for ours, plain in (
        (reconstructions_of(data, x, x / 2), figures.reconstructions(x, x / 2)),
        (samples_of(data, x, columns=3), figures.sample_grid(x, columns=3)),
    ):
        assert np.array_equal(ours.axes[0].images[0].get_array(), plain.axes[0].images[0].get_array())
