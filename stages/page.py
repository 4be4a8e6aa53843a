"""Stage `page`: all heads and tasks on one page, to read in a browser."""

import sys
from pathlib import Path

from sphreg.comparison import Comparison, Scored, compare
from sphreg.config import Params
from sphreg.info import read_info
from sphreg.page import write_page
from sphreg.page.highlights import write_highlights
from sphreg.page.study import study
from sphreg.runs import runs_in
from stages import run

COMMAND = "uv run dvc repro -P"


def main(params: Params, results: Path, data: Path, meshes: Path, out: Path, highlights: Path) -> None:
    """Write the page and its figures to OUT, from all RESULTS on the packed dataset DATA, rendered from MESHES.

    What the README shows of it goes to HIGHLIGHTS.
    """
    info = read_info(data)
    runs = runs_in(results, params.heads, params.tasks, params.seed)
    found: dict[str, Comparison] = {}
    for task in params.tasks:
        found[task] = compare([Scored(each, Path(each.folder), info) for each in runs if each.task == task])
    shown = study(found, data, meshes)
    write_page(shown, [], COMMAND, params.model_dump(), out)
    write_highlights(shown, highlights)


if __name__ == "__main__":
    sys.exit(run(main))
