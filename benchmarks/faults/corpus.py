"""Sound files of each kind, made here, that are then changed."""

import io
import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import simplejpeg
import trimesh
import yaml
from PIL import Image

from benchmarks.faults.inputs import archive_of_meshes, images
from benchmarks.faults.project import ROOT
from benchmarks.report import make
from sphreg import checksums
from sphreg.furniture import furniture
from sphreg.render.png import png
from sphreg.render.shards import encode_shard


def meshes(kind: str) -> list[bytes]:
    """A box and a chair, as trimesh writes them, and what other programs write."""
    made = furniture("chair", np.random.default_rng(0))
    chair = trimesh.Trimesh(np.array(made.vertices), np.array(made.faces), process=False)
    found = [_bytes(mesh.export(file_type=kind)) for mesh in (trimesh.creation.box(), chair)]
    return found + [text.encode() for text in TEXTS.get(kind, ())] + [export(chair) for export in EXPORTS.get(kind, ())]


def _bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content


CORNERS = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (0.5, 0.5, 1)]
SIDES = [(0, 3, 2, 1), (0, 1, 4), (1, 2, 4), (2, 3, 4), (3, 0, 4)]
ROWS = "\n".join(" ".join(map(str, corner)) for corner in CORNERS)
FACES = "\n".join(" ".join(map(str, (len(side), *side))) for side in SIDES)
TEXTS = {
    "off": [
        f"OFF\n# a pyramid\n5 5 0\n{ROWS}\n{FACES}\n",
        f"COFF 5 5 0\n{ROWS.replace(chr(10), ' 255 0 0 255' + chr(10))} 1 2 3 4\n{FACES}\n",
    ],
    "obj": [
        "mtllib a.mtl\no pyramid\n"
        + "".join(f"v {x} {y} {z}\n" for x, y, z in CORNERS)
        + "vt 0 0\nvn 0 0 1\ns off\n"
        + "".join(f"f {' '.join(f'{corner + 1}/1/1' for corner in side)}\n" for side in SIDES),
        "".join(f"v {x} {y} {z}\n" for x, y, z in CORNERS)
        + "".join(f"f {' '.join(str(corner - 5) for corner in side)}\n" for side in SIDES),
    ],
    "ply": [
        "ply\nformat ascii 1.0\ncomment a pyramid\nelement vertex 5\n"
        "property float x\nproperty float y\nproperty float z\n"
        f"element face 5\nproperty list uchar int vertex_indices\nend_header\n{ROWS}\n{FACES}\n"
    ],
    "stl": [
        "solid tetrahedron\n"
        + "".join(
            "facet normal 0 0 0\nouter loop\n"
            + "".join(f"vertex {x} {y} {z}\n" for x, y, z in side)
            + "endloop\nendfacet\n"
            for side in (
                [(0, 0, 0), (0, 1, 0), (1, 0, 0)],
                [(0, 0, 0), (1, 0, 0), (0, 0, 1)],
                [(1, 0, 0), (0, 1, 0), (0, 0, 1)],
                [(0, 0, 0), (0, 0, 1), (0, 1, 0)],
            )
        )
        + "endsolid tetrahedron\n"
    ],
}
EXPORTS: dict[str, list[Callable[[trimesh.Trimesh], bytes]]] = {
    "ply": [lambda mesh: _bytes(mesh.export(file_type="ply", encoding="ascii"))],
    "stl": [lambda mesh: _bytes(mesh.export(file_type="stl_ascii"))],
    "glb": [
        lambda mesh: _bytes(trimesh.Scene([mesh, mesh.copy().apply_translation([1, 0, 0])]).export(file_type="glb"))
    ],
}


def pictures() -> list[bytes]:
    """Of many formats and modes."""
    sound, found = images(), []
    colour, clear = sound["colour.jpg"], sound["clear.png"]
    exif = Image.Exif()
    exif[0x0112] = 6  # turned
    for image, form, options in [
        *((image, "PNG", {}) for image in sound.values()),
        (colour.quantize(8), "PNG", {"transparency": 0}),
        (sound["grey.png"].convert("1"), "PNG", {}),
        (clear.convert("LA"), "PNG", {}),
        (colour, "JPEG", {"exif": exif, "progressive": True}),
        (colour.convert("CMYK"), "JPEG", {}),
        (colour, "GIF", {}),
        (colour, "BMP", {}),
        (colour, "TIFF", {"compression": "tiff_lzw"}),
        (clear, "WEBP", {"lossless": True}),
        (colour, "PPM", {}),
        (colour, "TGA", {"compression": "tga_rle"}),
        (colour, "JPEG2000", {}),
        (clear, "ICO", {}),
        (colour, "PCX", {}),
        (clear, "DDS", {}),
        (colour, "EPS", {}),
    ]:
        content = io.BytesIO()
        image.save(content, form, **options)
        found.append(content.getvalue())
    return found


def pickles() -> list[bytes]:
    """Of all protocols, with arrays and lists."""
    values = {f"chair_0001.v{number:03d}": [0.5, 0.5, 0.5, -0.5] for number in range(1, 4)}
    forms = (
        values,
        {key: np.array(value) for key, value in values.items()},
        {key: [np.float64(x) for x in value] for key, value in values.items()},
    )
    return [pickle.dumps(form, protocol) for form in forms for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]


def shards() -> list[bytes]:
    """Of two views of eight pixels, the first of which has normals."""
    encode = partial(simplejpeg.encode_jpeg, colorspace="GRAY", colorsubsampling="Gray")
    views = {f"v{number:03d}": encode(np.full((8, 8, 1), 90 * number, np.uint8)) for number in (1, 2)}
    normals = {"v001": png(np.full((8, 8, 3), 127, np.uint8))}
    return [encode_shard(views, normals, np.array([[0.5, 0.5, 0.5, 0.5], [0, 0, 0, 1.0]]))]


def weights(folder: Path) -> list[bytes]:
    """Of a small model, whose config is written to a folder."""
    from benchmarks.trainings import config_of
    from sphreg.model import Model

    Model(config_of(["chair", "toilet"], "rotation", "sexp", 16, hidden=4), "cpu").save(folder / "last.safetensors")
    return [(folder / "last.safetensors").read_bytes()]


def configs(folder: Path) -> list[bytes]:
    """Of the same model, whose weights are written to a folder."""
    weights(folder)
    return [(folder / "config.json").read_bytes()]


def archives() -> list[bytes]:
    """As ModelNet10."""
    return [archive_of_meshes()]


def settings() -> list[bytes]:
    """Those of this tree."""
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    return [text.encode(), yaml.safe_dump(yaml.safe_load(text), sort_keys=False).encode()]


def made(file: str) -> Callable[[Path], list[bytes]]:
    """A file of a packed test set, its meshes and the results on it, which are made in a folder."""

    def sound(folder: Path) -> list[bytes]:
        make(folder, ["chair", "table"], 3, 2, 16, 2, ("sexp",), (0,), ("rotation", "viewpoint", "normals"))
        for sums in folder.glob(f"results/**/{checksums.NAME}"):  # or no change would come past them
            sums.unlink()
        return [(folder / file).read_bytes()]

    return sound
