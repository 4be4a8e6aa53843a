"""Meshes to render, and what their images have to show."""

import numpy as np
import trimesh
from PIL import Image, ImageDraw

FOV = 40.0
DISTANCE = 1 / np.sin(np.radians(20))
FOCAL = 1 / np.tan(np.radians(20))
SIZE = 64


def normalised(mesh):
    vertices = mesh.vertices - mesh.bounds.mean(axis=0)
    return np.array(vertices / np.linalg.norm(vertices, axis=1).max()), np.array(mesh.faces)


def box(*sides):
    return normalised(trimesh.creation.box(sides))


def asymmetric():
    """An L with a bar to one side: no rotation of it looks like another."""
    parts = [((2, 0.5, 0.4), (0, 0, 0)), ((0.4, 0.5, 1.2), (0.8, 0, 0.8)), ((0.3, 1.4, 0.3), (-0.7, 0.9, 0.1))]
    boxes = [trimesh.creation.box(sides, trimesh.transformations.translation_matrix(at)) for sides, at in parts]
    return normalised(trimesh.util.concatenate(boxes))


def silhouette(vertices, faces, quaternion):
    """The samples that the projected triangles cover, by a fill of polygons on a grid 16 times as fine as the image."""
    x, y, z, w = quaternion
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    points = vertices @ rotation.T
    depth = DISTANCE - points[:, 2]
    columns = (1 + points[:, 0] * FOCAL / depth) * SIZE / 2
    rows = (1 - points[:, 1] * FOCAL / depth) * SIZE / 2
    # Pixel 16 k of the fine grid is the sample of pixel k: three quarters of the way through it.
    places = np.rint(16 * (np.column_stack([columns, rows]) - 0.75)).astype(int)
    canvas = Image.new("1", (16 * SIZE, 16 * SIZE))
    draw = ImageDraw.Draw(canvas)
    for face in faces:
        draw.polygon([tuple(place) for place in places[face].tolist()], fill=1)
    return np.array(canvas)[::16, ::16]


def overlap(one, other):
    return (one & other).sum() / (one | other).sum()


def transposed(quaternion):
    return quaternion * [-1, -1, -1, 1]
