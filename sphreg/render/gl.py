"""The OpenGL engine: pyrender without a window, on EGL or OSMesa.

pyrender opens the context, compiles the shaders and uploads the mesh. Its scene renderer stays out: it culls, blends,
reads the depth back, and small meshes take it one and a half times as long.
"""

import functools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Float64, Int, UInt8

from sphreg.errors import UserError
from sphreg.render.camera import AMBIENT, BACKGROUND, HEADLIGHT, Camera
from sphreg.render.pixels import SUPERSAMPLING, pixels
from sphreg.render.surface import visible

PLATFORMS = {"egl": "libegl1 libgl1 libgl1-mesa-dri", "osmesa": "libosmesa6"}  # in order of trial, with apt packages


class GL:
    """Draws with OpenGL.

    All engines of a process share one context, which belongs to the thread that made the first. A process forked after
    that cannot draw: spawn it.

    Attributes:
        camera: where from.
        info: the engine, its version, the platform and the driver.
    """

    def __init__(self, camera: Camera) -> None:
        """Open the context, if this is the process's first engine, on the platform of `probe`.

        Raises:
            UserError: no platform draws without a window.
        """
        if "PYOPENGL_PLATFORM" not in os.environ:
            probe()
        _open_context()
        from OpenGL import GL as gl

        self.camera = camera
        self.info = {
            "engine": "pyrender",
            "version": version("pyrender-maintained"),
            "platform": os.environ["PYOPENGL_PLATFORM"],
            "gl_vendor": gl.glGetString(gl.GL_VENDOR).decode(),
            "gl_renderer": gl.glGetString(gl.GL_RENDERER).decode(),
            "gl_version": gl.glGetString(gl.GL_VERSION).decode(),
        }

    def render(
        self,
        vertices: Float64[np.ndarray, "v 3"],
        faces: Int[np.ndarray, "f 3"],
        rotations: Float64[np.ndarray, "n 3 3"],
    ) -> Iterator[tuple[UInt8[np.ndarray, "size size"], UInt8[np.ndarray, "size size 3"]]]:
        """Draw a mesh in each rotation; see `Engine.render`."""
        from pyrender import Primitive

        faces, normals = visible(vertices, faces)
        mesh = Primitive(vertices[faces].reshape(-1, 3), normals.repeat(3, axis=0))
        mesh._add_to_context()
        try:
            for rotation in rotations:
                yield pixels(self._draw(mesh, rotation))
        finally:
            mesh.delete()

    def _draw(self, mesh: Any, rotation: Float64[np.ndarray, "3 3"]) -> UInt8[np.ndarray, "side side 4"]:
        from OpenGL import GL as gl

        program, side = _program(), SUPERSAMPLING * self.camera.size
        gl.glBindFramebuffer(gl.GL_FRAMEBUFFER, _framebuffer(side))
        gl.glViewport(0, 0, side, side)
        gl.glClear(gl.GL_COLOR_BUFFER_BIT | gl.GL_DEPTH_BUFFER_BIT)
        program._bind()
        program.set_uniform("projection", self.camera.projection)
        program.set_uniform("pose", self.camera.pose(rotation))
        mesh._bind()
        gl.glDrawArrays(gl.GL_TRIANGLES, 0, len(mesh.positions))
        samples = np.empty((side, side, 4), dtype=np.uint8)
        gl.glReadPixels(0, 0, side, side, gl.GL_RGBA, gl.GL_UNSIGNED_BYTE, samples)
        return samples[::-1]  # OpenGL counts rows from below


@functools.cache
def probe() -> dict[str, str]:
    """Find a platform that draws without a window, choose it, and describe it as `GL.info` does.

    It is chosen for this process and its children by the environment variable PYOPENGL_PLATFORM; where that is set
    already, no other is tried. Each trial is a process of its own, as a failed `import OpenGL` cannot be repeated.

    Raises:
        UserError: none works.
    """
    chosen = os.environ.get("PYOPENGL_PLATFORM")
    failures = []
    for platform in [chosen] if chosen else PLATFORMS:
        environment = os.environ | {"PYOPENGL_PLATFORM": platform}
        command = [sys.executable, "-m", "sphreg.render.gl"]
        trial = subprocess.run(command, env=environment, capture_output=True, text=True)
        if trial.returncode == 0:
            os.environ["PYOPENGL_PLATFORM"] = platform
            info: dict[str, str] = json.loads(trial.stdout)
            return info
        failures.append(f"{platform}: {(trial.stderr.splitlines() or [f'exit status {trial.returncode}'])[-1]}")
    source = "from the variable PYOPENGL_PLATFORM, " if chosen else ""
    raise _unusable(source + "; ".join(failures))


def _unusable(reason: str) -> UserError:
    packages = " or ".join(f"{names} ({platform})" for platform, names in PLATFORMS.items())
    return UserError(f"OpenGL cannot draw without a window ({reason}); install the apt packages {packages}.")


@functools.cache
def _open_context() -> Any:
    """Open the one context of this process, and never close it: closing one on EGL breaks all others."""
    os.environ.setdefault("LP_NUM_THREADS", "1")  # Mesa's threads gain nothing where each core has a process
    # pyrender imports its window, which is not used here and wants libraries of X.
    sys.modules.setdefault("pyrender.viewer", ModuleType("pyrender.viewer")).Viewer = None  # type: ignore[attr-defined]
    try:
        from OpenGL import GL as gl
        from pyrender import OffscreenRenderer

        context = OffscreenRenderer(1, 1)
    except Exception as error:
        raise _unusable(f"{os.environ['PYOPENGL_PLATFORM']}: {error!r}") from error
    gl.glEnable(gl.GL_DEPTH_TEST)
    for option in gl.GL_CULL_FACE, gl.GL_BLEND, gl.GL_MULTISAMPLE, gl.GL_DITHER:
        gl.glDisable(option)
    gl.glClearColor(0, 0, 0, BACKGROUND)
    return context


@functools.cache
def _program() -> Any:
    from pyrender.shader_program import ShaderProgramCache

    shaders = ShaderProgramCache(str(Path(__file__).parent / "shaders"))
    shading = {"AMBIENT": AMBIENT, "HEADLIGHT": HEADLIGHT}
    program = shaders.get_program("surface.vert", "surface.frag", defines=shading)
    program._add_to_context()
    return program


@functools.cache
def _framebuffer(side: int) -> int:
    """One square RGBA8 target of one sample a pixel, with a depth buffer."""
    from OpenGL import GL as gl

    framebuffer = int(gl.glGenFramebuffers(1))
    gl.glBindFramebuffer(gl.GL_FRAMEBUFFER, framebuffer)
    for attachment, layout in (
        (gl.GL_COLOR_ATTACHMENT0, gl.GL_RGBA8),
        (gl.GL_DEPTH_ATTACHMENT, gl.GL_DEPTH_COMPONENT24),
    ):
        buffer = gl.glGenRenderbuffers(1)
        gl.glBindRenderbuffer(gl.GL_RENDERBUFFER, buffer)
        gl.glRenderbufferStorage(gl.GL_RENDERBUFFER, layout, side, side)
        gl.glFramebufferRenderbuffer(gl.GL_FRAMEBUFFER, attachment, gl.GL_RENDERBUFFER, buffer)
    return framebuffer


def main() -> None:
    """One trial of `probe`: draw a triangle and print what drew it."""
    try:
        engine = GL(Camera(size=8, fov_deg=40.0))
        next(engine.render(np.eye(3), np.array([[0, 1, 2]]), np.eye(3)[None]))
    except UserError as error:
        # PyOpenGL has None in the place of a library that it did not find.
        missing = isinstance(error.__cause__, AttributeError)
        sys.exit("its library is not installed" if missing else repr(error.__cause__))
    print(json.dumps(engine.info))


if __name__ == "__main__":
    main()
