"""Stage `meshes`: read, check and normalise all meshes of the source."""

import sys
from pathlib import Path

from sphreg.config import Params
from sphreg.errors import UserError
from sphreg.formats import FORMATS
from sphreg.scratch import tidy
from sphreg.sources import build
from stages import SCRATCH, run


def main(params: Params, out: Path) -> None:
    """Write the meshes and their index to the folder OUT."""
    if params.meshes.source == "folder":
        _check_copy(Path(params.meshes.folder.path))
    tidy(SCRATCH / "meshes")  # of older versions, which worked there
    build(params.meshes, out, SCRATCH / "downloads")


def _check_copy(folder: Path) -> None:
    """An experiment in a copy of the repository (`--temp`, `--queue`) finds there what git or DVC tracks, and no more.

    Raises:
        UserError: the folder has meshes in the repository, and none in the copy.
    """
    meshes, copied = (
        {path.relative_to(root).as_posix() for path in root.rglob("*") if path.suffix[1:].lower() in FORMATS}
        for root in (SCRATCH.parent / folder, folder)
    )
    if missing := sorted(meshes - copied):
        said = (
            f"{folder}: this experiment runs in a copy of the repository, which lacks {len(missing)} of {len(meshes)} "
            f"meshes, as {missing[0]}; `git add` or `dvc add` their folders, or name each with `--copy-paths`."
        )
        if not copied:
            raise UserError(said)
        print(said, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(run(main))
