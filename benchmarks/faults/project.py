"""A small project: a clone of this tree at the scale of the preset `tiny`, and what its pipeline makes."""

import csv
import hashlib
import io
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from benchmarks.faults.children import Child, program
from sphreg import checksums
from sphreg.config import load

ROOT = Path(__file__).parents[2]
CHECKED = "data/checked"  # what DVC knows of code and settings; no program reads it
HEADS = "direct", "sexp"  # two, as the table and the page compare heads
LIMIT_S = 120.0  # of a program that takes seconds
SETTINGS: dict[str, Any] = {
    "head": "direct",
    "heads": list(HEADS),
    "meshes": {"source": "furniture"},
    "render": {"engine": "numba"},
    "train": {"launcher": "python", "device": "cpu", "loaders": 0, "threads": 1, "checkpoint_s": 0},
    "execution": {"workers": 1, "scheduler": None},
}
CLOCKS = "images_per_s", "threads"  # columns of log.csv that tell of the machine and the moment
DURATIONS: dict[str, float] = {}  # in seconds, of the stages that ran here
IDENTITY = {f"GIT_{who}_{what}": "faults@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


@dataclass(frozen=True)
class Program:
    """A stage, or a program of the user.

    Attributes:
        name: as DVC calls a stage.
        root: the folder where it runs.
        module: for `python -m`.
        reads: files and folders, relative to `root`.
        outs: files and folders that it writes.
        beside: what else it reads, which other programs are given broken.
    """

    name: str
    root: Path
    module: str
    arguments: tuple[str, ...]
    reads: tuple[str, ...]
    outs: tuple[str, ...]
    beside: tuple[str, ...] = ("params.yaml",)

    def start(self, **variables: str) -> Child:
        """Run it."""
        return Child(program(self.module, *self.arguments), self.root, variables)

    def run(self) -> None:
        """Run it to its end.

        Raises:
            RuntimeError: it fails all the same.
        """
        ended = self.start().end(LIMIT_S)
        if ended.status != 0:
            raise RuntimeError(f"{self.name} fails without any fault, with status {ended.status}:\n{ended.said}")

    def inputs(self) -> list[str]:
        """All files that it reads."""
        return files(self.root, self.reads)

    def link(self, folder: Path) -> "Program":
        """The same in another folder, where all files that it reads get a second name.

        What breaks one there replaces it, so that the first stays whole.
        """
        for name in files(self.root, {*self.reads, *self.beside}):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            os.link(self.root / name, folder / name)
        return replace(self, root=folder)

    def result(self) -> dict[str, str]:
        """The checksums of what it wrote."""
        return digests(self.root, self.outs)


def clone(folder: Path, settings: Mapping[str, Any] = SETTINGS) -> None:
    """Make a clone of this tree that has no results, with these settings in place of the user's."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True)
    for name in listed.stdout.decode().splitlines():
        if (ROOT / name).is_file() and not name.startswith(("metrics/", "dvc.lock", "stages/dvc.lock", "tests/")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    write_settings(folder, settings)
    for command in ["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "A small project"]:
        subprocess.run(["git", *command], cwd=folder, check=True, env=os.environ | IDENTITY)


def write_settings(folder: Path, *changes: Mapping[str, Any]) -> None:
    """Write params.yaml: those of `tiny` with these changes."""
    settings = load(ROOT / "params.yaml", ROOT / "presets" / "tiny.yaml").model_dump()
    for change in changes:
        for name, value in change.items():
            settings[name] = settings[name] | value if isinstance(value, dict) else value
    (folder / "params.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))


def stages(folder: Path) -> list[Program]:
    """The stages of a clone, each after those that it needs; those that are no part of the library are its inputs."""
    import networkx
    from dvc.repo import Repo

    with Repo(str(folder)) as repo:
        ordered = reversed(list(networkx.topological_sort(repo.index.graph)))
        found = []
        for stage in ordered:
            python, _, module, *arguments = shlex.split(stage.cmd)
            assert python == "python"
            reads, outs = (
                [os.path.relpath(item.fs_path, folder) for item in items] for items in (stage.deps, stage.outs)
            )
            reads += ["data/own"] if stage.name == "check" else []  # it sees that the folder is there
            data = tuple(path for path in reads if not path.startswith(("sphreg", "stages", CHECKED)))
            for_dvc = tuple(path for path in reads if path.startswith(CHECKED))
            found.append(
                Program(stage.name, folder, module, tuple(arguments), data, tuple(outs), ("params.yaml", *for_dvc))
            )
    return found


def build(stages: Iterable[Program], paths: Iterable[str]) -> None:
    """Run the stages that make these, and all that they need, but for those that have run."""
    needed, chosen = set(paths), []
    for stage in reversed(list(stages)):
        if any(_overlap(out, path) for out in stage.outs for path in needed):
            chosen.append(stage)
            needed |= {*stage.reads, *stage.beside}
    for stage in reversed(chosen):
        if not all((stage.root / out).exists() for out in stage.outs):
            begun = time.monotonic()
            stage.run()
            DURATIONS[stage.name] = time.monotonic() - begun


def _overlap(one: str, other: str) -> bool:
    return Path(one).is_relative_to(other) or Path(other).is_relative_to(one)


def files(folder: Path, names: Iterable[str]) -> list[str]:
    """The files among these and below them, sorted, relative to the folder."""
    found: set[Path] = set()
    for name in names:
        path = folder / name
        found |= {file for file in path.rglob("*") if file.is_file()} if path.is_dir() else {path}
    return sorted(str(path.relative_to(folder)) for path in found if path.is_file())


def digests(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """The checksum of each file among these and below them, of logs without their clocks and their own checksums."""
    return {name: hashlib.sha256(_content(folder / name)).hexdigest() for name in files(folder, names)}


def _content(path: Path) -> bytes:
    content = path.read_bytes()
    if path.name == checksums.NAME:
        return b"".join(
            line for line in content.splitlines() if Path(line[66:].decode(errors="replace")).name != "log.csv"
        )
    if path.name != "log.csv":
        return content
    rows = list(csv.DictReader(io.StringIO(content.decode(errors="replace"))))
    return repr([{name: row[name] for name in row if name not in CLOCKS} for row in rows]).encode()
