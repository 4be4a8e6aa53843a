"""Test views beside the same mesh, drawn at the rotation that was predicted."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import simplejpeg
from jaxtyping import UInt8
from scipy.spatial.transform import Rotation

from sphreg.checksums import read_checked, read_checksums
from sphreg.errors import UserError
from sphreg.meshes import Mesh, decode_normalised
from sphreg.page.results import predicted_quaternions
from sphreg.render.camera import Camera
from sphreg.render.index import read_index
from sphreg.render.raster import Raster
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


class Meshes:
    """The normalised meshes, by their names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paths = {entry.mesh: entry.path for entry in read_index(folder)}
        self.known = read_checksums(folder)

    def __getitem__(self, name: str) -> Mesh:
        if name not in self.paths:
            raise UserError(f"{self.folder}: the mesh {name}, which was tested, is not there; run `dvc repro meshes`.")
        return decode_normalised(read_checked(self.folder, self.paths[name], self.known))


def draw(rows: pd.DataFrame, meshes: Meshes, camera: Camera) -> UInt8[np.ndarray, "n h h"]:
    """The mesh of each row of `errors.csv` of rotation or viewpoint, at the rotation that was predicted.

    Raises:
        UserError: a mesh is missing.
    """
    engine, images = Raster(camera), []
    for name, rotation in zip(rows["mesh"], Rotation.from_quat(predicted_quaternions(rows)).as_matrix(), strict=True):
        mesh = meshes[name]
        ((image, _),) = engine.render(mesh.vertices, mesh.faces, rotation[None])
        images.append(image)
    return np.stack(images)


def gallery(errors: pd.DataFrame, views: Views, meshes: Meshes, camera: Camera, count: int) -> Iterator[Shown]:
    """The best, median and worst views of each category, in the order of the categories' names.

    Args:
        errors: rows of `errors.csv` of one test of rotation or viewpoint.
        views: of the test.
        meshes: what they are views of.
        camera: of the dataset.
        count: of each rank; where a category has fewer views, all of them.

    Raises:
        UserError: a mesh is missing.
    """
    for category, group in errors.groupby("category"):
        chosen = extremes(group, count)
        for image, (_, view) in zip(draw(chosen, meshes, camera), chosen.iterrows(), strict=True):
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
