"""Stage `page`: all heads and tasks on one page, to read in a browser."""

from pathlib import Path

from sphreg.config import Params
from sphreg.page import write_page
from sphreg.page.results import find_results
from stages import run


def main(params: Params, results: Path, data: Path, meshes: Path, out: Path) -> None:
    """Write the page and its figures to OUT, from all RESULTS on the packed dataset DATA, rendered from MESHES."""
    write_page(find_results(results, params.heads, params.tasks, params.seed), data, meshes, params.model_dump(), out)


if __name__ == "__main__":
    run(main)
