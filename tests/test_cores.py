"""How many threads a training takes beside other processes."""

import subprocess
import sys
import time
from types import SimpleNamespace

import psutil
import pytest
import torch

from sphreg import cores
from sphreg.cores import Cores, threads_beside


@pytest.mark.parametrize(
    ("others", "of", "most", "threads"),
    [
        (0.0, 2, 2, 2),
        (0.3, 2, 2, 2),
        (1.0, 2, 2, 1),  # another training with as many threads gets half of the cores
        (1.9, 2, 2, 1),
        (7.0, 2, 2, 1),
        (-0.1, 2, 2, 2),  # the two clocks are not read at once
        (8.0, 16, 16, 8),
        (3.0, 16, 8, 8),
        (12.2, 16, 8, 4),
    ],
)
def test_threads_are_what_others_leave(others: float, of: int, most: int, threads: int) -> None:
    assert threads_beside(others, of, most) == threads


class Clocks:
    """In place of those of a machine with two cores, of which other processes use some."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = self.own = self.busy = 0.0
        monkeypatch.setattr(cores.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(cores.time, "process_time", lambda: self.own)
        monkeypatch.setattr(cores, "_busy", lambda: self.busy)
        monkeypatch.setattr(cores, "available", lambda: {0, 1})
        self.threads = 2
        monkeypatch.setattr(torch, "get_num_threads", lambda: self.threads)
        monkeypatch.setattr(torch, "set_num_threads", lambda threads: setattr(self, "threads", threads))

    def go_on(self, seconds: float, others: float) -> None:
        self.now += seconds
        self.own += seconds * min(self.threads, 2 - others)
        self.busy += seconds * (min(self.threads, 2 - others) + others)


def test_the_number_changes_with_what_the_others_do_and_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = Clocks(monkeypatch)
    with Cores(None) as sharing:
        found = []
        for others in 0, 1, 1, 1, 0, 0, 1:
            clocks.go_on(cores.WINDOW_S, others)
            sharing.look()
            found.append(clocks.threads)
        assert found == [2, 1, 1, 1, 2, 2, 1]
        clocks.go_on(cores.WINDOW_S / 2, 0)
        sharing.look()
        assert clocks.threads == 1  # too early to say
    assert clocks.threads == 2


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_number_that_is_given_stays(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    clocks = Clocks(monkeypatch)
    with Cores(threads) as sharing:
        clocks.go_on(60, 1.5)
        sharing.look()
        assert clocks.threads == threads
    assert clocks.threads == 2


@pytest.mark.parametrize(("own", "seconds"), [({0, 1}, 14.0), ({1}, 9.0), ({6, 7}, 14.0)])
def test_busy_cores_are_those_that_the_process_may_use(
    monkeypatch: pytest.MonkeyPatch, own: set[int], seconds: float
) -> None:
    """All, where the system shows them under other numbers."""
    times = [SimpleNamespace(user=3.0, system=1.5, nice=0.5, idle=70.0), SimpleNamespace(user=6.0, system=3.0)]
    monkeypatch.setattr(psutil, "cpu_times", lambda percpu: times)
    monkeypatch.setattr(cores, "available", lambda: own)
    assert cores._busy() == seconds


def test_the_work_of_another_process_is_seen() -> None:
    """All others on these cores add to it."""
    spinning = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        process, before, own = psutil.Process(spinning.pid), cores._busy(), time.process_time()
        while process.cpu_times().user < 0.5:
            time.sleep(0.05)
        others = cores._busy() - before - (time.process_time() - own)
    finally:
        spinning.kill()
        spinning.wait()
    assert others > 0.5 - 0.1  # the system counts in hundredths of a second, for each core
