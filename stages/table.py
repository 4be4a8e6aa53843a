"""Stage `table`: all heads against all tasks."""

import sys
from pathlib import Path

from sphreg.config import Params
from sphreg.table import table
from stages import run


def main(params: Params, results: Path, data: Path, out: Path) -> None:
    """Write `table.md` and `table.json` to OUT, from all RESULTS on the packed dataset DATA."""
    table(results, params.heads, params.tasks, data, out)


if __name__ == "__main__":
    sys.exit(run(main))
