"""How long the page of the heads takes, and how large it is: `python -m benchmarks.report`, a minute or two.

The results are made up: rotations that miss the true ones by random angles, of furniture. The page is written by a
process of its own, on one core.
"""

import argparse
import json
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

from benchmarks.rounds import machine
from sphreg.comparison import Scored, compare
from sphreg.furniture import CATEGORIES, furniture
from sphreg.meshes import Mesh, encode_normalised, normalise
from sphreg.metrics import BINS, COARSE, histogram, normals_metrics, pose_metrics
from sphreg.page import write_page
from sphreg.page.results import ANGLES, QUATERNION
from sphreg.page.study import study
from sphreg.render.camera import Camera
from sphreg.render.raster import Raster
from sphreg.render.sampling import rotations
from sphreg.runs import Run
from sphreg.statistics import RESAMPLES, pixel_draws, pose_draws, resample
from sphreg.viewpoints import viewpoint_angles
from sphreg.views import write_views

MESHES, VIEWS, SIZE, EPOCHS = 908, 20, 224, 150  # of the test set of ModelNet10-SO3, and of the paper's training
HEADS, SEEDS = ("direct", "flat", "sexp"), (0, 1, 2)
NOTE, COMMAND = "Made up: no network was trained.", "python -m benchmarks.report"


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
    info = json.loads((folder / "so3" / "info.json").read_text())
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
    table = pd.DataFrame(
        [(f"{name}.v{v + 1:03d}", name) for name in names for v in range(views)], columns=["key", "mesh"]
    )
    table.insert(1, "category", table["mesh"].str.rpartition("_")[0])
    quaternions = np.concatenate([rotations(0, name, views) for name in names])
    table[list(QUATERNION)] = quaternions
    table[list(ANGLES)] = np.degrees(viewpoint_angles(quaternions))
    _write_dataset(folder, table, categories, views, size)
    for task in tasks:
        for number, head in enumerate(heads):
            for seed in seeds:
                rng = np.random.default_rng([number, seed])
                out = _place(folder, heads, task, head, seed)
                out.mkdir(parents=True)
                (_write_normals if task == "normals" else _write_pose)(out, task, table, 20 + 10 * number, rng)
                _write_log(out, epochs, rng)


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
    (folder / "so3").mkdir()
    table.to_csv(folder / "so3" / "test.csv", index=False)
    items = [
        (key, images[category][place % views])
        for place, (key, category) in enumerate(zip(table["key"], table["category"], strict=True))
    ]
    write_views(folder / "so3" / "test.lmdb", sorted(items))
    counts = {
        name: {"meshes": group["mesh"].nunique(), "views": len(group)} for name, group in table.groupby("category")
    }
    info = {
        "note": NOTE,
        "source": "furniture",
        "categories": list(categories),
        "counts": {"train": {}, "test": counts},
        "render": {"size": size, "fov_deg": 40.0},
        "engine": engine.info,
    }
    (folder / "so3" / "info.json").write_text(json.dumps(info))


def _write_pose(out: Path, task: str, views: pd.DataFrame, spread_deg: float, rng: np.random.Generator) -> None:
    true = Rotation.from_quat(views[list(QUATERNION)].to_numpy())
    axes = rng.normal(size=(len(views), 3))
    degrees = np.minimum(rng.exponential(spread_deg, len(views)), 180)
    turns = axes / np.linalg.norm(axes, axis=1, keepdims=True) * np.radians(degrees)[:, None]
    table = views[["key", "category", "mesh"]].copy()
    for side, rotation in ("true", true), ("predicted", true * Rotation.from_rotvec(turns)):
        quaternions = rotation.as_quat(canonical=True)
        if task == "rotation":
            table[[f"{side}_{name}" for name in QUATERNION]] = quaternions
            table[f"{side}_sign_class"] = (quaternions[:, :3] < 0) @ [1, 2, 4]
        else:
            angles = viewpoint_angles(quaternions)
            table[[f"{side}_{name}" for name in ANGLES]] = np.degrees(angles)
            for name, column in zip(ANGLES, angles.T, strict=True):
                signs = np.stack([np.cos(column), np.sin(column)], axis=1) < 0
                table[f"{side}_{name.removesuffix('_deg')}_sign_class"] = signs @ [1, 2]
    table["error_deg"] = degrees
    table.to_csv(out / "errors.csv", index=False)
    (out / "metrics.json").write_text(json.dumps(pose_metrics(table)))


def _write_normals(out: Path, task: str, views: pd.DataFrame, spread_deg: float, rng: np.random.Generator) -> None:
    table = views[["key", "category", "mesh"]].assign(pixels=1)
    table["mean_deg"] = np.minimum(rng.exponential(spread_deg, len(views)), 180)
    table["median_deg"] = table["mean_deg"]
    table.to_csv(out / "errors.csv", index=False)
    parts = []
    for category, group in table.groupby("category"):
        counts = histogram(group["mean_deg"].to_numpy())
        bins = counts.nonzero()[0]
        parts.append(pd.DataFrame({"category": category, "bin": bins, "pixels": counts[bins]}))
    pixels = pd.concat(parts)
    pixels.to_csv(out / "histogram.csv", index=False)
    coarse = np.linspace(0, 180, BINS // COARSE + 1)
    by_mesh = [np.histogram(group["mean_deg"], coarse)[0] for _, group in table.groupby(["category", "mesh"])]
    np.savez_compressed(out / "meshes.npz", pixels=np.stack(by_mesh))
    (out / "metrics.json").write_text(json.dumps(normals_metrics(pixels)))
    count = min(20, len(views))
    vectors = rng.normal(size=(2, count, 16, 16, 3)).astype(np.float32)
    true, predicted = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    true[:, :4] = 0
    image = np.full((count, 16, 16), 200, np.uint8)
    np.savez_compressed(
        out / "maps.npz", key=table["key"].to_numpy(str)[:count], image=image, true=true, predicted=predicted
    )


def _write_log(out: Path, epochs: int, rng: np.random.Generator) -> None:
    steps = np.arange(1, epochs + 1)
    columns = {"epoch": steps, "lr": 1e-3, "loss": 3 / steps, "grad_norm": rng.uniform(0.5, 1, epochs) / steps}
    columns |= {"grad_norm_cv": rng.uniform(0.05, 0.3, epochs), "validation_median_deg": 90 / steps**0.5}
    pd.DataFrame(columns).to_csv(out / "log.csv", index=False)


if __name__ == "__main__":
    main()
