"""The loop that people write with pyrender: a renderer that stays, no culling, a pass for colour, one for normals."""

import functools
import os
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import trimesh
from jaxtyping import Float64

from sphreg.render.camera import Camera

# The second pass: pyrender's own way is other shaders in the place of its own.
NORMALS = {
    "mesh.vert": """#version 330 core
layout(location = 0) in vec3 position;
layout(location = NORMAL_LOC) in vec3 normal;
layout(location = INST_M_LOC) in mat4 inst_m;
uniform mat4 M, V, P;
out vec3 frag_normal;
void main() {
    mat4 pose = V * M * inst_m;
    gl_Position = P * pose * vec4(position, 1.0);
    frag_normal = mat3(pose) * normal;
}
""",
    "mesh.frag": """#version 330 core
in vec3 frag_normal;
out vec4 colour;
void main() {
    vec3 n = normalize(frag_normal);
    colour = vec4((gl_FrontFacing ? n : -n) * 0.5 + 0.5, 1.0);
}
""",
}


def draw(mesh: trimesh.Trimesh, camera: Camera, rotations: Float64[np.ndarray, "n 3 3"]) -> int:
    """Draw a mesh in each rotation and return how many there were. The mesh is uploaded once."""
    os.environ.setdefault("PYOPENGL_PLATFORM", "egl")
    # The stock pyrender would open the window's library, which wants libraries of X.
    sys.modules.setdefault("pyrender.viewer", ModuleType("pyrender.viewer")).Viewer = None  # type: ignore[attr-defined]
    import pyrender

    scene = pyrender.Scene(bg_color=[1.0, 1.0, 1.0, 1.0], ambient_light=[0.3, 0.3, 0.3])
    scene.add(pyrender.PerspectiveCamera(yfov=np.radians(camera.fov_deg), aspectRatio=1.0))
    scene.add(pyrender.DirectionalLight(intensity=3.0))
    node = scene.add(pyrender.Mesh.from_trimesh(mesh, smooth=False))
    renderer, colours, normals = _renderer(camera.size)
    for rotation in rotations:
        scene.set_pose(node, camera.pose(rotation))
        for shaders in colours, normals:
            renderer._renderer._program_cache = shaders
            renderer.render(scene, pyrender.RenderFlags.SKIP_CULL_FACES)
    return len(rotations)


@functools.cache
def _renderer(size: int) -> tuple[Any, Any, Any]:
    import pyrender
    from pyrender.shader_program import ShaderProgramCache

    renderer = pyrender.OffscreenRenderer(size, size)
    folder = Path(tempfile.mkdtemp())
    for name, text in NORMALS.items():
        (folder / name).write_text(text)
    return renderer, renderer._renderer._program_cache, ShaderProgramCache(str(folder))
