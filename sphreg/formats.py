"""Reading mesh files of others: OFF, OBJ, PLY, STL and GLB.

PLY, STL and GLB are read by trimesh, and held against what their headers promise, as trimesh passes over much of what
is missing or wrong. OFF and OBJ are plain tables and are read here: trimesh drops their faces of two corners and OFF
bodies that are too short without a word, takes the OBJ index 0 for 1 and fails at OFF files that mix triangles and
other polygons.
"""

import io
import json
import logging
import math
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import trimesh
from jaxtyping import Float64
from trimesh.exchange.ply import load_ply

from sphreg.errors import UserError
from sphreg.meshes import Mesh, check
from sphreg.polygons import triangulate

# glTF extensions that a reader can pass over, as they only change how a surface looks.
_HARMLESS = ("KHR_materials_", "KHR_texture_", "EXT_texture_", "KHR_lights_")

# What trimesh has to say is said by the errors here.
logging.getLogger("trimesh").setLevel(logging.CRITICAL)


def read_mesh(path: Path) -> Mesh:
    """Read a file of one of `FORMATS`; its suffix says which.

    Raises:
        UserError: as `parse_mesh`, or the file cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}") from None
    return parse_mesh(data, path.suffix[1:].lower())


def parse_mesh(data: bytes, kind: str) -> Mesh:
    """The mesh in a file with the content `data` and the format `kind`, a key of `FORMATS`.

    Vertices keep their order and none is merged or left out; the parts of a scene come one after another, each moved
    to its place. Faces of more than three corners are triangulated, and fewer than three are an error.

    Raises:
        UserError: the file is none of this format, disagrees with itself or has no mesh that `check` lets pass. The
            message is the reason alone; the caller knows the file.
    """
    if not data.strip():
        raise UserError("is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.filterwarnings("error", message="string or file could not be read to its end")
            mesh = FORMATS[kind](data)
    except UserError:
        raise
    except Exception as error:  # there is no list of what a reader of damaged files may trip over
        hint = ", or its faces have different numbers of corners (save it as ASCII then)" if kind == "ply" else ""
        raise UserError(f"is no {kind.upper()} file, or is damaged or cut short{hint}") from error
    check(*mesh)
    return mesh


def _off(data: bytes) -> Mesh:
    return _plain_off(data) or _any_off(data)


def _plain_off(data: bytes) -> Mesh | None:
    """The mesh of a file laid out as ModelNet's, several times as fast; None for any other, right or wrong.

    That is: triangles only, one space between numbers, no comment, no colour.
    """
    data = data.replace(b"\r\n", b"\n").replace(b" \n", b"\n").rstrip() + b"\n"
    header = re.match(rb"OFF\n?(\d+) (\d+) \d+\n", data)
    if header is None:
        return None
    n_vertices, n_faces = int(header[1]), int(header[2])
    body = data[header.end() :]
    text = np.frombuffer(body, dtype=np.uint8)
    gaps = np.flatnonzero(text <= ord(" "))
    if n_vertices == 0 or n_faces == 0 or len(gaps) != 3 * n_vertices + 4 * n_faces:
        return None
    if text[gaps].tobytes() != b"  \n" * n_vertices + b"   \n" * n_faces:
        return None
    # The gaps allow at most three and four numbers in a line; so if there are enough in all, each line has its own.
    split = gaps[3 * n_vertices - 1]
    try:
        vertices = np.fromstring(body[:split], sep=" ").reshape(n_vertices, 3)
        table = np.fromstring(body[split:], dtype=np.int64, sep=" ").reshape(n_faces, 4)
        check(vertices, table[:, 1:])
    except (ValueError, DeprecationWarning):  # what is wrong, and in which line, is found the slow way
        return None
    return Mesh(vertices, table[:, 1:].copy()) if (table[:, 0] == 3).all() else None


def _any_off(data: bytes) -> Mesh:
    raw = [line.partition(b"#")[0].strip() for line in data.splitlines()]
    if re.search(rb"[^\t -~]", b"".join(raw)):
        raise UserError("is no text file, so no OFF file")
    lines = [(number, line.decode("ascii")) for number, line in enumerate(raw, 1) if line]
    start = "\n".join(line for _, line in lines[:2])
    # ModelNet's counts often stand in the first line, without a space: "OFF490 518 0".
    header = re.match(r"(?:ST)?C?N?OFF\s*(-?\d+)[ \t]+(-?\d+)(?:[ \t]+-?\d+)?(?:\n|$)", start)
    if header is None:
        raise UserError("has no OFF header: the word OFF, then the numbers of vertices, faces and edges")
    n_vertices, n_faces = int(header[1]), int(header[2])
    body = lines[1 + header[0].rstrip("\n").count("\n") :]
    if n_vertices < 0 or n_faces < 0:
        raise UserError(f"has a negative count in its header: {n_vertices} vertices, {n_faces} faces")
    if len(body) != n_vertices + n_faces:
        raise UserError(
            f"has {len(body)} lines after its header, which counts {n_vertices} vertices and {n_faces} faces: "
            "it is damaged or cut short"
        )
    if n_vertices == 0 or n_faces == 0:
        raise UserError("has no faces")
    width = max(3, len(body[0][1].split()))  # more than 3 with normals or colours
    vertices = np.array([_off_vertex(line, number, width) for number, line in body[:n_vertices]])
    polygons = [_off_face(line, number, n_vertices) for number, line in body[n_vertices:]]
    return Mesh(vertices, triangulate(vertices, polygons))


def _off_vertex(line: str, number: int, width: int) -> list[float]:
    words = line.split()
    if len(words) != width:
        raise UserError(f"line {number}: vertex of {len(words)} numbers, expected {width}")
    try:
        if "_" in line:  # which Python reads past
            raise ValueError
        vertex = [float(word) for word in words[:3]]
    except ValueError:
        raise UserError(f"line {number}: no vertex: {line[:40]!r}") from None
    if not all(map(math.isfinite, vertex)):
        raise UserError(f"line {number}: vertex with a NaN or infinite coordinate")
    return vertex


def _off_face(line: str, number: int, n_vertices: int) -> list[int]:
    size, *words = line.split()
    try:
        if "_" in line:
            raise ValueError
        n_corners = int(size)
        corners = [int(word) for word in words[: max(n_corners, 0)]]  # a colour may follow
    except ValueError:
        raise UserError(f"line {number}: no face: {line[:40]!r}") from None
    if n_corners < 3:
        raise UserError(f"line {number}: face of {n_corners} corners, allowed: 3 and more")
    if len(corners) < n_corners:
        raise UserError(f"line {number}: face of {n_corners} corners with {len(corners)} indices")
    for corner in corners:
        if not 0 <= corner < n_vertices:
            raise UserError(f"line {number}: face with vertex {corner}, allowed: 0 to {n_vertices - 1}")
    return corners


def _obj(data: bytes) -> Mesh:
    positions: list[tuple[str, str, str]] = []
    polygons = []
    text = data.decode("utf-8", errors="replace").replace("\r\n", "\n").replace("\\\n", " ")
    for line in text.split("\n"):
        match line.partition("#")[0].split():
            case ["v", x, y, z, *_]:
                positions.append((x, y, z))
            case ["v", *_]:
                raise UserError("has a vertex of fewer than three coordinates")
            case ["f", *corners]:
                indices = [int(corner.partition("/")[0]) for corner in corners]
                # From 1, or from the vertex before this line backwards; 0 becomes -1, which no vertex has.
                polygons.append([i - 1 if i >= 0 else i + len(positions) for i in indices])
    return _triangles(np.array(positions, dtype=np.float64).reshape(-1, 3), polygons)


def _ply(data: bytes) -> Mesh:
    head, _, body = data.partition(b"end_header")
    counts = {name: int(count) for name, count in re.findall(rb"^\s*element\s+(\w+)\s+(-?\d+)", head, re.MULTILINE)}
    if min(counts.values(), default=0) < 0:
        raise UserError("has a negative count in its header")
    if not counts.get(b"vertex") or not counts.get(b"face"):
        raise UserError("has no faces")
    lines = sum(1 for line in body.splitlines() if line.strip())
    if re.search(rb"^\s*format\s+ascii", head, re.MULTILINE) and lines != sum(counts.values()):
        raise UserError(
            f"has {lines} lines after its header, which counts {sum(counts.values())}: it is damaged or cut short"
        )
    elements = load_ply(io.BytesIO(data), skip_materials=True)["metadata"]["_ply_raw"]
    # Not the mesh that trimesh makes of them: it doubles vertices where a texture has a seam.
    vertices = np.column_stack([elements["vertex"]["data"][axis] for axis in "xyz"]).astype(np.float64)
    table = elements["face"]["data"]
    names = table.dtype.names if isinstance(table, np.ndarray) else table
    polygons = table["vertex_indices" if "vertex_indices" in names else "vertex_index"]
    if isinstance(table, np.ndarray):  # binary: each row was cut as if all had as many corners as the first
        if (polygons["f0"] != polygons["f1"].shape[1]).any():
            raise ValueError("faces of different numbers of corners")
        polygons = polygons["f1"]
    return _triangles(vertices, [polygon.tolist() for polygon in polygons])


def _stl(data: bytes) -> Mesh:
    count = int.from_bytes(data[80:84], "little")
    if len(data) != 84 + 50 * count:
        if data.split(maxsplit=1)[0].lower() != b"solid":
            raise ValueError("neither a whole binary STL file nor a text")
        count = len(re.findall(rb"^\s*facet\b", data, re.IGNORECASE | re.MULTILINE))
    mesh = _flattened(data, "stl")
    if len(mesh.faces) != count:
        raise UserError(f"has {count} facets, of which {len(mesh.faces)} are whole: it is damaged or cut short")
    return mesh


def _glb(data: bytes) -> Mesh:
    if int.from_bytes(data[8:12], "little") > len(data):
        raise ValueError("the header says that there is more")
    scene = json.loads(data[20 : 20 + int.from_bytes(data[12:16], "little")])
    unknown = [name for name in scene.get("extensionsRequired", []) if not name.startswith(_HARMLESS)]
    if unknown:
        raise UserError(f"needs the glTF extension {unknown[0]}, which is not supported: export it without")
    if any(part.get("mode") == 6 for mesh in scene.get("meshes", []) for part in mesh["primitives"]):
        raise UserError("has triangle fans, which are not supported: export it with triangles")
    return _flattened(data, "glb")


def _flattened(data: bytes, kind: str) -> Mesh:
    scene = trimesh.load_scene(io.BytesIO(data), file_type=kind, process=False, skip_materials=True)
    for part in scene.geometry.values():
        if isinstance(part, trimesh.Trimesh):  # points and lines are left out
            # Here already, as together with the other parts an index out of range may reach into the next one.
            check(np.asarray(part.vertices, dtype=np.float64), np.asarray(part.faces))
    whole = scene.to_mesh()
    return Mesh(np.array(whole.vertices, dtype=np.float64), np.array(whole.faces, dtype=np.int64))


def _triangles(vertices: Float64[np.ndarray, "v 3"], polygons: Sequence[Sequence[int]]) -> Mesh:
    """Check before the corners are used as indices."""
    fewest = min(map(len, polygons), default=3)
    if fewest < 3:
        raise UserError(f"has a face of {fewest} corners, allowed: 3 and more")
    check(vertices, np.array([corner for polygon in polygons for corner in polygon], dtype=np.int64))
    return Mesh(vertices, triangulate(vertices, polygons))


FORMATS = {"off": _off, "obj": _obj, "ply": _ply, "stl": _stl, "glb": _glb}
