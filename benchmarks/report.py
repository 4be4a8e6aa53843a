"""How long the page of the heads takes, and how large it is: `python -m benchmarks.report`, a minute or two.

The results are made up: rotations that miss the true ones by random angles, of furniture. The page is written by a
process of its own, on one core.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import simplejpeg
from scipy.spatial.transform import Rotation

from benchmarks.packed import describe
from benchmarks.results import write_result
from benchmarks.rounds import machine
from sphreg.checksums import write_checksums
from sphreg.comparison import Scored, compare
from sphreg.furniture import CATEGORIES, furniture
from sphreg.info import read_info
from sphreg.meshes import Mesh, encode_normalised, normalise
from sphreg.metrics import BINS, COARSE
from sphreg.page import write_page
from sphreg.page.study import study
from sphreg.program import program
from sphreg.render.camera import Camera
from sphreg.render.raster import Raster
from sphreg.render.sampling import rotations
from sphreg.runs import Run
from sphreg.split import QUATERNION, views_table
from sphreg.statistics import RESAMPLES, pixel_draws, pose_draws, resample
from sphreg.views import write_views

MESHES, VIEWS, SIZE, EPOCHS = 908, 20, 224, 150  # of the test set of ModelNet10-SO3, and of the paper's training
HEADS, SEEDS = ("direct", "flat", "sexp"), (0, 1, 2)
NOTE, COMMAND = "Made up: no network was trained.", "python -m benchmarks.report"


@program
def main() -> None:
    """Print the numbers; with --out also write them to a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)  # the process that is measured
    arguments = parser.parse_args()
    if arguments.write:
        write(arguments.write, HEADS, SEEDS, ("rotation",))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, CATEGORIES, MESHES, VIEWS, SIZE, EPOCHS, HEADS, SEEDS, ("rotation",))
        seconds, mebibytes = measure(folder)  # numba compiles, unless it did so for the renderer before
        again, _ = measure(folder)
        size = (folder / "reports" / "index.html").stat().st_size
    lines = [
        f"`python -m benchmarks.report` on {machine()}; {MESHES * VIEWS:,} rotation views of {SIZE} x {SIZE} pixels, "
        f"{len(HEADS)} heads x {len(SEEDS)} seeds; one core.",
        "",
        "| what | value |",
        "| --- | ---: |",
        f"| time, the whole process | {again[0]:.1f} s |",
        f"| time of the processor | {again[1]:.1f} s |",
        f"| time of the processor, first run | {seconds[1]:.1f} s |",
        f"| memory | {mebibytes:.0f} MiB |",
        f"| size of the file | {size / 1e6:.1f} MB |",
        *(f"| {RESAMPLES:,} resamples of {MESHES} meshes, {what} | {took:.2f} s |" for what, took in resampling()),
    ]
    print(*lines, sep="\n")
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n")


def resampling() -> Iterator[tuple[str, float]]:
    """Seconds for the resamples and all metrics of each: of a rotation's test, and of one of normals. The best of 3."""
    rng = np.random.default_rng(0)
    categories = np.arange(MESHES) % len(CATEGORIES)
    views = np.repeat(np.arange(MESHES), VIEWS)
    errors = rng.exponential(30, len(views)).clip(max=180)
    pixels = rng.poisson(3, (MESHES, BINS // COARSE)).astype(float)
    for what, draws in (
        (f"{len(views):,} rotation views", lambda counts: pose_draws(errors, views, categories, counts)),
        (f"{pixels.sum():,.0f} pixels", lambda counts: pixel_draws(pixels, counts)),
    ):
        times = []
        for _ in range(3):
            start = time.perf_counter()
            draws(resample(categories, RESAMPLES, rng))
            times.append(time.perf_counter() - start)
        yield what, min(times)


def measure(folder: Path) -> tuple[tuple[float, float], float]:
    """Write the page in a process on one core: seconds that passed, those of the processor, and MiB at the most."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "benchmarks.report", "--write", folder], check=True)
        passed = time.perf_counter() - start
    finally:
        os.sched_setaffinity(0, cores)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return (passed, used), after.ru_maxrss / 1024


def write(folder: Path, heads: Sequence[str], seeds: Sequence[int], tasks: Sequence[str]) -> None:
    """The page of what `make` wrote, to `folder/reports`: intervals, tests, figures, gallery."""
    info = read_info(folder / "so3")
    found = {}
    for task in tasks:
        runs = [
            Run("made up", None, task, head, seed, {}, {}, {}, str(_place(folder, heads, task, head, seed)), "")
            for head in heads
            for seed in seeds
        ]
        found[task] = compare([Scored(run, Path(run.folder), info) for run in runs])
    settings = {"note": NOTE, "heads": list(heads)}
    write_page(study(found, folder / "so3", folder / "meshes"), [], COMMAND, settings, folder / "reports")


def make(
    folder: Path,
    categories: Sequence[str],
    meshes: int,
    views: int,
    size: int,
    epochs: int,
    heads: Sequence[str],
    seeds: Sequence[int],
    tasks: Sequence[str],
) -> None:
    """Meshes, a packed test set and the results of all heads, seeds and tasks.

    All meshes of a category are one mesh, with one set of images: there is as much to read as with other ones.
    """
    names = [f"{categories[i % len(categories)]}_{i // len(categories) + 1:04d}" for i in range(meshes)]
    names.sort()
    rows = [(f"{name}.v{v + 1:03d}", name.rpartition("_")[0], name) for name in names for v in range(views)]
    quaternions = np.concatenate([rotations(0, name, views) for name in names])
    table = views_table(*zip(*rows, strict=True), quaternions)
    _write_dataset(folder, table, categories, views, size)
    for task in tasks:
        for number, head in enumerate(heads):
            for seed in seeds:
                rng = np.random.default_rng([number, seed])
                degrees = np.minimum(rng.exponential(20 + 10 * number, len(table)), 180)
                write_result(_place(folder, heads, task, head, seed), task, table, degrees, epochs, rng)


def _place(folder: Path, heads: Sequence[str], task: str, head: str, seed: int) -> Path:
    return folder / "results" / str(list(heads).index(head)) / str(seed) / task


def _write_dataset(folder: Path, table: pd.DataFrame, categories: Sequence[str], views: int, size: int) -> None:
    images: dict[str, list[bytes]] = {}
    rows = []
    engine = Raster(Camera(size, 40.0))
    for number, category in enumerate(categories):
        shape = category if category in CATEGORIES else list(CATEGORIES)[number]
        solid = furniture(shape, np.random.default_rng(0))
        mesh = normalise(Mesh(np.array(solid.vertices), np.array(solid.faces)), "z")
        own = table[table["category"] == category]
        matrices = Rotation.from_quat(own[list(QUATERNION)].to_numpy()[:views]).as_matrix()
        drawn = engine.render(mesh.vertices, mesh.faces, matrices)
        images[category] = [simplejpeg.encode_jpeg(image[..., None], 95, "GRAY", "Gray") for image, _ in drawn]
        for name in own["mesh"].unique():
            path = folder / "meshes" / str(number) / f"{name.rpartition('_')[2]}.off"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode_normalised(mesh))
            counts = len(mesh.vertices), len(mesh.faces)
            rows.append((name, category, "test", path.relative_to(folder / "meshes"), *counts, name, ""))
    index = ["mesh", "category", "split", "path", "vertices", "faces", "source", "problem"]
    pd.DataFrame(rows, columns=index).to_csv(folder / "meshes" / "index.csv", index=False)
    write_checksums(folder / "meshes")
    (folder / "so3").mkdir()
    table.to_csv(folder / "so3" / "test.csv", index=False)
    items = [
        (key, images[category][place % views])
        for place, (key, category) in enumerate(zip(table["key"], table["category"], strict=True))
    ]
    write_views(folder / "so3" / "test.lmdb", sorted(items))
    describe(folder / "so3", size, note=NOTE, engine=engine.info)


if __name__ == "__main__":
    sys.exit(main())
