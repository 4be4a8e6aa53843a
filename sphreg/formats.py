"""Reading mesh files of others: OFF, OBJ, PLY, STL and GLB.

They are read here and not by trimesh, which passes over much of what is wrong in a file, and over some that is right:
OFF bodies that are too short, faces of two corners, the OBJ index 0, a vertex behind a byte order mark, STL without its
last line, binary PLY with triangles and quads, and what `sphreg.glb` names.
"""

import codecs
import re
import stat
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Float64

from sphreg.errors import UserError
from sphreg.glb import parse_glb
from sphreg.meshes import Mesh, check
from sphreg.ply import parse_ply
from sphreg.polygons import triangulate

Number = TypeVar("Number", int, float)


def read_mesh(path: Path) -> Mesh:
    """Read a file of one of `FORMATS`; its suffix says which.

    Raises:
        UserError: as `parse_mesh`, or the file cannot be read.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # the reading of a pipe waits for ever
            raise UserError("cannot be read: it is no regular file")
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}") from None
    return parse_mesh(data, path.suffix[1:].lower())


def parse_mesh(data: bytes, kind: str) -> Mesh:
    """The mesh in a file with the content `data` and the format `kind`, a key of `FORMATS`.

    Vertices keep their order and none is merged or left out, and those that no face uses may be NaN; the parts of a
    scene come one after another, each moved to its place. Faces of more than three corners are triangulated, and fewer
    than three are an error. A text may be UTF-8, UTF-16 or any that contains ASCII.

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
    except MemoryError as error:
        raise UserError("does not fit into the memory") from error
    except Exception as error:  # there is no list of what a reader of damaged files may trip over
        raise UserError(f"is no {kind.upper()} file, or is damaged or cut short") from error
    check(*mesh)
    return mesh


def _text(data: bytes) -> bytes:
    """A text as ASCII or what contains it, without a byte order mark."""
    for mark, encoding in (
        (codecs.BOM_UTF32_LE, "utf-32"),
        (codecs.BOM_UTF32_BE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if data.startswith(mark):
            return data.decode(encoding).encode()
    return data.removeprefix(codecs.BOM_UTF8)


def _off(data: bytes) -> Mesh:
    text = re.sub(rb"#[^\r\n]*", b"", _text(data))
    # ModelNet's counts often stand in the first line, without a space: "OFF490 518 0".
    header = re.match(rb"\s*(?:ST|C|N)*OFF\s*(-?\d+)[ \t]+(-?\d+)(?:[ \t]+-?\d+)?[ \t]*(?:[\r\n]|$)", text)
    if header is None:
        raise UserError(
            "has no OFF header: the word OFF, maybe after C, N or ST, then the numbers of vertices, faces and edges"
        )
    n_vertices, n_faces = int(header[1]), int(header[2])
    if n_vertices < 0 or n_faces < 0:
        raise UserError(f"has a negative count in its header: {n_vertices} vertices, {n_faces} faces")
    if n_vertices == 0 or n_faces == 0:
        raise UserError("has no faces")
    refusal = None
    try:
        return _off_words(text[header.end() :].split(), n_vertices, n_faces)
    except UserError as error:
        refusal = error
    except (ValueError, IndexError, DeprecationWarning):  # the words are others, or more: maybe colours
        pass
    lines = list(enumerate(text.splitlines(), 1))[len(text[: header.end()].splitlines()) :]
    rows = [(number, line.split()) for number, line in lines if line.strip()]
    if refusal and len(rows) != n_vertices + n_faces:
        raise refusal
    return _off_lines(rows, n_vertices, n_faces)


def _off_words(words: list[bytes], n_vertices: int, n_faces: int) -> Mesh:
    """The mesh of coordinates, corners and their numbers alone, in whatever lines: all that most files hold."""
    vertices = np.fromstring(b" ".join(words[: 3 * n_vertices]), sep=" ").reshape(n_vertices, 3)
    numbers = np.fromstring(b" ".join(words[3 * n_vertices :]), dtype=np.int64, sep=" ")
    if len(numbers) == 4 * n_faces and (numbers[::4] == 3).all():  # ModelNet's all are, and this is twice as fast
        faces = numbers.reshape(-1, 4)[:, 1:].copy()
        check(vertices, faces)
        return Mesh(vertices, faces)
    corners, polygons, at = numbers.tolist(), [], 0
    for _ in range(n_faces):
        end = at + 1 + corners[at]
        polygons.append(corners[at + 1 : end])
        at = end
    if at != len(corners):
        raise ValueError("more or fewer words than the header counts")
    return _triangles(vertices, polygons)


def _off_lines(lines: list[tuple[int, list[bytes]]], n_vertices: int, n_faces: int) -> Mesh:
    """The mesh of a file with a vertex or a face in a line, and more behind it."""
    if len(lines) != n_vertices + n_faces:
        raise UserError(
            f"has {len(lines)} lines after its header, which counts {n_vertices} vertices and {n_faces} faces: "
            "it is damaged or cut short"
        )
    width = max(3, len(lines[0][1]))  # more than 3 with normals or colours
    vertices = np.array([_off_vertex(words, number, width) for number, words in lines[:n_vertices]])
    polygons = [_off_face(words, number, n_vertices) for number, words in lines[n_vertices:]]
    used = {corner for polygon in polygons for corner in polygon}
    for i in np.flatnonzero(~np.isfinite(vertices).all(axis=1)):
        if i in used:
            raise UserError(f"line {lines[i][0]}: vertex with a NaN or infinite coordinate")
    return _triangles(vertices, polygons)


def _off_vertex(words: list[bytes], number: int, width: int) -> list[float]:
    if len(words) != width:
        raise UserError(f"line {number}: vertex of {len(words)} numbers, expected {width}")
    try:
        return _numbers(words, float)[:3]
    except ValueError:
        raise UserError(f"line {number}: no vertex: {_shown(words)}") from None


def _off_face(words: list[bytes], number: int, n_vertices: int) -> list[int]:
    try:
        (n_corners,) = _numbers(words[:1], int)
        corners = _numbers(words[1 : 1 + max(n_corners, 0)], int)  # a colour may follow
    except ValueError:
        raise UserError(f"line {number}: no face: {_shown(words)}") from None
    if n_corners < 3:
        raise UserError(f"line {number}: face of {n_corners} corners, allowed: 3 and more")
    if len(corners) < n_corners:
        raise UserError(f"line {number}: face of {n_corners} corners with {len(corners)} indices")
    for corner in corners:
        if not 0 <= corner < n_vertices:
            raise UserError(f"line {number}: face with vertex {corner}, allowed: 0 to {n_vertices - 1}")
    return corners


# What an OBJ file may say of the look, the names and the parts of its surface, and of points and lines.
_OBJ_BESIDES = frozenset(
    b"vt vn vp g o s mg l p usemtl mtllib usemap maplib lod bevel c_interp d_interp shadow_obj trace_obj".split()
)


def _obj(data: bytes) -> Mesh:
    positions, polygons = list[list[float]](), []
    before = b""
    for number, line in enumerate([*_text(data).splitlines(), b""], 1):
        line = before + line.partition(b"#")[0].rstrip()
        if line.endswith(b"\\"):
            before = line[:-1] + b" "
            continue
        before = b""
        try:
            match line.split():
                case [b"v", *words] if len(words) >= 3:
                    positions.append(_numbers(words, float)[:3])
                case [b"f" | b"fo", *words] if len(words) >= 3:
                    corners = _numbers([word.partition(b"/")[0] for word in words], int)
                    # From 1, or from the vertex before this line backwards; 0 becomes -1, which no vertex has.
                    polygons.append([i - 1 if i >= 0 else i + len(positions) for i in corners])
                case [keyword, *_] if keyword not in _OBJ_BESIDES:
                    raise ValueError("cut short, of a free-form surface, or no OBJ at all")
        except ValueError:
            raise UserError(
                f"line {number}: no vertex of three coordinates, no face of three or more corners, and nothing else "
                f"that belongs to them: {_shown([line.strip()])}"
            ) from None
    return _triangles(np.array(positions, dtype=np.float64).reshape(-1, 3), polygons)


def _numbers(words: Sequence[bytes], kind: Callable[[bytes], Number]) -> list[Number]:
    if any(b"_" in word for word in words):  # which Python reads past
        raise ValueError("no number")
    return [kind(word) for word in words]


def _shown(words: list[bytes]) -> str:
    return repr(b" ".join(words)[:40].decode("latin-1"))


def _ply(data: bytes) -> Mesh:
    return _triangles(*parse_ply(_text(data)))


_STL_FACET = re.compile(
    rb"facet(?:\s+normal(?:\s+\S+){3})?\s+outer\s+loop"
    + rb"\s+vertex\s+(\S+)\s+(\S+)\s+(\S+)" * 3
    + rb"\s+endloop\s+endfacet",
    re.IGNORECASE,
)


def _stl(data: bytes) -> Mesh:
    count = int.from_bytes(data[80:84], "little")
    if len(data) == 84 + 50 * count:
        row = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
        corners = np.frombuffer(data, row, count, 84)["corners"]
    else:
        text = _text(data)
        if not text.lstrip()[:5].lower() == b"solid":
            raise ValueError("neither a whole binary STL file nor a text")
        facets = _STL_FACET.findall(text)
        loops = re.findall(rb"\bouter\s+loop\b", text, re.IGNORECASE)
        rest = [line.strip() for line in _STL_FACET.sub(b"", text).splitlines()]
        others = [line for line in rest if line and not re.match(rb"(?:end ?)?solid\b", line, re.IGNORECASE)]
        if others or len(loops) != len(facets):
            beside = _shown(others[:1] or rest)
            raise UserError(f"has {len(facets)} whole facets, and beside them {beside}: it is damaged or cut short")
        corners = np.array(facets).astype(np.float64)
    vertices = corners.reshape(-1, 3).astype(np.float64)
    return Mesh(vertices, np.arange(len(vertices)).reshape(-1, 3))


def _triangles(vertices: Float64[np.ndarray, "v 3"], polygons: Sequence[Sequence[int]]) -> Mesh:
    """Check before the corners are used as indices."""
    fewest = min(map(len, polygons), default=3)
    if fewest < 3:
        raise UserError(f"has a face of {fewest} corners, allowed: 3 and more")
    corners = np.array([corner for polygon in polygons for corner in polygon])
    if corners.size and corners.dtype.kind == "f":
        raise ValueError("indices that are no whole numbers")
    check(vertices, corners.astype(np.int64))
    return Mesh(vertices, triangulate(vertices, polygons))


FORMATS = {"off": _off, "obj": _obj, "ply": _ply, "stl": _stl, "glb": parse_glb}
