"""What a GPU does with this project: `python -m benchmarks.gpu`, in so many minutes, into benchmarks/gpu.md.

Each phase is a process of its own, which is ended when its time is over; the most important come first. What a phase
found stands on the page as soon as the phase ends, in place of what it found another day.

  a  what there is: the card, its software and its peaks
  b  whether training and prediction are correct on it
  c  how fast networks train
  d  how fast images are rendered and decoded
  e  a result: the heads, each trained for the same time; only where --only asks for it
  f  networks layer by layer, their largest batches, and what `compile` gains; only where --only asks for it

Needs torch, the library and neither DVC nor a network. Without a GPU, `--device cpu --minutes 1` tries each phase.
"""

import argparse
import contextlib
import os
import shlex
import signal
import sys
import tempfile
import time
from datetime import date
from multiprocessing.context import BaseContext
from pathlib import Path

import torch

from benchmarks import trainings
from benchmarks.gpu import page
from benchmarks.gpu.phases import PHASES, run
from benchmarks.gpu.setting import Setting, new_processes
from sphreg.program import program


@program
def main(argv: list[str] | None = None) -> int:
    """Run the phases; status 1 if one of them failed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=5.0, help="for all phases together (5)")
    parser.add_argument("--only", type=_names, help="phases, such as b,c; without: all but e and f")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="cpu: a dry run at a small scale")
    parser.add_argument("--out", type=Path, help="the page (benchmarks/gpu.md; of a dry run none)")
    arguments = parser.parse_args(argv)
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch finds no GPU here, allowed: --device cpu, for a dry run")
    trainings.own_params()  # what is wrong with them is said before a phase begins
    out = arguments.out or (Path("benchmarks/gpu.md") if arguments.device == "cuda" else None)
    if not 0 < arguments.minutes < 60 * 24:
        parser.error(f"--minutes is {arguments.minutes:g}, allowed: more than 0, and less than a day")
    if arguments.out is not None and (arguments.out.is_dir() or not arguments.out.parent.is_dir()):
        parser.error(f"--out is {str(arguments.out)!r}, allowed: a file in a folder that exists")
    names = arguments.only or [name for name in PHASES if name not in "ef" or arguments.device == "cpu"]
    command = shlex.join(["python", "-m", "benchmarks.gpu", *(sys.argv[1:] if argv is None else argv)])
    processes = new_processes()
    status, end = 0, time.monotonic() + 60 * arguments.minutes
    with tempfile.TemporaryDirectory() as folder:
        for number, name in enumerate(names):
            later = [PHASES[other] for other in names[number:]]
            weights = [phase.weight if arguments.device == "cuda" else phase.dry for phase in later]
            seconds = (end - time.monotonic()) * weights[0] / sum(weights)
            setting = Setting(arguments.device, seconds, Path(folder))
            print(f"Phase {name}, {PHASES[name].title}, of at most {seconds:.0f} s ...", flush=True)
            ended, failed = _in_process(processes, name, setting)
            print(f"\n{ended}\n", flush=True)
            if out is not None:
                note = f"`{command}`, {date.today():%Y-%m-%d}. {ended}"
                page.replace(out, page.Section(f"{name}. {PHASES[name].title}", note, setting.rows(name)))
            status |= failed
    return status


def _names(text: str) -> list[str]:
    names = set(text.split(","))
    if unknown := names - set(PHASES):
        raise argparse.ArgumentTypeError(f"no phase is {min(unknown)!r}, allowed: {', '.join(PHASES)}")
    return [name for name in PHASES if name in names]


def _in_process(processes: BaseContext, name: str, setting: Setting) -> tuple[str, bool]:
    """Run a phase in a process; how it ended, and whether it failed."""
    process = processes.Process(target=run, args=(name, setting))  # type: ignore[attr-defined]
    start = time.monotonic()
    process.start()
    try:
        process.join(setting.seconds)
        alive = process.is_alive()
    finally:  # whatever ends this process, too
        with contextlib.suppress(ProcessLookupError):  # it may not have come to make its group
            os.killpg(process.pid, signal.SIGKILL)  # and the processes that it started
        process.kill()
        process.join()
    seconds = time.monotonic() - start
    if alive:
        return f"Ended when its {setting.seconds:.0f} s were over.", False
    if process.exitcode:
        return f"It failed after {seconds:.0f} s, with status {process.exitcode}.", True
    return f"It took {seconds:.0f} s.", False


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # as `timeout` and batch systems send it
    sys.exit(main())
