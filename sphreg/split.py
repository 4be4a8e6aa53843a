"""One split of a packed dataset: a table with a row per view, and the LMDB files whose keys it lists."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float64

from sphreg.checksums import check
from sphreg.errors import UserError
from sphreg.info import Counts, Info, SplitName
from sphreg.quaternions import TOLERANCE, is_unit
from sphreg.tables import TEXT, Column, check_table, read_table
from sphreg.viewpoints import viewpoint_angles
from sphreg.views import Views

# How far the norm of a quaternion may be from 1, and the angles beside it from its own, in degrees.
COMPONENT, TURN = Column(float, -1 - TOLERANCE, 1 + TOLERANCE), Column(float, -180, 180)
NAMES, QUATERNION, ANGLES = ["key", "category", "mesh"], ["qx", "qy", "qz", "qw"], ["azimuth", "elevation", "tilt"]
DEGREES = [f"{angle}_deg" for angle in ANGLES]
COLUMNS: Mapping[str, Column] = {
    **dict.fromkeys(NAMES, TEXT),
    "qw": Column(float, 0, 1 + TOLERANCE),
    **dict.fromkeys(QUATERNION[:3], COMPONENT),
    **dict(zip(DEGREES, (TURN, Column(float, -90, 90), TURN), strict=True)),
}


@dataclass(frozen=True)
class Split:
    """What was packed of one split.

    Attributes:
        table: with the columns `COLUMNS`, in the order of the keys.
        images: of all rows, and of no other keys.
        normals: of some of the rows, if they were asked for.
    """

    table: pd.DataFrame
    images: Views
    normals: Views | None


def views_table(
    keys: Sequence[str], categories: Sequence[str], meshes: Sequence[str], quaternions: Float64[np.ndarray, "n 4"]
) -> pd.DataFrame:
    """The table of these views, whose rotations are quaternions XYZW, with their viewpoints in degrees."""
    table = pd.DataFrame({"key": keys, "category": categories, "mesh": meshes})
    table[["qw", *QUATERNION[:3]]] = quaternions[:, [3, 0, 1, 2]]
    table[DEGREES] = np.degrees(viewpoint_angles(quaternions))
    return table


def check_views(table: pd.DataFrame, path: Path) -> None:
    """Hold a table of views against itself.

    Raises:
        UserError: a row is twice, is out of range, is of another mesh than its key says, or has no rotation or another
            viewpoint than that of its rotation.
    """
    check_table(table, path, COLUMNS, ["key"])
    _check_rows(table, path)


def _check_rows(table: pd.DataFrame, path: Path) -> None:
    quaternions, degrees = table[QUATERNION].to_numpy(float), table[DEGREES].to_numpy(float)
    if len(wrong := np.flatnonzero(~is_unit(quaternions))):
        norm = np.linalg.norm(quaternions[wrong[0]])
        raise UserError(f"{path}, line {wrong[0] + 2}: the norm of the quaternion is {norm:.7g}, allowed: 1.")
    allowed = np.degrees(viewpoint_angles(quaternions))
    turned = (degrees - allowed + 180) % 360 - 180
    if len(wrong := np.flatnonzero((np.abs(turned) > TOLERANCE).any(axis=1))):
        found, right = (", ".join(f"{angle:.9g}" for angle in angles[wrong[0]]) for angles in (degrees, allowed))
        raise UserError(
            f"{path}, line {wrong[0] + 2}: {', '.join(ANGLES)} are {found}, allowed: {right}, as of its quaternion."
        )
    keys, meshes = table["key"].tolist(), table["mesh"].tolist()
    if (of_keys := [key.rpartition(".v")[0] for key in keys]) != meshes:
        row = next(row for row, mesh in enumerate(meshes) if mesh != of_keys[row])
        raise UserError(
            f"{path}, line {row + 2}: key is {keys[row]}, allowed: {meshes[row]}.v and a number, as of its mesh."
        )


def read_views(path: Path) -> pd.DataFrame:
    """A table of views alone.

    Raises:
        UserError: it cannot be read, or is not as `check_views` says.
    """
    table = read_table(path, COLUMNS, ["key"])
    _check_rows(table, path)
    return table


def count_views(table: pd.DataFrame, with_normals: Collection[str], categories: Sequence[str]) -> dict[str, Counts]:
    """How much there is of each category, where these keys have normals."""
    names = table["category"].tolist()
    meshes = Counter(category for category, _ in {*zip(names, table["mesh"].tolist(), strict=True)})
    views, normals = Counter(names), Counter(table["category"][table["key"].isin(with_normals)].tolist())
    return {name: Counts(meshes=meshes[name], views=views[name], normals=normals[name]) for name in categories}


def read_split(data: Path, name: SplitName, info: Info, with_normals: bool) -> Split:
    """Open what was packed of one split.

    Args:
        data: the packed dataset.
        name: of the split.
        info: of the dataset.
        with_normals: whether the normals are needed, too.

    Raises:
        UserError: a file is missing, has changed since it was written, or is not what the others say.
    """
    path, images, normals = (data / f"{name}{kind}" for kind in (".csv", ".lmdb", ".normals.lmdb"))
    check(data, [file.name for file in (path, images, *([normals] if with_normals else []))])
    table = read_views(path)
    found = Split(table, Views(images), Views(normals) if with_normals else None)
    unknown = ~table["category"].isin(info.categories)
    if unknown.any():
        row = int(unknown.argmax())
        category = table["category"][row]
        raise UserError(
            f"{path}, line {row + 2}: category is {category}, allowed: {', '.join(info.categories)} (info.json)."
        )
    keys, packed = table["key"].tolist(), found.images.keys
    if keys != packed:
        if differing := sorted({*keys} ^ {*packed}):
            lacks, has = (images, path) if differing[0] in keys else (path, images)
            raise UserError(f"{lacks}: it lacks the view {differing[0]!r}, which {has} has.")
        raise UserError(f"{path}: its rows are in another order, allowed: that of their keys.")
    with_maps = found.normals.keys if found.normals is not None else []
    if extra := sorted({*with_maps} - {*keys}):
        raise UserError(f"{normals}: it has the view {extra[0]!r}, which {path} has not.")
    for category, counts in count_views(table, with_maps, info.categories).items():
        expected = info.counts[name][category]
        for kind in ("meshes", "views", *(["normals"] if with_normals else [])):
            if getattr(counts, kind) != getattr(expected, kind):
                raise UserError(
                    f"{path}: it has {getattr(counts, kind)} {kind} of category {category}, allowed: "
                    f"{getattr(expected, kind)} (info.json)."
                )
    return found
