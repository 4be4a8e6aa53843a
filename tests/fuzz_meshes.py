"""Right mesh files of every format and layout, and ways to damage them."""

import base64
import json
import re
import struct
from random import Random

import numpy as np

VERTICES = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (0.5, 2, 1)]
POLYGONS = [(0, 1, 2), (0, 1, 2, 3), (0, 1, 2, 4, 3)]
TRIANGLES = [(0, 1, 2), (0, 1, 2), (0, 2, 3), (0, 1, 2), (0, 2, 4), (0, 4, 3)]


def lines(rows, before=""):
    return "".join(before + " ".join(map(str, row)) + "\n" for row in rows)


def off(header="OFF"):
    return f"{header}\n5 3 0\n{lines(VERTICES)}{lines((len(p), *p) for p in POLYGONS)}".encode()


def obj():
    return (lines(VERTICES, "v ") + lines(([i + 1 for i in p] for p in POLYGONS), "f ")).encode()


def ply(form="ascii", texture=True):
    """With a colour beside each vertex, and texture coordinates for each corner."""
    listed = "property list uchar float texcoord\n" if texture else ""
    head = f"ply\nformat {form} 1.0\nelement vertex 5\nproperty float x\nproperty double y\nproperty float z\n"
    head += f"property uchar red\nelement face 3\nproperty list uchar int vertex_indices\n{listed}end_header\n"
    if form == "ascii":
        rows = [[len(p), *p, *([2 * len(p), *[0.5] * 2 * len(p)] if texture else [])] for p in POLYGONS]
        return (head + lines((*v, 255) for v in VERTICES) + lines(rows)).encode()
    order = "<" if "little" in form else ">"
    body = b"".join(struct.pack(f"{order}fdfB", *v, 255) for v in VERTICES)
    for p in POLYGONS:
        k = len(p)
        body += struct.pack(f"{order}B{k}i", k, *p)
        body += struct.pack(f"{order}B{2 * k}f", 2 * k, *[0.5] * 2 * k) if texture else b""
    return head.encode() + body


def stl(binary=False, end="endsolid chair\n"):
    corners = [[VERTICES[i] for i in triangle] for triangle in TRIANGLES]
    if binary:
        facets = b"".join(struct.pack("<12fH", 0, 0, 1, *np.ravel(triangle), 0) for triangle in corners)
        return b"made by hand".ljust(80) + struct.pack("<I", len(corners)) + facets
    facets = "".join(
        f" facet normal 0 0 1\n  outer loop\n{lines(triangle, '   vertex ')}  endloop\n endfacet\n"
        for triangle in corners
    )
    return f"solid chair\n{facets}{end}".encode()


def glb(change=lambda scene: None, *arrays):
    """A scene with `TRIANGLES`, after a change of its JSON; more arrays become buffer views 2, 3 and so on."""
    arrays = [np.array(VERTICES, "<f4"), np.array(TRIANGLES, "<u2"), *arrays]
    chunk, views = b"", []
    for array in arrays:
        views.append({"buffer": 0, "byteOffset": len(chunk), "byteLength": array.nbytes})
        chunk += array.tobytes() + b"\0" * (-array.nbytes % 4)
    bounds = {"min": arrays[0].min(axis=0).tolist(), "max": arrays[0].max(axis=0).tolist()}
    scene = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 5, "type": "VEC3", **bounds},
            {"bufferView": 1, "componentType": 5123, "count": 18, "type": "SCALAR"},
        ],
        "bufferViews": views,
        "buffers": [{"byteLength": len(chunk)}],
    }
    change(scene)
    text = json.dumps(scene).encode()
    text += b" " * (-len(text) % 4)
    head = struct.pack("<4s4I", b"glTF", 2, 28 + len(text) + len(chunk), len(text), 0x4E4F534A)
    return head + text + struct.pack("<2I", len(chunk), 0x004E4942) + chunk


def sparse(scene):
    scene["accessors"][0]["sparse"] = {
        "count": 2,
        "indices": {"bufferView": 2, "componentType": 5121},
        "values": {"bufferView": 3},
    }


def copies(scene):
    scene["nodes"] = [{"children": [1, 2], "translation": [1, 2, 3]}, {"mesh": 0, "scale": [1, -1, 1]}, {"mesh": 0}]
    scene["meshes"][0] |= {"weights": [0.5]}
    scene["meshes"][0]["primitives"] *= 2
    scene["meshes"][0]["primitives"][0] |= {"targets": [{"POSITION": 0}]}
    scene["buffers"].append({"uri": "data:;base64," + base64.b64encode(bytes(8)).decode()})


SAMPLES = {
    "off": [off(), off().replace(b"\n", b"\r\n"), off().replace(b" 0\n1 ", b" 0 1 "), "\ufeff# ä\n".encode() + off()],
    "obj": [obj(), obj().replace(b"f 1 2 3 4", b"f 1/1 2//2 \\\n-3 -2"), obj().decode().encode("utf-16")],
    "ply": [ply(form, uv) for form in ("ascii", "binary_little_endian", "binary_big_endian") for uv in (True, False)],
    "stl": [stl(), stl(binary=True), stl(end="end solid\n"), stl().replace(b"\n", b" ")],
    "glb": [glb(), glb(sparse, np.array([1, 3], "u1"), np.zeros((2, 3), "<f4")), glb(copies)],
}  # fmt: skip
WORDS = [b"-1", b"0", b"3", b"65535", b"4294967295", b"9" * 18, b"9" * 40, b"nan", b"inf", b"1e400", b"1_0", b"0x1"]
WORDS += [
    b"-0.5",
    b"null",
    b"[" * 3000,
    b'{"a":' * 2000,
    b"\n",
    b"\r",
    b"\\\n",
    b"#",
    b"\0",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
]


def damaged(random: Random, data: bytes) -> bytes:
    """The file after one to three faults: cut, flipped, doubled or lost lines and blocks, numbers that are others."""
    for _ in range(random.choice([1, 1, 2, 3])):
        at, size = random.randrange(len(data) + 1), random.choice([1, 1, 2, 4, 16, 200])
        rows = data.splitlines(keepends=True) or [b""]
        row = random.randrange(len(rows))
        numbers = list(re.finditer(rb"-?\d+(?:\.\d+)?", data))
        match random.choice(["cut", "flip", "drop", "double", "noise", "line", "line", "swap", "word", "word", "word"]):
            case "cut":
                data = data[:at]
            case "flip" if at < len(data):
                data = data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :]
            case "drop":
                data = data[:at] + data[at + size :]
            case "double":
                data = data[: at + size] + data[at:]
            case "noise":
                data = data[:at] + random.randbytes(size) + data[at + size * random.randrange(2) :]
            case "line":
                data = b"".join(rows[:row] + rows[row : row + 1] * random.choice([0, 2, 20]) + rows[row + 1 :])
            case "swap":
                random.shuffle(rows)
                data = b"".join(rows)
            case "word" if numbers:
                number = random.choice(numbers)
                data = data[: number.start()] + random.choice(WORDS) + data[number.end() :]
    return data
