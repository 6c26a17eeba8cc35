r"""Rotations obey the laws of rotations."""

import numpy as np
import pytest

from vaekit.data.quaternions import about, continuous, from_six, matrices, multiply, normalised, six


@pytest.fixture
def q():
    return normalised(np.random.default_rng(0).normal(size=(200, 4)))


def test_matrices_are_rotations_whatever_the_length(q):
    for length in (1.0, 0.3, -2.0):
        r = matrices(length * q)
        np.testing.assert_allclose(r @ np.swapaxes(r, 1, 2), np.broadcast_to(np.eye(3), r.shape), atol=1e-12)
        np.testing.assert_allclose(np.linalg.det(r), 1, atol=1e-12)


def test_products_are_products_of_matrices_and_do_not_commute(q):
    p = q[::-1]
    np.testing.assert_allclose(matrices(multiply(p, q)), matrices(p) @ matrices(q), atol=1e-12)
    assert np.abs(matrices(multiply(p, q)) - matrices(multiply(q, p))).max() > 0.5
    np.testing.assert_allclose(multiply(multiply(p, q), p), multiply(p, multiply(q, p)), atol=1e-12)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_turn_about_an_axis_is_the_textbook_matrix(axis):
    angle = 0.7
    first, second = (axis + 1) % 3, (axis + 2) % 3
    expected = np.eye(3)
    expected[first, first] = expected[second, second] = np.cos(angle)
    expected[second, first], expected[first, second] = np.sin(angle), -np.sin(angle)
    np.testing.assert_allclose(matrices(about(np.eye(3)[axis], angle)), expected, atol=1e-12)


def test_the_axis_stays_and_the_angle_is_that_of_the_trace():
    rng = np.random.default_rng(1)
    axis = rng.normal(size=(50, 3))
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    angle = rng.uniform(0, np.pi, 50)
    r = matrices(about(axis, angle))
    np.testing.assert_allclose(np.einsum("nij,nj->ni", r, axis), axis, atol=1e-12)
    np.testing.assert_allclose(np.trace(r, axis1=1, axis2=2), 1 + 2 * np.cos(angle), atol=1e-12)


def test_signs_that_were_scrambled_become_continuous_and_rotations_stay():
    t = np.linspace(0, 6 * np.pi, 400)  # three turns: the sign must follow through two of them
    axis = np.stack([np.cos(t / 9), np.sin(t / 9), 0.3 + 0 * t], 1)
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    smooth = np.stack([about(axis, t), about(axis[:, ::-1], -t)], axis=1)
    scrambled = smooth * np.random.default_rng(0).choice([-1.0, 1.0], (400, 2, 1))
    mended = continuous(scrambled)
    np.testing.assert_allclose(mended, smooth, atol=0)  # the first frame has w = 1 here
    cosine = (mended[1:] * mended[:-1]).sum(-1)
    assert cosine.min() > np.cos(np.pi / 4)  # half of a rotation by 90 degrees
    assert (scrambled[1:] * scrambled[:-1]).sum(-1).min() < 0


def test_six_numbers_come_back_as_the_matrix_and_any_six_are_a_rotation(q):
    np.testing.assert_allclose(from_six(six(q)), matrices(q), atol=1e-12)
    np.testing.assert_allclose(six(q), six(-q), atol=0)  # one rotation, one representation
    r = from_six(np.random.default_rng(2).normal(size=(100, 6)))
    np.testing.assert_allclose(np.swapaxes(r, 1, 2) @ r, np.broadcast_to(np.eye(3), r.shape), atol=1e-9)
    np.testing.assert_allclose(np.linalg.det(r), 1, atol=1e-9)
    scaled = six(q) * 3.0
    scaled[:, 3:] += 0.4 * scaled[:, :3]
    np.testing.assert_allclose(from_six(scaled), matrices(q), atol=1e-12)
