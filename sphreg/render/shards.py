"""All views of one mesh in one zip file, so that a dataset is thousands of files and not a hundred thousand.

`v001.jpg` is the grey image of the first view, `v001.png` are its normals where they are kept, and `quaternions.csv`
holds the rotations in full precision.
"""

import csv
import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from sphreg.config import Render
from sphreg.errors import UserError

ROTATIONS = "quaternions.csv"


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
        return folder / self.category / self.split / f"{self.mesh}.zip"


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
    """The views of a mesh as a zip file. The same views give the same bytes.

    Args:
        images: a JPEG by view, in the order of the views.
        normals: a PNG by view.
        quaternions: of the views, XYZW.
    """
    members = {f"{view}.jpg": image for view, image in images.items()}
    members |= {f"{view}.png": image for view, image in normals.items()}
    rows = zip(images, quaternions.tolist(), strict=True)
    table = "".join(f"{view},{w!r},{x!r},{y!r},{z!r}\n" for view, (x, y, z, w) in rows)
    members[ROTATIONS] = f"view,qw,qx,qy,qz\n{table}".encode()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as shard:
        for name, content in members.items():
            # A bare ZipInfo has a fixed date, and says that nothing is to be compressed.
            shard.writestr(zipfile.ZipInfo(name), content)
    return file.getvalue()


@contextmanager
def open_shard(path: Path) -> Iterator[zipfile.ZipFile]:
    """A shard to read from.

    Raises:
        UserError: it is missing or damaged, or what is read in this context is not there.
    """
    try:
        with zipfile.ZipFile(path) as shard:
            yield shard
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: the shard is missing or damaged ({error}); render again.") from None


def read_rotations(shard: zipfile.ZipFile) -> Float64[np.ndarray, "n 4"]:
    """The quaternions of all views, XYZW."""
    with io.TextIOWrapper(shard.open(ROTATIONS)) as file:
        return np.loadtxt(file, delimiter=",", skiprows=1, usecols=(2, 3, 4, 1), ndmin=2)
