"""The camera and the shading, written once for every engine.

Camera coordinates are OpenGL's: x right, y up, z towards the viewer, the camera at the origin and the object's centre
at (0, 0, -distance). `sphreg.render.pixels` makes pixels of the sub-samples that an engine draws.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Float64, UInt8

# Lambert's headlight: grey = AMBIENT + HEADLIGHT |n . v|, with n the normal and v the unit ray from the surface to the
# camera. With the absolute value both sides of a face look alike, as the winding of CAD meshes means nothing.
AMBIENT = 0.3
HEADLIGHT = 0.6
BACKGROUND = 1.0


@dataclass(frozen=True)
class Camera:
    """A pinhole camera with square images, as far away as makes the bounding sphere of radius 1 touch their edges.

    So an object in that sphere is whole at every rotation.

    Attributes:
        size: width and height in pixels.
        fov_deg: field of view in degrees, of the width and of the height.
    """

    size: int
    fov_deg: float

    @property
    def distance(self) -> float:
        """From the camera to the object's centre: the edges of the view are tangents of the unit sphere."""
        return 1 / math.sin(math.radians(self.fov_deg) / 2)

    @property
    def focal(self) -> float:
        """Focal length in units of half an image."""
        return 1 / math.tan(math.radians(self.fov_deg) / 2)

    @property
    def near(self) -> float:
        """Distance of the near clipping plane, just before the unit sphere."""
        return 0.99 * (self.distance - 1)

    @property
    def far(self) -> float:
        """Distance of the far clipping plane, just behind the unit sphere."""
        return 1.01 * (self.distance + 1)

    @property
    def projection(self) -> Float64[np.ndarray, "4 4"]:
        """OpenGL's projection matrix: camera to clip coordinates, column vectors."""
        depth = self.near - self.far
        return np.array(
            [
                [self.focal, 0, 0, 0],
                [0, self.focal, 0, 0],
                [0, 0, (self.near + self.far) / depth, 2 * self.near * self.far / depth],
                [0, 0, -1, 0],
            ]
        )

    def pose(self, rotation: Float64[np.ndarray, "3 3"]) -> Float64[np.ndarray, "4 4"]:
        """Object to camera coordinates: x_cam = R x_obj + (0, 0, -distance)."""
        pose = np.eye(4)
        pose[:3, :3] = rotation
        pose[2, 3] = -self.distance
        return pose

    def project(self, points: Float64[np.ndarray, "*n 3"]) -> Float64[np.ndarray, "*n 2"]:
        """Camera coordinates to pixels: x right, y down, the origin at the top left corner of the image."""
        x, y, z = np.moveaxis(points, -1, 0)
        return self.size / 2 * np.stack([1 - self.focal * x / z, 1 + self.focal * y / z], axis=-1)


def encode_normals(normals: Float[np.ndarray, "*n 3"]) -> UInt8[np.ndarray, "*n 3"]:
    """Unit vectors as 8-bit colours, round((n + 1) / 2 * 255); the zero vector, the background, as (0, 0, 0)."""
    colours = np.rint((normals + 1) / 2 * 255)
    return np.where(normals.any(axis=-1, keepdims=True), colours, 0).astype(np.uint8)


def decode_normals(colours: UInt8[np.ndarray, "*n 3"]) -> Float32[np.ndarray, "*n 3"]:
    """The inverse of `encode_normals`: vectors of unit length, and the zero vector for the background.

    No unit vector has the colour (0, 0, 0), and no colour gives a zero vector, as 127.5 is not a whole number.
    """
    normals = colours.astype(np.float32) * np.float32(2 / 255) - 1
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    return np.where(colours.any(axis=-1, keepdims=True), normals, np.float32(0))
