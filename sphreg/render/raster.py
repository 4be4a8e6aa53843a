"""The engine that needs no OpenGL: a z-buffer, compiled by numba.

It follows OpenGL's rules, so that it covers the same samples: corners are snapped to 1/256 of a sample; a sample
belongs to a triangle if its centre is inside; one on an edge belongs to the triangle on the right of it or below. In
whole numbers this is exact: between triangles with a common edge there is no gap, and no sample is in both.
"""

import math
from collections.abc import Iterator
from importlib.metadata import version
from typing import no_type_check

import numpy as np
from jaxtyping import Float64, Int, UInt8

from sphreg.render.camera import AMBIENT, BACKGROUND, HEADLIGHT, Camera
from sphreg.render.compiled import compiled
from sphreg.render.pixels import SUPERSAMPLING, pixels
from sphreg.render.surface import visible

BITS = 8  # of a corner's place between two samples
UNIT = 1 << BITS

INFO = {"engine": "numba", "version": version("numba"), "llvmlite": version("llvmlite")}


class Raster:
    """Draws with compiled loops, on one core.

    Attributes:
        camera: where from.
        info: the engine and its version.
    """

    def __init__(self, camera: Camera) -> None:
        self.camera = camera
        self.info = INFO

    def render(
        self,
        vertices: Float64[np.ndarray, "v 3"],
        faces: Int[np.ndarray, "f 3"],
        rotations: Float64[np.ndarray, "n 3 3"],
    ) -> Iterator[tuple[UInt8[np.ndarray, "size size"], UInt8[np.ndarray, "size size 3"]]]:
        """Draw a mesh in each rotation; see `Engine.render`."""
        faces, normals = visible(vertices, faces)
        faces = faces.astype(np.int32)
        side = SUPERSAMPLING * self.camera.size
        corners = np.empty((len(vertices), 2), np.int32)
        nearness = np.empty(len(vertices))
        depth, owner = np.empty((side, side), np.float32), np.empty((side, side), np.int32)
        samples = np.empty((side, side, 4), np.uint8)
        for rotation in np.ascontiguousarray(rotations):
            _project(vertices, rotation, self.camera.distance, self.camera.focal, side, corners, nearness)
            depth[:] = 0
            _fill(faces, corners, nearness, depth, owner)
            _shade(normals, rotation, self.camera.focal, AMBIENT, HEADLIGHT, BACKGROUND, depth, owner, samples)
            yield pixels(samples)


# What follows is compiled: beartype cannot look into it, and the constants of other files are arguments, as numba would
# not notice that they changed.


@no_type_check
@compiled
def _turn(matrix, x, y, z):
    return (
        matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2] * z,
        matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2] * z,
        matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2] * z,
    )


@no_type_check
@compiled
def _project(vertices, rotation, distance, focal, side, corners, nearness):
    """Columns and rows on the grid of samples, in units from the centre of the first one; and 1 / depth."""
    for v in range(len(vertices)):
        x, y, z = _turn(rotation, vertices[v, 0], vertices[v, 1], vertices[v, 2])
        nearness[v] = 1 / (distance - z)
        corners[v, 0] = math.floor(UNIT * (side / 2 * (1 + focal * x * nearness[v]) - 0.5) + 0.5)
        corners[v, 1] = math.floor(UNIT * (side / 2 * (1 - focal * y * nearness[v]) - 0.5) + 0.5)


@no_type_check
@compiled
def _fill(faces, corners, nearness, depth, owner):
    """The largest 1 / depth of each sample, which is linear over the image, and the face that has it."""
    end = len(depth) - 1
    for f in range(len(faces)):
        a, b, c = faces[f]
        xa, xb, xc = np.int64(corners[a, 0]), np.int64(corners[b, 0]), np.int64(corners[c, 0])
        left, right = max((min(xa, xb, xc) + UNIT - 1) >> BITS, 0), min(max(xa, xb, xc) >> BITS, end)
        if left > right:
            continue  # between two columns of samples, as most small faces are
        ya, yb, yc = np.int64(corners[a, 1]), np.int64(corners[b, 1]), np.int64(corners[c, 1])
        top, bottom = max((min(ya, yb, yc) + UNIT - 1) >> BITS, 0), min(max(ya, yb, yc) >> BITS, end)
        area = (xb - xa) * (yc - ya) - (yb - ya) * (xc - xa)
        if top > bottom or area == 0:
            continue
        wa, wb, wc = nearness[a], nearness[b], nearness[c]
        if area < 0:
            xb, xc, yb, yc, wb, wc, area = xc, xb, yc, yb, wc, wb, -area
        per_column = ((wb - wa) * (yc - ya) - (wc - wa) * (yb - ya)) / area * UNIT
        per_row = ((wc - wa) * (xb - xa) - (wb - wa) * (xc - xa)) / area * UNIT
        first = wa - (per_column * xa + per_row * ya) / UNIT
        edge_ab = _edge(xa, ya, xb, yb)
        edge_bc = _edge(xb, yb, xc, yc)
        edge_ca = _edge(xc, yc, xa, ya)
        for row in range(top, bottom + 1):
            start, stop = _inside(edge_ab, row, left, right)
            start, stop = _inside(edge_bc, row, start, stop)
            start, stop = _inside(edge_ca, row, start, stop)
            at_row = first + per_row * row
            for column in range(start, stop + 1):
                w = np.float32(at_row + per_column * column)
                nearer = w > depth[row, column]  # without a branch, so that several samples go at once
                depth[row, column] = w if nearer else depth[row, column]
                owner[row, column] = f if nearer else owner[row, column]


@no_type_check
@compiled
def _edge(xa, ya, xb, yb):
    """A, B and C; a sample is on the inner side of the edge from a to b if A column + B row + C >= 0."""
    across, down = ya - yb, xb - xa
    owns = across > 0 or (across == 0 and down > 0)  # the samples on it: a left edge, or a flat one at the top
    return UNIT * across, UNIT * down, -(across * xa + down * ya) - (0 if owns else 1)


@no_type_check
@compiled
def _inside(edge, row, start, stop):
    """The columns from `start` to `stop` that are on the inner side of an edge; the quotients of doubles are exact."""
    across, down, constant = edge
    at_row = constant + down * row
    if across > 0:
        start = max(start, -math.floor(at_row / across))
    elif across < 0:
        stop = min(stop, math.floor(at_row / -across))
    elif at_row < 0:
        stop = start - 1
    return start, stop


@no_type_check
@compiled
def _shade(normals, rotation, focal, ambient, headlight, background, depth, owner, samples):
    """The normal that faces the viewer in RGB and the grey value in A, each between 0 and 255."""
    side = len(depth)
    step = 2 / (side * focal)
    samples[:] = 0
    for row in range(side):
        y = (side / 2 - row - 0.5) * step  # the ray through a sample is (x, y, -1)
        for column in range(side):
            grey = background
            if depth[row, column] > 0:
                x = (column + 0.5 - side / 2) * step
                f = owner[row, column]
                n = _turn(rotation, normals[f, 0], normals[f, 1], normals[f, 2])
                along = n[0] * x + n[1] * y - n[2]
                grey = ambient + headlight * abs(along) / math.sqrt(x * x + y * y + 1)
                for axis in range(3):
                    facing = -n[axis] if along > 0 else n[axis]
                    samples[row, column, axis] = int(127.5 * facing + 128)
            samples[row, column, 3] = int(255 * grey + 0.5)
