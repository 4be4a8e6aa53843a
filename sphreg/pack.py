"""Packing: the views of each split in LMDB files and a table, and what there is to know about them."""

import csv
import io
from importlib.metadata import version
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import RootModel, model_validator
from tqdm import tqdm

from sphreg.checksums import check, read_checked, read_checksums, write_checksums
from sphreg.config import Images, Render
from sphreg.files import write_whole
from sphreg.info import NOTE, SPLITS, Counts, Distance, Info, Shading, Source, SplitName, write_info
from sphreg.reading import parse_json, read_json
from sphreg.render.camera import AMBIENT, BACKGROUND, HEADLIGHT, Camera
from sphreg.render.index import Entry, read_index
from sphreg.render.shards import decode_shard, view_names
from sphreg.split import check_views, count_views, views_table
from sphreg.views import writing


class Engine(RootModel[dict[str, str]]):
    """What `engine.json` says: what drew, as `engine`, and all else that the images depend on."""

    @model_validator(mode="after")
    def _is_named(self) -> "Engine":
        if "engine" not in self.root:
            raise ValueError("engine is missing")
        return self


class View(NamedTuple):
    """One view: the `number`th of the mesh in whose shard it is, counted from 0. Views are sorted by key."""

    key: str
    entry: Entry
    number: int


def pack(shards: Path, meshes: Path, out: Path, settings: Render) -> None:
    """Write the dataset. The same shards give the same bytes.

    For each split these are `SPLIT.lmdb` with the images, `SPLIT.normals.lmdb` with the maps of normals of the views
    that have them, and `SPLIT.csv` with a row per view, its rotation and its viewpoint; and for all `info.json`, and
    `SHA256SUMS`, which readers hold the others against.

    Args:
        shards: the folder that `render_dataset` wrote.
        meshes: the folder with the meshes' index.csv and source.json.
        out: a folder; older files of the same names are replaced.
        settings: the section `render`, with which the shards were rendered.

    Raises:
        UserError: a shard is missing, is damaged or is not what these settings render.
    """
    check(meshes, ["index.csv", "source.json"])
    entries = read_index(meshes)
    checksums = read_checksums(shards)
    engine = parse_json(read_checked(shards, "engine.json", checksums), shards / "engine.json", Engine)
    categories = sorted({entry.category for entry in entries})
    info = Info(
        note=NOTE,
        source=read_json(meshes / "source.json", Source).source,
        categories=categories,
        counts={
            split: _pack_split(
                shards, checksums, out, split, [e for e in entries if e.split == split], categories, settings
            )
            for split in SPLITS
        },
        render=Images.model_validate(settings.model_dump(exclude={"engine"})),  # which stands below, as it was found
        camera=Distance(distance=Camera(settings.size, settings.fov_deg).distance),
        shading=Shading(ambient=AMBIENT, headlight=HEADLIGHT, background=BACKGROUND),
        engine=engine.root,
        software={name: version(name) for name in ("sphreg", "numpy", "scipy", "pillow", "simplejpeg", "lmdb")},
    )
    write_info(out, info)
    write_checksums(out)


def _pack_split(
    shards: Path,
    checksums: dict[str, str],
    out: Path,
    split: SplitName,
    entries: list[Entry],
    categories: list[str],
    settings: Render,
) -> dict[str, Counts]:
    names, with_normals = view_names(settings, split)
    views = [View(f"{entry.mesh}.{name}", entry, number) for entry in entries for number, name in enumerate(names)]
    views.sort(key=attrgetter("key"))
    quaternions, keys_with_normals = [], set()
    with (
        writing(out / f"{split}.lmdb") as put_image,
        writing(out / f"{split}.normals.lmdb") as put_normals,
        tqdm(desc=f"pack {split}", total=len(views), unit="view") as bar,
    ):
        for entry, group in groupby(views, key=attrgetter("entry")):
            file = entry.shard(Path())
            content = read_checked(shards, file.as_posix(), checksums)
            shard = decode_shard(content, shards / file, settings, split)
            for key, _, number in group:
                quaternions.append(shard.quaternions[number])
                put_image(key, shard.images[number])
                if number < len(with_normals):
                    put_normals(key, shard.normals[number])
                    keys_with_normals.add(key)
                bar.update()
        table = views_table(
            [view.key for view in views],
            [view.entry.category for view in views],
            [view.entry.mesh for view in views],
            np.array(quaternions).reshape(-1, 4),
        )
        check_views(table, out / f"{split}.csv")
    rows = zip(*(table[name].tolist() for name in table), strict=True)
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([tuple(table), *rows])  # twice as fast as pandas
    write_whole(out / f"{split}.csv", file.getvalue().encode())
    return count_views(table, keys_with_normals, categories)
