"""Trainings in processes of their own, alone or two together, that may be killed; `Children` starts them.

`torchrun -m tests.children FILE` does what the FILE says, in each of its processes.
"""

import atexit
import itertools
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import torch

import sphreg.training
from sphreg.model import Model, ModelConfig
from sphreg.networks import backbones, pixels
from sphreg.program import program
from tests.datasets import samples_of
from tests.settings import PARAMS

ROOT = Path(__file__).parents[1]
KILLED = -signal.SIGKILL


class Children:
    """A process that has imported all, and is forked for each training: an import takes longer than they do."""

    def __init__(self) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "tests.children"]
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

        atexit.register(self._process.communicate)

    @classmethod
    @cache
    def shared(cls) -> "Children":
        """Of all tests, and ended after them."""
        return cls()

    def train(
        self, config: ModelConfig, data: Path, folder: Path, processes: int = 1, **arguments: Any
    ) -> tuple[list[int], str]:
        """Train to `folder/out`; the exit status of each process, and what they printed, one after the other.

        See `train` for the rest.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = {"config": config.model_dump(mode="json"), "data": str(data), "folder": str(folder)} | arguments
        self._process.stdin.write(json.dumps({"processes": processes, "request": request}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return answer["statuses"], answer["output"]


def train(
    config: dict[str, Any],
    data: str,
    folder: str,
    kill: tuple[str, int] | None = None,
    rank: int | None = None,
    plain: bool = False,
    **settings: Any,
) -> None:
    """Train in this process.

    Args:
        config: of the model.
        data: the dataset.
        folder: gets `out` and `scratch`.
        kill: where it is killed, or what else happens, and at which time of being there, counted from 1: see `PLACES`.
        rank: of the process that is killed; None: each.
        plain: the network has no batch normalisation.
        settings: of the section train, but for those of `quick`.
    """
    torch.set_num_threads(1)
    if plain:
        without_batch_normalisation()
    if kill and os.environ.get("RANK") in (None, str(rank), *(["0", "1"] if rank is None else [])):
        PLACES[kill[0]](kill[1])
    # By a clock that is looked at once a step, and goes on by a second each time: a checkpoint after every 20 steps.
    sphreg.training.time = SimpleNamespace(perf_counter=itertools.count().__next__)  # type: ignore[assignment]
    quick = {"device": "cpu", "loaders": 0, "checkpoint_s": 20.0}
    how = PARAMS.train.model_copy(update=quick | settings)
    wanted = ModelConfig.model_validate_json(json.dumps(config))
    samples = samples_of(Path(data), wanted.task)
    sphreg.training.train(wanted, samples, Path(folder, "out"), how, Path(folder, "scratch"))


def without_batch_normalisation() -> None:
    """The backbone `small`, and the decoder of normals, whose results depend on no other image of the batch."""

    def convolution(inputs: int, outputs: int, stride: int = 1) -> torch.nn.Sequential:
        return torch.nn.Sequential(torch.nn.Conv2d(inputs, outputs, 3, stride, padding=1), torch.nn.ReLU())

    backbones.convolution = pixels.convolution = convolution


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def interrupt() -> None:
    """What Ctrl-C does to this process and to those that decode for it; their numbers are printed."""
    group = [*psutil.Process().children(), psutil.Process()]
    print("GROUP", *(process.pid for process in group), flush=True)
    for process in group:
        process.send_signal(signal.SIGINT)


def lose() -> None:
    """A process that decodes is killed."""
    psutil.Process().children()[-1].kill()


def fill() -> None:
    """The next file of more than 50 kB cannot be written, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))


def counted(count: int, call: Callable[..., Any], end: Callable[[], None] = kill) -> Callable[..., Any]:
    """The same, but at the end of such a call the process is killed, or something else happens."""

    def counting(*args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count -= 1
        result = call(*args, **kwargs)
        if count == 0:
            end()
        return result

    return counting


def at_step(count: int, end: Callable[[], None] = kill) -> None:
    """The weights have changed."""
    sphreg.training.step = counted(count, sphreg.training.step, end)


def in_validation(count: int) -> None:
    """A batch of the held-out images is predicted."""
    Model.predict = counted(count, Model.predict)  # type: ignore[method-assign]


def after_checkpoint(count: int) -> None:
    sphreg.training.checkpoint.save = counted(count, sphreg.training.checkpoint.save)


def in_checkpoint(count: int) -> None:
    """Half of it is written."""
    replace = os.replace

    def half(source: Any, target: Any) -> None:
        nonlocal count
        count -= Path(target).name == "checkpoint.pt"
        if count == 0:
            os.truncate(source, os.path.getsize(source) // 2)
            kill()
        replace(source, target)

    os.replace = half


def at_change(count: int) -> None:
    """A file or a folder is about to be made, renamed or removed; all these are printed."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        match event, arguments:
            case "open", (_, mode, _):
                changes = isinstance(mode, str) and "w" in mode
            case "os.mkdir", (path, *_):
                changes = not os.path.exists(path)
            case "os.remove", (path, folder):
                changes = folder != -1 or os.path.exists(path)
            case _:
                changes = event in ("os.rename", "os.rmdir", "shutil.rmtree")
        if changes:
            count -= 1
            if count == 0:
                kill()
            os.write(1, f"CHANGE {event} {arguments[0]}\n".encode())

    sys.addaudithook(hook)


PLACES: dict[str, Callable[[int], None]] = {
    "step": at_step,
    "interrupt": partial(at_step, end=interrupt),
    "lose": partial(at_step, end=lose),
    "fill": partial(at_step, end=fill),
    "validation": in_validation,
    "after checkpoint": after_checkpoint,
    "in checkpoint": in_checkpoint,
    "change": at_change,
}


def points(config: dict[str, Any], data: str, folder: str) -> None:
    """Write what each process gets of `Model.points` for the images of the test, without batch normalisation."""
    without_batch_normalisation()
    torch.manual_seed(0)
    model = Model(ModelConfig.model_validate_json(json.dumps(config)), "cpu")
    for weights in model.network.parameters():
        if weights.ndim > 1:  # so large that images differ, and no two signs of S_exp are as likely
            torch.nn.init.kaiming_normal_(weights)
    found = list(model.points(samples_of(Path(data), model.config.task, "test"), batch_size=7))
    values = [[*batch.tensors(), points] for batch, points in found]
    torch.save(values, Path(folder, f"points{model.accelerator.process_index}"))


def main(argv: list[str]) -> None:
    """Do what a file says, or else read what to train, line by line, and say how it went."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where those who began the tests ignore it
    if argv:
        for function, request in json.loads(Path(argv[0]).read_text()):
            {"train": train, "points": points}[function](**request)
        return
    for line in sys.stdin:
        wanted = json.loads(line)
        environments = launched(wanted["processes"]) if wanted["processes"] > 1 else [{}]
        with ExitStack() as files:
            outputs = [files.enter_context(tempfile.TemporaryFile()) for _ in environments]  # or lines may be mixed
            started = [
                fork(wanted["request"], environment, output.fileno())
                for environment, output in zip(environments, outputs, strict=True)
            ]
            statuses = dict.fromkeys(started, 0)
            waiting = set(started)
            while waiting:
                process, status = os.wait()
                waiting.remove(process)
                statuses[process] = os.waitstatus_to_exitcode(status)
                if status:  # as torchrun does: the others would wait for it
                    for other in waiting:
                        os.kill(other, signal.SIGTERM)
            for output in outputs:
                output.seek(0)
            said = "".join(output.read().decode() for output in outputs)
            answer = {"statuses": list(statuses.values()), "output": said}
        print(json.dumps(answer), flush=True)


def launched(processes: int) -> list[dict[str, str]]:
    """What torchrun tells each of so many processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    same = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"}
    same |= {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}
    return [same | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(processes)]


def fork(request: dict[str, Any], environment: dict[str, str], output: int) -> int:
    process = os.fork()
    if process:
        return process
    status = 70
    try:
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.environ |= environment
        status = program(train)(**request)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main(sys.argv[1:])
