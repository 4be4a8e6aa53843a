"""Polygons in space as triangles."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64, Int64


def triangulate(vertices: Float64[np.ndarray, "v 3"], polygons: Sequence[Sequence[int]]) -> Int64[np.ndarray, "f 3"]:
    """Cut each polygon of k >= 3 corners into k - 2 triangles, in the polygons' order and with their orientation.

    A convex polygon becomes a fan around its first corner. Of any other one ears are clipped, in the plane that
    its normal says, so that no triangle lies outside of it (Meisters, "Polygons have ears", 1975).
    """
    sizes = np.array([len(polygon) for polygon in polygons])
    triangles, owners = [], []
    for size in np.unique(sizes):
        owner = np.flatnonzero(sizes == size)
        corners = np.array([polygons[i] for i in owner.tolist()], dtype=np.int64)
        second = np.arange(1, size - 1)
        fan = np.stack([np.zeros_like(second), second, second + 1], axis=1)
        cut = corners[:, fan]  # (polygons, size - 2, 3)
        if size > 3:
            flat, convex = _flatten(vertices[corners])
            for i in np.flatnonzero(~convex):
                cut[i] = corners[i][_clip_ears(flat[i])]
        triangles.append(cut.reshape(-1, 3))
        owners.append(np.repeat(owner, size - 2))
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


def _clip_ears(points: Float64[np.ndarray, "k 2"]) -> Int64[np.ndarray, "k-2 3"]:
    """The triangles of a simple polygon, given counterclockwise. Where it crosses itself, the rest becomes a fan."""
    rest = list(range(len(points)))
    triangles = []
    while len(rest) > 3:
        ear = next((i for i in range(len(rest)) if _is_ear(points[rest], i)), 1)
        triangles.append([rest[ear - 1], rest[ear], rest[(ear + 1) % len(rest)]])
        del rest[ear]
    return np.array([*triangles, rest], dtype=np.int64)


def _is_ear(points: Float64[np.ndarray, "k 2"], i: int) -> bool:
    """Whether corner `i` and its two neighbours make a triangle that holds no other corner."""
    triangle = points[[i - 1, i, (i + 1) % len(points)]]
    edges = np.roll(triangle, -1, axis=0) - triangle
    inside = (_cross(edges, points[:, None] - triangle) >= 0).all(axis=1)
    same = (points[:, None] == triangle).all(axis=2).any(axis=1)  # also the doubled corners of a bridge to a hole
    convex = (_cross(edges, np.roll(edges, -1, axis=0)) > 0).all()
    return bool(convex and not (inside & ~same).any())


def _cross(a: Float64[np.ndarray, "... 2"], b: Float64[np.ndarray, "... 2"]) -> Float64[np.ndarray, "..."]:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
