"""Stage `check`: every setting, before any work is done. `python -m stages.check --preset paper` checks a preset."""

import shutil
import sys
from pathlib import Path

from sphreg.config import TASKS, Params, check_heads
from sphreg.errors import UserError
from sphreg.files import write_whole
from stages import NOWHERE, run


def main(params: Params, out: Path = NOWHERE) -> None:
    """Check params.yaml; write a marker to OUT."""
    folder = params.meshes.folder.path
    if not Path(folder).is_dir():  # for any source, as DVC watches it
        raise UserError(f"params.yaml: meshes.folder.path is {folder!r}, allowed: a folder that exists.")
    for task in TASKS:
        weights = params.train.of(task).weights
        if weights not in (None, "imagenet") and not Path(weights).is_file():
            where = f"params.yaml: train.{task}.weights is {weights!r}"
            raise UserError(f"{where}, allowed: null, imagenet or a file that exists.")
    launcher, *_ = params.train.launcher.split()
    if shutil.which(launcher) is None:
        raise UserError(f"params.yaml: train.launcher starts with {launcher!r}, allowed: a program that is installed.")
    check_heads(params, "params.yaml")
    from sphreg.devices import check_device  # here, as torch takes seconds, and all else is checked before

    check_device(params.train.device, *map(params.train.of, TASKS))
    if out != NOWHERE:
        write_whole(out, b"All settings are known and allowed.\n")


if __name__ == "__main__":
    sys.exit(run(main))
