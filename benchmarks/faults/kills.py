"""Runs that are killed at any moment: the next run makes the right bytes, and nothing is left behind."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.faults.children import ALONE, Ended
from benchmarks.faults.findings import Finding, Outcome, judge
from benchmarks.faults.project import DURATIONS, IDENTITY, LIMIT_S, ROOT, Program, digests

SIGNALS = signal.SIGKILL, signal.SIGTERM, signal.SIGINT
ROUNDS = 1000  # more than there is time for
HAND = 6  # kills by hand for one with DVC
TWINS = "*@*-direct"  # stages that do what those of the other head do
HALF_A_LOCK = "Unable to read RWLock-file"  # of DVC, killed while it wrote it; the README says what to do
# Beside the outputs: what DVC and Python keep for themselves, and unfinished work.
OWN = (".git", ".dvc", ".scratch", "__pycache__", "dvc.lock")


@dataclass(frozen=True)
class Kill:
    """A stage that is killed.

    Attributes:
        by_dvc: whether `dvc repro` runs it, or a person.
        number: of the round.
    """

    stage: Program
    by_dvc: bool
    signal: signal.Signals
    number: int

    @property
    def group(self) -> str:
        """The row of the table."""
        return f"{'dvc repro' if self.by_dvc else 'by hand'}, {self.signal.name}"

    @property
    def name(self) -> str:
        """As `--case` has it."""
        return f"{self.stage.name}:{'dvc' if self.by_dvc else 'hand'}:{self.signal.name}:{self.number}"


def cases(stages: Sequence[Program], seed: int) -> Iterator[Kill]:
    """Each stage with each signal, in another order each round; some by DVC, which takes seconds to start."""
    rng = np.random.default_rng(seed)
    alone = [stage for stage in stages if not fnmatch(stage.name, TWINS)]
    by_hand, by_dvc = ([(stage, each) for stage in alone for each in SIGNALS] for _ in range(2))
    for number in range(ROUNDS):
        for kind in by_hand, by_dvc:
            rng.shuffle(kind)
        for place, (stage, each) in enumerate(by_hand):
            yield Kill(stage, False, each, number)
            if place % HAND == 0:
                stage, each = by_dvc[place // HAND]
                yield Kill(stage, True, each, number)


def run(case: Kill, seed: int, scratch: Path) -> list[Finding]:
    """Kill it, run it again, and look at what is there."""
    rng = np.random.default_rng([seed, *case.name.encode()])
    with TemporaryDirectory(dir=scratch) as name:
        folder = Path(name) / "project"
        shutil.copytree(case.stage.root, folder, symlinks=True)
        expected = _all(folder)
        stage = replace(case.stage, root=folder)
        after = duration(case.stage, case.by_dvc) * rng.random()
        start = _dvc if case.by_dvc else _by_hand
        first = start(stage, case.signal, after)
        second, told = repaired(folder, lambda: start(stage, None, LIMIT_S))
        found = _all(folder)
    where = f"after {after:.2f} s"
    if case.signal is signal.SIGINT and _is_ours(first.said, folder):
        return [Finding("kills", case.group, case.name, Outcome.TRACEBACK, f"{where}: {first.said.splitlines()[-1]}")]
    outcome, said = judge(second, found == expected)
    if outcome is Outcome.SENTENCE:  # a run that nobody disturbs has no reason to end
        outcome = Outcome.TRACEBACK
    if outcome is Outcome.SAME and told:
        outcome = Outcome.SENTENCE
    differ = sorted(path for path in expected.keys() | found.keys() if expected.get(path) != found.get(path))
    return [Finding("kills", case.group, case.name, outcome, f"{where}: {', '.join(differ[:5]) or said}")]


def repaired(folder: Path, run: Callable[[], Ended]) -> tuple[Ended, bool]:
    """How a run ends, if need be once more, without half a lock of DVC; and whether there was one."""
    ended = run()
    if HALF_A_LOCK not in ended.said:
        return ended, False
    (folder / ".dvc/tmp/rwlock").unlink()
    return run(), True


def _is_ours(said: str, folder: Path) -> bool:
    """Whether there is a traceback through a stage, and not only through DVC or this program."""
    ours = (f'File "{root / name}' for root in (ROOT, folder) for name in ("sphreg", "stages"))
    return "Traceback (most recent call last)" in said and any(file in said for file in ours)


def _all(folder: Path) -> dict[str, str]:
    """The checksums of all files but those that are nobody's results."""
    names = [path.name for path in folder.iterdir()]
    return {
        path: digest
        for path, digest in digests(folder, names).items()
        if not any(part in OWN for part in Path(path).parts)
    }


def duration(stage: Program, by_dvc: bool) -> float:
    """About how long it takes when nothing disturbs it, in seconds."""
    return DURATIONS[stage.name] + (_start_of_dvc(stage) if by_dvc else 0)


@cache
def _start_of_dvc(stage: Program) -> float:
    """How long DVC takes to begin and end, beside the stage; that stage is not run."""
    begun = time.monotonic()
    ended = end(start_dvc(stage.root, "repro", "--dry", "--force", "--single-item", address(stage)))
    if ended.status != 0:
        raise RuntimeError(f"dvc fails without any fault, with status {ended.status}:\n{ended.said}")
    return 2 * (time.monotonic() - begun)  # and to import what the stage needs


def _by_hand(stage: Program, number: signal.Signals | None, seconds: float) -> Ended:
    """Run a stage in a forked process, and send a signal to its group after so many seconds."""
    child = stage.start()
    if number is not None:
        child.wait(seconds)
        child.send(number)
    return child.end(LIMIT_S)


def _dvc(stage: Program, number: signal.Signals | None, seconds: float) -> Ended:
    """The same with `dvc repro`."""
    process = start_dvc(stage.root, "repro", "--force", "--single-item", address(stage))
    if number is not None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
    return end(process)


def address(stage: Program) -> str:
    """How the command line of DVC names a stage."""
    in_folder = stage.name.partition("@")[0] in ("train", "evaluate", "table", "page")
    return f"{'stages/' if in_folder else ''}dvc.yaml:{stage.name}"


def start_dvc(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """A command of DVC, with its processes in a group of their own."""
    variables = (
        ALONE
        | IDENTITY
        | {
            "DVC_NO_ANALYTICS": "1",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
    )
    return subprocess.Popen(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=folder,
        env=os.environ | variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )


def end(process: subprocess.Popen[str]) -> Ended:
    """Wait for a command of DVC, and end it and its group after a while."""
    try:
        said, _ = process.communicate(timeout=LIMIT_S)
        status: int | None = process.returncode
    except subprocess.TimeoutExpired:
        status = None
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    if status is None:
        said, _ = process.communicate()
    return Ended(status, said)
