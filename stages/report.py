"""Stage `report`: metrics, curves and pictures of the chosen head."""

import sys
from pathlib import Path

from sphreg.config import Params
from sphreg.report import report
from stages import run


def main(params: Params, results: Path, data: Path, out: Path) -> None:
    """Write to OUT what the tables in RESULTS and the packed dataset DATA show."""
    report(results, data, out)


if __name__ == "__main__":
    sys.exit(run(main))
