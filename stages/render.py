"""Stage `render`: grey images and normals of each mesh in random rotations."""

import os
import sys
from pathlib import Path

from sphreg.config import Params
from sphreg.render.dataset import render_dataset
from stages import run


def main(params: Params, meshes: Path, out: Path) -> None:
    """Render the meshes in the folder MESHES; write a shard of views for each of them to the folder OUT."""
    # DVC_ROOT is the repository's folder, also where an experiment runs in a copy of it.
    scratch = Path(os.environ.get("DVC_ROOT", ".")) / ".scratch" / "render"
    render_dataset(meshes, out, params.render, params.execution, scratch)


if __name__ == "__main__":
    sys.exit(run(main))
