"""What all phases need: the device, the scale, their datasets, and trainings that are about to begin."""

import copy
import gc
import math
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any, Literal

import torch

from benchmarks import trainings
from benchmarks.gpu.page import Report
from sphreg.loading import kept
from sphreg.model import Model, ModelConfig
from sphreg.samples import Samples
from sphreg.training import Run

PLAIN = {"weights": None, "dropout": 0.0, "precision": "float32", "compile": False}


@dataclass(frozen=True)
class Setting:
    """One phase's run.

    Attributes:
        device: cuda, or cpu for a dry run at a small scale.
        seconds: that the phase has.
        folder: for datasets and reports, of all phases.
        start: when the phase began, by `time.monotonic`.
    """

    device: Literal["cuda", "cpu"]
    seconds: float
    folder: Path
    start: float = field(default_factory=time.monotonic)

    @property
    def gpu(self) -> bool:
        """Whether this is no dry run."""
        return self.device == "cuda"

    @property
    def left(self) -> float:
        """Seconds until the phase is ended."""
        return self.seconds - (time.monotonic() - self.start)

    def rows(self, phase: str) -> Path:
        """The file of what a phase found."""
        return self.folder / f"{phase}.md"

    def report(self, phase: str) -> Report:
        """Where a phase says what it found."""
        return Report(self.rows(phase))

    def dataset(self, size: int, images: int) -> Path:
        """A packed dataset of furniture, with normals, written once."""
        folder = self.folder / f"{images} images of {size}"
        if not folder.exists():
            partial = folder.with_suffix(f".{os.getpid()}")  # a phase may be ended while it writes
            trainings.write_dataset(partial, size, images)
            partial.rename(folder)
        return folder

    def samples(self, size: int, images: int, task: str) -> Samples:
        """Its images for a task."""
        return Samples.read(self.dataset(size, images), "train", task == "normals")

    def training(self, samples: Samples, task: str, head: str, size: int, steps: int = 10**6, **changes: Any) -> Run:
        """A training with the settings of params.yaml, but for these changes, that is about to begin."""
        config = config_of(samples.categories, task, head, size, epochs=None, iterations=steps, **changes)
        return trainings.begin(config, samples, self.folder, self.device)

    def wait(self) -> None:
        """For all that the device was told to do."""
        if self.gpu:
            torch.cuda.synchronize()

    def free_memory(self) -> None:
        """Of the GPU, from what is not used any more; its highest use is counted anew."""
        gc.collect()
        if self.gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def rate(self, call: Callable[[], object], seconds: float) -> float:
        """Calls per second: the median of five parts of so many seconds, after two calls that do not count.

        A dry run takes a tenth of the time.
        """
        for _ in range(2):
            call()
        self.wait()
        once = self._time(call, 1)
        calls = max(1, math.ceil(seconds / (5 if self.gpu else 50) / once))
        return calls / statistics.median(self._time(call, calls) for _ in range(5))

    def _time(self, call: Callable[[], object], calls: int) -> float:
        start = time.perf_counter()
        for _ in range(calls):
            call()
        self.wait()
        return time.perf_counter() - start


def new_processes() -> BaseContext:
    """Starts processes that know nothing of CUDA and OpenGL. One imports all and is forked, where that can be."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "benchmarks.train"])
    return context


def config_of(categories: list[str], task: str, head: str, size: int, **changes: Any) -> ModelConfig:
    """Of a model with the settings of params.yaml, but for these changes, and in plain float32."""
    return trainings.config_of(categories, task, head, size, **(PLAIN | changes))


def cached(samples: Samples, where: Literal["none", "ram", "device"], training: Run) -> Samples:
    """The same samples, kept there."""
    return samples if where == "none" else kept([samples], where, training.model.accelerator, 0)[0]


def on_cpu(model: Model) -> Model:
    """The same model on the CPU. `Model` itself would stay where the process's first model is."""
    same = copy.copy(model)
    same.device = torch.device("cpu")
    same.network = copy.deepcopy(model.network).to("cpu")
    return same
