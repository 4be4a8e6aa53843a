"""Mesh files of every format: good, odd, and bad in every way that we could think of."""

import io
import json
import re
import struct
import warnings

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from sphreg import formats
from sphreg.errors import UserError
from sphreg.formats import FORMATS, parse_mesh, read_mesh
from sphreg.meshes import Mesh

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


def test_ply_with_other_elements_and_properties():
    head = "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
    head += "property uchar red\nelement face 1\nproperty uchar flag\nproperty list uchar uint vertex_index\n"
    head += "element camera 1\nproperty float f\nend_header\n"
    mesh = parse_mesh((head + "0 0 0 9\n1 0 0 9\n0 1 0 9\n7 3 2 1 0\n\n0.5\n").replace("\n", "\r\n").encode(), "ply")
    assert mesh.vertices.tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0]]
    assert mesh.faces.tolist() == [[2, 1, 0]]


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
    *((kind, NOISE, "no OFF file|no faces|no PLY file|no STL file|no GLB file") for kind in FORMATS),
    *((kind, b"Dear Sir,\nthe OFF file follows\n", "OFF header|no faces|no STL file|no GLB file") for kind in FORMATS),
    *((kind, b"\x89PNG\r\n\x1a\n" + bytes(200), "no OFF file|no faces|no STL file|no GLB file") for kind in FORMATS),
    *((kind, data, "no faces") for kind, data in NO_FACE.items()),
    *((kind, exported(kind)[:-200], "damaged|cut short") for kind in FORMATS if kind != "obj"),
    *((kind, exported(kind)[:60], "damaged|cut short|no faces|coordinates") for kind in FORMATS),
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
    ("off", off(POINTS.replace("0 0\n1 0 0", "0\n0 1 0 0") + "3 0 1 2\n", 5, 1), "^line 3: vertex of 2"),
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
            off(POINTS.replace("0.5", word) + "3 0 1 2\n", 5, 1),
            "^line 7: vertex with a NaN or infinite coordinate$",
        )
        for word in ("nan", "-inf", "1e999")
    ),
    ("off", TETRA.encode("utf-16"), "no text file"),
    # OBJ
    ("obj", obj("f 0 1 2\n"), "a vertex which is not there"),
    ("obj", b"v 0 0 0\nv 1 0 0\nf 0 1 2\nv 0 1 0\n", "a vertex which is not there"),
    ("obj", obj("f 1 2 6\n"), "a vertex which is not there"),
    ("obj", obj("f 1 2 -6\n"), "a vertex which is not there"),
    ("obj", obj("f 1 2\nf 1 2 3\n"), "face of 2 corners"),
    ("obj", obj("f 1 2 x\n"), "no OBJ file"),
    ("obj", obj("f 1 2 3\n").replace(b"v 0.5", b"v nan"), "NaN or infinite"),
    ("obj", obj("f 1 2 3\n").replace(b"v 0.5", b"v x"), "no OBJ file"),
    ("obj", obj("f 1 2 3\n").replace(b"v 0.5", b"v"), "fewer than three coordinates"),
    ("obj", b"f 1 2 3\n", "a vertex which is not there"),
    # PLY
    ("ply", ply("ascii", -5, 1, POINTS), "negative count"),
    ("ply", ply("ascii", 5, 2, POINTS + "3 0 1 2\n"), "6 lines after its header, which counts 7"),
    ("ply", ply("ascii", 5, 1, POINTS + "3 0 1 2\n" * 2), "7 lines"),
    ("ply", ply("ascii", 5, 2, POINTS + "3 0 1 2\n3 0 1\n"), "face of 2 corners"),
    ("ply", ply("ascii", 5, 2, POINTS + "3 0 1 2\n2 0 1\n"), "face of 2 corners"),
    ("ply", ply("ascii", 5, 1, POINTS + "3 0 1 5\n"), "a vertex which is not there"),
    ("ply", ply("ascii", 5, 1, POINTS + "3 0 1 -1\n"), "a vertex which is not there"),
    ("ply", ply("ascii", 5, 1, POINTS + "3 0 x y\n"), "no PLY file"),
    ("ply", ply("ascii", 5, 1, POINTS.replace("0.5", "nan") + "3 0 1 2\n"), "NaN or infinite"),
    ("ply", ply("ascii", 5, 1, POINTS.replace("0.5 2 1", "0.5 2") + "3 0 1 2\n"), "no PLY file"),
    ("ply", b"ply\nformat ascii 1.0\nelement vertex 3\nelement face 1\n", "0 lines after its header"),
    ("ply", ply_binary([[0, 1, 2], [0, 1, 2]], n_faces=3), "no PLY file, or is damaged"),
    ("ply", ply_binary([[0, 1, 2], [0, 1, 2]], n_faces=1), "no PLY file, or is damaged"),
    ("ply", ply_binary([[0, 1, 2], [0, 1, 2, 3]]), "different numbers of corners"),
    ("ply", ply_binary([[0, 1, 2, 3], [0, 1, 2], [0, 1, 2, 4, 3]]), "different numbers of corners"),
    ("ply", ply_binary([[0, 1, 7]]), "a vertex which is not there"),
    ("ply", ply_binary([[0, 1]]), "face of 2 corners"),
    ("ply", ply_binary([[0, 1, 2]], points=[0, 0, 0, 1, 0, 0, np.nan, 1, 0]), "NaN or infinite"),
    # STL
    ("stl", stl_ascii(("one", 2), ("two", 3))[:-200], "3 facets, of which 2 are whole"),
    ("stl", stl_ascii(("one", 2)).replace(b"vertex 0 1 0", b"vertex 0 one 0"), "no STL file"),
    ("stl", stl_ascii(("one", 2)).replace(b"vertex 0 1 0", b"vertex 0 nan 0"), "NaN or infinite"),
    ("stl", stl_ascii(("one", 2)).replace(b"vertex 0 1 0\n", b"", 1), "no STL file"),
    ("stl", exported("stl") + b"more", "no faces|no STL file"),
    # GLB
    ("glb", glb(lambda scene: scene.update(extensionsRequired=["KHR_draco_mesh_compression"])), "KHR_draco"),
    ("glb", glb(lambda scene: scene["meshes"][0]["primitives"][0].update(mode=6)), "triangle fans"),
    ("glb", glb(lambda scene: scene["meshes"][0]["primitives"][0].update(mode=1)), "no faces|no GLB"),
    ("glb", glb(lambda scene: scene.pop("bufferViews")), "no GLB file"),
    ("glb", glb(lambda scene: scene["buffers"][0].update(uri="/etc/passwd")), "no GLB file"),
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


def test_every_real_mesh_is_read_the_fast_way_bit_for_bit_as_the_slow_way_and_by_trimesh(modelnet10):
    """These files are plain enough for trimesh to read them whole; faces without area it keeps as well."""
    paths = sorted(modelnet10.glob("*/*/*.off"))
    assert len(paths) >= 25
    for path in paths:
        data = path.read_bytes()
        other = trimesh.load_mesh(io.BytesIO(data), file_type="off", process=False)
        for vertices, faces in (parse_mesh(data, "off"), formats._plain_off(data), formats._any_off(data)):
            assert vertices.tobytes() == np.array(other.vertices, dtype=np.float64).tobytes()
            assert faces.tobytes() == np.array(other.faces, dtype=np.int64).tobytes()


@pytest.mark.parametrize("end", ["\n", "\r\n", " \n", " \r\n"])
@pytest.mark.parametrize("header", ["OFF\n", "OFF"])
def test_the_usual_layouts_are_read_the_fast_way(header, end):
    vertices, faces = formats._plain_off(TETRA.replace("OFF\n", header).replace("\n", end).encode())
    assert vertices.tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert faces.tolist() == [[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]


def plain_off(data):
    """Vertices and polygons of an OFF file, word by word; None where the file is wrong."""
    lines = [line.split(b"#")[0].strip() for line in data.splitlines()]
    if not all(re.fullmatch(rb"[\t -~]*", line) for line in lines):
        return None
    first, *lines = [line.decode("ascii").split() for line in lines if line] or [[""]]
    word = re.fullmatch(r"(ST)?C?N?OFF(-?\d+)?", first[0])
    if not word:
        return None
    counts = ([word[2]] if word[2] else []) + first[1:]
    if not counts and lines:
        counts = lines.pop(0)
    if len(counts) not in (2, 3) or not all(re.fullmatch(r"-?\d+", count) for count in counts):
        return None
    n_vertices, n_faces = int(counts[0]), int(counts[1])
    if n_vertices < 1 or n_faces < 1 or len(lines) != n_vertices + n_faces:
        return None
    vertices, faces = lines[:n_vertices], lines[n_vertices:]
    if len(vertices[0]) < 3 or any(len(line) != len(vertices[0]) for line in vertices):
        return None
    if any("_" in word for line in lines for word in line):
        return None
    try:
        vertices = [[float(word) for word in line[:3]] for line in vertices]
        polygons = [[int(word) for word in line[1 : 1 + int(line[0])]] for line in faces if int(line[0]) > 2]
    except ValueError:
        return None
    whole = len(polygons) == n_faces and all(len(p) == int(line[0]) for p, line in zip(polygons, faces, strict=True))
    there = all(corner in range(n_vertices) for polygon in polygons for corner in polygon)
    finite = all(abs(number) < np.inf for vertex in vertices for number in vertex)
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
    assert mesh.vertices.tobytes() == np.array(vertices).tobytes()
    assert len(mesh.faces) == sum(len(polygon) - 2 for polygon in polygons)
    if all(len(polygon) == 3 for polygon in polygons):
        assert mesh.faces.tolist() == polygons


@pytest.mark.parametrize("kind", ["obj", "ply", "stl", "glb"])
@settings(max_examples=30)
@given(data=st.data())
def test_any_bytes_give_a_mesh_or_an_error_for_the_user(kind, data):
    whole = data.draw(st.sampled_from([exported(kind), *([stl_ascii(("a", 2), ("b", 1))] if kind == "stl" else [])]))
    try:
        mesh = parse_mesh(spoiled(data.draw, whole), kind)
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert isinstance(mesh, Mesh)
        assert 0 <= mesh.faces.min() <= mesh.faces.max() < len(mesh.vertices)
        assert np.isfinite(mesh.vertices).all()


def test_warnings_of_the_readers_stay_inside(caplog):
    def compress(scene):
        scene["meshes"][0]["primitives"][0]["extensions"] = {"KHR_draco_mesh_compression": {}}
        for accessor in scene["accessors"]:
            del accessor["bufferView"]

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(UserError):
            parse_mesh(ply("ascii", 5, 1, POINTS + "3 0 1 nan\n"), "ply")
        parse_mesh(glb(compress), "glb")
    assert caught == []
    assert caplog.records == []
