"""Packing: the views of each split in LMDB files and a table, and what there is to know about them."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64
from tqdm import tqdm

from sphreg.config import Render
from sphreg.errors import UserError
from sphreg.files import write_whole
from sphreg.render.camera import AMBIENT, BACKGROUND, HEADLIGHT, Camera
from sphreg.render.shards import ROTATIONS, Entry, read_index, read_shard, view_names
from sphreg.viewpoints import viewpoint_angles
from sphreg.views import write_views

SPLITS = ("train", "test")
COLUMNS = ("key", "category", "mesh", "qw", "qx", "qy", "qz", "azimuth_deg", "elevation_deg", "tilt_deg")
NOTE = "A re-render: the camera and the light of the original ModelNet10-SO3 were never published."


class View(NamedTuple):
    """One view, and the mesh whose shard it is in, where it is called `name`. Views are sorted by key."""

    key: str
    name: str
    entry: Entry
    quaternion: Float64[np.ndarray, "4"]
    has_normals: bool


def pack(shards: Path, meshes: Path, out: Path, settings: Render) -> None:
    """Write the dataset. The same shards give the same bytes.

    For each split these are `SPLIT.lmdb` with the images, `SPLIT.normals.lmdb` with the maps of normals of the views
    that have them, and `SPLIT.csv` with a row per view, its rotation and its viewpoint; and `info.json` for all.

    Args:
        shards: the folder that `render_dataset` wrote.
        meshes: the folder with the meshes' index.csv and source.json.
        out: a folder; older files of the same names are replaced.
        settings: the section `render`, with which the shards were rendered.

    Raises:
        UserError: a shard is missing, is damaged or has another number of views.
    """
    entries = read_index(meshes)
    categories = sorted({entry.category for entry in entries})
    counts: dict[str, Any] = {}
    for split in SPLITS:
        views = _read_views(shards, [entry for entry in entries if entry.split == split], settings)
        with_normals = [view for view in views if view.has_normals]
        for name, suffix, part in (split, ".jpg", views), (f"{split}.normals", ".png", with_normals):
            write_views(out / f"{name}.lmdb", _read_members(shards, tqdm(part, f"pack {name}", unit="view"), suffix))
        _write_table(out / f"{split}.csv", views)
        counts[split] = {
            category: {
                "meshes": sum(entry.category == category and entry.split == split for entry in entries),
                "views": sum(view.entry.category == category for view in views),
                "normals": sum(view.entry.category == category for view in with_normals),
            }
            for category in categories
        }
    info = json.dumps(_info(shards, meshes, settings, categories, counts), indent=2) + "\n"
    write_whole(out / "info.json", info.encode())


def _read_views(shards: Path, entries: list[Entry], settings: Render) -> list[View]:
    views = []
    for entry in entries:
        (quaternions,) = read_shard(entry.shard(shards), [ROTATIONS])
        names, with_normals = view_names(settings, entry.split)
        if len(quaternions) != len(names):
            raise UserError(
                f"{entry.shard(shards)}: it has {len(quaternions)} views, and the settings ask for {len(names)}; "
                "render again."
            )
        for name, quaternion in zip(names, quaternions, strict=True):
            views.append(View(f"{entry.mesh}.{name}", name, entry, quaternion, name in with_normals))
    return sorted(views, key=lambda view: view.key)


def _read_members(shards: Path, views: Iterable[View], suffix: str) -> Iterator[tuple[str, bytes]]:
    for entry, group in groupby(views, key=lambda view: view.entry):
        part = list(group)
        files = read_shard(entry.shard(shards), [f"{view.name}{suffix}" for view in part])
        for view, file in zip(part, files, strict=True):
            yield view.key, file.tobytes()


def _write_table(path: Path, views: list[View]) -> None:
    quaternions = np.array([view.quaternion for view in views]).reshape(-1, 4)
    angles = np.degrees(viewpoint_angles(quaternions))
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for view, (x, y, z, w), viewpoint in zip(views, quaternions.tolist(), angles.tolist(), strict=True):
        writer.writerow([view.key, view.entry.category, view.entry.mesh, w, x, y, z, *viewpoint])
    write_whole(path, file.getvalue().encode())


def _read_facts(path: Path) -> dict[str, Any]:
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise UserError(f"{path}: it cannot be read ({error}); run the stage before again.") from None
    return facts


def _info(
    shards: Path, meshes: Path, settings: Render, categories: list[str], counts: dict[str, Any]
) -> dict[str, Any]:
    return {
        "note": NOTE,
        "source": _read_facts(meshes / "source.json")["source"],
        "categories": categories,
        "counts": counts,
        "render": settings.model_dump(exclude={"engine"}),  # which stands below, as it was found
        "camera": {"distance": Camera(settings.size, settings.fov_deg).distance},
        "shading": {"ambient": AMBIENT, "headlight": HEADLIGHT, "background": BACKGROUND},
        "engine": _read_facts(shards / "engine.json"),
        "software": {name: version(name) for name in ("sphreg", "numpy", "scipy", "pillow", "simplejpeg", "lmdb")},
    }
