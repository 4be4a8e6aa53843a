"""How fast views are packed and read: `python -m benchmarks.views`, a minute or two.

The views are of furniture, of 224 x 224 pixels, some with normals. Rates are medians over rounds that take turns.
"""

import argparse
import contextlib
import functools
import io
import json
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
import torch
import torchvision
from PIL import Image

from benchmarks.rounds import machine, rates
from benchmarks.rows import row
from benchmarks.trainings import normalised
from sphreg.checksums import write_checksums
from sphreg.config import Render
from sphreg.furniture import CATEGORIES
from sphreg.meshes import encode_normalised
from sphreg.pack import pack
from sphreg.program import program
from sphreg.render.index import Entry
from sphreg.render.work import plan, render_mesh
from sphreg.views import Views, write_views

MESHES = 400
SETTINGS = Render(
    engine="auto",
    seed=0,
    size=224,
    fov_deg=40.0,
    train_views=100,
    test_views=100,
    train_normals=10,
    test_normals=10,
    jpeg_quality=95,
)
READS = 200  # in a round, which is short: the speed of a machine that others use, too, changes
BATCH = 50


@program
def main() -> None:
    """Print the rates and their ratios; with --out also write them to a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of packing; of reading there are 20 times as many")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    lines = [
        f"`python -m benchmarks.views` on {machine()}; 224 x 224 pixels; medians of {arguments.rounds} rounds.",
        "",
        "| what | value | ratio |",
        "| --- | ---: | ---: |",
    ]
    print(*lines, sep="\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_shards(folder)
        for line in packing(folder, arguments.rounds), *reading(folder, 20 * arguments.rounds):
            print(line, flush=True)
            lines.append(line)
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n")


def write_shards(folder: Path) -> None:
    """What the stages before `pack` write. A mesh of each category is rendered; the others have the same views."""
    job = plan(SETTINGS)
    shards = []
    for category in CATEGORIES:
        mesh = normalised(category, np.random.default_rng(0))
        shards.append(render_mesh(job, category, "train", encode_normalised(mesh)))
    rows = ["mesh,category,split,path,vertices,faces,source,problem"]
    for number in range(MESHES):
        category = CATEGORIES[number % len(CATEGORIES)]
        entry = Entry(f"{category}_{number:04d}", category, "test" if number % 5 == 0 else "train", "", 1)
        path = entry.shard(folder / "shards")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(shards[number % len(CATEGORIES)])
        rows.append(f"{entry.mesh},{category},{entry.split},{entry.mesh}.off,3,1,{entry.mesh},")
    (folder / "meshes").mkdir()
    (folder / "meshes/index.csv").write_text("\n".join(rows) + "\n")
    (folder / "meshes/source.json").write_text(json.dumps({"source": "furniture"}))
    (folder / "shards/engine.json").write_text(json.dumps(job.engine))
    write_checksums(folder / "meshes")
    write_checksums(folder / "shards")


def packing(folder: Path, rounds: int) -> str:
    """The whole stage, both splits with their maps of normals and tables, against LMDB alone on bytes in memory."""
    maps = MESHES * SETTINGS.train_normals
    items: list[tuple[str, bytes]] = []

    def whole() -> int:
        with contextlib.redirect_stderr(io.StringIO()):  # the bars
            pack(folder / "shards", folder / "meshes", folder / "so3", SETTINGS)
        return MESHES * SETTINGS.train_views + maps

    def alone() -> int:
        write_views(folder / "alone.lmdb", items)
        return len(items)

    whole()
    views = Views(folder / "so3" / "train.lmdb")
    items += [(key, views[key]) for key in views.keys]
    found = rates({"whole": whole, "alone": alone}, rounds)
    what = f"stage pack, {MESHES * SETTINGS.train_views:,} views and {maps:,} maps of normals"
    return row(what, found["whole"], "images/s", f"{found['whole'] / found['alone']:.2f} x LMDB alone, from memory")


def reading(folder: Path, rounds: int) -> Iterable[str]:
    """Random reads with decoding, and other decoders, against the decoder alone on bytes in memory."""
    views = Views(folder / "so3" / "train.lmdb")
    keys = np.random.default_rng(0).choice(views.keys, READS).tolist()
    contents = [views[key] for key in keys]
    tensors = [torch.from_numpy(np.frombuffer(content, np.uint8).copy()) for content in contents]
    grey = torchvision.io.ImageReadMode.GRAY

    def batches() -> int:
        for start in range(0, READS, BATCH):
            views.images(keys[start : start + BATCH])
        return READS

    contenders = {
        "simplejpeg": _each(lambda content: simplejpeg.decode_jpeg(content, "GRAY"), contents),
        "image": _each(views.image, keys),
        "images": batches,
        "pillow": _each(lambda content: np.asarray(Image.open(io.BytesIO(content))), contents),
        "torchvision": _each(functools.partial(torchvision.io.decode_jpeg, mode=grey), tensors),
    }
    found = rates(contenders, rounds)
    names = {
        "simplejpeg": "decoding alone, simplejpeg, one process",
        "image": "random reads with decoding, `Views.image`",
        "images": f"random reads with decoding, `Views.images` of {BATCH}",
        "pillow": "decoding alone, Pillow",
        "torchvision": "decoding alone, torchvision",
    }
    for name, what in names.items():
        yield row(what, found[name], "images/s", f"{found[name] / found['simplejpeg']:.2f} x simplejpeg alone")


def _each(function: Callable[[Any], object], things: list[Any]) -> Callable[[], int]:
    def work() -> int:
        for thing in things:
            function(thing)
        return len(things)

    return work


if __name__ == "__main__":
    sys.exit(main())
