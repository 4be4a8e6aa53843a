"""One script per stage, run as `python -m stages.NAME`: paths from the command line, all else from params.yaml."""

import argparse
import inspect
import os
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path

from sphreg.config import load
from sphreg.errors import UserError
from sphreg.locks import alone
from sphreg.presets import find_preset
from sphreg.program import program

# Where other programs use the cores too, the threads of torch lose most of their time waiting for each other in busy
# loops (8 times slower beside three processes on two cores); asleep they wait as well. Read when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# DVC_ROOT is the repository's folder, also where an experiment runs in a copy of it.
SCRATCH = Path(os.environ.get("DVC_ROOT", "."), ".scratch")
NOWHERE = Path(os.devnull)


@program
def run(stage: Callable[..., None]) -> None:
    """Call `stage(params, ...)`; each further argument of it is an option of the command line, of the annotated type.

    With `--preset NAME` the settings are those of params.yaml with the changes of `presets/NAME.yaml`.

    A stage waits for another process that writes to the same `--out`: where DVC is killed, its stage may live on.
    """
    parser = argparse.ArgumentParser(description=stage.__doc__)
    _, *options = inspect.signature(stage).parameters.values()
    for option in options:
        optional = {} if option.default is option.empty else {"default": option.default}
        parser.add_argument(f"--{option.name}", type=option.annotation, required=not optional, **optional)
    parser.add_argument("--preset", help="a set of changes in presets/")
    arguments = vars(parser.parse_args())
    preset = arguments.pop("preset")
    out = arguments.get("out", NOWHERE)
    first = os.environ.get("RANK", "0") == "0"  # of processes that were launched together
    try:
        params = load("params.yaml", None if preset is None else find_preset(preset))
        with alone(out) if first and out != NOWHERE else nullcontext():
            stage(params, **arguments)
    except UserError:
        with suppress(OSError):  # which may be what is wrong
            os.utime("params.yaml")  # or `git checkout` may overlook a change that DVC made within the second
        raise
