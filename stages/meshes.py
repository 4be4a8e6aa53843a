"""Stage `meshes`: read, check and normalise all meshes of the source."""

from pathlib import Path

from sphreg.config import Params
from sphreg.sources import build
from stages import SCRATCH, run


def main(params: Params, out: Path) -> None:
    """Write the meshes and their index to the folder OUT."""
    build(params.meshes, out, scratch=SCRATCH / "meshes", downloads=SCRATCH / "downloads")


if __name__ == "__main__":
    run(main)
