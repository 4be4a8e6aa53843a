"""What draws: the contract of an engine, and the choice of one."""

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64, Int, UInt8

from sphreg.render.camera import Camera


@runtime_checkable
class Engine(Protocol):
    """Draws meshes. Camera and shading are those of `sphreg.render.camera` in every engine."""

    camera: Camera
    info: dict[str, str]

    def render(
        self,
        vertices: Float64[np.ndarray, "v 3"],
        faces: Int[np.ndarray, "f 3"],
        rotations: Float64[np.ndarray, "n 3 3"],
    ) -> Iterator[tuple[UInt8[np.ndarray, "size size"], UInt8[np.ndarray, "size size 3"]]]:
        """Yield the grey image and the encoded normals of a mesh, given in the unit sphere, in each rotation."""


def choose_engine() -> dict[str, str]:
    """Find what draws on this machine, for this process and its children, and describe it as `Engine.info` does.

    Raises:
        UserError: nothing does.
    """
    from sphreg.render.gl import probe

    return probe()


def open_engine(camera: Camera) -> Engine:
    """The engine that was chosen.

    Raises:
        UserError: it cannot draw.
    """
    from sphreg.render.gl import GL

    return GL(camera)
