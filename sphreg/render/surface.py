"""The part of a mesh that can be seen."""

import numpy as np
from jaxtyping import Float64, Int
from trimesh.triangles import normals as face_normals

from sphreg.errors import UserError


def visible(
    vertices: Float64[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]
) -> tuple[Int[np.ndarray, "g 3"], Float64[np.ndarray, "g 3"]]:
    """The faces that have an area, and their unit normals.

    Raises:
        UserError: there is none.
    """
    normals, has_area = face_normals(vertices[faces])
    if not has_area.any():
        raise UserError("no face of the mesh has an area.")
    return faces[has_area], normals
