"""All views of one mesh in one file, so that a dataset is thousands of files and not a hundred thousand.

It is a safetensors file: `v001.jpg` are the bytes of the grey image of the first view, `v001.png` those of its normals
where they are kept, and `quaternions` are the rotations of all views, XYZW.
"""

import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64
from safetensors import deserialize
from safetensors.numpy import save
from simplejpeg import decode_jpeg_header

from sphreg.config import Render
from sphreg.errors import UserError
from sphreg.quaternions import is_unit

ROTATIONS = "quaternions"
PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR"  # what width, height, depth and type of colour follow


def view_names(settings: Render, split: str) -> tuple[list[str], list[str]]:
    """The views of each mesh of a split, v001, v002, ..., and those of them that have normals."""
    names = [f"v{number:03d}" for number in range(1, getattr(settings, f"{split}_views") + 1)]
    return names, names[: getattr(settings, f"{split}_normals")]


def encode_shard(images: dict[str, bytes], normals: dict[str, bytes], quaternions: Float64[np.ndarray, "n 4"]) -> bytes:
    """The views of a mesh as the content of a file. The same views give the same bytes.

    Args:
        images: a JPEG by view.
        normals: a PNG by view.
        quaternions: of the views, XYZW.
    """
    files = {f"{view}.jpg": image for view, image in images.items()}
    files |= {f"{view}.png": image for view, image in normals.items()}
    return save({ROTATIONS: quaternions} | {name: np.frombuffer(file, np.uint8) for name, file in files.items()})


class Shard(NamedTuple):
    """All views of a mesh, in the order of their names; the first of them have normals."""

    quaternions: Float64[np.ndarray, "n 4"]
    images: list[bytes]
    normals: list[bytes]


def decode_shard(content: bytes, path: Path, settings: Render, split: str) -> Shard:
    """The views of a mesh, from the content of a file.

    Args:
        content: of the file.
        path: of the file, for messages.
        settings: with which it was rendered.
        split: of the mesh.

    Raises:
        UserError: it is damaged, or is not what these settings render.
    """
    from sphreg.reading import reading  # here, as it imports pandas, which the workers need not wait for

    with reading(path, "a shard"):
        arrays = dict(deserialize(content))
    views, with_normals = view_names(settings, split)
    images, normals = [f"{view}.jpg" for view in views], [f"{view}.png" for view in with_normals]
    if differing := sorted(arrays.keys() ^ {ROTATIONS, *images, *normals}):
        name = differing[0]
        has = f"has {name}, which `render` does not ask" if name in arrays else f"lacks {name}, which `render` asks"
        raise UserError(f"{path}: it {has} for; render again.")
    for name, array in arrays.items():
        wanted = ("F64", [len(views), 4]) if name == ROTATIONS else ("U8", [len(array["data"])])
        if (array["dtype"], array["shape"]) != wanted:
            raise UserError(
                f"{path}: {name} is of type {array['dtype']} and shape {array['shape']}, allowed: {wanted[0]} and "
                f"{wanted[1]}; render again."
            )
    size = settings.size
    for name in images:
        try:
            found = decode_jpeg_header(arrays[name]["data"])[:3]
        except ValueError:
            found = None
        if found != (size, size, "Gray"):
            raise UserError(f"{path}: {name} is no grey JPEG of {size} x {size} pixels; render again.")
    for name in normals:
        if not arrays[name]["data"].startswith(PNG + struct.pack(">IIBB", size, size, 8, 2)):
            raise UserError(f"{path}: {name} is no PNG of {size} x {size} pixels in colour; render again.")
    quaternions = np.frombuffer(arrays[ROTATIONS]["data"], "<f8").reshape(-1, 4)
    if not (unit := is_unit(quaternions)).all():
        wrong = f"{views[unit.argmin()]} is {quaternions[unit.argmin()].tolist()}"
        raise UserError(f"{path}: the quaternion of {wrong}, allowed: of length 1; render again.")
    return Shard(quaternions, *([bytes(arrays[name]["data"]) for name in names] for names in (images, normals)))


def is_whole(path: Path, settings: Render, split: str) -> bool:
    """Whether the shard of a mesh of this split is there, as `decode_shard` demands."""
    try:
        decode_shard(path.read_bytes(), path, settings, split)
    except (OSError, UserError):
        return False
    return True
