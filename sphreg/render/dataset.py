"""Rendering of a dataset: one process per core draws and encodes the views of one mesh after the other."""

import functools
import hashlib
import io
import json
import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, as_completed
from pathlib import Path

import numpy as np
import simplejpeg
from jaxtyping import UInt8
from PIL import Image
from scipy.spatial.transform import Rotation
from tqdm import tqdm

from sphreg.config import Render
from sphreg.errors import UserError
from sphreg.files import write_whole
from sphreg.meshes import read_normalised
from sphreg.render.camera import Camera
from sphreg.render.engine import Engine, choose_engine, open_engine
from sphreg.render.sampling import rotations
from sphreg.render.shards import Entry, read_index, view_names, write_shard


def render_dataset(meshes: Path, out: Path, settings: Render, scratch: Path) -> None:
    """Render all meshes of an index: a shard for each, and `engine.json` about what drew them.

    A mesh's shard depends on nothing but that mesh and the settings.

    Args:
        meshes: the folder with the meshes and their index.csv.
        out: a new folder, or one that this function wrote before; it is replaced when all is done.
        settings: the section `render`.
        scratch: a folder for unfinished work, on the disk of `out`. What a broken run with the same meshes, settings,
            code and driver finished is found there again.

    Raises:
        UserError: a mesh cannot be rendered, nothing draws on this machine, or `out` is not to be replaced.
    """
    if out.exists() and any(out.iterdir()) and not (out / "engine.json").is_file():
        raise UserError(f"{out}: it is not empty and holds no rendered views, so it is not replaced.")
    entries = read_index(meshes)
    engine = choose_engine()
    work = scratch / _fingerprint(meshes, entries, settings, engine)
    views = {entry: len(view_names(settings, entry.split)[0]) for entry in entries}
    # The largest first: at the end it would leave the other processes without work.
    missing = sorted((entry for entry in entries if not entry.shard(work).exists()), key=lambda entry: -entry.faces)
    total = sum(views.values())
    with tqdm(desc="render", total=total, initial=total - sum(views[entry] for entry in missing), unit="view") as bar:
        for entry in _render_meshes(missing, meshes, work, settings):
            bar.update(views[entry])
    write_whole(work / "engine.json", (json.dumps(engine, indent=2) + "\n").encode())
    if out.exists():
        shutil.rmtree(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(work, out)


def _fingerprint(meshes: Path, entries: list[Entry], settings: Render, engine: dict[str, str]) -> str:
    """A checksum of all that the shards depend on."""
    code = sorted(path for path in Path(__file__).parent.rglob("*") if path.suffix in (".py", ".vert", ".frag"))
    checksum = hashlib.sha256(json.dumps([engine, settings.model_dump(exclude={"workers"})]).encode())
    for path in [meshes / "index.csv", *(meshes / entry.path for entry in entries), *code]:
        try:
            checksum.update(hashlib.sha256(path.read_bytes()).digest())
        except OSError as error:
            raise UserError(f"{path}: it cannot be read ({error.strerror}).") from None
    return checksum.hexdigest()[:16]


def _render_meshes(entries: list[Entry], meshes: Path, work: Path, settings: Render) -> Iterator[Entry]:
    """Write the shards, in several processes; yields each mesh when its shard is there."""
    # An OpenGL context hangs after a fork.
    pool = ProcessPoolExecutor(settings.workers, multiprocessing.get_context("spawn"), _start_worker)
    try:
        tasks = {pool.submit(_render_mesh, entry, meshes, work, settings): entry for entry in entries}
        for task in as_completed(tasks):
            try:
                task.result()
            except BrokenExecutor:
                raise UserError(
                    "a process that renders ended early, perhaps for want of memory; fewer render.workers need less, "
                    "and finished meshes are kept."
                ) from None
            except (UserError, OSError) as error:
                raise UserError(f"mesh {tasks[task].mesh} cannot be rendered: {error}") from error
            except Exception as error:
                error.add_note(f"This was while mesh {tasks[task].mesh} was rendered.")
                raise
            yield tasks[task]
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    os.environ["LP_NUM_THREADS"] = "1"  # Mesa's threads gain nothing where each core has a process
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """The pool's processes would wait for work for ever if their parent was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


@functools.cache
def _engine(camera: Camera) -> Engine:
    return open_engine(camera)


def _render_mesh(entry: Entry, meshes: Path, work: Path, settings: Render) -> None:
    mesh = read_normalised(meshes / entry.path)
    views, with_normals = view_names(settings, entry.split)
    quaternions = rotations(settings.seed, entry.mesh, len(views))
    matrices = Rotation.from_quat(quaternions).as_matrix()
    engine = _engine(Camera(settings.size, settings.fov_deg))
    images, normals = {}, {}
    for view, (image, colours) in zip(views, engine.render(mesh.vertices, mesh.faces, matrices), strict=True):
        images[view] = simplejpeg.encode_jpeg(
            image[..., None], settings.jpeg_quality, colorspace="GRAY", colorsubsampling="Gray"
        )
        if view in with_normals:
            normals[view] = _png(colours)
    write_shard(entry.shard(work), images, normals, quaternions)


def _png(colours: UInt8[np.ndarray, "size size 3"]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(colours).save(file, "PNG")
    return file.getvalue()
