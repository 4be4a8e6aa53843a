"""Viewpoints against the three rotations written out."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from sphreg.viewpoints import viewpoint_angles, viewpoint_quaternions


def about_x(angle):
    return np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])


def about_z(angle):
    return np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])


def product(azimuth, elevation, tilt):
    return about_z(tilt) @ about_x(elevation - np.pi / 2) @ about_z(-azimuth)


@pytest.fixture
def angles():
    low, high = [-np.pi, -np.pi / 2, -np.pi], [np.pi, np.pi / 2, np.pi]
    return np.random.default_rng(0).uniform(low, high, size=(500, 3))


def test_the_quaternion_is_that_of_the_product(angles):
    matrices = Rotation.from_quat(viewpoint_quaternions(angles)).as_matrix()
    np.testing.assert_allclose(matrices, [product(*row) for row in angles], atol=1e-14)


def test_quaternions_have_w_of_at_least_0(angles):
    quaternions = viewpoint_quaternions(angles)
    assert (quaternions[:, 3] >= 0).all()
    np.testing.assert_allclose(np.linalg.norm(quaternions, axis=1), 1)


def test_angles_come_back(angles):
    np.testing.assert_allclose(viewpoint_angles(viewpoint_quaternions(angles)), angles, atol=1e-12)


def test_rotations_come_back():
    rotations = Rotation.random(1000, np.random.default_rng(1))
    again = Rotation.from_quat(viewpoint_quaternions(viewpoint_angles(rotations.as_quat())))
    assert (rotations.inv() * again).magnitude().max() < 1e-14


def test_the_sign_and_the_length_of_a_quaternion_do_not_matter():
    quaternions = Rotation.random(100, np.random.default_rng(2)).as_quat()
    expected = viewpoint_angles(quaternions)
    np.testing.assert_allclose(viewpoint_angles(-3 * quaternions), expected, atol=1e-13)


def test_angles_are_in_their_ranges():
    border = np.array([-np.pi, np.pi, np.nextafter(-np.pi, -4), -np.pi / 2, 0.0, -1e-300, 1e-17, np.pi / 2])
    grid = np.stack(np.meshgrid(border, border, border), axis=-1).reshape(-1, 3)
    for quaternions in viewpoint_quaternions(grid), Rotation.random(10_000, np.random.default_rng(3)).as_quat():
        azimuth, elevation, tilt = viewpoint_angles(quaternions).T
        for angle in azimuth, tilt:
            assert angle.min() >= -np.pi
            assert angle.max() < np.pi
        assert np.abs(elevation).max() <= np.pi / 2


def test_azimuth_0_and_elevation_0_see_the_front_upright():
    (quaternion,) = viewpoint_quaternions(np.zeros((1, 3)))
    rotation = Rotation.from_quat(quaternion)
    np.testing.assert_allclose(rotation.apply([0, -1, 0]), [0, 0, 1], atol=1e-15)  # the front is towards the viewer
    np.testing.assert_allclose(rotation.apply([0, 0, 1]), [0, 1, 0], atol=1e-15)  # the object's up is the image's
    np.testing.assert_allclose(rotation.apply([1, 0, 0]), [1, 0, 0], atol=1e-15)


def test_azimuth_and_elevation_are_where_the_viewer_stands(angles):
    azimuth, elevation, _ = angles.T
    to_viewer = np.stack(
        [np.sin(azimuth) * np.cos(elevation), -np.cos(azimuth) * np.cos(elevation), np.sin(elevation)], axis=-1
    )
    found = Rotation.from_quat(viewpoint_quaternions(angles)).inv().apply([0, 0, 1])
    np.testing.assert_allclose(found, to_viewer, atol=1e-14)


@pytest.mark.parametrize("elevation", [-np.pi / 2, np.pi / 2])
def test_at_the_poles_the_tilt_is_0_and_the_rotation_stays(elevation):
    turns = np.linspace(-np.pi, np.pi, 13)
    for azimuth in turns:
        for tilt in turns:
            matrix = product(azimuth, elevation, tilt)
            found = viewpoint_angles(Rotation.from_matrix(matrix).as_quat()[None])
            assert found[0, 2] == 0
            assert found[0, 1] == pytest.approx(elevation, abs=1e-12)
            np.testing.assert_allclose(product(*found[0]), matrix, atol=1e-11)


@pytest.mark.parametrize("pole", [-1, 1])
@pytest.mark.parametrize("distance", [1e-2, 1e-5, 1e-7, 1e-9, 1e-11, 1e-13])
def test_beside_the_poles_the_rotation_comes_back(pole, distance):
    rng = np.random.default_rng(4)
    angles = rng.uniform(-3, 3, size=(100, 3))
    angles[:, 1] = pole * (np.pi / 2 - distance)
    matrices = np.array([product(*row) for row in angles])
    found = viewpoint_angles(viewpoint_quaternions(angles))
    np.testing.assert_allclose([product(*row) for row in found], matrices, atol=2e-12)
