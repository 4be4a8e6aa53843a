"""Rendering of a dataset: the views of many meshes, spread over workers, and what an earlier run finished."""

import hashlib
import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from tqdm import tqdm

from sphreg.checksums import check, read_checked, read_checksums, write_checksums
from sphreg.config import Execution, Render
from sphreg.errors import UserError
from sphreg.execution import Workers, workers
from sphreg.files import link_files, whole_folder, write_whole
from sphreg.locks import alone, wanted
from sphreg.render.index import Entry, read_index
from sphreg.render.shards import is_whole, view_names
from sphreg.render.work import Job, check_software, plan, render_mesh
from sphreg.scratch import tidy


def render_dataset(meshes: Path, out: Path, settings: Render, execution: Execution, scratch: Path) -> None:
    """Render all meshes of an index: a shard for each, `engine.json` about what drew them, and checksums.

    A mesh's shard depends on nothing but that mesh, the settings and the engine. The workers get the meshes' content
    and return the shards, so that they need no common disk. Processes that want the same shards at the same time take
    turns, and the later ones find what the first has rendered.

    Args:
        meshes: the folder with the meshes, their index.csv and checksums.
        out: a new folder, or one that this function wrote before; it is replaced when all is done.
        settings: the section `render`.
        execution: the section `execution`.
        scratch: a folder for unfinished work, on the disk of `out`. What a broken run with the same meshes, settings,
            software and engine finished is found there again.

    Raises:
        UserError: a mesh has changed since it was written or cannot be rendered, nothing draws, a file cannot be
            written, or `out` is not to be replaced.
    """
    if out.is_file() or (out.exists() and any(out.iterdir()) and not (out / "engine.json").is_file()):
        raise UserError(f"{out}: it is not empty and holds no rendered views, so it is not replaced.")
    entries = read_index(meshes)
    known = read_checksums(meshes)
    check(meshes, ["index.csv", *(entry.path for entry in entries)])
    with workers(execution) as pool:
        job: Job = pool.once(plan, settings)
        check_software(job.software, "a worker")
        print("Rendering with", ", ".join(job.engine.values()), file=sys.stderr)
        work = scratch / _fingerprint(known, entries, job)
        with alone(work):
            tidy(scratch)
            _render(pool, meshes, known, entries, job, work)
            write_whole(work / "engine.json", (json.dumps(job.engine, indent=2) + "\n").encode())
            if lost := [entry for entry in entries if not entry.shard(work).is_file()]:
                raise UserError(f"{lost[0].shard(work)}: it was rendered, and is gone now; run it again.")
            write_checksums(work)
            with whole_folder(out) as new:
                link_files(work, new)  # and not moved, as others may wait for it, and a kill leaves it
            if not wanted(work) and not wanted(out):
                shutil.rmtree(work)


def _render(pool: Workers, meshes: Path, known: Mapping[str, str], entries: list[Entry], job: Job, work: Path) -> None:
    """Render what is not yet in the folder `work`."""
    views = {entry: len(view_names(job.settings, entry.split)[0]) for entry in entries}
    # The largest first: at the end it would leave the other workers without work.
    missing = sorted(_missing(entries, job.settings, work), key=lambda entry: -entry.faces)
    done = sum(views.values()) - sum(views[entry] for entry in missing)

    def arguments(entry: Entry) -> tuple[Job, str, str, bytes]:
        return job, entry.mesh, entry.split, read_checked(meshes, entry.path, known)

    with tqdm(desc="render", total=sum(views.values()), initial=done, unit="view") as bar:
        for entry, shard in pool.each(render_mesh, missing, arguments):
            write_whole(entry.shard(work), shard)
            bar.update(views[entry])


def _missing(entries: list[Entry], settings: Render, work: Path) -> list[Entry]:
    return [entry for entry in entries if not is_whole(entry.shard(work), settings, entry.split)]


def _fingerprint(known: Mapping[str, str], entries: list[Entry], job: Job) -> str:
    """A checksum of all that the shards depend on; `known` are those of the meshes."""
    settings = job.settings.model_dump(exclude={"engine"})
    files = [known[name] for name in ("index.csv", *(entry.path for entry in entries))]
    return hashlib.sha256(json.dumps([job.engine, job.software, settings, files]).encode()).hexdigest()[:16]
