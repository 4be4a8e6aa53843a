"""Stage `meshes`: read, check and normalise all meshes of the source."""

import os
import sys
from pathlib import Path

from sphreg.config import Params
from sphreg.sources import build
from stages import run


def main(params: Params, out: Path) -> None:
    """Write the meshes and their index to the folder OUT."""
    # DVC_ROOT is the repository's folder, also where an experiment runs in a copy of it.
    scratch = Path(os.environ.get("DVC_ROOT", ".")) / ".scratch"
    build(params.meshes, out, scratch=scratch / "meshes", downloads=scratch / "downloads")


if __name__ == "__main__":
    sys.exit(run(main))
