"""Polygons in space as triangles."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64, Int64
from mapbox_earcut import triangulate_float64


def triangulate(vertices: Float64[np.ndarray, "v 3"], polygons: Sequence[Sequence[int]]) -> Int64[np.ndarray, "f 3"]:
    """Cut polygons of three and more corners into triangles, in the polygons' order and with their orientation.

    A convex polygon of k corners becomes a fan of k - 2 triangles around its first one. Of any other one ears are
    clipped, in the plane that its normal says, so that no triangle lies outside of it (Meisters, "Polygons have ears",
    1975); these may be fewer than k - 2 where it crosses itself or has corners twice.
    """
    sizes = np.array([len(polygon) for polygon in polygons])
    triangles, owners = [], []
    for size in np.unique(sizes):
        owner = np.flatnonzero(sizes == size)
        corners = np.array([polygons[i] for i in owner.tolist()], dtype=np.int64)
        second = np.arange(1, size - 1)
        fan = np.stack([np.zeros_like(second), second, second + 1], axis=1)
        if size == 3:
            convex = np.ones(len(owner), dtype=bool)
        else:
            flat, convex = _flatten(vertices[corners])
        triangles.append(corners[convex][:, fan].reshape(-1, 3))
        owners.append(np.repeat(owner[convex], size - 2))
        for i in np.flatnonzero(~convex):
            ears = triangulate_float64(flat[i], np.array([size], dtype=np.uint32)).reshape(-1, 3)
            triangles.append(corners[i][ears if len(ears) else fan])  # none where it has no area
            owners.append(np.full(len(triangles[-1]), owner[i]))
    return np.concatenate(triangles)[np.argsort(np.concatenate(owners), kind="stable")]


def _flatten(points: Float64[np.ndarray, "n k 3"]) -> tuple[Float64[np.ndarray, "n k 2"], Bool[np.ndarray, " n"]]:
    """Lay each polygon into a plane, counterclockwise, and tell whether it is convex."""
    points = points / 2 - points[:, :1] / 2  # halves, as the difference of two finite numbers may not be finite
    points /= np.maximum(np.abs(points).max(axis=(1, 2), keepdims=True), np.finfo(np.float64).tiny)
    normals = np.cross(points, np.roll(points, -1, axis=1)).sum(axis=1)  # Newell's, twice the area long
    # Seen along its largest component no polygon becomes a line.
    axis = np.abs(normals).argmax(axis=1)
    rows = np.arange(len(points))
    kept = np.stack([(axis + 1) % 3, (axis + 2) % 3], axis=1)
    flat = points[rows[:, None, None], np.arange(points.shape[1])[:, None], kept[:, None]]
    flip = normals[rows, axis] < 0
    flat[flip] = flat[flip][..., ::-1]
    edges = np.roll(flat, -1, axis=1) - flat
    turns = _cross(edges, np.roll(edges, -1, axis=1))
    return flat, np.all(turns >= -1e-12, axis=1)


def _cross(a: Float64[np.ndarray, "... 2"], b: Float64[np.ndarray, "... 2"]) -> Float64[np.ndarray, "..."]:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
