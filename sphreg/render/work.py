"""The work on one mesh: to draw and encode its views. It reads and writes no file, so that it can be done anywhere."""

import functools
import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import simplejpeg
from scipy.spatial.transform import Rotation

import sphreg.meshes
from sphreg.config import Render
from sphreg.errors import UserError
from sphreg.meshes import decode_normalised
from sphreg.render.camera import Camera
from sphreg.render.engine import Engine, choose_engine, open_engine
from sphreg.render.png import png
from sphreg.render.sampling import rotations
from sphreg.render.shards import encode_shard, view_names


@dataclass(frozen=True)
class Job:
    """What all meshes of a dataset have in common.

    Attributes:
        settings: the section `render`.
        engine: what draws, as `choose_engine` found it.
        software: what else the images depend on; see `software`.
    """

    settings: Render
    engine: dict[str, str]
    software: dict[str, str]


def plan(settings: Render) -> Job:
    """The job of these settings, planned where it will be done.

    Raises:
        UserError: nothing draws there.
    """
    return Job(settings, choose_engine(settings.engine), software())


@functools.cache
def software() -> dict[str, str]:
    """The versions of the packages that draw and encode, and a checksum of the code of this project that does."""
    checksum = hashlib.sha256(Path(sphreg.meshes.__file__).read_bytes())
    for path in sorted(Path(__file__).parent.rglob("*")):
        if path.suffix in (".py", ".vert", ".frag"):
            checksum.update(hashlib.sha256(path.read_bytes()).digest())
    packages = {name: version(name) for name in ("numpy", "scipy", "trimesh", "simplejpeg")}
    return packages | {"zlib": zlib.ZLIB_RUNTIME_VERSION, "code of sphreg": checksum.hexdigest()[:16]}


def check_software(theirs: Mapping[str, str], where: str) -> None:
    """See that others have the same software as this process.

    Raises:
        UserError: they do not.
    """
    differing = [
        f"{name} {theirs.get(name)}, not {mine}" for name, mine in software().items() if theirs.get(name) != mine
    ]
    if differing:
        raise UserError(f"{where} has {'; '.join(differing)}; install the same everywhere.")


def render_mesh(job: Job, mesh: str, split: str, content: bytes) -> bytes:
    """The shard of one mesh, which depends on nothing but the arguments.

    Args:
        job: as planned.
        mesh: its name, which its rotations are drawn for.
        split: train or test, which say how many views it has.
        content: of its file, as `encode_normalised` wrote it.

    Raises:
        UserError: it cannot be drawn, or the job was planned for another engine or software than there is here.
    """
    try:
        check_software(job.software, "the process that planned it")
        triangles = decode_normalised(content)
        views, with_normals = view_names(job.settings, split)
        quaternions = rotations(job.settings.seed, mesh, len(views))
        matrices = Rotation.from_quat(quaternions).as_matrix()
        engine = _engine(Camera(job.settings.size, job.settings.fov_deg), tuple(job.engine.items()))
        images, normals = {}, {}
        drawn = engine.render(triangles.vertices, triangles.faces, matrices)
        for view, (image, colours) in zip(views, drawn, strict=True):
            images[view] = simplejpeg.encode_jpeg(
                image[..., None], job.settings.jpeg_quality, colorspace="GRAY", colorsubsampling="Gray"
            )
            if view in with_normals:
                normals[view] = png(colours)
        return encode_shard(images, normals, quaternions)
    except UserError as error:
        raise UserError(f"mesh {mesh} cannot be rendered: {error}") from error
    except Exception as error:
        error.add_note(f"This was while mesh {mesh} was rendered.")
        raise


@functools.cache
def _engine(camera: Camera, info: tuple[tuple[str, str], ...]) -> Engine:
    """Kept by its process."""
    return open_engine(camera, dict(info))
