"""How fast the dataset is rendered: `python -m benchmarks.render`, a quarter of an hour.

The meshes are the real ones in the folder MESHES (CATEGORY/SPLIT/NAME.off), and furniture that is subdivided to their
numbers of faces. All images have 224 x 224 pixels.
"""

import argparse
import contextlib
import functools
import io
import multiprocessing
import os
import resource
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image
from scipy.spatial.transform import Rotation

from benchmarks import stock
from benchmarks.rounds import machine, rates
from benchmarks.rows import row
from benchmarks.so3 import VIEWS
from sphreg import furniture
from sphreg.checksums import write_checksums
from sphreg.config import Execution, Furniture, Render
from sphreg.formats import read_mesh
from sphreg.meshes import Mesh, decode_normalised, encode_normalised, normalise
from sphreg.program import program
from sphreg.render.camera import Camera
from sphreg.render.dataset import render_dataset
from sphreg.render.engine import Engine, choose_engine, open_engine
from sphreg.render.png import png

CAMERA = Camera(224, 40.0)
ENGINES = "pyrender", "numba"
STAGE = Render(
    engine="auto",
    seed=0,
    size=CAMERA.size,
    fov_deg=CAMERA.fov_deg,
    train_views=60,
    test_views=60,
    train_normals=6,
    test_normals=6,
    jpeg_quality=95,
)


@program
def main() -> None:
    """Print the ratios; with --out also write them to a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("meshes", type=Path, nargs="?", default=Path("../shared/modelnet10"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--stage-meshes", type=int, default=200)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    paths = sorted(arguments.meshes.glob("*/*/*.off"))
    if not paths:
        parser.error(f"{arguments.meshes} has no CATEGORY/SPLIT/NAME.off")
    lines = [
        f"`python -m benchmarks.render` on {machine()}; {len(paths)} real meshes; 224 x 224 pixels; medians of "
        f"{arguments.rounds} rounds.",
        "",
        "| what | value | ratio |",
        "| --- | ---: | ---: |",
    ]
    print(*lines, sep="\n")
    pools = Pools()
    for part in engines, processes, reading, encoding, functools.partial(stage, number=arguments.stage_meshes):
        for line in part(pools, paths, arguments.rounds):
            print(line, flush=True)
            lines.append(line)
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n")


class Pools(dict[str, ProcessPoolExecutor]):
    """Processes that stay, as what a renderer keeps belongs to its process."""

    def __missing__(self, name: str) -> ProcessPoolExecutor:
        self[name] = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
        return self[name]


# What the processes do.


@functools.cache
def _mesh(path: Path) -> Mesh:
    return normalise(read_mesh(path), "z")


@functools.cache
def _engine(name: str) -> Engine:
    os.environ.setdefault("LP_NUM_THREADS", "1")
    return open_engine(CAMERA, choose_engine(name))  # type: ignore[arg-type]


def _rotations(number: int) -> np.ndarray:
    return Rotation.random(number, np.random.default_rng(0)).as_matrix()


def _draw(name: str, paths: Sequence[Path], views: int) -> int:
    for path in paths:
        mesh = _mesh(path)
        if name == "stock":
            stock.draw(trimesh.Trimesh(*mesh, process=False), CAMERA, _rotations(views))
        else:
            for _ in _engine(name).render(*mesh, _rotations(views)):
                pass
    return views * len(paths)


# The parts of the table.


def engines(pools: Pools, paths: list[Path], rounds: int) -> list[str]:
    """Each engine against the stock loop, on each mesh."""
    os.environ["LP_NUM_THREADS"] = "1"
    views = {"stock": 4, "pyrender": 20, "numba": 40}
    found = []
    for path in paths:
        for name in views:
            pools[name].submit(_draw, name, [path], 1).result()
        contenders = {
            name: lambda name=name, n=n, path=path: pools[name].submit(_draw, name, [path], n).result()
            for name, n in views.items()
        }
        found.append(rates(contenders, rounds))
    lines = [row("the stock pyrender loop, one process, median over the meshes", _median(found, "stock"), "views/s")]
    for name in ENGINES:
        ratios = sorted(one[name] / one["stock"] for one in found)
        spread = f"{statistics.median(ratios):.1f} x stock ({ratios[0]:.1f} to {ratios[-1]:.1f})"
        lines.append(
            row(f"engine {name}, one process, median over the meshes", _median(found, name), "views/s", spread)
        )
    return lines


def processes(pools: Pools, paths: list[Path], rounds: int) -> list[str]:
    """Two processes against one."""
    lines = []
    for name in ENGINES:
        for pool in name, f"{name}, too":
            pools[pool].submit(_draw, name, paths, 1).result()

        def two(name: str = name) -> int:
            tasks = [pools[pool].submit(_draw, name, paths, 20) for pool in (name, f"{name}, too")]
            return sum(task.result() for task in tasks)

        contenders = {"one": lambda name=name: pools[name].submit(_draw, name, paths, 20).result(), "two": two}
        found = rates(contenders, rounds)
        ratio = f"{found['two'] / found['one']:.2f} x one"
        lines.append(row(f"engine {name}, two processes, all meshes", found["two"], "views/s", ratio))
    return lines


def reading(pools: Pools, paths: list[Path], rounds: int) -> list[str]:
    """Files of others against trimesh, and our own against the rendering of 100 views."""
    contents = [encode_normalised(_mesh(path)) for path in paths]
    faces = sum(len(_mesh(path).faces) for path in paths)
    pools["numba"].submit(_draw, "numba", paths, 1).result()
    found = rates(
        {
            "trimesh": lambda: _all(lambda path: trimesh.load_mesh(path, process=False), paths, faces),
            "OFF": lambda: _all(read_mesh, paths, faces),
            "normalised": lambda: _all(decode_normalised, contents, faces),
        },
        rounds,
    )
    draw = rates({"100 views": lambda: pools["numba"].submit(_draw, "numba", paths, 10).result()}, rounds)["100 views"]
    share = (faces / found["normalised"]) / (100 * len(paths) / draw)
    return [
        row(
            "reading of OFF files",
            found["OFF"] / 1e6,
            "million faces/s",
            f"{found['OFF'] / found['trimesh']:.1f} x trimesh",
        ),
        row(
            "reading of normalised meshes",
            found["normalised"] / 1e6,
            "million faces/s",
            f"{share:.1%} of 100 views by numba",
        ),
    ]


def encoding(pools: Pools, paths: list[Path], rounds: int) -> list[str]:
    """Lossless images of normals against Pillow."""
    maps = [colours for path in paths for _, colours in _engine("numba").render(*_mesh(path), _rotations(4))]

    def pillow(colours: np.ndarray) -> bytes:
        file = io.BytesIO()
        Image.fromarray(colours).save(file, "PNG", compress_level=1)
        return file.getvalue()

    found = rates({"png": lambda: _all(png, maps, len(maps)), "pillow": lambda: _all(pillow, maps, len(maps))}, rounds)
    sizes = [statistics.mean(len(encode(one)) for one in maps) for encode in (png, pillow)]
    ratio = f"{found['png'] / found['pillow']:.1f} x Pillow at level 1, {sizes[0] / sizes[1]:.2f} of its size"
    return [row("normals as PNG", found["png"], "maps/s", ratio)]


def stage(pools: Pools, paths: list[Path], rounds: int, number: int) -> Iterator[str]:
    """The whole stage on many meshes and two cores, against the engine alone on the same meshes and one core."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        few, many = (_write(folder / str(n), paths, n) for n in (number // 4, number))
        meshes = sorted(many.glob("*/*/*.off"))
        for engine in ENGINES:
            settings = STAGE.model_copy(update={"engine": engine})
            alone = functools.partial(_draw_normalised, engine, meshes)
            pools[engine].submit(alone, 1).result()
            contenders = {
                "alone": lambda alone=alone, engine=engine: pools[engine].submit(alone, 20).result(),
                "whole": lambda settings=settings: _render(many, folder, settings),
            }
            found = rates(contenders, rounds)
            share = f"{found['whole'] / (2 * found['alone']):.0%} of 2 x {found['alone']:.0f}, the engine alone"
            peaks = [pools[f"stage {engine} {m.name}"].submit(_peak, m, folder, settings).result() for m in (few, many)]
            growth = f"{peaks[1] / peaks[0]:.2f} x that of {number // 4} meshes"
            yield row(f"stage render, {engine}, {number} meshes, 2 processes", found["whole"], "views/s", share)
            yield row(f"all {VIEWS:,} views of ModelNet10-SO3 at this rate", VIEWS / found["whole"] / 60, "minutes")
            yield row("memory of its largest process", peaks[1], "MiB", growth)


@functools.cache
def _decoded(path: Path) -> Mesh:
    return decode_normalised(path.read_bytes())


def _draw_normalised(name: str, paths: list[Path], views: int) -> int:
    for path in paths:
        for _ in _engine(name).render(*_decoded(path), _rotations(views)):
            pass
    return views * len(paths)


def _render(meshes: Path, folder: Path, settings: Render) -> int:
    """All views of some meshes, by the stage itself; their number."""
    shutil.rmtree(folder / "out", ignore_errors=True)
    here = Execution(workers=2, scheduler=None)
    with contextlib.redirect_stderr(io.StringIO()):
        render_dataset(meshes, folder / "out", settings, here, folder / "scratch")
    return STAGE.train_views * len(list(meshes.glob("*/*/*.off")))


def _peak(meshes: Path, folder: Path, settings: Render) -> float:
    """The largest resident memory in MiB of a process of the stage, in a process that does nothing else."""
    _render(meshes, folder, settings)
    whose = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    return max(resource.getrusage(who).ru_maxrss for who in whose) / 1024


def _write(folder: Path, paths: list[Path], number: int) -> Path:
    """Meshes of furniture with the numbers of faces of the real ones in turn, as the stage `meshes` writes them."""
    targets = [len(_mesh(path).faces) for path in paths]
    made = furniture.dataset(list(furniture.CATEGORIES), Furniture(seed=0, train=-(-number // 10), test=1))
    rows = []
    for (category, split, name, mesh), target in zip(made, targets * number, strict=False):
        if len(rows) == number:
            break
        vertices, faces = np.array(mesh.vertices), np.array(mesh.faces)
        while len(faces) + 3 <= target:
            larger = np.argsort(-trimesh.triangles.area(vertices[faces]))[: (target - len(faces)) // 3]
            vertices, faces = trimesh.remesh.subdivide(vertices, faces, face_index=larger)
        path = folder / category / split / f"{name}.off"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_normalised(normalise(Mesh(vertices, faces.astype(np.int64)), "z")))
        rows.append(f"{name},{category},{split},{path.relative_to(folder)},{len(vertices)},{len(faces)},{name},")
    header = "mesh,category,split,path,vertices,faces,source,problem"
    (folder / "index.csv").write_text("\n".join([header, *rows]) + "\n")
    write_checksums(folder)
    return folder


def _all(function: Callable[..., object], things: Sequence[object], items: int) -> int:
    for thing in things:
        function(thing)
    return items


def _median(found: list[dict[str, float]], name: str) -> float:
    return statistics.median(one[name] for one in found)


if __name__ == "__main__":
    sys.exit(main())
