"""What draws: the contract of an engine, and the choice of one."""

import logging
import os
from collections.abc import Iterator
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64, Int, UInt8

from sphreg.errors import UserError
from sphreg.render.camera import Camera

log = logging.getLogger(__name__)


@runtime_checkable
class Engine(Protocol):
    """Draws meshes. Camera, shading and sub-samples are those of `sphreg.render.camera` and `.pixels` in every engine.

    Attributes:
        camera: where from.
        info: the engine, its version, and all else that the images depend on.
    """

    camera: Camera
    info: dict[str, str]

    def render(
        self,
        vertices: Float64[np.ndarray, "v 3"],
        faces: Int[np.ndarray, "f 3"],
        rotations: Float64[np.ndarray, "n 3 3"],
    ) -> Iterator[tuple[UInt8[np.ndarray, "size size"], UInt8[np.ndarray, "size size 3"]]]:
        """Draw a mesh in each rotation.

        Args:
            vertices: in object coordinates, in the unit sphere.
            faces: three vertices each, wound either way. Those without an area are left out.
            rotations: from object to camera coordinates.

        Yields:
            The grey image and the normals, encoded as `camera.encode_normals` does, of each rotation.

        Raises:
            UserError: no face has an area.
        """


def choose_engine(name: Literal["auto", "pyrender", "numba"]) -> dict[str, str]:
    """Find what draws on this machine, and describe it as `Engine.info` does. `auto` is pyrender, or else numba.

    Raises:
        UserError: OpenGL is asked for, and does not draw.
    """
    if name != "numba":
        from sphreg.render.gl import probe

        try:
            return probe()
        except UserError as error:
            if name == "pyrender":
                raise
            log.warning("Rendering with numba, as %s", error)
    from sphreg.render.raster import INFO

    return INFO


def open_engine(camera: Camera, info: dict[str, str]) -> Engine:
    """The engine that was chosen, maybe in another process or on another machine.

    Raises:
        UserError: it does not draw here, or is another here.
    """
    engine: Engine
    if info["engine"] == "numba":
        from sphreg.render.raster import Raster

        engine = Raster(camera)
    else:
        from sphreg.render.gl import GL

        os.environ.setdefault("PYOPENGL_PLATFORM", info["platform"])
        engine = GL(camera)
    if engine.info != info:
        raise UserError(f"this process draws with {engine.info}, and the engine that was chosen is {info}.")
    return engine
