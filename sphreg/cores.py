"""How many threads a training on the CPU has: as many as other programs leave cores."""

import os
import time

import psutil
import torch

WINDOW_S = 2.0  # that the cores are watched for, before the number of threads is changed


class Cores:
    """Keeps the number of torch's threads at what other processes leave of the cores.

    The threads of a training wait for each other at each layer. Where they have to take turns with other processes, all
    wait for the one whose turn is the last (benchmarks/sharing.py). Trainings that run side by side come to share the
    cores. The processes that decode for a training count as others.

    Results with other numbers of threads differ in the last bits of each sum, and after a training in more.

    Attributes:
        most: threads of a training that is alone.
    """

    def __init__(self, threads: int | None) -> None:
        """Watch and change nothing yet: that begins and ends with the `with` statement.

        Args:
            threads: always so many; None: as many as there is room for, and at most as many as torch has now.
        """
        self.adapts, self._before = threads is None, torch.get_num_threads()
        self.most = threads or self._before

    def __enter__(self) -> "Cores":
        torch.set_num_threads(self.most)
        self._begin()
        return self

    def __exit__(self, *_: object) -> None:
        torch.set_num_threads(self._before)

    def _begin(self) -> None:
        self._start, self._own, self._busy = time.perf_counter(), time.process_time(), _busy()

    def look(self) -> None:
        """Change the number of threads, if the window is over and there is room for more or fewer."""
        seconds = time.perf_counter() - self._start
        if self.adapts and self.most > 1 and seconds >= WINDOW_S:
            others = (_busy() - self._busy - (time.process_time() - self._own)) / seconds
            torch.set_num_threads(threads_beside(others, len(available()), self.most))
            self._begin()


def threads_beside(others: float, cores: int, most: int) -> int:
    """How many threads there is room for: of so many cores, other processes use `others` in the mean."""
    return min(most, max(1, round(cores - others)))


def available() -> set[int]:
    """The numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def _busy() -> float:
    """For how many seconds these cores have worked for any process."""
    every = psutil.cpu_times(percpu=True)
    shown = [every[core] for core in available() if core < len(every)] or every  # a container may number them anew
    return sum(times.user + times.system + getattr(times, "nice", 0.0) for times in shown)
