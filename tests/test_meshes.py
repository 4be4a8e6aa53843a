"""Normalising a mesh, and the files that the dataset keeps."""

from pathlib import Path

import numpy as np
import pytest
import trimesh
from hypothesis import given
from hypothesis import strategies as st

from sphreg.errors import UserError
from sphreg.formats import read_mesh
from sphreg.meshes import Mesh, decode_normalised, encode_normalised, normalise

TRIANGLE = np.array([[0, 1, 2]])


def cloud(seed, n=50):
    """A random mesh that uses all its vertices."""
    rng = np.random.default_rng(seed)
    return Mesh(
        rng.normal(size=(n, 3)), np.concatenate([rng.permutation(n)[: n // 3 * 3], [n - 1, 0, 1]]).reshape(-1, 3)
    )


def box_and_radius(vertices):
    return (vertices.min(axis=0) + vertices.max(axis=0)) / 2, max(np.sqrt(sum(x * x for x in v)) for v in vertices)


@given(
    st.integers(0, 2**32),
    st.sampled_from([1e-200, 1e-30, 1e-3, 1, 1e6, 1e30, 1e300]),
    st.tuples(*[st.floats(-100, 100)] * 3),
)
def test_the_box_is_centred_and_the_radius_is_one(seed, scale, shift):
    vertices, faces = cloud(seed)
    mesh = normalise(Mesh((vertices + shift) * scale, faces), "z")
    centre, radius = box_and_radius(mesh.vertices)
    assert np.abs(centre).max() < 1e-12
    assert radius == pytest.approx(1, abs=1e-12)


def test_normalising_is_a_shift_and_a_scale_only():
    mesh = cloud(0)
    normal = normalise(mesh, "z")
    used = np.unique(mesh.faces)
    before, after = mesh.vertices[used][1:] - mesh.vertices[used][0], normal.vertices[1:] - normal.vertices[0]
    factor = np.linalg.norm(after) / np.linalg.norm(before)
    np.testing.assert_allclose(after, before * factor, atol=1e-12)
    np.testing.assert_array_equal(used[normal.faces], mesh.faces)


def test_the_largest_numbers_do_not_overflow():
    corners = np.array([[1.0, -1.7, 0], [1.7, -1.7, 0], [1.7, -1.0, 0]])
    large, small = (normalise(Mesh(corners * scale, TRIANGLE), "z") for scale in (1e308, 1))
    np.testing.assert_allclose(large.vertices, small.vertices, atol=1e-12)


def test_normalising_again_changes_nothing():
    once = normalise(cloud(1), "z")
    np.testing.assert_allclose(normalise(once, "z").vertices, once.vertices, atol=1e-15)


def test_vertices_without_a_face_neither_count_nor_stay():
    vertices = np.array([[9e9, 0, 0], [0, 0, 0], [2, 0, 0], [-5, 1, 7], [0, 2, 0]])
    mesh = normalise(Mesh(vertices, np.array([[4, 1, 2]])), "z")
    np.testing.assert_allclose(mesh.vertices, np.array([[-1, -1, 0], [1, -1, 0], [-1, 1, 0]]) / np.sqrt(2))
    assert mesh.faces.tolist() == [[2, 0, 1]]


def test_y_up_becomes_z_up_and_its_front_the_front():
    """In glTF +y is up and +z the front; here z is up and -y the front. No mirror image."""
    x, up, front = normalise(Mesh(np.eye(3) - 1 / 2, TRIANGLE), "y").vertices * np.sqrt(3) / 2 + 1 / 2 * np.array(
        [1, -1, 1]
    )
    np.testing.assert_allclose([x, up, front], [[1, 0, 0], [0, 0, 1], [0, -1, 0]], atol=1e-12)
    assert np.linalg.det([x, up, front]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("vertices", "faces", "reason"),
    [
        (np.eye(3), np.zeros((0, 3), dtype=np.int64), "has no faces"),
        (np.ones((3, 3)), TRIANGLE, "zero extent"),
        (np.full((3, 3), 1e30), TRIANGLE, "zero extent"),
        (np.vstack([np.ones((3, 3)), [[5, 5, 5]]]), TRIANGLE, "zero extent"),
        (np.arange(9).reshape(3, 3) * 1.0, TRIANGLE, "no area"),
        (np.eye(3), np.array([[0, 0, 1]]), "no area"),
        (np.eye(3), np.array([[0, 1, 3]]), "a vertex which is not there"),
        (np.eye(3), np.array([[0, 1, -1]]), "a vertex which is not there"),
        (np.diag([1, 1, np.nan]), TRIANGLE, "NaN or infinite"),
        (np.diag([1, 1, -np.inf]), TRIANGLE, "NaN or infinite"),
    ],
)
def test_what_no_image_can_show_is_refused(vertices, faces, reason):
    with pytest.raises(UserError, match=reason):
        normalise(Mesh(vertices, faces), "z")


@given(st.integers(0, 2**32))
def test_a_file_gives_back_the_mesh(tmp_path_factory, seed):
    mesh = normalise(cloud(seed), "z")
    path = tmp_path_factory.getbasetemp() / "mesh.off"
    content = encode_normalised(mesh)
    path.write_bytes(content)
    for vertices, faces in (decode_normalised(content), read_mesh(path), by_trimesh(path)):
        np.testing.assert_allclose(vertices, mesh.vertices, rtol=0, atol=1e-10)
        np.testing.assert_array_equal(faces, mesh.faces)
        assert (vertices.dtype, faces.dtype) == (np.float64, np.int64)


CUBE = encode_normalised(normalise(Mesh(np.eye(3), TRIANGLE), "z"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is no normalised mesh, or is damaged"),
        (b"OFF\n", "is no normalised mesh, or is damaged"),
        (b"OFF\n3 1\n", "is no normalised mesh, or is damaged"),
        (CUBE.replace(b"0.", b"x."), "is no normalised mesh, or is damaged"),
        (CUBE.replace(b"OFF", b"NOFF"), "is no normalised mesh, or is damaged"),
        (CUBE.replace(b"3 1 0", b"3 2 0", 1), "says 3 vertices and 2 faces in its header, and has others"),
        (CUBE.replace(b"3 1 0", b"-3 1 0", 1), "says -3 vertices and 1 faces in its header, and has others"),
        (CUBE.rsplit(b"\n", 2)[0], "says 3 vertices and 1 faces in its header, and has others"),
        (CUBE + b"3 0 1 2\n", "says 3 vertices and 1 faces in its header, and has others"),
        (CUBE.replace(b"3 0 1 2", b"4 0 1 2"), "has a face that is no triangle"),
        (CUBE.replace(b"3 0 1 2", b"3 0 1 3"), "has a face that names a vertex which is not there"),
        (CUBE.replace(b"3 0 1 2", b"3 0 1 -1"), "has a face that names a vertex which is not there"),
    ],
)
def test_a_file_that_is_not_as_it_was_written(content, reason):
    decode_normalised(CUBE)
    with pytest.raises(UserError, match=f"^{reason}$"):
        decode_normalised(content)


def by_trimesh(path):
    mesh = trimesh.load_mesh(path, process=False)
    return np.array(mesh.vertices), np.array(mesh.faces)


def test_every_real_mesh_is_normalised_and_kept(modelnet10: Path, tmp_path):
    paths = sorted(modelnet10.glob("*/*/*.off"))
    assert len(paths) >= 25
    for path in paths:
        normal = normalise(read_mesh(path), "z")
        centre, radius = box_and_radius(normal.vertices)
        assert np.abs(centre).max() < 1e-12
        assert radius == pytest.approx(1, abs=1e-12)
        copy = tmp_path / path.name
        content = encode_normalised(normal)
        copy.write_bytes(content)
        back, by_other = decode_normalised(content), by_trimesh(copy)
        np.testing.assert_allclose(back.vertices, normal.vertices, rtol=0, atol=1e-10)
        np.testing.assert_array_equal(back.faces, normal.faces)
        np.testing.assert_array_equal(back.vertices, by_other[0])
        np.testing.assert_array_equal(back.faces, by_other[1])
