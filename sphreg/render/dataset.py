"""Rendering of a dataset: the views of many meshes, spread over workers, and what an earlier run finished."""

import hashlib
import json
import shutil
import sys
from pathlib import Path

from tqdm import tqdm

from sphreg.config import Execution, Render
from sphreg.errors import UserError
from sphreg.execution import workers
from sphreg.files import write_whole
from sphreg.render.shards import Entry, read_index, view_names
from sphreg.render.work import Job, check_software, plan, render_mesh


def render_dataset(meshes: Path, out: Path, settings: Render, execution: Execution, scratch: Path) -> None:
    """Render all meshes of an index: a shard for each, and `engine.json` about what drew them.

    A mesh's shard depends on nothing but that mesh, the settings and the engine. The workers get the meshes' content
    and return the shards, so that they need no common disk.

    Args:
        meshes: the folder with the meshes and their index.csv.
        out: a new folder, or one that this function wrote before; it is replaced when all is done.
        settings: the section `render`.
        execution: the section `execution`.
        scratch: a folder for unfinished work, on the disk of `out`. What a broken run with the same meshes, settings,
            software and engine finished is found there again.

    Raises:
        UserError: a mesh cannot be rendered, nothing draws, a file cannot be written, or `out` is not to be replaced.
    """
    if out.is_file() or (out.exists() and any(out.iterdir()) and not (out / "engine.json").is_file()):
        raise UserError(f"{out}: it is not empty and holds no rendered views, so it is not replaced.")
    entries = read_index(meshes)
    views = {entry: len(view_names(settings, entry.split)[0]) for entry in entries}
    with workers(execution) as pool:
        job: Job = pool.once(plan, settings)
        check_software(job.software, "a worker")
        print("Rendering with", ", ".join(job.engine.values()), file=sys.stderr)
        work = scratch / _fingerprint(meshes, entries, job)
        # The largest first: at the end it would leave the other workers without work.
        missing = sorted((entry for entry in entries if not entry.shard(work).exists()), key=lambda entry: -entry.faces)
        done = sum(views.values()) - sum(views[entry] for entry in missing)

        def arguments(entry: Entry) -> tuple[Job, str, str, bytes]:
            return job, entry.mesh, entry.split, _read(meshes / entry.path)

        with tqdm(desc="render", total=sum(views.values()), initial=done, unit="view") as bar:
            for entry, shard in pool.each(render_mesh, missing, arguments):
                write_whole(entry.shard(work), shard)
                bar.update(views[entry])
    write_whole(work / "engine.json", (json.dumps(job.engine, indent=2) + "\n").encode())
    try:
        if out.exists():
            shutil.rmtree(out)
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(work, out)  # on one disk in one step, so that a kill leaves the work in one of the two places
    except OSError as error:
        raise UserError(f"{out}: it cannot be written ({error.strerror}); what was rendered is kept.") from error


def _fingerprint(meshes: Path, entries: list[Entry], job: Job) -> str:
    """A checksum of all that the shards depend on."""
    checksum = hashlib.sha256(
        json.dumps([job.engine, job.software, job.settings.model_dump(exclude={"engine"})]).encode()
    )
    for path in [meshes / "index.csv", *(meshes / entry.path for entry in entries)]:
        checksum.update(hashlib.sha256(_read(path)).digest())
    return checksum.hexdigest()[:16]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: it cannot be read ({error.strerror}).") from None
