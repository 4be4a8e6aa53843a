"""The camera and the shading's encodings in closed form."""

import numpy as np
import pytest

from sphreg.render.camera import Camera, decode_normals, encode_normals
from sphreg.render.pixels import pixels

FIELDS_OF_VIEW = [1.0, 20.0, 40.0, 90.0, 120.0]


@pytest.fixture
def directions():
    vectors = np.random.default_rng(0).normal(size=(20_000, 3))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def in_camera(camera, points):
    return points - [0, 0, camera.distance]


@pytest.mark.parametrize("fov", FIELDS_OF_VIEW)
def test_the_unit_sphere_touches_the_four_edges_and_stays_inside(fov, directions):
    camera = Camera(size=64, fov_deg=fov)
    half = np.radians(fov) / 2
    # Where the lines of sight at the edges of the view touch the sphere.
    touching = np.array(
        [[x * np.cos(half), y * np.cos(half), np.sin(half)] for x, y in [(1, 0), (-1, 0), (0, 1), (0, -1)]]
    )
    np.testing.assert_allclose(
        camera.project(in_camera(camera, touching)), [[64, 32], [0, 32], [32, 0], [32, 64]], atol=1e-9
    )
    places = camera.project(in_camera(camera, directions))
    assert places.min() > 0
    assert places.max() < 64


def test_pixels_are_counted_right_and_down_from_the_top_left():
    camera = Camera(size=100, fov_deg=90.0)
    points = np.array([[0.0, 0.0, -2.0], [1.0, 0.0, -2.0], [0.0, 1.0, -2.0], [-2.0, 2.0, -2.0]])
    np.testing.assert_allclose(camera.project(points), [[50, 50], [75, 50], [50, 25], [0, 0]], atol=1e-12)


@pytest.mark.parametrize("fov", FIELDS_OF_VIEW)
def test_the_projection_matrix_agrees_with_the_pixels(fov, directions):
    camera = Camera(size=224, fov_deg=fov)
    points = in_camera(camera, directions)
    clip = np.column_stack([points, np.ones(len(points))]) @ camera.projection.T
    x, y, depth = (clip[:, :3] / clip[:, 3:]).T
    np.testing.assert_allclose(camera.project(points), np.column_stack([(1 + x) * 112, (1 - y) * 112]), atol=1e-9)
    assert np.abs(depth).max() < 1


def test_near_and_far_are_the_ends_of_the_depth():
    camera = Camera(size=8, fov_deg=40.0)
    ends = np.array([[0, 0, -camera.near, 1], [0, 0, -camera.far, 1]]) @ camera.projection.T
    np.testing.assert_allclose(ends[:, 2] / ends[:, 3], [-1, 1], atol=1e-12)


def test_a_pose_rotates_and_then_moves_away():
    camera = Camera(size=8, fov_deg=60.0)
    quarter = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    np.testing.assert_allclose(camera.pose(quarter) @ [1, 0, 0, 1], [0, 1, -2, 1], atol=1e-12)


def test_grey_is_averaged_and_normals_are_those_of_one_subsample():
    samples = np.zeros((4, 4, 4), dtype=np.uint8)
    samples[..., 3] = [[0, 255, 1, 1], [255, 255, 1, 2], [0, 0, 10, 20], [1, 1, 30, 40]]
    samples[..., :3] = np.arange(16).reshape(4, 4, 1)
    image, colours = pixels(samples)
    np.testing.assert_array_equal(image, [[191, 1], [1, 25]])  # 191.25, 1.25, 0.5, 25
    np.testing.assert_array_equal(colours[..., 0], [[5, 7], [13, 15]])
    assert image.dtype == colours.dtype == np.uint8


def test_normals_are_encoded_as_colours():
    normals = np.array([[[1.0, 0, 0], [-1, 0, 0], [0, 0, 0]], [[0, 0, 1], [0.6, 0.8, 0], [0, -0.6, 0.8]]])
    expected = [[[255, 128, 128], [0, 128, 128], [0, 0, 0]], [[128, 128, 255], [204, 230, 128], [128, 51, 230]]]
    np.testing.assert_array_equal(encode_normals(normals), expected)


def test_decoded_normals_are_unit_vectors_near_the_encoded(directions):
    decoded = decode_normals(encode_normals(directions))
    assert decoded.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(decoded, axis=-1), 1, atol=1e-6)
    distance = np.linalg.norm(decoded - directions, axis=-1)
    assert distance.max() < np.sqrt(3) / 255 * 1.01  # half a step of 2 / 255 in each component


def test_the_background_is_the_zero_vector_and_black():
    background = np.zeros((2, 2, 3))
    assert not encode_normals(background).any()
    assert not decode_normals(encode_normals(background)).any()


def test_no_normal_is_black(directions):
    assert encode_normals(directions).any(axis=-1).all()
    assert encode_normals(-np.full((1, 3), 3**-0.5)).any()
