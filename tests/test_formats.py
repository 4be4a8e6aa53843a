"""Mesh files of every format: good, odd, and bad in every way that we could think of."""

import base64
import io
import json
import os
import re
import struct
import warnings
from random import Random

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from sphreg.errors import UserError
from sphreg.formats import FORMATS, parse_mesh, read_mesh
from tests.fuzz_meshes import SAMPLES, TRIANGLES, VERTICES, damaged, sparse, stl
from tests.fuzz_meshes import glb as by_hand

CUBE = trimesh.creation.box()
POINTS = "0 0 0\n1 0 0\n1 1 0\n0 1 0\n0.5 2 1\n"
TETRA = "OFF\n4 4 6\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 2 1\n3 0 1 3\n3 0 3 2\n3 1 2 3\n"
CIRCLE = [(np.cos(a), np.sin(a), 0.0) for a in np.arange(20) * np.pi / 10]


def off(body, n_vertices, n_faces):
    return f"OFF\n{n_vertices} {n_faces} 0\n{body}".encode()


def obj(faces, points=POINTS):
    return ("".join(f"v {line}\n" for line in points.splitlines()) + faces).encode()


def ply(form, n_vertices, n_faces, body, kind="float", extra=""):
    head = f"ply\nformat {form} 1.0\ncomment made by hand\nelement vertex {n_vertices}\n"
    head += "".join(f"property {kind} {axis}\n" for axis in "xyz")
    head += f"element face {n_faces}\nproperty list uchar int vertex_indices\n{extra}end_header\n"
    return head.encode() + (body.encode() if isinstance(body, str) else body)


def ply_binary(polygons, order="<", points=POINTS, n_faces=None):
    numbers = np.array(points.split() if isinstance(points, str) else points, dtype=float).reshape(-1, 3)
    body = numbers.astype(f"{order}f4").tobytes()
    body += b"".join(bytes([len(p)]) + struct.pack(f"{order}{len(p)}i", *p) for p in polygons)
    name = {"<": "binary_little_endian", ">": "binary_big_endian"}[order]
    return ply(name, len(numbers), len(polygons) if n_faces is None else n_faces, body)


def stl_ascii(*solids):
    facet = "facet normal 0 0 1\n outer loop\n  vertex 0 0 0\n  vertex 1 0 0\n  vertex 0 1 0\n endloop\nendfacet\n"
    return "".join(f"solid {name}\n{facet * count}endsolid {name}\n" for name, count in solids).encode()


def glb(change=lambda scene: None, mesh=CUBE):
    """A GLB file whose JSON was changed."""
    data = trimesh.Scene(mesh).export(file_type="glb")
    size = int.from_bytes(data[12:16], "little")
    scene = json.loads(data[20 : 20 + size])
    change(scene)
    text = json.dumps(scene).encode()
    text += b" " * (-len(text) % 4)
    rest = data[20 + size :]
    return struct.pack("<4s4I", b"glTF", 2, 20 + len(text) + len(rest), len(text), 0x4E4F534A) + text + rest


def position(scene):
    """The accessor of the vertices."""
    return scene["accessors"][scene["meshes"][0]["primitives"][0]["attributes"]["POSITION"]]


def exported(kind):
    data = CUBE.export(file_type=kind)
    return data.encode() if isinstance(data, str) else data


def surface(mesh):
    """The triangles as a set of their corners' coordinates, whatever the vertices' order."""
    return sorted(sorted(map(tuple, np.round(mesh.vertices[face], 6))) for face in mesh.faces)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_cube_is_a_cube_in_every_format(kind, tmp_path):
    path = tmp_path / f"a cube, größer.{kind.upper()}"
    path.write_bytes(exported(kind))
    mesh = read_mesh(path)
    assert surface(mesh) == surface(CUBE)
    assert (mesh.vertices.dtype, mesh.faces.dtype) == (np.float64, np.int64)
    assert type(mesh.vertices) is np.ndarray


@pytest.mark.parametrize(
    "data",
    [
        TETRA,
        TETRA.replace("\n", "\r\n"),
        TETRA.replace("OFF\n", "OFF"),
        TETRA.replace("OFF\n", "OFF "),
        TETRA.replace("OFF\n", "OFF").replace("\n", "\r\n"),
        "# a comment, ä\n\n" + TETRA.replace("4 4 6\n", "4 4\n\n# counts\n"),
        TETRA.replace("1 0 0\n", "1 0 0 # a vertex\n") + "\n\n",
        TETRA.replace("3 1 2 3\n", "3 1 2 3 255 0 0\n"),
        TETRA.replace("OFF", "COFF").replace(" 0\n", " 0 9 9 9 255\n").replace(" 1\n", " 1 0.5 0 0 0\n"),
        TETRA.replace("OFF", "NOFF").replace("0 0 1\n", "0 0 1 0 1 -1\n").replace(" 0\n", " 0 -1 0 1\n"),
        TETRA.replace("1 0 0", " +1.0e+0\t0. -0 "),
        TETRA.replace("\n", "\r"),
        TETRA.replace("0\n0 1 0\n", "0 0 1\n0\n").replace("1\n3 0 1 3\n", "1 3 0 1 3 3 0\n").replace("3 0 3 2", "3 2"),
        TETRA.replace("0 0 0\n1 0", "0 0\n0 1 0"),
        *(
            TETRA.replace("OFF", letters).replace("0 0 1\n", "0 0 1 255 0 0 9\n").replace(" 0\n", " 0 1 1 1 9\n")
            for letters in ("NCOFF", "CNOFF", "STCNOFF", "NCSTOFF", "CSTOFF")
        ),
    ],
)
def test_off_as_it_comes(data):
    vertices, faces = parse_mesh(data.encode(), "off")
    assert vertices.tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert faces.tolist() == [[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("off", off(POINTS + "3 0 1 2\n4 0 1 2 3\n5 0 1 2 4 3\n", 5, 3)),
        ("off", off(POINTS + "3 0 1 2 0.5 0.5 1.0\n4 0 1 2 3 1 0\n5 0 1 2 4 3 0.1 0.2 0.3\n", 5, 3)),
        ("obj", obj("f 1 2 3\nf 1/1 2/2 3/1 4/4\nf 1/1/1 2//1 3 5 4\n")),
        ("obj", obj("f -5 -4 -3\nf 1 2 \\\n3 4\nf 1 2 3 -1 4 # a comment\nl 1 2\ng all\nusemtl x\nvt 0 0\nvn 0 0 1\n")),
        ("ply", ply("ascii", 5, 3, POINTS + "3 0 1 2\n4 0 1 2 3\n5 0 1 2 4 3\n")),
    ],
)
def test_mixed_polygons(kind, data):
    mesh = parse_mesh(data, kind)
    assert mesh.vertices.tolist() == [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0.5, 2, 1]]
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 1, 2], [0, 2, 3], [0, 1, 2], [0, 2, 4], [0, 4, 3]]


@pytest.mark.parametrize("star", [False, True])
@pytest.mark.parametrize("kind", ["off", "obj", "ascii", "<", ">"])
def test_a_20_gon(kind, star):
    points = [((1 + star * (i % 2)) * x, (1 + star * (i % 2)) * y, z) for i, (x, y, z) in enumerate(CIRCLE)]
    text = "".join(f"{x} {y} {z}\n" for x, y, z in points)
    face = " ".join(map(str, range(20)))
    data = {
        "off": off(f"{text}20 {face}\n", 20, 1),
        "obj": obj("f " + " ".join(map(str, range(1, 21))), text),
        "ascii": ply("ascii", 20, 1, f"{text}20 {face}\n", "double"),
        "<": ply_binary([range(20)], "<", points),
        ">": ply_binary([range(20)], ">", points),
    }[kind]
    mesh = parse_mesh(data, kind if kind in FORMATS else "ply")
    assert mesh.faces.shape == (18, 3)
    a, b, c = (mesh.vertices[mesh.faces[:, i]] for i in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2
    assert area == pytest.approx((1 + star) * 10 * np.sin(np.pi / 10), rel=1e-6)


def test_obj_counts_backwards_from_the_line_it_stands_in():
    data = b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf -3 -2 -1\nv 5 0 0\nv 6 0 0\nv 5 1 0\nf -3 -2 -1\n"
    assert parse_mesh(data, "obj").faces.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_ply_with_texture_coordinates_keeps_its_vertices():
    rows = "3 0 1 2 6 0 0 1 0 1 1\n3 0 2 3 6 .5 0 1 0 1 1\n"
    mesh = parse_mesh(ply("ascii", 5, 2, POINTS + rows, extra="property list uchar float texcoord\n"), "ply")
    assert len(mesh.vertices) == 5
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3]]


def test_ply_numbers_are_of_the_type_that_the_header_says():
    data = ply("ascii", 5, 1, POINTS.replace("0.5 2 1", "0.1 0.1 0.1") + "3 0 1 4\n").replace(b"float z", b"double z")
    assert parse_mesh(data, "ply").vertices[4].tolist() == [np.float32(0.1), np.float32(0.1), 0.1]


def test_ply_with_other_elements_and_properties():
    head = "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
    head += "property uchar red\nelement face 1\nproperty uchar flag\nproperty list uchar uint vertex_index\n"
    head += "element camera 1\nproperty float f\nend_header\n"
    mesh = parse_mesh((head + "0 0 0 9\n1 0 0 9\n0 1 0 9\n7 3 2 1 0\n\n0.5\n").replace("\n", "\r\n").encode(), "ply")
    assert mesh.vertices.tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0]]
    assert mesh.faces.tolist() == [[2, 1, 0]]


@pytest.mark.parametrize("kind", FORMATS)
def test_every_layout_is_the_same_mesh(kind):
    for data in SAMPLES[kind][: None if kind != "glb" else 1]:
        mesh = parse_mesh(data, kind)
        assert [[tuple(mesh.vertices[i]) for i in face] for face in mesh.faces] == [
            [VERTICES[i] for i in triangle] for triangle in TRIANGLES
        ]
        if kind != "stl":
            np.testing.assert_array_equal(mesh.vertices, VERTICES)


MARKED = {
    "utf-8-sig": b"",
    "utf-16-le": b"\xff\xfe",
    "utf-16-be": b"\xfe\xff",
    "utf-32-le": b"\xff\xfe\0\0",
    "latin-1": b"",
}


@pytest.mark.parametrize("encoding", MARKED)
@pytest.mark.parametrize("kind", ["off", "obj", "ply", "stl"])
def test_a_text_may_be_of_any_encoding(kind, encoding):
    text, plain = SAMPLES[kind][0].decode(), parse_mesh(SAMPLES[kind][0], kind)
    if kind == "ply":
        text = text.replace("element", "comment Möbelstück\nobj_info Stühle\nelement", 1)
    elif kind == "stl":
        text = text.replace("chair", "Stühle")
    else:
        text = text.replace("0 0 0\n", "0 0 0 # Möbelstück\n", 1)
    mesh = parse_mesh(MARKED[encoding] + text.encode(encoding), kind)
    np.testing.assert_array_equal(mesh.vertices, plain.vertices)
    np.testing.assert_array_equal(mesh.faces, plain.faces)


def test_a_mark_before_the_first_vertex_does_not_move_the_faces():
    data = "\ufeff" + obj("f 1 2 3\n", POINTS + "9 9 9\n").decode()
    mesh = parse_mesh(data.encode(), "obj")
    assert mesh.vertices[mesh.faces[0]].tolist() == [[0, 0, 0], [1, 0, 0], [1, 1, 0]]


@pytest.mark.parametrize("kind", ["off", "obj", "ply", "stl"])
def test_only_vertices_of_faces_need_be_numbers(kind):
    points = POINTS.replace("0.5 2 1", "nan 2 inf")
    data = (
        {
            "off": off(points + "3 0 1 2\n", 5, 1),
            "obj": obj("f 1 2 3\n", points),
            "ply": ply("ascii", 5, 1, points + "3 0 1 2\n"),
            "stl": stl_ascii(("a", 1)).replace(b"normal 0 0 1", b"normal nan nan nan"),
            "glb": glb(mesh=trimesh.Trimesh(np.fromstring(points, sep=" ").reshape(-1, 3), [[0, 1, 2]], process=False)),
        }[kind]
        .replace(b"NaN", b"1.0")
        .replace(b"Infinity", b"1.0")
    )
    mesh = parse_mesh(data, kind)
    assert mesh.faces.tolist() == [[0, 1, 2]]
    assert np.isfinite(mesh.vertices[:3]).all()


def test_obj_lines():
    """Lines that end as on an old Macintosh; a comment whose last sign is that of a line that goes on; the old `fo`."""
    data = obj("fo 1 2 3\n").replace(b"v 1 0 0", b"# C:\\models\\\nv 1 0 0 # \\\nv 1 0 \\\n 0").replace(b"\n", b"\r")
    mesh = parse_mesh(data, "obj")
    assert mesh.vertices[:3].tolist() == [[0, 0, 0], [1, 0, 0], [1, 0, 0]]
    assert mesh.faces.tolist() == [[0, 1, 2]]


@given(st.integers(0, 2**32), st.sampled_from(["\n", "\r\n", "\r"]))
@settings(max_examples=30)
def test_a_ply_file_is_the_same_as_a_text_and_in_both_orders_of_bytes(seed, end):
    """Elements before, between and behind, lists in all of them, and any types of numbers."""
    rng = np.random.default_rng(seed)
    points = np.array(CIRCLE, dtype=np.float32)  # so that each polygon is convex, and becomes a fan
    polygons = [sorted(rng.permutation(20)[: rng.integers(3, 6)].tolist()) for _ in range(rng.integers(1, 5))]
    flat = rng.integers(3)
    names = {"i": ["int", "int32"], "B": ["uchar", "uint8"], "h": ["short", "int16"], "f": ["float", "float32"]}
    elements = {
        "camera": ([("i", "view"), ("h", "a", "B")], [[(7,), tuple(range(rng.integers(4)))]] * rng.integers(3)),
        "vertex": ([("f", "x"), ("f", "y"), ("f", "z")], [[(float(c),) for c in point] for point in points]),
        "edge": ([("i", "vertex1"), ("i", "vertex2")], [[(0,), (1,)]] * flat),
        "face": (
            [("h", "flag"), ("i", "vertex_index", "B"), ("f", "t", "i")],
            [[(1,), tuple(p), (0.5,) * len(p)] for p in polygons],
        ),
        "end": ([("B", "bytes", "h")], [[tuple(b"\n\r\x1a")]]),
    }
    order = ["camera", *rng.permutation(["vertex", "edge", "face"]), "end"]
    head = ""
    for name in order:
        head += f"element {name} {len(elements[name][1])}\n"
        for kind, label, *size in elements[name][0]:
            words = [rng.choice(names[k]) for k in (*size, kind)]
            head += f"property {'list ' if size else ''}{' '.join(words)} {label}\n"
    rows = [(elements[name][0], row) for name in order for row in elements[name][1]]
    listed = [[(size, kind, values) for (kind, _, *size), values in zip(p, row, strict=True)] for p, row in rows]
    texts = [" ".join(" ".join(map(repr, [len(v)] * len(s) + [*v])) for s, _, v in row) for row in listed]
    bodies = {"ascii": "".join(f"{text}\n" for text in texts).replace("\n", end).encode()}
    for form, mark in (("binary_little_endian", "<"), ("binary_big_endian", ">")):
        bodies[form] = b"".join(
            struct.pack(f"{mark}{''.join(s)}{len(v)}{k}", *[len(v)] * len(s), *v) for row in listed for s, k, v in row
        )
    for form, body in bodies.items():
        data = f"ply\ncomment made by hand\nformat {form} 1.0\n{head}end_header\n".replace("\n", end).encode() + body
        mesh = parse_mesh(data, "ply")
        np.testing.assert_array_equal(mesh.vertices, points.astype(np.float64))
        fans = [[p[0], p[i], p[i + 1]] for p in polygons for i in range(1, len(p) - 1)]
        assert mesh.faces.tolist() == fans


@pytest.mark.parametrize("end", ["endsolid chair\n", "end solid\n", "end solid chair", "endsolid", "", "ENDSOLID x\n"])
@pytest.mark.parametrize("name", ["chair", "", "a vertex 1 2 3", "facet", "two words"])
def test_the_ends_and_names_of_an_ascii_stl(end, name):
    data = stl(end=end).replace(b"solid chair", f"solid {name}".encode(), 1)
    np.testing.assert_array_equal(parse_mesh(data, "stl").vertices, np.array(VERTICES)[np.ravel(TRIANGLES)])


@pytest.mark.parametrize("binary", [False, True])
def test_stl_as_trimesh_reads_it(binary):
    mesh = trimesh.creation.icosphere()
    data = mesh.export(file_type="stl" if binary else "stl_ascii")
    data = data if binary else data.encode()
    other = trimesh.load_mesh(io.BytesIO(data), file_type="stl", process=False)
    vertices, faces = parse_mesh(data, "stl")
    np.testing.assert_array_equal(vertices, other.vertices)
    np.testing.assert_array_equal(faces, other.faces)


def test_stl_of_several_solids_ascii_and_in_capitals():
    assert parse_mesh(stl_ascii(("one", 2), ("two", 3)), "stl").faces.shape == (5, 3)
    assert parse_mesh(stl_ascii(("one", 2)).upper(), "stl").faces.shape == (2, 3)


def test_a_binary_stl_whose_comment_says_solid():
    data = exported("stl")
    assert surface(parse_mesh(b"solid" + data[5:], "stl")) == surface(CUBE)


def test_the_parts_of_a_scene_are_put_where_they_belong():
    scene = trimesh.Scene()
    shift = trimesh.transformations.translation_matrix([10, 0, 0])
    turn = trimesh.transformations.rotation_matrix(np.pi / 2, [0, 0, 1])
    scene.add_geometry(trimesh.creation.box(extents=[1, 2, 3]), node_name="a", geom_name="box")
    scene.graph.update("b", "world", matrix=shift @ turn, geometry="box")
    scene.add_geometry(trimesh.PointCloud([[99, 99, 99]]))
    mesh = parse_mesh(scene.export(file_type="glb"), "glb")
    assert mesh.faces.shape == (24, 3)
    assert mesh.vertices.min(axis=0) == pytest.approx([-0.5, -1, -1.5])
    assert mesh.vertices.max(axis=0) == pytest.approx([11, 1, 1.5])


@pytest.mark.parametrize("seed", range(5))
def test_a_scene_of_many_parts_as_trimesh_reads_it(seed):
    """A tree of nodes with matrices, turns and mirrors, and meshes of several parts, as triangles and strips."""
    rng = np.random.default_rng(seed)

    def place():
        turn = rng.normal(size=4)
        place = {
            "translation": rng.normal(size=3),
            "rotation": turn / np.linalg.norm(turn),
            "scale": rng.normal(size=3),
        }
        matrix = np.linalg.inv(rng.normal(size=(4, 4)) * [[1], [1], [1], [0]] + np.diag([0, 0, 0, 1.0])).T
        keys = [key for key in place if rng.random() < 0.7]
        return {"matrix": matrix.ravel().tolist()} if rng.random() < 0.3 else {key: place[key].tolist() for key in keys}

    def change(scene):
        scene["nodes"] = [place() | ({"mesh": int(rng.integers(2))} if rng.random() < 0.8 else {}) for _ in range(9)]
        scene["nodes"][0] = {"mesh": 0, "children": [3, 1]}
        scene["nodes"][1]["children"], scene["nodes"][3]["children"] = [2, 4, 8], [5]
        scene["scenes"] = [{"nodes": [7]}, {"nodes": [6, 0]}]
        scene["scene"] = 1
        part = scene["meshes"][0]["primitives"][0]
        parts = [part, part | {"mode": 5}, part | {"mode": 0}, {"attributes": {"POSITION": 2}}]
        scene["meshes"].append({"primitives": parts})
        scene["accessors"].append({"bufferView": 2, "componentType": 5126, "count": 3, "type": "VEC3"})

    data = by_hand(change, rng.normal(size=(3, 3)).astype("<f4"))
    other = trimesh.load_scene(io.BytesIO(data), file_type="glb", process=False).to_mesh()
    vertices, faces = parse_mesh(data, "glb")
    np.testing.assert_allclose(vertices, other.vertices, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(faces, other.faces)


def _nan(scene):
    scene["accessors"][0] |= {"bufferView": 2, "count": 6}


def _stride(scene):
    scene["bufferViews"][2]["byteStride"] = 20
    scene["accessors"][0] |= {"bufferView": 2, "byteOffset": 4}


def _morph(scene):
    scene["meshes"][0] |= {"weights": [0.0, 0.5]}
    scene["meshes"][0]["primitives"][0]["targets"] = [{"POSITION": 0}, {"POSITION": 2}]
    scene["accessors"].append({"bufferView": 2, "componentType": 5126, "count": 5, "type": "VEC3"})


def _weights_of_node(scene):
    _morph(scene)
    scene["nodes"][0]["weights"] = [0, -1]


def _sparse_over_zeros(scene):
    del scene["accessors"][0]["bufferView"]
    sparse(scene)


def _camera(scene):
    scene["nodes"] = [{"camera": 0, "translation": [1, 0, 0], "children": [1]}, {"camera": 0, "mesh": 0}]


def _data_uri(scene):
    scene["buffers"].append({"uri": "data:application/octet-stream;base64," + base64.b64encode(INDICES).decode()})
    scene["bufferViews"][1] = {"buffer": 1, "byteLength": 36}


INDICES = np.array(TRIANGLES, "<u2").tobytes()
MOVED = np.array(VERTICES, dtype=float)
SHIFT = np.arange(15).reshape(5, 3) / 16
FEW = [np.array([1, 4], "u1"), np.array([[1, 2, 0], [0, 1, 1]], "<f4")]


@pytest.mark.parametrize(
    ("change", "arrays", "vertices"),
    [
        (lambda scene: None, [], MOVED),
        (_nan, [np.array([*VERTICES, [np.nan] * 3], "<f4")], [*MOVED, [np.nan] * 3]),
        (_stride, [np.pad(MOVED, ((0, 0), (1, 1))).astype("<f4")], MOVED),
        (sparse, FEW, [MOVED[0], [1, 2, 0], *MOVED[2:4], [0, 1, 1]]),
        (_sparse_over_zeros, FEW, [[0, 0, 0], [1, 2, 0], [0, 0, 0], [0, 0, 0], [0, 1, 1]]),
        (_morph, [SHIFT.astype("<f4")], MOVED + SHIFT / 2),
        (_weights_of_node, [SHIFT.astype("<f4")], MOVED - SHIFT),
        (_camera, [], MOVED + np.array([1, 0, 0])),
        (_data_uri, [], MOVED),
        (lambda scene: [scene.pop(key) for key in ("scene", "scenes")], [], MOVED),
    ],
)
def test_what_core_gltf_allows(change, arrays, vertices):
    mesh = parse_mesh(by_hand(change, *arrays), "glb")
    np.testing.assert_array_equal(mesh.vertices, vertices)
    assert mesh.faces.tolist() == [list(triangle) for triangle in TRIANGLES]


def test_a_fan_of_triangles():
    def fan(scene):
        scene["meshes"][0]["primitives"][0].update(mode=6)
        scene["accessors"][1]["count"] = 5

    assert parse_mesh(by_hand(fan), "glb").faces.tolist() == [[0, 1, 2], [0, 2, 0], [0, 0, 1]]


@pytest.mark.parametrize("spoil", [_morph, sparse])
def test_bounds_tell_of_numbers_that_are_others(spoil):
    def change(scene):
        spoil(scene)
        scene["accessors"][-1 if spoil is _morph else 0] |= {"min": [0, 0, 0], "max": [0.25, 0.25, 0.25]}

    with pytest.raises(UserError, match="does not keep to its own m"):
        parse_mesh(by_hand(change, SHIFT.astype("<f4"), np.zeros((2, 3), "<f4")), "glb")


@pytest.mark.parametrize("most", [1000, 10**6])
def test_few_bytes_do_not_become_millions_of_triangles(most, monkeypatch):
    def change(scene):
        scene["scenes"][0]["nodes"] = [*range(60)]
        scene["nodes"] = [{"mesh": 0}] * 60
        scene["meshes"][0]["primitives"] *= 100

    monkeypatch.setattr("sphreg.glb._MOST", most)
    monkeypatch.setattr("sphreg.glb._PART", 1 if most == 1000 else 10**4)
    with pytest.raises(UserError, match=r"more than [0-9]+ vertices or triangles, or more than [0-9]+ parts"):
        parse_mesh(by_hand(change), "glb")


NOISE = np.random.default_rng(0).bytes(3000)
NO_FACE = {
    "off": off(POINTS, 5, 0),
    "obj": obj(""),
    "ply": ply("ascii", 5, 0, POINTS),
    "stl": bytes(84),
    "glb": glb(lambda scene: scene.update(nodes=[{}], meshes=[])),
}
BAD = [
    *((kind, data, "is empty") for kind in FORMATS for data in (b"", b" \r\n\n")),
    *((kind, NOISE, "OFF header|nothing else|no PLY file|no STL file|no GLB file") for kind in FORMATS),
    *(
        (kind, b"Dear Sir,\nthe OFF file follows\n", "OFF header|nothing else|no PLY file|no STL file|no GLB file")
        for kind in FORMATS
    ),
    *(
        (kind, b"\x89PNG\r\n\x1a\n" + bytes(200), "OFF header|nothing else|no PLY file|no STL file|no GLB file")
        for kind in FORMATS
    ),
    *((kind, data, "no faces") for kind, data in NO_FACE.items()),
    *((kind, exported(kind)[:-200], "damaged|cut short") for kind in FORMATS if kind != "obj"),
    *((kind, exported(kind)[:60], "damaged|cut short|line 2: no vertex") for kind in FORMATS),
    # OFF: the header
    ("off", off("", -4, 4), "negative count"),
    ("off", off(POINTS, 5, -1), "negative count"),
    ("off", b"OFF\n4\n", "no OFF header"),
    ("off", b"OFF\n", "no OFF header"),
    ("off", b"OFF BINARY\n4 4 6\n", "no OFF header"),
    ("off", b"4OFF\n1 1 0\n", "no OFF header"),
    ("off", b"OFF\n4.0 4.0 6\n", "no OFF header"),
    ("off", b"OFF3\n1 0\n0 0 0\n", "no OFF header"),
    ("off", b"OFF\n4 4 6 7\n", "no OFF header"),
    ("off", b"ply\n", "no OFF header"),
    ("off", off("", 0, 0), "no faces"),
    # OFF: the body
    ("off", off(POINTS + "3 0 1 2\n", 5, 2), r"6 lines after its header, which counts 5 vertices and 2 faces"),
    ("off", off(POINTS + "3 0 1 2\n" * 3, 5, 2), "8 lines"),
    ("off", off(POINTS + "3 0 1 2\n", 6, 1), "6 lines"),
    ("off", off(POINTS + "3 0 1 2\n", 4, 2), "^line 7: no face: '0.5 2 1'$"),
    ("off", off("3 0 1 2\n", 10**18, 10**18), "1 lines"),
    ("off", off(POINTS + "3 0 1\n", 5, 1), "^line 8: face of 3 corners with 2 indices$"),
    ("off", off(POINTS + "2 0 1\n", 5, 1), "^line 8: face of 2 corners, allowed: 3 and more$"),
    ("off", off(POINTS + "3 0 1 2\n2 0 1\n0\n", 5, 3), "^line 9: face of 2 corners"),
    ("off", off(POINTS + "0\n", 5, 1), "^line 8: face of 0 corners"),
    ("off", off(POINTS + "-3 0 1 2\n", 5, 1), "^line 8: face of -3 corners"),
    ("off", off(POINTS.replace("0\n1", "0 1").replace("0.5", "nan") + "3 0 1 4\n", 5, 1), "^has a vertex with a NaN"),
    (
        "off",
        off(POINTS.replace("0\n1", "0 1") + "3 0 1 5\n", 5, 1),
        "^has a face that names a vertex which is not there",
    ),
    ("off", off(POINTS + "3 0 1 5\n3 0 1 6\n", 5, 2), "^line 8: face with vertex 5, allowed: 0 to 4$"),
    ("off", off(POINTS + "3 0 1 -1\n", 5, 1), "^line 8: face with vertex -1, allowed"),
    ("off", off(POINTS + "4 0 1 2 7\n", 5, 1), "^line 8: face with vertex 7, allowed"),
    ("off", off(POINTS + "3 0 1 99999999999999999999\n", 5, 1), "^line 8: face with vertex 99999999999999999999"),
    ("off", off(POINTS + "3 0 1 1.5\n", 5, 1), "^line 8: no face: '3 0 1 1.5'$"),
    ("off", off(POINTS + "3 a b c\n", 5, 1), "^line 8: no face: '3 a b c'$"),
    ("off", off(POINTS + "3 0 1_0 2\n", 5, 1), "^line 8: no face: '3 0 1_0 2'$"),
    ("off", off(POINTS + "3 " + "x" * 10**6 + "\n", 5, 1), "^line 8: no face: '3 x{38}'$"),
    ("off", off(POINTS + "3 0 1 " + "9" * 5000 + "\n", 5, 1), "^line 8: no face: '3 0 1 9{34}'$"),
    ("off", off("\n# points\n" + POINTS + "\n3 0 1 2 # good\n\n3 0 1\n", 5, 2), "^line 13: face of 3 corners with 2"),
    ("off", off(POINTS.replace("0 1 0", "0\r1 0 0") + "3 0 1 2\n", 5, 1), "7 lines after its header"),
    ("off", off(POINTS.replace("\n", " \n").replace("0 0 0", "0  0") + "3 0 1 2\n", 5, 1), "^line 3: vertex of 2"),
    ("off", off("0  0\n" * 3 + POINTS + "3 0 1 2\n", 8, 1), "^line 3: vertex of 2"),
    ("off", off(POINTS + "3  3 3\n" * 4, 5, 4), "^line 8: face of 3 corners with 2 indices"),
    ("off", off(POINTS.replace("0.5", "half") + "3 0 1 2\n", 5, 1), "^line 7: no vertex: 'half 2 1'$"),
    ("off", off(POINTS.replace("0.5", "1_0") + "3 0 1 2\n", 5, 1), "^line 7: no vertex: '1_0 2 1'$"),
    ("off", off(POINTS.replace("0.5 2 1", "0.5 2") + "3 0 1 2\n", 5, 1), "^line 7: vertex of 2 numbers, expected 3$"),
    ("off", off(POINTS.replace("0 0 0", "0 0 0 0") + "3 0 1 2\n", 5, 1), "^line 4: vertex of 3 numbers, expected 4$"),
    ("off", off(POINTS.replace("0 0 0", "0 0") + "3 0 1 2\n", 5, 1), "^line 3: vertex of 2 numbers, expected 3$"),
    ("off", off(POINTS + "3 0 1 2\n3 1 2 3\n", 6, 1), "^line 8: vertex of 4 numbers, expected 3$"),
    *(
        (
            "off",
            off(POINTS.replace("0.5", word) + "3 0 1 4\n", 5, 1),
            "^line 7: vertex with a NaN or infinite coordinate$",
        )
        for word in ("nan", "-inf", "1e999")
    ),
    # OBJ
    ("obj", obj("f 0 1 2\n"), "a vertex which is not there"),
    ("obj", b"v 0 0 0\nv 1 0 0\nf 0 1 2\nv 0 1 0\n", "a vertex which is not there"),
    ("obj", obj("f 1 2 6\n"), "a vertex which is not there"),
    ("obj", obj("f 1 2 -6\n"), "a vertex which is not there"),
    ("obj", obj("f 1 2\nf 1 2 3\n"), "^line 6: "),
    ("obj", obj("f 1 2 x\n"), "^line 6: .*nothing else that belongs to them: 'f 1 2 x'$"),
    ("obj", obj("f 1 2\n"), "^line 6: .*no face of three or more corners"),
    ("obj", obj("f 1 2 3_0\n", POINTS * 6), "^line 31: .*'f 1 2 3_0'$"),
    ("obj", obj("f 1 2 3\n").replace(b"v 0.5", b"v 0_5"), "^line 5: "),
    ("obj", obj("f 1 2 3\n").replace(b"v 1 1 0", b"w 1 1 0"), "^line 3: .*'w 1 1 0'$"),
    ("obj", obj("f 1 2 3\nsurf 0 1 0 1 1 2\n"), "^line 7: .*'surf 0 1 0 1 1 2'$"),
    ("obj", obj("f 1 2 3\nf 1 2 3 \\\n\\\nx"), "^line 9: .*'f 1 2 3 +x'$"),
    ("obj", obj("f 1 2 3\nf 1 2 \\"), "^line 8: .*'f 1 2'$"),
    ("obj", obj("f 1 2 5\n").replace(b"v 0.5", b"v nan"), "NaN or infinite"),
    ("obj", obj("f 1 2 3\n").replace(b"v 0.5", b"v x"), "^line 5: no vertex of three coordinates, .*'v x 2 1'$"),
    ("obj", obj("f 1 2 3\n").replace(b"v 0.5", b"v"), "^line 5: "),
    ("obj", b"f 1 2 3\n", "a vertex which is not there"),
    # PLY
    ("ply", ply("ascii", -5, 1, POINTS), "negative count"),
    ("ply", ply("ascii", 5, 2, POINTS + "3 0 1 2\n"), "6 lines after its header, which counts 7"),
    ("ply", ply("ascii", 5, 1, POINTS + "3 0 1 2\n" * 2), "7 lines"),
    ("ply", ply("ascii", 5, 2, POINTS + "3 0 1 2\n3 0 1\n"), "no PLY file"),
    ("ply", ply("ascii", 5, 2, POINTS + "3 0 1 2\n3 0 1 2 4\n"), "no PLY file"),
    ("ply", ply("ascii", 5, 1, POINTS + "3 0 1 2\n", extra="property uchar\n"), "in its header .*'property uchar'"),
    ("ply", ply("ascii", 5, 1, POINTS + "3 0 1 2\n").replace(b"format ascii 1.0\n", b""), "has no format"),
    ("ply", ply("ascii", 5, 1, POINTS + "3 0 1 2\n").replace(b"uchar int", b"uchar float"), "no PLY file"),
    ("ply", ply("ascii", 5, 1, POINTS + "3 0 1 2\n").replace(b"face", b"tristrips"), "counts 5 vertex, 1 tristrips$"),
    ("ply", ply("binary_little_endian", 10**12, 10**12, bytes(99)), "no PLY file"),
    ("ply", ply("ascii", 10**12, 10**12, POINTS), "5 lines after its header"),
    ("ply", ply_binary([[0, 1, 2]]).replace(b"uchar int", b"uint int"), "no PLY file"),
    ("ply", ply("ascii", 5, 2, POINTS + "3 0 1 2\n2 0 1\n"), "face of 2 corners"),
    ("ply", ply("ascii", 5, 1, POINTS + "3 0 1 5\n"), "a vertex which is not there"),
    ("ply", ply("ascii", 5, 1, POINTS + "3 0 1 -1\n"), "a vertex which is not there"),
    ("ply", ply("ascii", 5, 1, POINTS + "3 0 x y\n"), "no PLY file"),
    ("ply", ply("ascii", 5, 1, POINTS.replace("0.5", "nan") + "3 0 1 4\n"), "NaN or infinite"),
    ("ply", ply("ascii", 5, 1, POINTS.replace("0.5 2 1", "0.5 2") + "3 0 1 2\n"), "no vertex of 3 numbers"),
    ("ply", b"ply\nformat ascii 1.0\nelement vertex 3\nelement face 1\n", "no PLY file"),
    ("ply", ply_binary([[0, 1, 2], [0, 1, 2]], n_faces=3), "no PLY file, or is damaged"),
    ("ply", ply_binary([[0, 1, 2], [0, 1, 2]], n_faces=1), "86 bytes after its header, which counts 73"),
    ("ply", ply_binary([[0, 1, 7]]), "a vertex which is not there"),
    ("ply", ply_binary([[0, 1]]), "face of 2 corners"),
    ("ply", ply_binary([[0, 1, 2]], points=[0, 0, 0, 1, 0, 0, np.nan, 1, 0]), "NaN or infinite"),
    # STL
    ("stl", stl_ascii(("one", 2), ("two", 3))[:-200], "3 whole facets, and beside them 'f'"),
    ("stl", stl_ascii(("one", 2)).replace(b"vertex 0 1 0", b"vertex 0 one 0"), "no STL file"),
    ("stl", stl_ascii(("one", 2)).replace(b"vertex 0 1 0", b"vertex 0 nan 0"), "NaN or infinite"),
    ("stl", stl_ascii(("one", 2)).replace(b"vertex 0 1 0\n", b"", 1), "1 whole facets, and beside them 'facet"),
    ("stl", stl_ascii(("one", 2)).replace(b"\n", b" ").replace(b"vertex 0 1 0", b"", 1), "1 whole facets, and beside"),
    ("stl", exported("stl") + b"more", "no faces|no STL file"),
    # GLB
    ("glb", glb(lambda scene: scene.update(extensionsRequired=["KHR_draco_mesh_compression"])), "KHR_draco"),
    ("glb", glb(lambda scene: scene["meshes"][0]["primitives"][0].update(mode=1)), "no faces|no GLB"),
    ("glb", glb(lambda scene: scene.pop("bufferViews")), "no GLB file"),
    ("glb", glb(lambda scene: scene["buffers"][0].update(uri="/etc/passwd")), "in another file"),
    ("glb", glb(lambda scene: scene["nodes"][-1].update(skin=0)), "has a skin"),
    ("glb", glb(lambda scene: scene.update(extensionsUsed=["EXT_mesh_gpu_instancing"])), "EXT_mesh_gpu_instancing"),
    (
        "glb",
        glb(lambda scene: [accessor.pop("bufferView") for accessor in scene["accessors"]]),
        "triangles without data",
    ),
    ("glb", glb(lambda scene: scene["meshes"][0]["primitives"][0]["attributes"].update(POSITION=-1)), "no GLB file"),
    ("glb", glb(lambda scene: scene["nodes"][-1].update(children=[len(scene["nodes"]) - 1])), "no GLB file"),
    ("glb", glb(lambda scene: scene["nodes"][-1].update(translation=[float("nan"), 0, 0])), "NaN or infinite"),
    *(
        ("glb", glb(spoil), reason)
        for spoil, reason in (
            (lambda scene: position(scene).update(max=[9, 9, 9]), "does not keep to its own max"),
            (lambda scene: position(scene).update(min=[0, 0, 0]), "does not keep to its own min"),
            (lambda scene: position(scene).update(type="VEC4"), "of another type"),
            (lambda scene: position(scene).update(componentType=5122), "of another type"),
            (lambda scene: position(scene).update(count=10**12), "an accessor of 1000000000000 elements"),
            (lambda scene: position(scene).update(count=9), "no GLB file"),
            (lambda scene: position(scene).update(byteOffset=4), "no GLB file"),
            (lambda scene: position(scene).update(byteOffset=-12), "no GLB file"),
        )
    ),
    ("glb", b"glTF\x01" + glb()[5:], "no GLB file"),
]


@pytest.mark.parametrize(("kind", "data", "reason"), BAD, ids=[f"{bad[0]}-{i}" for i, bad in enumerate(BAD)])
def test_a_bad_file_is_one_line_that_says_why(kind, data, reason, capfd):
    with pytest.raises(UserError, match=reason) as caught:
        parse_mesh(data, kind)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_an_index_past_one_part_of_a_scene_does_not_reach_the_next():
    """The three vertices of a triangle get the faces of a cube; the parts after it have enough vertices."""

    def break_triangle(scene):
        whole = next(mesh["primitives"][0] for mesh in scene["meshes"] if mesh["name"] == "cube")
        for mesh in scene["meshes"]:
            mesh["primitives"][0]["indices"] = whole["indices"]

    scene = trimesh.Scene()
    triangle = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]], process=False)
    for name, mesh in (("cube", CUBE), ("one", triangle), ("great cube", trimesh.creation.icosphere())):
        scene.add_geometry(mesh, geom_name=name)
    data = glb(break_triangle, scene)
    parts = trimesh.load_scene(io.BytesIO(data), file_type="glb", process=False)
    assert parts.to_mesh().faces.max() < len(parts.to_mesh().vertices)  # so that nothing tells afterwards
    with pytest.raises(UserError, match="a vertex which is not there"):
        parse_mesh(data, "glb")


def test_a_file_that_is_not_there_or_a_folder(tmp_path):
    for path in (tmp_path / "none.off", tmp_path):
        with pytest.raises(UserError, match="cannot be read"):
            read_mesh(path)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.off")
    with pytest.raises(UserError, match="no regular file"):
        read_mesh(tmp_path / "pipe.off")


def test_every_real_mesh_is_read_bit_for_bit_as_by_trimesh(modelnet10):
    """These files are plain enough for trimesh to read them whole; faces without area it keeps as well."""
    paths = sorted(modelnet10.glob("*/*/*.off"))
    assert len(paths) >= 25
    for path in paths:
        data = path.read_bytes()
        other = trimesh.load_mesh(io.BytesIO(data), file_type="off", process=False)
        vertices, faces = parse_mesh(data, "off")
        assert vertices.tobytes() == np.array(other.vertices, dtype=np.float64).tobytes()
        assert faces.tobytes() == np.array(other.faces, dtype=np.int64).tobytes()


def plain_off(data):
    """Vertices and polygons of an OFF file, word by word; None where the file is wrong."""
    lines = [line.split(b"#")[0].strip() for line in data.splitlines()]
    if not all(re.fullmatch(rb"[\t -~]*", line) for line in lines):
        return None
    first, *lines = [line.decode("ascii").split() for line in lines if line] or [[""]]
    word = re.fullmatch(r"(ST|C|N)*OFF(-?\d+)?", first[0])
    if not word:
        return None
    counts = ([word[2]] if word[2] else []) + first[1:]
    if not counts and lines:
        counts = lines.pop(0)
    if len(counts) not in (2, 3) or not all(re.fullmatch(r"-?\d+", count) for count in counts):
        return None
    n_vertices, n_faces = int(counts[0]), int(counts[1])
    if n_vertices < 1 or n_faces < 1:
        return None
    words = [word for line in lines for word in line]
    vertices, rest, faces = [words[3 * i : 3 * i + 3] for i in range(n_vertices)], words[3 * n_vertices :], []
    while rest and rest[0].lstrip("+").isdigit():
        size = 1 + int(rest[0])
        faces.append(rest[:size])
        rest = rest[size:]
    if not rest and len(faces) == n_faces and (mesh := _numbers_of(vertices, faces)):
        return mesh
    # Then there are colours or so, and each has a line.
    return _numbers_of(lines[:n_vertices], lines[n_vertices:]) if len(lines) == n_vertices + n_faces else None


def _numbers_of(vertices, faces):
    if len(vertices[0]) < 3 or any(len(line) != len(vertices[0]) for line in vertices):
        return None
    if any("_" in word for line in [*vertices, *faces] for word in line):
        return None
    try:
        vertices = [[float(word) for word in line][:3] for line in vertices]
        polygons = [[int(word) for word in line[1 : 1 + int(line[0])]] for line in faces if int(line[0]) > 2]
    except ValueError:
        return None
    whole = len(polygons) == len(faces) and all(len(p) == int(line[0]) for p, line in zip(polygons, faces, strict=True))
    there = all(corner in range(len(vertices)) for polygon in polygons for corner in polygon)
    finite = there and all(abs(x) < np.inf for polygon in polygons for corner in polygon for x in vertices[corner])
    return (vertices, polygons) if whole and there and finite else None


def spoiled(draw, data):
    """`data` after a few cuts, swaps and insertions."""
    for _ in range(draw(st.integers(1, 4))):
        at, end = sorted(draw(st.tuples(*[st.integers(0, len(data))] * 2)))
        match draw(st.sampled_from(["cut", "drop", "insert", "double"])):
            case "cut":
                data = data[:end]
            case "drop":
                data = data[:at] + data[min(end, at + 9) :]
            case "insert":
                words = st.sampled_from(
                    [b"3 ", b"-1", b"\n", b"nan", b"1e400", b"#", b"OFF", b"\xff", b"\0", b"0", b"."]
                )
                data = data[:at] + draw(words | st.binary(max_size=4)) + data[at:]
            case _:
                data = data[:end] + data[at:]
    return data


SELDOM = st.sampled_from([False, False, False, False, True])


@st.composite
def off_words(draw):
    """A right OFF file as lines of words: the header, and the rest. Most have triangles alone."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n = draw(st.integers(3, 8))
    sizes = draw(st.lists(st.sampled_from([3, 4, 5] if draw(SELDOM) else [3]), min_size=1, max_size=5))
    numbers = [rng.normal(size=(n, 3)), rng.normal(size=(n, 3)).round(3), rng.integers(-9, 9, (n, 3))]
    vertices = [[str(x) for x in row] for row in draw(st.sampled_from(numbers)).tolist()]
    faces = [[str(size), *map(str, rng.integers(0, n, size))] for size in sizes]
    header = ["COFF" if draw(SELDOM) else "OFF", str(n), str(len(sizes)), "0"]
    if draw(SELDOM):  # colours
        faces[-1] += ["255", "0", "0.5"]
    if draw(SELDOM):
        vertices = [[*row, "9", "9", "9", "0"] for row in vertices]
    return header, [*vertices, *faces]


def changed(draw, header, lines):
    """A file after one change: of its counts, a line, or a word."""
    lines = [list(line) for line in lines]
    i, j = draw(st.tuples(*[st.integers(0, len(lines) - 1)] * 2))
    at = draw(st.integers(0, max(len(lines[i]) - 1, 0)))
    match draw(st.sampled_from([*["word"] * 6, "drop", "double", "swap", "join", "cut", "counts", "header"])):
        case "drop" if len(lines) > 1:
            del lines[i]
        case "double":
            lines.insert(j, lines[i])
        case "swap":
            lines[i], lines[j] = lines[j], lines[i]
        case "join":
            lines[i : i + 2] = [[word for line in lines[i : i + 2] for word in line]]
        case "cut":
            lines[i : i + 1] = [lines[i][:at], lines[i][at:]]
        case "counts" if len(header) > 2 and (header[1] + header[2]).isdigit():  # the sum stays
            step = draw(st.sampled_from([-1, 1]))
            header = [header[0], str(int(header[1]) + step), str(int(header[2]) - step), *header[3:]]
        case "header":
            header = draw(st.sampled_from([header[:-1], [*header, "0"], [*header[:2], "-3", "0"], ["OFF"], header[1:]]))
        case "word" if lines[i]:
            word = lines[i][at]
            bad = ["nan", "-inf", "1e400", "x", ".", "e5", "1_0", "0x1", "9" * 20, "1-2", "1.5.5", "1.5e", "#", "99"]
            good = [word.lstrip("-"), f"+{word}", f"{word}.", f"0{word}", f"{word}e0", f"-{word}", "0", "2"]
            words = st.sampled_from([[], [word, word], lines[j][-1:], *([text] for text in good + bad)])
            lines[i][at : at + 1] = draw(words)
    return header, lines


@st.composite
def off_files(draw):
    """An OFF file, right or wrong, most of them laid out as ModelNet's."""
    header, lines = draw(off_words())
    for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2, 3]))):
        header, lines = changed(draw, header, lines)
    usual = not draw(SELDOM)
    space = " " if usual else draw(st.sampled_from(["  ", "\t", " \t "]))
    end = draw(st.sampled_from(["\n", "\r\n", " \n"] if usual else ["\n\n", "\r", " # a comment, 3 ä\n", "\n#\n\n"]))
    glue = draw(st.sampled_from([end, "", end, space]))
    data = (
        glue.join(["".join(header[:1]), space.join(header[1:])])
        + end
        + "".join(space.join(line) + end for line in lines)
    )
    return spoiled(draw, data.encode()) if draw(SELDOM) else data.encode()


@settings(max_examples=400)
@given(off_files() | st.binary(max_size=60))
def test_an_off_file_is_read_as_it_stands_or_refused(data):
    expected = plain_off(data)
    try:
        mesh = parse_mesh(data, "off")
    except UserError as error:
        assert "\n" not in str(error)
        assert len(str(error)) < 200
        assert expected is None
        return
    assert expected is not None
    vertices, polygons = expected
    np.testing.assert_array_equal(mesh.vertices, np.array(vertices))
    assert 0 < len(mesh.faces) <= sum(len(polygon) - 2 for polygon in polygons)  # fewer where one crosses itself
    if all(len(polygon) == 3 for polygon in polygons):
        assert mesh.faces.tolist() == polygons


@pytest.mark.parametrize("kind", FORMATS)
def test_a_damaged_file_gives_a_mesh_or_an_error_for_the_user(kind):
    random = Random(0)
    for _ in range(300):
        try:
            mesh = parse_mesh(damaged(random, random.choice(SAMPLES[kind])), kind)
        except UserError as error:
            assert "\n" not in str(error)
            assert len(str(error)) < 250
        else:
            assert 0 <= mesh.faces.min() <= mesh.faces.max() < len(mesh.vertices)
            assert np.isfinite(mesh.vertices[mesh.faces]).all()


def test_warnings_of_the_readers_stay_inside(caplog):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for word in ("nan", "1.5", "2_0"):
            with pytest.raises(UserError):
                parse_mesh(ply("ascii", 5, 1, POINTS + f"3 0 1 {word}\n"), "ply")
    assert caught == []
    assert caplog.records == []
