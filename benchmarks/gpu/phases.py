"""The phases by name, and how one is run in a process of its own."""

import importlib
import os
import traceback
from dataclasses import dataclass

import torch

from benchmarks.gpu.card import name as name_of_card
from benchmarks.gpu.setting import Setting


@dataclass(frozen=True)
class Phase:
    """Attributes:
    title: what it finds.
    module: has `main(setting, report)`, imported when it is run.
    weight: its share of the time is this, over the sum of all that are still to be run.
    dry: the same of a dry run.
    """

    title: str
    module: str
    weight: float
    dry: float


PHASES = {
    "a": Phase("What there is", "benchmarks.gpu.card", 0.8, 2),
    "b": Phase("Correct on the GPU", "benchmarks.gpu.correct", 1.5, 6),
    "c": Phase("Training", "benchmarks.gpu.throughput", 2.5, 3),
    "f": Phase("Networks layer by layer", "benchmarks.gpu.networks", 1.0, 1),
    "d": Phase("Rendering and decoding", "benchmarks.gpu.rendering", 0.7, 3),
    "e": Phase("A result", "benchmarks.gpu.result", 3.0, 1),
}


def run(name: str, setting: Setting) -> None:
    """Run a phase in this process, which has its own group, so that its end is also that of what it started."""
    os.setsid()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # for deterministic algorithms; before CUDA starts
    if not setting.gpu:
        torch.set_num_threads(1)  # small batches gain nothing by more, and lose much where others work, too
    report = setting.report(name)
    try:
        report.say(f"On {name_of_card(setting)}.")
        importlib.import_module(PHASES[name].module).main(setting, report)
    except BaseException:
        report.say(f"```\n{traceback.format_exc()[-2000:]}\n```")
        raise
