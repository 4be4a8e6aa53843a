"""Where the meshes come from, and the folder of normalised ones that is made of them."""

import csv
import hashlib
import io
import json
import logging
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from sphreg import furniture, modelnet10
from sphreg.checksums import digest, write_checksums
from sphreg.config import Meshes
from sphreg.download import fetch
from sphreg.errors import UserError
from sphreg.files import whole_folder, write_whole
from sphreg.formats import FORMATS, parse_mesh, read_mesh
from sphreg.meshes import Mesh, encode_normalised, normalise

SPLITS = ("train", "test")
SUMMARIES = ("all", "macro", "macro_fifth")  # what tables of results call their rows over all categories
COLUMNS = ("mesh", "category", "split", "path", "vertices", "faces", "source", "problem")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """A mesh of a source, not yet read. `read` raises UserError with the reason alone."""

    category: str
    split: str
    mesh: str
    file: str
    read: Callable[[], Mesh]


@dataclass(frozen=True)
class Source:
    """All its meshes, their number, the axis that points up in them, and what tells one state of it from another."""

    found: Iterable[Found]
    number: int
    up: str
    facts: dict[str, Any]


def build(settings: Meshes, out: Path, downloads: Path) -> None:
    """Read, check and normalise all meshes of the source, and write them to `out`.

    Writes `CATEGORY/{train,test}/NAME.off`, `index.csv` with a row for each mesh of the source, `source.json`, and the
    checksums of all these. The same source gives the same bytes.

    Args:
        settings: the section `meshes`.
        out: a new folder, or one that this function wrote before; it is replaced when all is done.
        downloads: a folder that keeps downloads from run to run.

    Raises:
        UserError: the source is not as it should be; or the disk does not take the meshes; or some are unusable and
            `on_bad` is "fail": then one line for each of them, with its file and the reason. What was in `out` before
            is still there then.
    """
    if out.exists() and not (out / "index.csv").is_file() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: it is there and is no dataset of meshes, so it is not replaced")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)  # first, as it tells whether it can be made
        source = SOURCES[settings.source](settings, downloads)
        with whole_folder(out) as work:
            _write_dataset(settings, source, work)
    except OSError as error:
        reason = f"{error.strerror}: {error.filename}" if error.filename else error
        raise UserError(f"{out}: it cannot be written ({reason})") from error


def _write_dataset(settings: Meshes, source: Source, folder: Path) -> None:
    rows = _write_meshes(source, folder)
    problems = [f"{row['source']}: {row['problem']}" for row in rows if row["problem"]]
    if problems and settings.on_bad == "fail":
        title = f"{len(problems)} of {len(rows)} meshes cannot be used (meshes.on_bad=skip leaves them out):"
        raise UserError("\n".join([title, *problems]))
    for split in SPLITS:
        if not any(row["path"] and row["split"] == split for row in rows):
            raise UserError(f"no mesh for {split} is left")
    index = io.StringIO()
    writer = csv.DictWriter(index, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(folder / "index.csv", index.getvalue().encode())
    facts = {"source": settings.source, **source.facts}
    write_whole(folder / "source.json", (json.dumps(facts, indent=2) + "\n").encode())
    write_checksums(folder)


def _write_meshes(source: Source, folder: Path) -> list[dict[str, Any]]:
    """Write what is good; returns the rows of the index, sorted."""
    rows: list[dict[str, Any]] = []
    files: dict[str, str] = {}
    contents: dict[bytes, Found] = {}
    twins = []
    for found in tqdm(source.found, "meshes", source.number, unit="mesh", delay=1):
        row = dict.fromkeys(COLUMNS, "")
        row |= {"mesh": found.mesh, "category": found.category, "split": found.split, "source": found.file}
        rows.append({key: text if text.isprintable() else ascii(text)[1:-1] for key, text in row.items()})
        try:
            if not found.file.isprintable():
                raise UserError("has a character in its name that cannot be printed")
            mesh = normalise(found.read(), source.up)
            if (other := files.setdefault(found.mesh, found.file)) != found.file:
                raise UserError(f"has the name of {other}, and a name stands for one mesh")
        except UserError as error:
            rows[-1]["problem"] = str(error)
            continue
        path = f"{found.category}/{found.split}/{found.mesh}.off"
        content = encode_normalised(mesh)
        write_whole(folder / path, content)
        rows[-1] |= {"path": path, "vertices": len(mesh.vertices), "faces": len(mesh.faces)}
        twin = contents.setdefault(hashlib.sha256(content).digest(), found)
        if twin.split != found.split:
            twins.append(f"{found.file} is {twin.file}")
    for category in sorted({row["category"] for row in rows} - {row["category"] for row in rows if row["path"]}):
        log.warning("no mesh of %s is left", category)
    if twins:
        log.warning("%d meshes are both for training and for test: %s", len(twins), ", ".join(twins[:5]))
    return sorted(rows, key=lambda row: (row["category"], SPLITS.index(row["split"]), row["mesh"], row["source"]))


def _furniture(settings: Meshes, downloads: Path) -> Source:
    categories = _choose(settings.categories, furniture.CATEGORIES)
    made = furniture.dataset(categories, settings.furniture)
    found = (
        Found(category, split, name, name, partial(Mesh, np.array(mesh.vertices), np.array(mesh.faces)))
        for category, split, name, mesh in made
    )
    number = len(categories) * (settings.furniture.train + settings.furniture.test)
    return Source(found, number, "z", settings.furniture.model_dump())


def _folder(settings: Meshes, downloads: Path) -> Source:
    allowed = f"allowed: a folder with CATEGORY/{{{','.join(SPLITS)}}}/NAME.{{{','.join(FORMATS)}}}"
    root = Path(settings.folder.path)
    try:
        folders = list(root.iterdir())
    except OSError as error:
        raise UserError(
            f"meshes.folder.path is {root}, which is no folder to read ({error.strerror}), {allowed}"
        ) from None
    available = {
        path.name
        for path in folders
        if not path.name.startswith(".") and any((path / split).is_dir() for split in SPLITS)
    }
    if not available:
        raise UserError(f"meshes.folder.path is {root}, which has no category, {allowed}")
    found, others = [], []
    for category in _choose(settings.categories, sorted(available)):
        if category in SUMMARIES:
            raise UserError(
                f"{root / category}: results have a row of that name beside the categories, allowed: any other"
            )
        paths = {split: sorted((root / category / split).glob("[!.]*")) for split in SPLITS}
        others += [path for split in SPLITS for path in paths[split] if not _is_mesh(path)]
        meshes = {split: list(filter(_is_mesh, paths[split])) for split in SPLITS}
        if not any(meshes.values()):
            raise UserError(f"{root / category} has no mesh, {allowed}")
        for split in SPLITS:
            if not meshes[split]:
                log.warning("%s has no mesh for %s", root / category, split)
            for path in meshes[split]:
                file = path.relative_to(root).as_posix()
                found.append(Found(category, split, path.stem, file, partial(read_mesh, path)))
    if others:
        kinds = {"folder" if path.is_dir() else path.suffix.lower() or "no suffix" for path in others}
        log.warning(
            "%d files or folders beside the meshes are passed over (%s), read are: %s",
            len(others),
            ", ".join(sorted(kinds)),
            ", ".join(f".{kind}" for kind in FORMATS),
        )
    owners = {mesh.mesh: mesh.category for mesh in found}
    shared = {mesh.mesh for mesh in found if owners[mesh.mesh] != mesh.category}
    # Categories may count their meshes from 1, each of them; a name stands for one mesh of all.
    found = [replace(mesh, mesh=f"{mesh.category}_{mesh.mesh}") if mesh.mesh in shared else mesh for mesh in found]
    for split in SPLITS:
        if not any(mesh.split == split for mesh in found):
            raise UserError(f"{root} has no mesh for {split}, {allowed}")
    return Source(found, len(found), settings.folder.up, settings.folder.model_dump())


def _is_mesh(path: Path) -> bool:
    return path.suffix[1:].lower() in FORMATS


def _modelnet10(settings: Meshes, downloads: Path) -> Source:
    categories = _choose(settings.categories, list(modelnet10.COUNTS))
    path = fetch(settings.modelnet10.archive, downloads)
    checksum, right = digest(path), settings.modelnet10.sha256
    if right and checksum != right.lower():
        raise UserError(
            f"{path}: its SHA-256 is {checksum}, and meshes.modelnet10.sha256 is {right}; correct the setting, or "
            "delete the file, so that it is fetched again."
        )
    limits = {"train": settings.modelnet10.train, "test": settings.modelnet10.test}
    members = modelnet10.choose(path, categories, limits)

    def found() -> Iterator[Found]:
        with zipfile.ZipFile(path) as archive:
            for member in members:
                yield Found(*member, read=partial(_read_member, archive, member.file))

    facts = {"bytes": path.stat().st_size, "sha256": checksum}
    return Source(found(), len(members), "z", settings.modelnet10.model_dump(exclude={"sha256"}) | facts)


def _read_member(archive: zipfile.ZipFile, file: str) -> Mesh:
    return parse_mesh(modelnet10.read(archive, file), "off")


def _choose(wanted: Sequence[str] | None, available: Sequence[str]) -> list[str]:
    """The categories to take, sorted."""
    for category in wanted or ():
        if category not in available:
            raise UserError(f"meshes.categories has {category!r}, allowed: {', '.join(available)}")
    return sorted(set(wanted or available))


SOURCES = {"furniture": _furniture, "modelnet10": _modelnet10, "folder": _folder}
