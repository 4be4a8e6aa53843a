"""Programs in processes that are forked from one that has imported all: to import takes longer than what they do."""

import contextlib
import multiprocessing
import os
import pkgutil
import re
import runpy
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from resource import RLIMIT_AS, RLIMIT_DATA, setrlimit
from typing import Any

import torch

FORK = multiprocessing.get_context("fork")
LIBRARIES = "accelerate", "lmdb", "matplotlib.figure", "numba", "pandas", "scipy.stats", "torchvision", "trimesh"
ALONE = {"OMP_NUM_THREADS": "1"}  # which leads to the same bytes each time, and lets several work beside each other
LIMITS = {RLIMIT_AS: "VmSize", RLIMIT_DATA: "VmData"}  # and what the kernel calls them


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Attributes:
        status: negative for a signal; None: it had to be ended.
        said: what it printed.
    """

    status: int | None
    said: str


class Child:
    """A call in a forked process, with the processes that it starts in a group of its own.

    Args:
        call: what is done.
        folder: where.
        variables: of the environment.
    """

    def __init__(self, call: Callable[[], Any], folder: Path, variables: Mapping[str, str] | None = None) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115, closed in `end`
        self._process = FORK.Process(target=_run, args=(call, folder, variables or {}, self._said.fileno()))
        self._process.start()
        self.pid = self._process.pid or 0
        with contextlib.suppress(OSError):  # here, too, as nobody knows which of the two is first
            os.setpgid(self.pid, self.pid)

    def wait(self, seconds: float) -> None:
        """Until it ends, or for so many seconds."""
        self._process.join(seconds)

    def send(self, number: signal.Signals) -> None:
        """A signal to the group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def end(self, timeout: float) -> Ended:
        """Wait for the process, and end it and its group after so many seconds."""
        self._process.join(timeout)
        status = self._process.exitcode
        self.send(signal.SIGKILL)
        self._process.join()
        self._process.close()
        self._said.seek(0)
        said = self._said.read().decode(errors="replace")
        self._said.close()
        return Ended(status, said)


def _run(call: Callable[[], Any], folder: Path, variables: Mapping[str, str], said: int) -> None:
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
    for number, name in (1, "stdout"), (2, "stderr"):
        os.dup2(said, number)
        setattr(sys, name, os.fdopen(number, "w", buffering=1, closefd=False))  # as those of a test are no files
    os.chdir(folder)
    os.environ.pop("DVC_ROOT", None)
    os.environ |= ALONE | variables
    torch.set_num_threads(1)
    call()


def program(module: str, *arguments: str) -> Callable[[], None]:
    """A call that runs a module as `python -m` does."""
    return partial(_program, module, arguments)


def _program(module: str, arguments: tuple[str, ...]) -> None:
    sys.argv = [module, *arguments]
    limit_memory(RLIMIT_DATA, 4 * 2**30)  # for the sake of the machine
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def limit_memory(resource: int, more: int) -> None:
    """Let this process, and those that it starts, take so many bytes more than it has."""
    status = Path("/proc/self/status").read_text()
    found = re.search(rf"{LIMITS[resource]}:\s*(\d+) kB", status)
    assert found
    limit = int(found[1]) * 1024 + more
    setrlimit(resource, (limit, limit))


def import_all() -> None:
    """The libraries, and the library."""
    for library in LIBRARIES:
        import_module(library)
    import sphreg

    for module in pkgutil.walk_packages(sphreg.__path__, "sphreg."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
