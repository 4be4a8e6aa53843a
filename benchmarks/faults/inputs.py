"""Every file that a stage or a program reads, broken in every way: the right bytes, or a sentence."""

import io
import os
import pickle
import shutil
import signal
import sys
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import trimesh
from PIL import Image

from benchmarks.faults.allowed import allowed
from benchmarks.faults.children import Child, program
from benchmarks.faults.damage import OF_KIND, damage, damages
from benchmarks.faults.findings import Finding, Outcome, judge
from benchmarks.faults.project import LIMIT_S, SETTINGS, Program, write_settings
from sphreg import checksums, modelnet10
from sphreg.furniture import furniture
from sphreg.views import write_views

SIGNED = "+sums"  # the checksums are made anew after the damage
FOLDERS = "data", "models", "results", "own", "images", ".scratch"  # where other files of a kind are
UNREAD = "*@*-direct", "*@viewpoint-*"  # stages that read as their twins do
SETTINGS_ALONE = ("missing", "emptied", "half", "folder", "dangling", "doubled")  # what is done to them beside `check`


@dataclass(frozen=True)
class Broken:
    """A program that gets a broken file.

    Attributes:
        group: the input, one of whose files is drawn.
        files: of the group.
        damage: what becomes of it.
    """

    program: Program
    group: str
    files: tuple[str, ...]
    damage: str

    @property
    def name(self) -> str:
        """As `--case` has it."""
        return f"{self.program.name}:{self.group}:{self.damage}"


def cases(programs: Iterable[Program]) -> Iterator[Broken]:
    """Each input of each program in each way."""
    for each in programs:
        full = [file for file in each.inputs() if (each.root / file).stat().st_size]
        for group, files in _groups(full).items():
            signed = all(_sums(each.root, file) for file in files)
            for way in damages(group):
                if group != "params.yaml" or each.name == "check" or way in SETTINGS_ALONE:
                    yield Broken(each, group, tuple(files), way)
            for way in OF_KIND.get(Path(group).suffix, {}) if signed else ():
                yield Broken(each, group, tuple(files), f"{way}{SIGNED}")


def _groups(paths: list[str]) -> dict[str, list[str]]:
    """Files of one kind: those of one name, and those of one suffix that lie deep in the folders of categories."""
    found = defaultdict(list)
    for path in paths:
        parts = Path(path).parts
        deep = len(parts) > 4 or ("train" in parts or "test" in parts)
        found[f"*{Path(path).suffix}" if deep else parts[-1]].append(path)
    return found


def run(case: Broken, seed: int, scratch: Path) -> list[Finding]:
    """What becomes of it."""
    each, way = case.program, case.damage.removesuffix(SIGNED)
    rng = np.random.default_rng([seed, *case.name.encode()])
    file = str(rng.choice(case.files))
    name, suffix = Path(file).name, Path(file).suffix
    others = [
        path for part in FOLDERS for path in sorted(each.root.glob(f"{part}/**/*{suffix or name}")) if path.is_file()
    ]
    others.sort(key=lambda path: path.name != name)  # those of its name first
    near = [path for path in others if path.parent == (each.root / file).parent]
    far = [path for path in others if path not in near]
    with TemporaryDirectory(dir=scratch) as folder:
        copy = each.link(Path(folder))
        damage(copy.root / file, way, rng, near, far)
        if case.damage.endswith(SIGNED):
            _sign(copy.root, file)
        ended = copy.start().end(LIMIT_S)
        outcome, said = judge(ended, copy.result() == reference(each, scratch))
    if outcome is Outcome.SILENT and allowed(case.name):
        outcome = Outcome.ALLOWED
    return [Finding("inputs", each.name, case.name, outcome, f"{file}: {said}".replace(folder, ""))]


def _sums(root: Path, file: str) -> Path | None:
    """The checksums that a file has a line in."""
    folders = [root / folder for folder in Path(file).parents]
    return next((folder / checksums.NAME for folder in folders if (folder / checksums.NAME).is_file()), None)


def _sign(root: Path, file: str) -> None:
    """Make the checksum of a file anew."""
    sums = _sums(root, file)
    assert sums
    name = (root / file).relative_to(sums.parent).as_posix()
    lines = [line.split("  ", 1) for line in sums.read_text().splitlines()]
    sums.unlink()  # as it has other names
    new = checksums.digest(root / file)
    sums.write_text("".join(f"{new if each == name else old}  {each}\n" for old, each in lines))


@cache
def reference(each: Program, scratch: Path) -> dict[str, str]:
    """What a program writes when nothing is broken."""
    with TemporaryDirectory(dir=scratch) as folder:
        sound = each.link(Path(folder))
        sound.run()
        result = sound.result()
    if not result:
        raise RuntimeError(f"{each.name} writes nothing")
    return result


# What is needed beside the stages of the project.


def programs(stages: list[Program], folder: Path) -> dict[Program, Callable[[], None]]:
    """All programs, and what prepares each of them as soon as those before are done."""
    main = stages[0].root
    by_name = {stage.name: stage for stage in stages}
    found: dict[Program, Callable[[], None]] = {
        stage: _nothing for stage in stages if not any(fnmatch(stage.name, pattern) for pattern in UNREAD)
    }
    own = replace(by_name["meshes"], name="meshes, own", root=folder / "own", reads=("own",))
    found[own] = partial(_own, own.root)
    archive = replace(by_name["meshes"], name="meshes, archive", root=folder / "archive", reads=("archive.zip",))
    found[archive] = partial(_archive, archive.root)
    for stage, event in (by_name["train@rotation-sexp"], "checkpoint.pt"), (by_name["render"], "data/shards"):
        root = folder / f"resumed-{stage.module}"
        resumed = replace(stage, name=f"{stage.name}, resumed", root=root, reads=(*stage.reads, ".scratch"))
        found[resumed] = partial(_stopped, stage, root, event)
    for task in "rotation", "normals":
        model = f"models/sexp/{task}"
        category = ("--category", "chair") if task == "rotation" else ()
        for image in images():
            arguments = (model, f"images/{image}", "--out", "out", "--device", "cpu", *category)
            reads = (f"images/{image}", *((model,) if image == "grey.png" else ()))
            here = Program(f"predict {task}", main, "sphreg.predict", arguments, reads, ("out",), (model,))
            found[here] = partial(_images, main)
    for part in "test", "test.normals":
        reads = (f"data/so3/{part}.lmdb", "data/so3/test.csv")
        arguments, beside = (reads[0], "--out", "out.png"), ("data/so3/SHA256SUMS",)
        here = Program(f"views {part}", main, "sphreg.views", arguments, reads, ("out.png",), beside)
        found[here] = _nothing
    reads = ("data.mdb", "viewID2quat.pkl")
    root = folder / "original"
    original = Program("views original", root, "sphreg.views", (".", "--out", "out.png"), reads, ("out.png",), ())
    found[original] = partial(_original, root)
    return found


def _nothing() -> None: ...


def _own(root: Path) -> None:
    """Meshes of the user in all formats."""
    root.mkdir()
    write_settings(
        root, SETTINGS, {"meshes": {"source": "folder", "categories": None, "folder": {"path": "own", "up": "z"}}}
    )
    rng = np.random.default_rng(0)
    for category in "chair", "toilet":
        for place, suffix in enumerate(("off", "obj", "ply", "stl", "glb")):
            made = furniture(category, rng)
            mesh = trimesh.Trimesh(np.array(made.vertices), np.array(made.faces), process=False)
            split = "test" if place == 1 else "train"
            path = root / "own" / category / split / f"{category}_{place}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            mesh.export(path)


def _archive(root: Path) -> None:
    """An archive with as many meshes of a category as ModelNet10 has."""
    root.mkdir()
    limits = {"archive": "archive.zip", "sha256": None, "train": 2, "test": 1}
    write_settings(
        root, SETTINGS, {"meshes": {"source": "modelnet10", "categories": ["bathtub"], "modelnet10": limits}}
    )
    (root / "archive.zip").write_bytes(archive_of_meshes())


def archive_of_meshes() -> bytes:
    """As ModelNet10 has them, but for the meshes: tetrahedra, and of one category alone."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for split, count in zip(("train", "test"), modelnet10.COUNTS["bathtub"], strict=True):
            for number in range(count):
                points = f"0 0 0\n{number + 1} 0 0\n0 1 0\n0 0 1\n"
                mesh = f"OFF\n4 4 0\n{points}3 0 2 1\n3 0 1 3\n3 1 2 3\n3 0 3 2\n"
                info = zipfile.ZipInfo(
                    f"ModelNet10/bathtub/{split}/bathtub_{number + 1000 * (split == 'test'):04d}.off"
                )
                archive.writestr(info, mesh, zipfile.ZIP_DEFLATED)
    return content.getvalue()


def _stopped(stage: Program, root: Path, event: str) -> None:
    """What a run leaves that is killed when it moves something to such a path for the second time, or the first."""
    stage.link(root)
    call = program(stage.module, *stage.arguments)
    Child(partial(_run_to, event, 2 if event == "checkpoint.pt" else 1, call), root).end(LIMIT_S)
    if not list(root.glob(".scratch/*/*")):
        raise RuntimeError(f"{stage.name} ended before it was killed")
    for out in stage.outs:
        shutil.rmtree(root / out, ignore_errors=True)


def _run_to(event: str, count: int, call: Callable[[], None]) -> None:
    def hook(name: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if name == "os.rename" and os.fspath(arguments[1]).endswith(event):
            count -= 1
            if count == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    call()


def _images(root: Path) -> None:
    """Images of the user."""
    folder = root / "images"
    folder.mkdir(exist_ok=True)
    for name, image in images().items():
        image.save(folder / name)


def images() -> dict[str, Image.Image]:
    """Of several modes."""
    y, x = np.mgrid[:40, :32]
    grey = np.where((x - 16) ** 2 + (y - 20) ** 2 < 120, 4 * x + y, 255).astype(np.uint8)
    colour = np.stack([grey, grey // 2, 255 - grey], axis=-1)
    clear = np.dstack([colour, np.where(grey < 255, 255, 0)]).astype(np.uint8)
    return {
        "grey.png": Image.fromarray(grey),
        "colour.jpg": Image.fromarray(colour),
        "clear.png": Image.fromarray(clear),
        "deep.tif": Image.fromarray(grey.astype(np.uint16) * 257),
    }


def _original(root: Path) -> None:
    """A dataset as the authors of the paper published it."""
    root.mkdir()
    keys = [f"chair_0001.v{number:03d}" for number in range(1, 5)]
    pictures = []
    for key in keys:
        picture = io.BytesIO()
        images()["colour.jpg"].save(picture, "JPEG")
        pictures.append((key, picture.getvalue()))
    write_views(root / "data.mdb", pictures)
    quaternions = {key: np.array([0.5, 0.5, 0.5, 0.5]) for key in keys}
    (root / "viewID2quat.pkl").write_bytes(pickle.dumps(quaternions, protocol=2))
