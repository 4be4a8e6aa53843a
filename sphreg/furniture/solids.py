"""What furniture is built of: closed solids, each a loft through a stack of rings. Metres, z up, front towards -y."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import trimesh
from jaxtyping import Float, Float64, Int64

Span = tuple[float, float]
Point = tuple[float, float, float]


@dataclass(frozen=True)
class Solid:
    """A closed surface with outward faces. Its methods return a changed copy."""

    vertices: Float64[np.ndarray, "v 3"]
    faces: Int64[np.ndarray, "f 3"]

    def moved(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> "Solid":
        """Shifted by (x, y, z)."""
        return Solid(self.vertices + np.array([x, y, z]), self.faces)

    def mirrored(self, axis: int = 0) -> "Solid":
        """Reflected in the plane through the origin that is normal to `axis`; its faces still point outward."""
        return Solid(self.vertices * np.where(np.arange(3) == axis, -1.0, 1.0), self.faces[:, ::-1])

    def tipped(self) -> "Solid":
        """Turned about x so that what was the top faces the front: (x, y, z) -> (x, -z, y)."""
        return Solid(self.vertices[:, [0, 2, 1]] * (1.0, -1.0, 1.0), self.faces)

    def rolled(self) -> "Solid":
        """Turned about y so that what was on the left is on top: (x, y, z) -> (z, y, -x)."""
        return Solid(self.vertices[:, [2, 1, 0]] * (1.0, 1.0, -1.0), self.faces)

    def leaned(self, slope: float, above: float) -> "Solid":
        """Sheared backwards by `slope` metres in y for each metre over the height `above`."""
        return self.shifted(1, slope * (self.vertices[:, 2] - above))

    def bowed(self, half: float, y: float = 0.0, z: float = 0.0) -> "Solid":
        """Bent into a parabola over x: unchanged at x = 0, shifted by y and z at x = +-half."""
        bend = (self.vertices[:, 0] / half) ** 2
        return self.shifted(1, y * bend).shifted(2, z * bend)

    def shifted(self, axis: int, offset: Float64[np.ndarray, " v"]) -> "Solid":
        """Shifted along an axis, each vertex by its own offset."""
        vertices = self.vertices.copy()
        vertices[:, axis] += offset
        return Solid(vertices, self.faces)


def assembled(solids: Iterable[Solid]) -> trimesh.Trimesh:
    """One mesh of all the solids; they may interpenetrate and share no vertex."""
    parts = list(solids)
    starts = np.cumsum([0] + [len(part.vertices) for part in parts[:-1]])
    vertices = np.concatenate([part.vertices for part in parts])
    faces = np.concatenate([part.faces + start for part, start in zip(parts, starts, strict=True)])
    return trimesh.Trimesh(vertices, faces, process=False)


def pair(*solids: Solid) -> Iterator[Solid]:
    """Each solid and its mirror image on the other side (x -> -x)."""
    for solid in solids:
        yield solid
        yield solid.mirrored()


def corners(*solids: Solid) -> Iterator[Solid]:
    """Each solid at its four places: mirrored in x, in y and in both."""
    for solid in solids:
        yield from pair(solid, solid.mirrored(1))


def centred(size: float, at: float = 0.0) -> Span:
    """The interval of this size around `at`."""
    return at - size / 2, at + size / 2


def split(span: Span, parts: int, gap: float = 0.0) -> list[Span]:
    """An interval cut into equal ones with gaps between them."""
    size = (span[1] - span[0] + gap) / parts
    return [(span[0] + i * size, span[0] + (i + 1) * size - gap) for i in range(parts)]


@cache
def _loft_faces(rings: int, points: int, closed: bool) -> Int64[np.ndarray, "f 3"]:
    index = np.arange(rings * points).reshape(rings, points)
    low, high = (index, np.roll(index, -1, 0)) if closed else (index[:-1], index[1:])
    a, b, c, d = (ring.ravel() for ring in (low, np.roll(low, -1, 1), np.roll(high, -1, 1), high))
    sides = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    if closed:
        return sides
    zigzag = np.empty(points, dtype=np.int64)  # 0, n-1, 1, n-2, ...: right for a convex ring and for a ribbon
    zigzag[::2], zigzag[1::2] = np.arange((points + 1) // 2), np.arange(points - 1, (points - 1) // 2, -1)
    cap = np.stack([zigzag[:-2], zigzag[1:-1], zigzag[2:]], 1)
    cap[::2] = cap[::2, ::-1]
    return np.concatenate([sides, cap + index[-1, 0], cap[:, ::-1]])


def loft(rings: Float[np.ndarray, "rings points 3"], closed: bool = False) -> Solid:
    """The solid through a sequence of rings, with a cap at both ends or, if closed, from the last back to the first.

    The rings may run in either direction: the faces point outward. A capped ring has to be convex or a ribbon.
    """
    vertices = rings.reshape(-1, 3).astype(np.float64)
    faces = _loft_faces(*rings.shape[:2], closed)
    outward = np.linalg.det(vertices[faces]).sum() > 0  # six times the volume
    return Solid(vertices, faces if outward else faces[:, ::-1])


def stack(layers: Iterable[tuple[Float[np.ndarray, "points 2"], float]], closed: bool = False) -> Solid:
    """The loft through outlines in x and y, each at its height.

    The heights may fall again (a bowl goes up its outside and down its inside); closed, it is a frame around a hole.
    """
    outlines, heights = zip(*layers, strict=True)
    rings = np.empty((len(outlines), len(outlines[0]), 3))
    rings[..., :2], rings[..., 2] = outlines, np.array(heights)[:, None]
    return loft(rings, closed)


def revolved(profile: Sequence[tuple[float, float]], sides: int = 12) -> Solid:
    """The solid of revolution about z through (radius, height) pairs; no radius is zero."""
    disc = ellipse(2.0, 2.0, points=sides)
    return stack((radius * disc, height) for radius, height in profile)


def extruded(outline: Float[np.ndarray, "points 2"], x: Span, cuts: int = 1) -> Solid:
    """An outline in y and z, drawn along x and cut so that it can be bowed."""
    rings = np.empty((cuts + 1, len(outline), 3))
    rings[..., 0], rings[..., 1:] = np.linspace(*x, cuts + 1)[:, None], outline
    return loft(rings)


def box(x: Span, y: Span, z: Span, cuts: int = 1) -> Solid:
    """A box with sharp edges, cut along x."""
    return extruded(np.array([(y[0], z[0]), (y[1], z[0]), (y[1], z[1]), (y[0], z[1])]), x, cuts)


def cushion(x: Span, y: Span, z: Span, edge: float = 0.01, corner: float = 0.0, steps: int = 1) -> Solid:
    """A box with edges of radius `edge` (one step is a chamfer), its outline from above with corners of that radius.

    Radii that are too large for the box become the largest possible ones.
    """
    size = np.ptp([x, y, z], axis=1)
    edge = min(edge, 0.49 * size.min())
    corner = min(max(corner, 1.3 * edge), 0.495 * size[:2].min())
    rises, insets = edge * (1.0 - _quarter(steps).T)
    centre = np.mean([x, y], axis=1)
    outlines = [
        rectangle(size[0] - 2 * i, size[1] - 2 * i, max(corner - i, 0.1 * edge), steps) + centre for i in insets
    ]
    layers = list(zip(outlines, z[0] + rises, strict=True))
    return stack(layers + [(outline, z[1] - height + z[0]) for outline, height in reversed(layers)])


def upright(x: Span, y: Span, z: Span, edge: float = 0.01, corner: float = 0.0, steps: int = 1) -> Solid:
    """A cushion that stands on its edge: `corner` rounds its outline as seen from the front."""
    return cushion(x, z, (-y[1], -y[0]), edge, corner, steps).tipped()


def bar(start: Point, end: Point, radius: float, end_radius: float | None = None, sides: int = 4) -> Solid:
    """A straight bar, cut square to the axis it follows most: a slanting leg stands flat on the floor.

    The radius is that of the inscribed circle, so four sides of radius r make a square bar of width 2 r.
    """
    along = int(np.abs(np.subtract(end, start)).argmax())
    across = [axis for axis in range(3) if axis != along]
    rings = np.tile([[start], [end]], (1, sides, 1)).astype(np.float64)
    radii = np.array([radius, radius if end_radius is None else end_radius])
    rings[:, :, across] += radii[:, None, None] / np.cos(np.pi / sides) * ellipse(2.0, 2.0, points=sides)
    return loft(rings)


def tube(path: Sequence[Point], radius: float, sides: int = 6) -> Solid:
    """A tube along points that lie nearly in one plane parallel to two of the axes; its radius is as that of a bar."""
    points = np.array(path, dtype=np.float64)
    tangent = np.gradient(points, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    side = np.eye(3)[np.ptp(points, axis=0).argmin()]
    side = side - tangent * (tangent @ side)[:, None]
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    circle = radius / np.cos(np.pi / sides) * ellipse(2.0, 2.0, points=sides)
    return loft(points[:, None] + circle[:, :1] * side[:, None] + circle[:, 1:] * np.cross(tangent, side)[:, None])


def rounded(path: Sequence[Point], radius: float, steps: int = 4) -> list[Point]:
    """A polyline whose inner corners are replaced by parabolas that start `radius` before them."""
    points = np.array(path, dtype=np.float64)
    t = np.linspace(0.0, 1.0, steps + 1)[:, None]
    pieces = [points[:1]]
    for before, corner, after in zip(points[:-2], points[1:-1], points[2:], strict=True):
        start, end = (corner + min(radius / np.linalg.norm(p - corner), 0.45) * (p - corner) for p in (before, after))
        pieces.append((1 - t) ** 2 * start + 2 * t * (1 - t) * corner + t**2 * end)
    return [(float(x), float(y), float(z)) for x, y, z in np.concatenate([*pieces, points[-1:]])]


@cache
def _quarter(steps: int) -> Float64[np.ndarray, "points 2"]:
    angles = np.linspace(0.0, np.pi / 2, steps + 1)
    return np.column_stack([np.cos(angles), np.sin(angles)])


def rectangle(
    width: float, depth: float, corner: float = 0.0, steps: int = 1, at: tuple[float, float] = (0.0, 0.0)
) -> Float64[np.ndarray, "points 2"]:
    """A rectangle around `at`, counter-clockwise; its corners are sharp, or round in `steps` pieces each."""
    arc = corner * (_quarter(steps if corner else 0) - 1.0) + (width / 2, depth / 2)
    return np.concatenate([arc, arc[::-1] * (-1, 1), -arc, arc[::-1] * (1, -1)]) + np.array(at)


def ellipse(width: float, depth: float, power: float = 2.0, points: int = 24) -> Float64[np.ndarray, "points 2"]:
    """A superellipse around the origin, counter-clockwise: power 2 is an ellipse, a higher one nears a rectangle."""
    angles = 2 * np.pi * (np.arange(points) + 0.5) / points
    unit = np.column_stack([np.cos(angles), np.sin(angles)])
    return np.sign(unit) * np.abs(unit) ** (2 / power) * (width / 2, depth / 2)


def ribbon(curve: Float[np.ndarray, "points 2"], thickness: float) -> Float64[np.ndarray, "twice 2"]:
    """The outline of a thick curve: along its one side and back along the other."""
    tangent = np.gradient(curve, axis=0)
    normal = tangent[:, ::-1] * (-1, 1) / np.linalg.norm(tangent, axis=1, keepdims=True)
    return np.concatenate([curve - thickness / 2 * normal, (curve + thickness / 2 * normal)[::-1]])
