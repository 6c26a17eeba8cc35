import numpy as np
import pytest

from vaekit.errors import RequestError
from vaekit.figures.canvas import boxed, evenly
from vaekit.figures.style import ACCENT


def coloured(image):
    """Where a picture, (3, height, width), has the colour of the box."""
    colour = np.array([int(ACCENT[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.isclose(image, colour[:, None, None]).all(0)


def test_a_box_goes_from_filter_to_filter_and_leaves_the_rest():
    image = np.random.default_rng(0).random((1, 28, 14))
    shown = boxed(image, [3, 5, 8, 21, 0.1])
    scale = shown.shape[1] // 28
    line = coloured(shown)
    rows, columns = np.flatnonzero(line.any(1)), np.flatnonzero(line.any(0))
    # Pixel a has its middle at a - 1/2.
    assert np.allclose([rows[0], rows[-1] + 1], [4.5 * scale, 20.5 * scale], atol=1)
    assert np.allclose([columns[0], columns[-1] + 1], [2.5 * scale, 7.5 * scale], atol=1)
    inside = line[rows[0] + 2 : rows[-1] - 1, columns[0] + 2 : columns[-1] - 1]
    assert inside.size
    assert not inside.any()
    plain = image.repeat(3, 0).repeat(scale, 1).repeat(scale, 2)
    assert np.array_equal(shown[:, ~line], plain[:, ~line])


def test_wider_filters_make_a_thicker_line_up_to_a_limit():
    ink = [coloured(boxed(np.zeros((1, 28, 28)), [8, 8, 20, 20, width])).sum() for width in (0.1, 1, 2, 4, 1e3, 1e9)]
    assert ink[0] < ink[1] < ink[2] <= ink[3] <= ink[4] == ink[5]


def test_a_box_outside_leaves_the_picture_alone():
    assert not coloured(boxed(np.zeros((1, 8, 8)), [1e9, 50, 2e9, 60, 0.1])).any()


def test_colours_and_many_axes_stay():
    images = np.random.default_rng(0).random((2, 5, 3, 8, 6))
    shown = boxed(images, None)
    scale = shown.shape[-1] // 6
    assert shown.shape == (2, 5, 3, 8 * scale, 6 * scale)
    assert np.array_equal(shown[..., ::scale, ::scale], images)
    boxes = np.tile([1.0, 1, 4, 4, 0.1], (2, 5, 1))
    boxes[1, 2] = [2, 2, 3, 3, 0.1]
    assert not np.array_equal(coloured(boxed(images, boxes)[1, 2]), coloured(boxed(images, boxes)[1, 3]))


def test_the_last_of_the_steps_is_shown():
    for steps in (1, 5, 12, 13, 64):
        shown = evenly(steps, 12)
        assert len(shown) == min(steps, 12)
        assert (shown[-1], shown[0] == 0 or steps == 1) == (steps - 1, True)
        assert set(np.diff(np.diff(shown))) <= {-1, 0, 1}


def test_boxes_that_are_not_as_many_as_the_images_are_refused():
    with pytest.raises(RequestError, match="expected"):
        boxed(np.zeros((2, 1, 4, 4)), np.zeros((3, 5)))
