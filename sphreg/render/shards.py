"""All views of one mesh in one file, so that a dataset is thousands of files and not a hundred thousand.

It is a safetensors file: `v001.jpg` are the bytes of the grey image of the first view, `v001.png` those of its normals
where they are kept, and `quaternions` are the rotations of all views, XYZW.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64, UInt8
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from sphreg.config import Render
from sphreg.errors import UserError

ROTATIONS = "quaternions"


@dataclass(frozen=True)
class Entry:
    """A mesh that is rendered, as the index of the meshes lists it.

    Attributes:
        path: of the mesh, relative to the folder of the index.
        faces: their number.
    """

    mesh: str
    category: str
    split: str
    path: str
    faces: int

    def __str__(self) -> str:
        """As messages name it."""
        return f"mesh {self.mesh}"

    def shard(self, folder: Path) -> Path:
        """Where the views of this mesh are, in a folder of shards."""
        return folder / self.category / self.split / f"{self.mesh}.safetensors"


def read_index(meshes: Path) -> list[Entry]:
    """The meshes to be rendered: those of index.csv that were not skipped, in its order.

    Raises:
        UserError: there is no index, or no mesh in it.
    """
    index = meshes / "index.csv"
    try:
        with index.open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["path"]]
    except OSError as error:
        raise UserError(f"{index}: it cannot be read ({error.strerror}).") from None
    if not rows:
        raise UserError(f"{index}: it lists no mesh that can be rendered.")
    return [Entry(row["mesh"], row["category"], row["split"], row["path"], int(row["faces"])) for row in rows]


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


def read_shard(path: Path, names: Iterable[str]) -> list[UInt8[np.ndarray, " bytes"] | Float64[np.ndarray, "n 4"]]:
    """The arrays of these names.

    Raises:
        UserError: the shard is missing or damaged, or one of them is not in it.
    """
    try:
        with safe_open(path, "np") as shard:
            return [shard.get_tensor(name) for name in names]
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: the shard is missing or damaged ({error}); render again.") from None
