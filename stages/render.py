"""Stage `render`: grey images and normals of each mesh in random rotations."""

import sys
from pathlib import Path

from sphreg.config import Params
from stages import SCRATCH, run


def main(params: Params, meshes: Path, out: Path) -> None:
    """Render the meshes in the folder MESHES; write a shard of views for each of them to the folder OUT."""
    from sphreg.render.dataset import render_dataset  # here, as each worker imports this file, and needs less

    render_dataset(meshes, out, params.render, params.execution, SCRATCH / "render")


if __name__ == "__main__":
    sys.exit(run(main))
