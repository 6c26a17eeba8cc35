import numpy as np
import pytest

from vaekit.errors import RequestError
from vaekit.latent import MEASURES, slant, thickness, width


def line(angle, wide, size=40, length=24):
    """A bar of known width and length, at an angle from upright, each pixel grey by the share that it covers."""
    fine = (np.arange(size * 8) + 0.5) / 8 - size / 2
    right, up = np.meshgrid(fine, -fine)
    a = np.radians(angle)
    along, across = right * np.sin(a) + up * np.cos(a), right * np.cos(a) - up * np.sin(a)
    inside = (np.abs(along) < length / 2) & (np.abs(across) < wide / 2)
    return inside.reshape(size, 8, size, 8).mean((1, 3))


@pytest.mark.parametrize("angle", [-35, -10, 0, 20, 45])
@pytest.mark.parametrize("wide", [2.0, 3.0, 4.5, 6.0])
def test_the_thickness_of_a_line_is_its_width_at_any_angle(angle, wide):
    assert thickness(line(angle, wide)[None])[0] == pytest.approx(wide, abs=0.3)


@pytest.mark.parametrize("angle", [-35, -10, 0, 20, 45])
def test_the_slant_of_a_thin_line_is_its_angle(angle):
    assert slant(line(angle, 1.0)[None])[0] == pytest.approx(angle, abs=0.5)


def test_shearing_an_image_adds_to_the_tangent_of_its_slant():
    image = np.zeros((31, 61))
    image[3:28, 20:40] = np.random.default_rng(0).random((25, 20))
    sheared = np.stack([np.roll(row, 15 - i) for i, row in enumerate(image)])  # one to the right for each one up
    tangents = np.tan(np.radians(slant(np.stack([image, sheared]))))
    assert tangents[1] - tangents[0] == pytest.approx(1)


def test_the_width_of_a_bar_does_not_change_as_it_is_sheared():
    bar = np.zeros((21, 51))
    bar[3:18, 20:27] = 1
    sheared = np.stack([np.roll(row, 10 - i) for i, row in enumerate(bar)])
    np.testing.assert_allclose(width(np.stack([bar, sheared])), [7, 7])


def test_brightness_and_channels_change_nothing():
    images = np.stack([line(10, 3), line(-20, 5)])
    for measure in MEASURES.values():
        np.testing.assert_allclose(measure(0.3 * np.stack([images] * 3, 1)), measure(images))


def test_without_ink_there_is_nothing_to_measure():
    for measure in MEASURES.values():
        assert np.isnan(measure(np.zeros((1, 8, 8)))).all()
        with pytest.raises(RequestError, match="pass images"):
            measure(np.zeros((3, 8)))
