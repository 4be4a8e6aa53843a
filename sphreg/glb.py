"""Reading GLB, the binary form of glTF 2.0: the triangles of its scene, each part moved to its place.

trimesh passes over sparse accessors, morph weights, skins, meshes beside a camera and accessors that an extension would
fill, each without a word, so that a scene of right files becomes another shape. Only its matrices are used here.
"""

import base64
import json
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64, Shaped
from trimesh.transformations import quaternion_matrix, transform_points

from sphreg.errors import UserError
from sphreg.meshes import Mesh, check

# Extensions that a reader can pass over, as they only change how a surface looks, and those that it can't, even if the
# file does not require them.
_HARMLESS = ("KHR_materials_", "KHR_texture_", "EXT_texture_", "KHR_lights_")
_MOVING = ("EXT_mesh_gpu_instancing", "KHR_node_visibility")
_NUMBERS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_UNSIGNED = (5121, 5123, 5125)
# A few bytes may ask for millions of copies. What has none takes a byte and more for each vertex and triangle, and some
# hundred for each part.
_MOST, _PART = 5_000_000, 200


def parse_glb(data: bytes) -> Mesh:
    """All triangles of the scene, in the order of its nodes; points and lines are left out.

    Raises:
        UserError: something is not supported, disagrees with itself or needs too much memory; the reason alone.
        Exception: any other, where the file is damaged.
    """
    scene, chunk = _chunks(data)
    unknown = [name for name in scene.get("extensionsRequired", []) if not name.startswith(_HARMLESS)]
    unknown += [name for name in scene.get("extensionsUsed", []) if name in _MOVING]
    if unknown:
        raise UserError(f"needs the glTF extension {unknown[0]}, which is not supported: export it without")
    buffers = _Buffers(scene, chunk)
    most = max(len(data), _MOST)
    vertices, faces, n_vertices, n_faces = [np.zeros((0, 3))], [np.zeros((0, 3), dtype=np.int64)], 0, 0
    for node, matrix in _nodes(scene):
        if "mesh" not in node:
            continue
        if "skin" in node:
            raise UserError("has a skin that bones move, which is not supported: export it without")
        mesh = _item(scene["meshes"], node["mesh"])
        for primitive in mesh["primitives"]:
            if primitive.get("mode", 4) < 4:
                continue
            part = _part(buffers, primitive, node.get("weights", mesh.get("weights", [])), most)
            if np.linalg.det(matrix[:3, :3]) < 0:  # a mirror turns each face around
                part = part._replace(faces=part.faces[:, ::-1])
            vertices.append(transform_points(part.vertices, matrix))
            faces.append(part.faces + n_vertices)
            n_vertices += len(part.vertices)
            n_faces += len(part.faces)
            if max(n_vertices, n_faces, _PART * len(faces)) > most:
                raise UserError(
                    f"has more than {most} vertices or triangles, or more than {most // _PART} parts, as some are used "
                    "several times"
                )
    return Mesh(np.concatenate(vertices), np.concatenate(faces))


def _chunks(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The JSON and the binary chunk."""
    magic, version, length = struct.unpack_from("<4s2I", data)
    if magic != b"glTF" or version != 2 or length > len(data):
        raise ValueError("no header, or one that says that there is more")
    chunks, at = list[tuple[int, bytes]](), 12
    while at < length:
        size, kind = struct.unpack_from("<2I", data, at)
        chunks.append((kind, data[at + 8 : at + 8 + size]))
        at += 8 + size
    (kind, text), *rest = chunks
    if kind != 0x4E4F534A or at > length:
        raise ValueError("no JSON, or a chunk that is cut short")
    return json.loads(text), next((chunk for kind, chunk in rest if kind == 0x004E4942), b"")


class _Buffers:
    """The numbers of the file."""

    def __init__(self, scene: dict[str, Any], chunk: bytes):
        self.scene, self.chunk = scene, chunk

    def accessor(self, index: int, width: int, kinds: tuple[int, ...], most: int) -> Shaped[np.ndarray, "n width"]:
        """The numbers that it stands for, `most` rows of them at most, held against its own bounds."""
        accessor = _item(self.scene["accessors"], index)
        count, sparse = accessor["count"], accessor.get("sparse")
        if accessor["componentType"] not in kinds or accessor["type"] != {1: "SCALAR", 3: "VEC3"}[width]:
            raise UserError(f"has an accessor of another type than core glTF 2.0 allows ({index})")
        if count > most:
            raise UserError(f"has an accessor of {count} elements, allowed: up to {most}")
        if "bufferView" not in accessor and not sparse:
            raise UserError(
                "has triangles without data, as an extension compressed them: export it without compression"
            )
        numbers = np.dtype(_NUMBERS[accessor["componentType"]])
        if "bufferView" in accessor:
            values = self._numbers(accessor, numbers, count, width)
        else:
            values = np.zeros((count, width), numbers)
        if sparse:
            where = sparse["indices"]
            rows = self._numbers(where, np.dtype(_NUMBERS[where["componentType"]]), sparse["count"], 1)[:, 0]
            values = values.copy()
            values[rows] = self._numbers(sparse["values"], numbers, sparse["count"], width)
        for name, bound in (("min", np.fmin), ("max", np.fmax)):
            if name in accessor:
                promised = np.array(accessor[name], dtype=np.float64)
                # Writers round them, to six digits say.
                if not np.allclose(bound.reduce(values, axis=0), promised, rtol=1e-3, atol=1e-3 * np.ptp(values)):
                    raise UserError(f"has an accessor that does not keep to its own {name} ({index}): it is damaged")
        return values

    def _numbers(self, where: dict[str, Any], kind: np.dtype, count: int, width: int) -> Shaped[np.ndarray, "n width"]:
        view = _item(self.scene["bufferViews"], where["bufferView"])
        start, size = view.get("byteOffset", 0), view["byteLength"]
        stride, offset = view.get("byteStride", kind.itemsize * width), where.get("byteOffset", 0)
        data = self._buffer(view["buffer"])
        if min(start, size, offset, count - 1) < 0 or start + size > len(data) or stride < kind.itemsize * width:
            raise ValueError("a view of what is not there")
        # numpy sees that the rows are inside of the view.
        return np.ndarray((count, width), kind, data[start : start + size], offset, (stride, kind.itemsize))

    def _buffer(self, index: int) -> memoryview:
        uri = _item(self.scene["buffers"], index).get("uri", "")
        if not uri and index == 0:
            return memoryview(self.chunk)
        if not uri.startswith("data:"):
            raise UserError("keeps its data in another file, which is not supported: export it as one GLB file")
        return memoryview(base64.b64decode(uri.partition(",")[2]))


def _part(buffers: _Buffers, primitive: dict[str, Any], weights: list[Any], most: int) -> Mesh:
    floats = (5126,)
    vertices = buffers.accessor(primitive["attributes"]["POSITION"], 3, floats, most).astype(np.float64)
    for weight, target in zip(weights, primitive.get("targets", []), strict=True):
        if weight and "POSITION" in target:
            vertices += weight * buffers.accessor(target["POSITION"], 3, floats, len(vertices))
    if "indices" in primitive:
        corners = buffers.accessor(primitive["indices"], 1, _UNSIGNED, most)[:, 0].astype(np.int64)
    else:
        corners = np.arange(len(vertices))
    faces = _faces(corners, primitive.get("mode", 4))
    check(vertices, faces)  # here, as together with the other parts an index out of range may reach into the next one
    return Mesh(vertices, faces)


def _faces(corners: Int64[np.ndarray, " n"], mode: int) -> Int64[np.ndarray, "f 3"]:
    """Of triangles (mode 4), a strip (5) or a fan (6)."""
    match mode:
        case 4:
            return corners.reshape(-1, 3)
        case 5:
            strip = np.stack([corners[:-2], corners[1:-1], corners[2:]], axis=1)
            strip[1::2] = strip[1::2, ::-1]  # every second triangle is the other way round
            return strip
        case 6:
            return np.stack([np.full(len(corners) - 2, corners[0]), corners[1:-1], corners[2:]], axis=1)
        case _:
            raise ValueError("no mode of glTF")


def _nodes(scene: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Float64[np.ndarray, "4 4"]]]:
    """Each node of the scene, with the matrix that takes it to its place."""
    nodes = scene.get("nodes", [])
    if "scenes" in scene:
        roots = _item(scene["scenes"], scene.get("scene", 0)).get("nodes", [])
    else:
        children = {child for node in nodes for child in node.get("children", [])}
        roots = [i for i in range(len(nodes)) if i not in children]
    stack, seen = [(root, np.eye(4)) for root in roots], set[int]()
    while stack:
        index, matrix = stack.pop()
        if index in seen:
            raise ValueError("the nodes are no tree")
        seen.add(index)
        node = _item(nodes, index)
        matrix = matrix @ _local(node)
        stack.extend((child, matrix) for child in node.get("children", []))
        yield node, matrix


def _local(node: dict[str, Any]) -> Float64[np.ndarray, "4 4"]:
    if "matrix" in node:
        return np.array(node["matrix"], dtype=np.float64).reshape(4, 4).T
    move, scale = np.eye(4), np.eye(4)
    move[:3, 3] = node.get("translation", [0.0, 0.0, 0.0])
    x, y, z, w = node.get("rotation", [0.0, 0.0, 0.0, 1.0])
    scale[[0, 1, 2], [0, 1, 2]] = node.get("scale", [1.0, 1.0, 1.0])
    return move @ quaternion_matrix(np.array([w, x, y, z], dtype=np.float64)) @ scale


def _item(items: list[dict[str, Any]], index: int) -> dict[str, Any]:
    """As Python would count a negative index from the end."""
    if index < 0:
        raise ValueError("a negative index")
    return items[index]
