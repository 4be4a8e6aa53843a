"""Two of everything at once: both end with the right bytes, or one with a sentence."""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil
import yaml

from benchmarks.faults.children import Child
from benchmarks.faults.findings import Finding, Outcome, judge
from benchmarks.faults.inputs import archive_of_meshes, reference
from benchmarks.faults.kills import address, duration, end, repaired, start_dvc
from benchmarks.faults.project import LIMIT_S, Program, clone
from sphreg.download import fetch
from sphreg.errors import UserError

ROUNDS = 1000  # more than there is time for
KINDS = {  # and the stages that they need
    **{f"two {stage}": (stage,) for stage in ("meshes", "render", "train@rotation-sexp", "train@normals-sexp")},
    "two downloads": (),
    "one that outlived dvc": ("render",),
    "two experiments": ("pack",),
}
WITH_DVC = ("one that outlived dvc", "two experiments")
TOGETHER_S = 1.0  # that a server waits for the second of two who ask


@dataclass(frozen=True)
class Pair:
    """Two of something at once.

    Attributes:
        kind: what they do.
        number: of the round.
    """

    kind: str
    number: int

    @property
    def name(self) -> str:
        """As `--case` has it."""
        return f"{self.kind}:{self.number}"


def cases() -> Iterator[Pair]:
    """Each pair, again and again; those with DVC, which takes seconds to start, once in five rounds."""
    for number in range(ROUNDS):
        for kind in KINDS:
            if kind not in WITH_DVC or number % 5 == 0:
                yield Pair(kind, number)


def run(case: Pair, stages: list[Program], seed: int, scratch: Path) -> list[Finding]:
    """Run them, and judge the worse of both."""
    by_name = {stage.name: stage for stage in stages}
    rng = np.random.default_rng([seed, *case.name.encode()])
    with TemporaryDirectory(dir=scratch) as name:
        match case.kind:
            case "two downloads":
                judged = _downloads(Path(name))
            case "two experiments":
                judged = _experiments([by_name["render"], by_name["pack"]], Path(name))
            case "one that outlived dvc":
                judged = _outlived(by_name["render"], rng, Path(name))
            case _:
                judged = _twice(by_name[case.kind.removeprefix("two ")], rng, Path(name), scratch)
    outcome, said = max(judged, key=lambda pair: list(Outcome).index(pair[0]))
    if all(each is Outcome.SENTENCE for each, _ in judged):  # one of them has no reason to
        outcome = Outcome.TRACEBACK
    return [Finding("pairs", case.kind, case.name, outcome, said)]


def _twice(stage: Program, rng: np.random.Generator, folder: Path, scratch: Path) -> list[tuple[Outcome, str]]:
    """Two by hand, the second at any moment of the first, with the scratch of one repository, as experiments have."""
    right = reference(stage, scratch)
    started: list[tuple[Program, Child]] = []
    for number in range(2):
        copy = stage.link(folder / str(number))
        if started:
            started[0][1].wait(float(rng.choice([0, rng.random()])) * duration(stage, False))
        started.append((copy, copy.start(DVC_ROOT=str(folder))))
    ended = [child.end(LIMIT_S) for _, child in started]
    return [judge(each, copy.result() == right) for each, (copy, _) in zip(ended, started, strict=True)]


def _downloads(folder: Path) -> list[tuple[Outcome, str]]:
    """Two who ask for one archive, which a server begins to send when both have asked."""
    content = archive_of_meshes()
    together = threading.Barrier(2)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with contextlib.suppress(threading.BrokenBarrierError):  # where the second waits for the first to have it
                together.wait(TOGETHER_S)
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", '"one"')
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        url = f"http://127.0.0.1:{server.server_port}/archive.zip"
        children = [
            Child(partial(_fetch, url, folder / "downloads", folder / str(number)), folder) for number in range(2)
        ]
        serving = threading.Thread(target=server.serve_forever)  # after the forks
        serving.start()
        ended = [child.end(LIMIT_S) for child in children]
        server.shutdown()
        serving.join()
    return [
        judge(each, (folder / str(number)).is_file() and (folder / str(number)).read_bytes() == content)
        for number, each in enumerate(ended)
    ]


def _fetch(url: str, downloads: Path, target: Path) -> None:
    try:
        shutil.copy(fetch(url, downloads), target)
    except UserError as error:
        raise SystemExit(str(error)) from None


def _outlived(stage: Program, rng: np.random.Generator, folder: Path) -> list[tuple[Outcome, str]]:
    """A stage that lives on after its `dvc` was killed, and a second `dvc repro`."""
    copy = replace(stage, root=folder / "project")
    shutil.copytree(stage.root, copy.root, symlinks=True)
    command = "repro", "--force", "--single-item", address(stage)
    first = start_dvc(copy.root, *command)
    living = _started(first, stage.module)
    psutil.wait_procs(living, float(rng.random()) * duration(stage, False))
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    second, told = repaired(copy.root, lambda: end(start_dvc(copy.root, *command)))
    psutil.wait_procs(living, LIMIT_S)
    end(first)
    found = [(Outcome.SENTENCE, second.said) if told else judge(second, copy.result() == stage.result())]
    third = end(start_dvc(copy.root, "repro", "--single-item", address(stage)))  # what DVC has recorded is there
    return [*found, judge(third, "didn't change" in third.said and copy.result() == stage.result())]


def _started(dvc: subprocess.Popen[str], module: str) -> list[psutil.Process]:
    """The processes of a stage, as soon as DVC has started it; none where it has ended."""
    while dvc.poll() is None:
        children = psutil.Process(dvc.pid).children(recursive=True)
        for child in children:
            with contextlib.suppress(psutil.Error):
                if module in child.cmdline():
                    return children
        with contextlib.suppress(subprocess.TimeoutExpired):
            dvc.wait(0.05)
    return []


def _experiments(stages: Sequence[Program], folder: Path) -> list[tuple[Outcome, str]]:
    """Two of them in copies of the repository, that begin at the meshes, and render the same."""
    copy = folder / "project"
    clone(copy)
    command = "exp", "run", "--temp", "dvc.yaml:pack"
    first = start_dvc(copy, *command, "--name", "first")
    _started(first, stages[0].module)
    second = start_dvc(copy, *command, "--name", "second", "--set-param", "train.normals.lr=0.001")
    found = []
    for name, process in ("first", first), ("second", second):
        ended = end(process)
        found.append(judge(ended, all(_recorded(copy, name, stage) == _sums(stage) for stage in stages)))
    return found


def _recorded(repository: Path, experiment: str, stage: Program) -> dict[str, str]:
    """What an experiment says that a stage wrote: the MD5 of each file."""
    command = ["git", "for-each-ref", "--format=%(refname)", "refs/exps"]
    refs = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True).stdout.split()
    for ref in refs:
        if ref.endswith(f"/{experiment}"):
            command = ["git", "show", f"{ref}:dvc.lock"]
            lock = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True).stdout
            (out,) = yaml.safe_load(lock)["stages"][stage.name]["outs"]
            cached = repository / ".dvc/cache/files/md5" / out["md5"][:2] / out["md5"][2:]
            return {file["relpath"]: file["md5"] for file in json.loads(cached.read_text())}
    return {}


def _sums(stage: Program) -> dict[str, str]:
    (out,) = stage.outs
    return {
        str(path.relative_to(stage.root / out)): hashlib.md5(path.read_bytes()).hexdigest()
        for path in (stage.root / out).rglob("*")
        if path.is_file()
    }
