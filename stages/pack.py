"""Stage `pack`: the views of each split in LMDB files and a table."""

import sys
from pathlib import Path

from sphreg.config import Params
from sphreg.pack import pack
from stages import run


def main(params: Params, shards: Path, meshes: Path, out: Path) -> None:
    """Pack the views in the folder SHARDS of the meshes in the folder MESHES; write the dataset to the folder OUT."""
    pack(shards, meshes, out, params.render)


if __name__ == "__main__":
    sys.exit(run(main))
