"""Rates that are measured side by side, as the speed of a machine changes while one works."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path


def machine() -> str:
    """What the rates were measured on, in one line: CPU, cores that this process may use, and Python."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{_cpu()}, {cores} cores, {platform.system()}, Python {platform.python_version()}"


def rates(contenders: Mapping[str, Callable[[], int]], rounds: int) -> dict[str, float]:
    """The median of each contender's items per second.

    In a round each contender works once, in every second round in reverse order. So all meet the same other work on
    the machine, and a first round that compiles or fills caches does not count.

    Args:
        contenders: by name, what does some work and returns how many items it did.
        rounds: at least 3, better an odd number.
    """
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds):
        for name in list(contenders)[:: -1 if number % 2 else 1]:
            start = time.perf_counter()
            items = contenders[name]()
            found[name].append(items / (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in found.items()}


def _cpu() -> str:
    info = Path("/proc/cpuinfo")  # elsewhere than on Linux, and on some ARM, the name is not there
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
