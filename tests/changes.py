"""Stages in processes that are killed when they are about to change a file, or that run two at once.

`python -m tests.changes FOLDER` tries all and prints what went wrong; a process of its own, as it forks.
"""

import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from simplejpeg import encode_jpeg

from sphreg.config import Execution, Meshes
from sphreg.locks import alone
from sphreg.render import dataset
from sphreg.render.png import png
from sphreg.render.shards import encode_shard, view_names
from sphreg.sources import build
from tests.settings import PARAMS
from tests.shapes import box
from tests.test_rendering import SETTINGS, contents, write_meshes

KILLS = 8  # of each stage
CHANGES = "os.rename", "os.link", "os.remove", "os.rmdir", "os.mkdir"
SOURCE = Meshes.model_validate(
    PARAMS.meshes.model_dump() | {"categories": ["chair"], "furniture": {"seed": 0, "train": 3, "test": 2}}
)


class Here:
    """In the place of workers: this process."""

    def once(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)

    def each(self, function: Callable[..., Any], tasks: Any, arguments: Callable[[Any], Any]) -> Iterator[Any]:
        for task in tasks:
            yield task, function(*arguments(task))


def draw(job: Any, mesh: str, split: str, content: bytes) -> bytes:
    """In the place of `render_mesh`: as there, the same for the same mesh."""
    time.sleep(0.01)  # or two at once would hardly meet
    names, with_normals = view_names(job.settings, split)
    colours = np.full((SETTINGS.size, SETTINGS.size, 3), sum(content) % 256, np.uint8)
    image = encode_jpeg(colours[..., :1].copy(), 95, "GRAY")
    return encode_shard(
        dict.fromkeys(names, image), dict.fromkeys(with_normals, png(colours)), np.eye(4)[[0] * len(names)]
    )


@contextmanager
def here(_: Execution) -> Iterator[Here]:
    yield Here()


def render(out: Path) -> None:
    dataset.render_dataset(Path("meshes"), out, SETTINGS, PARAMS.execution, Path("scratch"))


def make(out: Path) -> None:
    build(SOURCE, out, Path("downloads"))


def fork(stage: Callable[[Path], None], out: Path, kill_at: int = 0) -> int:
    """The process that does it, and is killed at a change; its status is 9 then, and else 0."""
    if process := os.fork():
        return process
    try:
        changes = 0

        def hook(event: str, _: Any) -> None:
            nonlocal changes
            if event in CHANGES:
                changes += 1
                if changes == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)

        if kill_at:
            sys.addaudithook(hook)
        with alone(out):  # as `stages.run` does
            stage(out)
        os._exit(0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)


def end(process: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def tried(stage: Callable[[Path], None], right: dict[str, bytes], kills: list[int]) -> Iterator[str]:
    """What is wrong after a kill, and after a kill beside another process, on another `out` or the same."""
    for kill_at in kills:
        for other in None, Path("other"), Path("out"):
            what = f"{stage.__name__}, killed at change {kill_at}, beside {other}"
            first = fork(stage, Path("out"), kill_at)
            second = fork(stage, other) if other else None
            if end(first) not in (0, -signal.SIGKILL):
                yield f"{what}: the first failed"
            if second and (end(second) or contents(other) != right):
                yield f"{what}: the second is wrong"
            if end(fork(stage, Path("out"))) or contents(Path("out")) != right:
                yield f"{what}: it is wrong when it is done again"
            if left := [path for path in Path().glob("*/*") if path.parent.name == "scratch" or "er." in path.name]:
                yield f"{what}: {left} was left"


def main(folder: str) -> None:
    dataset.workers, dataset.render_mesh = here, draw  # type: ignore[assignment]
    rng = random.Random(0)
    for stage in render, make:
        os.makedirs(f"{folder}/{stage.__name__}")
        os.chdir(f"{folder}/{stage.__name__}")
        write_meshes(
            Path("meshes"), {f"chair_{n:04d}": ("chair", "test" if n else "train", box(1, 2, 3 + n)) for n in range(5)}
        )
        stage(Path("right"))
        right = contents(Path("right"))
        two = [fork(stage, Path(name)) for name in ("one", "two")]
        if any(end(process) for process in two) or any(contents(Path(name)) != right for name in ("one", "two")):
            print(f"{stage.__name__}: two at once are wrong")
        for problem in tried(stage, right, rng.sample(range(1, 60), KILLS)):
            print(problem)


if __name__ == "__main__":
    main(sys.argv[1])
