"""Stage `check`: every setting, before any work is done, and what code and settings each stage depends on.

`python -m stages.check --preset paper` checks a preset.
"""

import shutil
import sys
from pathlib import Path

from sphreg.config import TASKS, Params, check_heads
from sphreg.errors import UserError
from sphreg.files import whole_folder
from stages import NOWHERE, run
from stages.fingerprints import fingerprints, written


def main(params: Params, out: Path = NOWHERE) -> None:
    """Check params.yaml; write to OUT, for each stage, a file with the code and the settings that it depends on."""
    own = params.meshes.folder.path
    if not Path(own).is_dir():  # for any source, as DVC watches it
        raise UserError(f"params.yaml: meshes.folder.path is {own!r}, allowed: a folder that exists.")
    launcher, *_ = params.train.launcher.split()
    if shutil.which(launcher) is None:
        raise UserError(f"params.yaml: train.launcher starts with {launcher!r}, allowed: a program that is installed.")
    check_heads(params, "params.yaml")
    from sphreg import networks, tasks  # here, as torch takes seconds, and all else is checked before
    from sphreg.devices import check_device

    trainings = {task: params.train.of(task) for task in TASKS}
    check_device(params.train.device, *trainings.values())
    for task, settings in trainings.items():
        if settings.weights is not None:  # those of ImageNet are fetched now, and not after hours of rendering
            networks.build(tasks.build(task, settings), [1], 1)
    if out == NOWHERE:
        print("All settings are allowed.")
    else:
        with whole_folder(out) as folder:
            for stage, facts in fingerprints(params):
                (folder / stage).write_bytes(written(facts))


if __name__ == "__main__":
    sys.exit(run(main))
