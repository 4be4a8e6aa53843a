"""Phase c: how fast networks train, beside what the card could do."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from benchmarks.gpu.card import peak
from benchmarks.gpu.page import Report
from benchmarks.gpu.setting import Setting, cached
from benchmarks.so3 import TRAIN_VIEWS
from benchmarks.train import Given
from benchmarks.trainings import flops, rows, step_on
from sphreg.config import TASKS
from sphreg.heads import HEADS
from sphreg.loading import loader, processes
from sphreg.samples import Batch, Samples
from sphreg.step import step
from sphreg.training import Run

PAPER = 150 * TRAIN_VIEWS  # images in the paper's training, of so many epochs
GOALS = {"device": 0.95, "ram": 0.90, "none": 0.85}  # of the step on one fixed batch


@dataclass(frozen=True)
class Case:
    """A network, and how many images it learns from at once."""

    backbone: str
    task: str
    batch: int
    size: int = 224


CASES = (
    Case("resnet50", "rotation", 256),
    Case("small", "rotation", 128, 64),
    Case("vgg16", "rotation", 256),
    Case("resnet18", "rotation", 256),
    Case("resnet101", "rotation", 256),
    Case("alexnet", "rotation", 256),
    Case("resnet50", "normals", 32),
    Case("vgg16_bn", "normals", 32),
)


def main(setting: Setting, report: Report) -> None:
    """Rates, shares of the peak, and the loop beside the step."""
    top = peak(setting, torch.bfloat16)
    report.say(f"The peak is that of a matrix product in bfloat16, {top / 1e12:.3g} TFLOP/s.")
    report.table("network, task, size, batch", "float32", "bfloat16", "ratio", "share of the peak", "memory")
    fitting = []
    for case in cases(setting):
        while True:
            try:
                report.row(describe(case), *steps(setting, case, top))
                break
            except torch.OutOfMemoryError:  # of a smaller card
                case = replace(case, batch=case.batch // 2)
        fitting.append(case)
    report.say("The loop with its data, bfloat16, beside the step on one fixed batch; 150 epochs are the paper's:")
    report.table("network", "cache", "images/s", "share of the step", "goal", "cores that decode", "150 epochs")
    for case in fitting[: 2 if setting.gpu else 1]:
        report.rows([describe(case), *row] for row in loops(setting, case))
    report.say("Head and loss, forward and backward, beside a whole step of resnet50:")
    report.table("task, head", "share of a step")
    for task, head in itertools.product(TASKS, HEADS):
        report.row(f"{task}, {head}", head_share(setting, task, head))


def cases(setting: Setting) -> list[Case]:
    """Those of a GPU; at a small scale two, with few images."""
    if setting.gpu:
        return list(CASES)
    return [Case("small", "rotation", 8, 64), Case("resnet18", "normals", 2, 64)]


def describe(case: Case) -> str:
    return f"{case.backbone}, {case.task}, {case.size} px, {case.batch}"


def samples(setting: Setting, case: Case) -> Samples:
    images = {64: 6400, 224: 2048}[case.size] if setting.gpu else 256
    return setting.samples(case.size, images, case.task)


def build(setting: Setting, case: Case, head: str = "sexp", **changes: Any) -> Run:
    """A training that is about to begin."""
    changes = {"backbone": case.backbone, "batch": case.batch} | changes
    return setting.training(samples(setting, case), case.task, head, case.size, **changes)


def fixed(setting: Setting, case: Case, images: int | None = None) -> Batch:
    """A batch on the device."""
    every = samples(setting, case)
    return every.batch(torch.arange(images or case.batch) % len(every)).to(torch.device(setting.device))


def steps(setting: Setting, case: Case, top: float) -> list[str]:
    """Images a second of the step in both precisions, the share of the peak, and the memory in bfloat16.

    Raises:
        torch.OutOfMemoryError: a batch does not fit.
    """
    batch, rates = fixed(setting, case), {}
    for precision in "float32", "bfloat16":
        setting.free_memory()
        training = build(setting, case, precision=precision)
        rates[precision] = case.batch * setting.rate(lambda training=training: step_on(training, batch), 0.8)
    peak_memory = f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB" if setting.gpu else ""
    share = rates["bfloat16"] * flops(training, fixed(setting, case, 2)) / 2 / top
    both = [f"{rate:,.0f} images/s" for rate in rates.values()]
    return [*both, f"{rates['bfloat16'] / rates['float32']:.2f}", f"{share:.0%}", peak_memory]


def loops(setting: Setting, case: Case) -> Iterator[list[str]]:
    """The whole loop from each cache, long enough that batches which were decoded ahead do not matter."""
    batch, every = fixed(setting, case), samples(setting, case)
    training = build(setting, case, precision="bfloat16")
    decoding = processes(None, training.model.accelerator) if setting.gpu else 1
    decoded = len(batch.images) * setting.rate(lambda: every[list(range(case.batch))], 0.5)  # images/s of one core
    for where, workers in ("device", 0), ("ram", 0), ("none", decoding):
        source = cached(every, where, training)  # type: ignore[arg-type]
        rate = setting.rate(lambda: step_on(training, batch), 0.8)
        taken = loader(source, rows(every, training), training.model.accelerator, workers)
        # Twice: the first time uses up what was decoded while the processes started.
        for _ in range(2):
            found = setting.rate(lambda taken=taken: training._learn(next(taken)), 2.0 if setting.gpu else 0.1)
        rate = (rate + setting.rate(lambda: step_on(training, batch), 0.8)) / 2
        share, goal = found / rate, GOALS[where]
        name = f"{where}, {workers} processes decode" if workers else where
        said = f"{goal:.0%}" if share >= goal or not setting.gpu else f"{goal:.0%}, **missed**"
        hours = f"{PAPER / found / case.batch / 3600:.1f} hours"
        needed = f"{rate * case.batch / decoded:.1f} are needed" if workers else ""
        yield [name, f"{found * case.batch:,.0f}", f"{share:.1%}", said, needed, hours]


def head_share(setting: Setting, task: str, head: str) -> str:
    """Targets, head, loss and their gradients beside a step."""
    images = 32 if task == "normals" else 256
    case = Case("resnet50", task, images) if setting.gpu else Case("small", task, 2, 64)
    training, batch = build(setting, case, head, precision="bfloat16"), fixed(setting, case)
    whole = setting.rate(lambda: step_on(training, batch), 0.4)
    given = Given(training.model.raw(batch))
    nothing = torch.optim.SGD([torch.zeros(1, requires_grad=True)])
    alone = setting.rate(lambda: step(training.model, given, nothing, batch), 0.2)
    share = whole / alone
    return f"{share:.1%}" + (", **more than 2 %**" if setting.gpu and share > 0.02 else "")
