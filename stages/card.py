"""Stage `card`: what the packed dataset holds, as tables, a curve and pictures."""

import sys
from pathlib import Path

from sphreg.card import card
from sphreg.config import Params
from stages import run


def main(params: Params, data: Path, meshes: Path, out: Path) -> None:
    """Write to OUT the card of the packed dataset DATA, which was rendered from the folder MESHES."""
    card(data, meshes, out)


if __name__ == "__main__":
    sys.exit(run(main))
