"""One mesh: what it has to be, how it is normalised, and how the dataset keeps it."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64, Integer

from sphreg.errors import UserError

# Of all faces together, where the farthest vertex has distance 1. Less than this no image shows.
SMALLEST_AREA = 1e-9


class Mesh(NamedTuple):
    """Triangles. A face holds the indices of its three corners."""

    vertices: Float64[np.ndarray, "v 3"]
    faces: Int64[np.ndarray, "f 3"]


def check(vertices: Float64[np.ndarray, "v 3"], corners: Integer[np.ndarray, "..."]) -> None:
    """See that there are faces, that their `corners` are vertices, and that these are finite, others need not be.

    Raises:
        UserError: the reason alone; the caller knows the file.
    """
    if corners.size == 0:
        raise UserError("has no faces")
    if corners.min() < 0 or corners.max() >= len(vertices):
        raise UserError("has a face that names a vertex which is not there")
    if not np.isfinite(vertices).all() and not np.isfinite(vertices[corners]).all():
        raise UserError("has a vertex with a NaN or infinite coordinate")


def normalise(mesh: Mesh, up: str) -> Mesh:
    """Move the centre of the bounding box to the origin and scale the largest distance of a vertex from it to 1.

    Vertices that no face uses neither count nor stay.

    Args:
        mesh: z up and front towards -y, or y up and front towards +z, as `up` says.
        up: "z" or "y"; "y" takes (x, y, z) to (x, -z, y) first.

    Raises:
        UserError: `check` fails, all vertices are one point, or all faces together have no area; the reason alone.
    """
    check(*mesh)
    used, faces = np.unique(mesh.faces, return_inverse=True)
    faces = faces.reshape(-1, 3)
    vertices = mesh.vertices[used]
    if up == "y":
        vertices = vertices[:, [0, 2, 1]] * [1.0, -1.0, 1.0]
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    if (low == high).all():
        raise UserError("has zero extent: all its vertices are one point")
    vertices = vertices - (low / 2 + high / 2)
    vertices /= np.abs(vertices).max()  # first, as the squares of 1e200 are infinite
    vertices /= np.linalg.norm(vertices, axis=1).max()
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    if np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2 < SMALLEST_AREA:
        raise UserError("has no area: its faces are lines or points")
    return Mesh(vertices, faces)


def encode_normalised(mesh: Mesh) -> bytes:
    """Write a normalised mesh as OFF: coordinates with ten decimals, so exact to 5e-11 of the object's radius."""
    vertices, faces = mesh
    # One format for all rows is three times as fast as one for each.
    return b"OFF\n%d %d 0\n%b%b" % (
        len(vertices),
        len(faces),
        b"%.10f %.10f %.10f\n" * len(vertices) % tuple(vertices.ravel().tolist()),
        b"3 %d %d %d\n" * len(faces) % tuple(faces.ravel().tolist()),
    )


def decode_normalised(content: bytes) -> Mesh:
    """The mesh of what `encode_normalised` wrote, in a fifth of the time that a reader of any OFF takes.

    Raises:
        UserError: it is something else, or what follows its header is not what that says; the reason alone.
    """
    try:
        header, counts, body = content.split(b"\n", 2)
        vertex_count, face_count, edge_count = map(int, counts.split())
        # Each coordinate has ten decimals, so it is an integer over 1e10, and integers are read eight times as fast.
        # Both are exact as floats, so that their quotient is the float next to the decimal number, as any right
        # reader's.
        numbers = np.fromstring(body.replace(b".", b""), dtype=np.int64, sep=" ")
        if (header, edge_count) != (b"OFF", 0):
            raise ValueError
    except (ValueError, DeprecationWarning):
        raise UserError("is no normalised mesh, or is damaged") from None
    if vertex_count < 0 or len(numbers) != 3 * vertex_count + 4 * face_count:
        raise UserError(f"says {vertex_count} vertices and {face_count} faces in its header, and has others")
    vertices, faces = numbers[: 3 * vertex_count].reshape(-1, 3) / 1e10, numbers[3 * vertex_count :].reshape(-1, 4)
    if (faces[:, 0] != 3).any():
        raise UserError("has a face that is no triangle")
    check(vertices, faces[:, 1:])
    return Mesh(vertices, faces[:, 1:].copy())
