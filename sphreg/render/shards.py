"""All views of one mesh in one file, so that a dataset is thousands of files and not a hundred thousand.

It is a safetensors file: `v001.jpg` are the bytes of the grey image of the first view, `v001.png` those of its normals
where they are kept, and `quaternions` are the rotations of all views, XYZW.
"""

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
        UserError: there is no index, no mesh in it, one twice, or something else in it than belongs there.
    """
    from sphreg.reading import TEXT, Column, read_table  # here, as it takes the workers long, who read no table

    index = meshes / "index.csv"
    names = {"mesh": TEXT, "category": TEXT, "split": TEXT}
    columns = names | {"path": Column(str, optional=True), "faces": Column(int, low=1, optional=True)}
    table = read_table(index, columns | {"problem": Column(str, optional=True)})
    used = table["path"] != ""
    if not used.any():
        raise UserError(f"{index}: it lists no mesh that can be rendered.")
    reasons = {
        "it needs either a path or a problem": used == (table["problem"] != ""),
        "its split is neither train nor test": ~table["split"].isin(("train", "test")),
        "its number of faces is missing": used & table["faces"].isna(),
        "a mesh of this name is there twice": used & table["mesh"].where(used).duplicated(),
    }
    for reason, wrong in reasons.items():
        if wrong.any():
            line, mesh = table.index[wrong][0] + 2, table["mesh"][wrong].iloc[0]
            raise UserError(f"{index}, line {line}: {mesh}: {reason}.")
    return [Entry(*row) for row in table.loc[used, list(columns)].astype({"faces": int}).itertuples(index=False)]


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


def is_whole(path: Path, settings: Render, split: str) -> bool:
    """Whether a shard is there, to its end, with the views that a mesh of this split has and no others."""
    names, with_normals = view_names(settings, split)
    files = {f"{name}.jpg" for name in names} | {f"{name}.png" for name in with_normals}
    try:
        with safe_open(path, "np") as shard:
            return set(shard.keys()) == files | {ROTATIONS} and shard.get_slice(ROTATIONS).get_shape() == [
                len(names),
                4,
            ]
    except (OSError, SafetensorError):
        return False


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
