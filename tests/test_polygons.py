"""Polygons against their area, which only a right triangulation has."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from sphreg.polygons import triangulate

CONVEX_20 = [(np.cos(a), np.sin(a)) for a in np.arange(20) * np.pi / 10]
STAR_20 = [((1 + 2 * (i % 2)) * x, (1 + 2 * (i % 2)) * y) for i, (x, y) in enumerate(CONVEX_20)]
L = [(0, 0), (3, 0), (3, 1), (1, 1), (1, 3), (0, 3)]
ARROW = [(0, 0), (2, 2), (0, 1), (-2, 2)]
COMB = [(0, 0), (7, 0), (7, 3), (6, 3), (6, 1), (5, 1), (5, 3), (4, 3), (4, 1), (3, 1), (3, 3), (0, 3)]
WITH_MIDPOINTS = [(0, 0), (1, 0), (2, 0), (2, 1), (2, 2), (1, 2), (0, 2), (0, 1)]
RING = [(0, 0), (4, 0), (4, 4), (0, 4), (0, 0), (1, 1), (1, 3), (3, 3), (3, 1), (1, 1)]  # a hole, with a bridge to it


def shoelace(points):
    """The signed area of a polygon in the plane."""
    return sum(x * v - u * y for (x, y), (u, v) in zip(points, [*points[1:], points[0]], strict=True)) / 2


def in_space(points, seed):
    """The polygon somewhere in space, and the normal of its plane."""
    rotation = Rotation.random(rng=np.random.default_rng(seed))
    flat = np.column_stack([np.array(points, dtype=float), np.zeros(len(points))])
    return rotation.apply(flat) + np.array([5.0, -7.0, 9.0]), rotation.apply([0, 0, 1])


def signed_areas(vertices, faces, normal):
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    return np.cross(b - a, c - a) @ normal / 2


@pytest.mark.parametrize("points", [CONVEX_20, STAR_20, L, ARROW, COMB, WITH_MIDPOINTS, RING])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("shift", [0, 1, 2, 3])
def test_the_triangles_fill_the_polygon_and_nothing_else(points, turned, shift):
    points = points[shift:] + points[:shift]
    points = points[::-1] if turned else points
    vertices, normal = in_space(points, seed=shift)
    faces = triangulate(vertices, [range(len(points))])
    areas = signed_areas(vertices, faces, normal)
    assert faces.shape == (len(points) - 2, 3)
    assert set(faces.ravel()) == set(range(len(points)))
    # The signed sum holds for any fan, also a wrong one; that no triangle turns the other way is what makes it right.
    assert areas.sum() == pytest.approx(shoelace(points))
    assert np.abs(areas).sum() == pytest.approx(abs(shoelace(points)))


@given(st.integers(0, 2**32), st.integers(4, 30))
def test_any_star_shaped_polygon(seed, size):
    rng = np.random.default_rng(seed)
    angles = (np.arange(size) + rng.uniform(0.1, 0.9, size)) * 2 * np.pi / size
    radii = rng.uniform(0.1, 1, size)
    points = list(zip(radii * np.cos(angles), radii * np.sin(angles), strict=True))
    vertices, normal = in_space(points, seed)
    areas = signed_areas(vertices, triangulate(vertices, [range(size)]), normal)
    assert np.abs(areas).sum() == pytest.approx(abs(shoelace(points)))


def test_the_order_of_the_polygons_stays():
    vertices = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [-1, 0.5, 0]], dtype=float)
    faces = triangulate(vertices, [[0, 1, 2, 3], [2, 1, 0], [0, 1, 2, 3, 4], [3, 4, 0]])
    expected = [[0, 1, 2], [0, 2, 3], [2, 1, 0], [0, 1, 2], [0, 2, 3], [0, 3, 4], [3, 4, 0]]
    assert faces.tolist() == expected


def test_a_polygon_that_crosses_itself_is_cut_where_it_does():
    bow = np.array([[0, 0, 0], [1, 1, 0], [1, 0, 0], [0, 1, 0], [0.5, 2, 0]], dtype=float)
    areas = signed_areas(bow, triangulate(bow, [range(5)]), np.array([0, 0, 1]))
    assert np.abs(areas).sum() == pytest.approx(
        0.75
    )  # of both its halves, where the signed area is that of their difference


def test_a_polygon_without_area_still_gives_all_its_triangles():
    line = np.array([[0, 0, 0], [1, 0, 0], [3, 0, 0], [2, 0, 0], [5, 0, 0]], dtype=float)
    faces = triangulate(line, [range(5), [0, 1, 2]])
    assert set(faces[:-1].ravel()) == set(range(5))
    assert faces[-1].tolist() == [0, 1, 2]


def test_thousands_of_corners_that_cross_are_no_work_for_minutes():
    points = np.random.default_rng(0).normal(size=(3000, 3))
    faces = triangulate(points, [range(3000)])
    assert 0 < len(faces) <= 2998


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_size_does_not_matter(scale):
    points, _ = in_space(L, seed=0)
    assert triangulate(points * scale, [range(6)]).tolist() == triangulate(points, [range(6)]).tolist()
