"""What becomes of broken runs and broken files: `python -m benchmarks.faults`.

In a small project of its own, which is removed at the end:

  kills   each stage, killed at any moment, by hand and by `dvc repro`, then run again
  pairs   two of a stage at once, two experiments, a stage that outlived its `dvc`, two downloads of an archive
  inputs  each file that a stage or a program reads: missing, cut, flipped, doubled, swapped, a folder, ...
  fuzz    files that are changed at random, for each reader

The status is 1 where anything ends otherwise than with the same bytes, with a sentence, or as `allowed` has it; each
such case is printed with the command that repeats it.
"""

import argparse
import math
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from fnmatch import fnmatchcase
from functools import cached_property, partial
from itertools import chain
from pathlib import Path

import numpy as np

from benchmarks.faults import fuzz, inputs, kills, pairs
from benchmarks.faults.children import FORK, import_all
from benchmarks.faults.findings import GOOD, Finding
from benchmarks.faults.page import faulty, page
from benchmarks.faults.project import Program, build, clone, digests, stages
from sphreg.files import write_whole

PARTS = "kills", "pairs", "inputs", "fuzz"
Case = Callable[[], list[Finding]]


def main(argv: list[str] | None = None) -> int:
    """Run the campaign; status 1 if it finds a fault."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn (%(default)s)")
    parser.add_argument("--minutes", type=float, default=1.0, help="for each part, and for each reader (%(default)g)")
    parser.add_argument("--only", type=_parts, default=PARTS, help=f"some of {','.join(PARTS)}")
    parser.add_argument("--case", nargs="+", default=["*"], help="cases of these names; * and ? stand for others")
    parser.add_argument("--out", type=Path, help="a page to write")
    parser.add_argument(
        "--kept", type=Path, default=Path(".scratch/faults"), help="for files that broke a reader (%(default)s)"
    )
    arguments = parser.parse_args(argv)
    if not 0 < arguments.minutes < 60 * 24:
        parser.error(f"--minutes is {arguments.minutes:g}, allowed: more than 0, and less than a day")
    import_all()
    findings: list[Finding] = []
    with tempfile.TemporaryDirectory() as name:
        campaign = Campaign(
            arguments.seed, 60 * arguments.minutes, arguments.case, Path(name), arguments.kept.absolute()
        )
        for part in arguments.only:
            findings += campaign.run(part)
    command = ["python", "-m", "benchmarks.faults", *(sys.argv[1:] if argv is None else argv)]
    text = page(findings, command, arguments.seed, campaign.notes)
    print(f"\n{text}")
    if arguments.out:
        write_whole(arguments.out, text.encode())
    if not findings:
        parser.error(f"--case is {', '.join(arguments.case)}, allowed: names of cases in {','.join(arguments.only)}")
    return int(bool(faulty(findings)))


def _parts(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - set(PARTS):
        raise argparse.ArgumentTypeError(f"no part is {min(unknown)!r}, allowed: {', '.join(PARTS)}")
    return [name for name in PARTS if name in names]


class Campaign:
    """All parts, on one project.

    Args:
        seed: of all that is drawn.
        seconds: for each part, and for each reader.
        names: of cases, as patterns.
        folder: for the project and its copies.
        kept: a folder for files that broke a reader.
    """

    def __init__(self, seed: int, seconds: float, names: Sequence[str], folder: Path, kept: Path) -> None:
        self.seed, self.seconds, self.names, self.folder, self.kept = seed, seconds, names, folder, kept
        self.notes: list[str] = []
        self.project, self.scratch = folder / "project", folder / "scratch"

    def run(self, part: str) -> list[Finding]:
        """What a part finds; faults are printed as they are found."""
        print(f"{part} ...", flush=True)
        calls = {"kills": self._kills, "pairs": self._pairs, "inputs": self._inputs, "fuzz": self._fuzz}[part]()
        found = []
        for finding in spread(calls, math.inf if part == "fuzz" else self.seconds):
            found.append(finding)
            if finding.outcome not in GOOD:
                print(f"{finding.outcome.value}: {finding.case}: {' '.join(finding.said.split())}", flush=True)
        return found

    @cached_property
    def stages(self) -> list[Program]:
        """Of the project, which is made here."""
        self.scratch.mkdir()
        clone(self.project)
        return stages(self.project)

    def _asked(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self.names)

    def _asked_of(self, group: str) -> bool:
        """Whether any case of it may be, whose name begins with it."""
        return any(fnmatchcase(group, pattern.partition(":")[0]) for pattern in self.names)

    def _kills(self) -> Iterator[Case]:
        wanted = [stage for stage in self.stages if self._asked_of(stage.name)]
        build(self.stages, [out for stage in wanted for out in stage.outs])
        for case in kills.cases(wanted, self.seed):
            if self._asked(case.name):
                yield partial(kills.run, case, self.seed, self.scratch)

    def _pairs(self) -> Iterator[Case]:
        needed = {name for kind, names in pairs.KINDS.items() if self._asked_of(kind) for name in names}
        build(self.stages, [out for stage in self.stages if stage.name in needed for out in stage.outs])
        for case in pairs.cases():
            if self._asked(case.name):
                yield partial(pairs.run, case, self.stages, self.seed, self.scratch)

    def _inputs(self) -> Iterator[Case]:
        prepare = inputs.programs(self.stages, self.folder)
        chosen = [each for each in prepare if self._asked_of(each.name)]
        build(self.stages, [path for each in chosen for path in (*each.reads, *each.beside)])
        for each in chosen:
            prepare[each]()
        cases = [case for case in inputs.cases(chosen) if self._asked(case.name)]
        self.notes.append(
            f"Inputs have {len(cases):,} cases; a run takes as many, drawn at random, as its time allows."
        )
        before = [digests(each.root, each.reads) for each in chosen]
        for place in np.random.default_rng(self.seed).permutation(len(cases)):
            yield partial(inputs.run, cases[place], self.seed, self.scratch)
        if before != [digests(each.root, each.reads) for each in chosen]:
            raise RuntimeError("a program has changed what it reads")

    def _fuzz(self) -> Iterator[Case]:
        for reader in fuzz.READERS:
            for name in self.names:
                pattern, _, number = name.partition(":")
                if fnmatchcase(reader, pattern):
                    only = int(number) if number.isdigit() else None
                    yield partial(fuzz.run, reader, self.seed, self.seconds, self.kept, only)


def spread(calls: Iterator[Case], seconds: float) -> Iterator[Finding]:
    """Make calls in as many processes as there are cores, and begin none when the time is over."""
    cores = len(os.sched_getaffinity(0))
    first = next(calls, None)  # before the processes are forked, as it may take long
    calls = chain([first] if first else [], calls)
    end = time.monotonic() + seconds
    with ProcessPoolExecutor(cores, FORK) as pool:
        running: set[Future[list[Finding]]] = set()
        while True:
            while len(running) < cores and time.monotonic() < end and (call := next(calls, None)):
                running.add(pool.submit(call))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield from future.result()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # as `timeout` sends it
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
