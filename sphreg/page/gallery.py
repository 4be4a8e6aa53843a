"""Test views beside the same mesh, drawn at the rotation that was predicted."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import simplejpeg
from scipy.spatial.transform import Rotation

from sphreg.errors import UserError
from sphreg.meshes import Mesh, decode_normalised
from sphreg.page.results import predicted_quaternions
from sphreg.render.camera import Camera
from sphreg.render.raster import Raster
from sphreg.render.shards import read_index
from sphreg.report import extremes
from sphreg.views import Views

QUALITY = 85  # of the JPEGs that are drawn here
RANKS = ("best", "median", "worst")


@dataclass(frozen=True)
class Shown:
    """A test view.

    Attributes:
        rank: best, median or worst of its category.
        signs: whether the sign classes of all its points are right.
        image: as the network saw it; a JPEG.
        predicted: the mesh at the predicted rotation; a JPEG.
    """

    key: str
    category: str
    rank: str
    error_deg: float
    signs: bool
    image: bytes
    predicted: bytes


def gallery(errors: pd.DataFrame, views: Views, meshes: Path, camera: Camera, count: int) -> Iterator[Shown]:
    """The best, median and worst views of each category, in the order of the categories' names.

    Args:
        errors: rows of `errors.csv` of one test of rotation or viewpoint.
        views: of the test.
        meshes: the folder of normalised meshes, with `index.csv`.
        camera: of the dataset.
        count: of each rank; where a category has fewer views, all of them.

    Raises:
        UserError: a mesh is missing.
    """
    paths = {entry.mesh: meshes / entry.path for entry in read_index(meshes)}
    engine = Raster(camera)
    for category, group in errors.groupby("category"):
        chosen = extremes(group, count)
        rotations = Rotation.from_quat(predicted_quaternions(chosen)).as_matrix()
        for rotation, (_, view) in zip(rotations, chosen.iterrows(), strict=True):
            mesh = _read_mesh(paths, view["mesh"], meshes)
            ((image, _),) = engine.render(mesh.vertices, mesh.faces, rotation[None])
            yield Shown(
                key=view["key"],
                category=str(category),
                rank=view["rank"],
                error_deg=float(view["error_deg"]),
                signs=signs_right(view),
                image=views[view["key"]],
                predicted=simplejpeg.encode_jpeg(
                    np.ascontiguousarray(image[..., None]), QUALITY, colorspace="GRAY", colorsubsampling="Gray"
                ),
            )


def signs_right(view: pd.Series) -> bool:
    """Whether all columns `true_..._sign_class` of a row are as its columns `predicted_..._sign_class`."""
    points = [name.removeprefix("true_") for name in view.index if name.startswith("true_") and "sign_class" in name]
    return all(view[f"true_{point}"] == view[f"predicted_{point}"] for point in points)


def _read_mesh(paths: dict[str, Path], name: str, meshes: Path) -> Mesh:
    try:
        return decode_normalised(paths[name].read_bytes())
    except (KeyError, OSError):
        raise UserError(f"{meshes}: the mesh {name}, which was tested, is not there; run `dvc repro meshes`.") from None
