"""How fast models are trained: `python -m benchmarks.train`, about ten minutes.

On the CPU, with the settings of params.yaml but for the backbone and its batch. The images are of furniture. Rates and
ratios are medians over rounds in which all take turns.
"""

import argparse
import contextlib
import io
import math
import multiprocessing
import sys
import tempfile
import threading
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import islice, product, repeat
from pathlib import Path

import pandas as pd
import psutil
import torch
from torch import Tensor, nn

from benchmarks import plain
from benchmarks.bound import bound
from benchmarks.rounds import machine
from benchmarks.rows import missed, row
from benchmarks.sharing import sharing
from benchmarks.trainings import SIZES, compare, own_params, rows, run, step_on, work, write_dataset
from sphreg.config import TASKS
from sphreg.cores import Cores
from sphreg.heads import HEADS
from sphreg.loading import kept, loader, processes
from sphreg.model import Model
from sphreg.networks.backbones import scaled
from sphreg.program import program
from sphreg.samples import Batch, Samples
from sphreg.step import step

STEPS = {  # of a round, which is half a second or a second
    "small": {"rotation": 10, "viewpoint": 10, "normals": 3},
    "resnet18": {"rotation": 2, "viewpoint": 2, "normals": 1},
}
IMAGES = 1000
FEW, MANY = 2_000, 20_000  # images, for the memory
GOALS = {"ram": 0.95, "none": 0.90, "data": 4.0}  # times `step` on one batch; times the plain loop
SHARES = {"rotation": 0.02, "viewpoint": 0.02, "normals": 0.10}  # of a step, for head and loss


@program
def main() -> None:
    """Print the ratios; with --out also write them to a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", choices=PARTS, nargs="+", default=list(PARTS))
    arguments = parser.parse_args()
    lines = [
        f"`python -m benchmarks.train` on {machine()}; medians of {arguments.rounds} rounds, in brackets "
        "the quartiles.",
        "",
        "| what | value | ratio |",
        "| --- | ---: | ---: |",
    ]
    print(*lines, sep="\n")
    with tempfile.TemporaryDirectory() as name:
        for size in SIZES.values():
            write_dataset(Path(name, str(size)), size, IMAGES)
        for part in arguments.only:
            for line in PARTS[part](Path(name), arguments.rounds):
                print(line, flush=True)
                lines.append(line)
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n")


# The parts of the table.


def throughput(folder: Path, rounds: int) -> Iterator[str]:
    """Training with its data against `step` on one batch in memory."""
    for backbone, task in product(SIZES, TASKS):
        samples = Samples.read(folder / str(SIZES[backbone]), "train", task == "normals")
        training = run(backbone, task, "sexp", samples, folder)
        model, size, steps = training.model, training.model.config.train.batch, STEPS[backbone][task]
        usual = processes(None, model.accelerator)
        numbers = {0, 1, 2, usual} if task == "rotation" else {usual}
        sources = {f"cache none, {number} processes decode": (samples, number) for number in sorted(numbers)}
        sources["cache ram"] = kept([samples], "ram", model.accelerator, 0)[0], 0
        contenders = {"step": work(repeat(samples.batch(torch.arange(size))), partial(step_on, training), steps, size)}
        for name, (source, number) in sources.items():
            batches = loader(source, rows(samples, training), model.accelerator, number)
            contenders[name] = work(batches, training._learn, steps, size)
        found = compare(contenders, rounds * (3 if backbone == "small" else 1))  # whose rounds are short
        what = f"training, {backbone}, {SIZES[backbone]} px, {task}"
        yield row(f"{what}: `step` on one batch of {size} in memory", found["step"].median(), "images/s")
        for name, (_, number) in sources.items():
            shares = found[name] / found["step"]
            share, low, high = shares.quantile([0.5, 0.25, 0.75])
            goal = GOALS["ram"] if name == "cache ram" else GOALS["none"] if number == usual else 0.0
            ratio = f"{share:.1%} ({low:.1%} to {high:.1%}) of `step`{missed(share < goal, f'{goal:.0%}')}"
            default = ", the default" if name != "cache ram" and number == usual else ""
            yield row(f"{what}: {name}{default}", found[name].median(), "images/s", ratio)


class Given(nn.Module):
    """In place of a network: outputs that are there already."""

    def __init__(self, raw: Tensor):
        super().__init__()
        self.raw = raw.detach().requires_grad_()

    def forward(self, images: Tensor, categories: Tensor) -> Tensor:
        self.raw.grad = None
        return self.raw


def losses(folder: Path, rounds: int) -> Iterator[str]:
    """Steps without the network and its optimizer, which leaves targets, head, loss and their gradients."""
    for task, head in product(TASKS, HEADS):
        samples = Samples.read(folder / str(SIZES["resnet18"]), "train", task == "normals")
        training = run("resnet18", task, head, samples, folder)
        model, size = training.model, training.model.config.train.batch
        batch = samples.batch(torch.arange(size))
        network, nothing = Given(model.raw(batch)), torch.optim.SGD([torch.zeros(1, requires_grad=True)])
        contenders = {
            "whole": work(repeat(batch), partial(step_on, training), 1, size),
            "loss": work(repeat(batch), partial(step, model, network, nothing), 1, size),
        }
        found = compare(contenders, rounds)
        share = (found["whole"] / found["loss"]).median()
        ratio = f"{share:.2%} of a step{missed(share > SHARES[task], f'{SHARES[task]:.0%}')}"
        yield row(f"head and loss, resnet18, 224 px, {task}, {head}", found["loss"].median(), "images/s", ratio)


def against_plain(folder: Path, rounds: int) -> Iterator[str]:
    """Our loop and the plain one: of the data, also with all its habits but one."""
    samples = Samples.read(folder / str(SIZES["small"]), "train", False)
    every = frozenset(plain.HABITS)
    habits = {"plain": every} | {name: every - {name} for name in plain.HABITS}
    _agree(samples, [*habits.values(), frozenset()], folder)
    training = run("small", "rotation", "sexp", samples, folder)
    model, order = training.model, rows(samples, training)
    size, steps = model.config.train.batch, 2 * STEPS["small"]["rotation"]

    contenders = {"ours": work(loader(samples, order, model.accelerator, 0), partial(_targets, model), steps, size)}
    for name, some in habits.items():
        if name != "item":  # which is none of the data
            batches = plain.loader(samples, order, some, 0)
            contenders[name] = work(batches, partial(_plain_targets, model, some), steps, size)
    found = compare(contenders, 5 * rounds)  # a round is short
    what = "data alone, small, 64 px, rotation"
    yield from _against_plain(what, found, GOALS["data"])
    seconds = 1 / found
    for name in (name for name in plain.HABITS if name in contenders):
        share = ((seconds["plain"] - seconds[name]) / (seconds["plain"] - seconds["ours"])).median()
        ratio = f"{share:.0%} of the difference"
        yield row(f"{what}: plain loop, but {plain.HABITS[name]}", found[name].median(), "images/s", ratio)

    for number in sorted({processes(None, model.accelerator), 2}):
        contenders = {"ours": work(loader(samples, order, model.accelerator, number), training._learn, steps, size)}
        for name in "plain", "item":
            theirs = run("small", "rotation", "sexp", samples, folder)
            plain.prepare(theirs.model)
            learn = partial(plain.step, theirs.model, theirs.optimizer, habits[name])
            contenders[name] = work(plain.loader(samples, order, habits[name], number), learn, steps, size)
        found = compare(contenders, rounds)
        what = f"training, small, 64 px, rotation, {number} processes decode"
        yield from _against_plain(what, found)
        ratio = f"{(found['item'] / found['plain']).median():.2f} x the plain loop"
        yield row(f"{what}: plain loop, but {plain.HABITS['item']}", found["item"].median(), "images/s", ratio)


def _against_plain(what: str, found: pd.DataFrame, goal: float = 0.0) -> Iterator[str]:
    ratio = (found["ours"] / found["plain"]).median()
    yield row(f"{what}: plain loop", found["plain"].median(), "images/s")
    said = missed(ratio < goal, f"{goal:g} x")
    yield row(f"{what}: ours", found["ours"].median(), "images/s", f"{ratio:.2f} x the plain loop{said}")


def _targets(model: Model, batch: Batch) -> None:
    scaled(batch.images)
    model.task.sphere.sign_class(model.task.targets(batch.truth))


def _plain_targets(model: Model, habits: Collection[str], batch: plain.Batch) -> None:
    plain.floats(batch["images"])
    (plain.sign_classes if "signs" in habits else model.task.sphere.sign_class)(batch["quaternions"])


def _agree(samples: Samples, habits: Iterable[Collection[str]], folder: Path) -> None:
    """See that all loops have the same loss."""
    training = run("small", "rotation", "sexp", samples, folder)
    order = rows(samples, training)
    model = training.model
    (ours,) = islice(loader(samples, order, model.accelerator), 1)
    whole = sum(
        part.mean() for part in model.head.loss(model.raw(ours), model.task.targets(ours.truth).float()).values()
    )
    plain.prepare(model)
    for some in habits:
        (batch,) = islice(plain.loader(samples, order, some, 0), 1)
        torch.testing.assert_close(plain.loss(model, batch, some), whole)


def memory(folder: Path, rounds: int) -> Iterator[str]:
    """Of trainings from few and from many images, without a cache."""
    for images in FEW, MANY:
        write_dataset(folder / f"{images} images", SIZES["small"], images)
    for number in 0, 2:
        found = {}
        for images in FEW, MANY:
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                found[images] = pool.submit(_memory, folder / f"{images} images", number, MANY // images).result()
        few, many = (found[images]["MiB"][found[images]["epoch"] > 0].median() for images in (FEW, MANY))
        epochs = found[FEW].groupby("epoch")["MiB"].median()
        what = f"memory of a training, small, 64 px, cache none, {number} processes decode"
        yield row(f"{what}, {FEW:,} images", few, "MiB")
        each = f"{(many - few) * 2**20 / (MANY - FEW):.0f} bytes for each more image"
        yield row(f"{what}, {MANY:,} images", many, "MiB", f"{many / few:.2f} x, {each}")
        growth = epochs.iloc[-2:].mean() / epochs.loc[2:3].mean()
        last = f"the last 2 of {epochs.index[-1]} epochs"
        yield row(f"{what}, {FEW:,} images, {last}", epochs.iloc[-2:].mean(), "MiB", f"{growth:.2f} x epochs 2 and 3")


def _memory(folder: Path, number: int, epochs: int) -> pd.DataFrame:
    """The memory of this process and of those that it starts, in MiB, over a training. Pages that processes share are
    counted once. Those of files, of code and of images, are left out: the system takes them back when it needs memory.
    """
    multiprocessing.set_start_method(None, force=True)  # the usual one, in place of that of this process
    learned, held_out = Samples.read(folder, "train", False).hold_out(0.25)
    epoch = len(learned) // own_params().train.rotation.batch
    training = run("small", "rotation", "sexp", learned, folder / f"out {number}", epochs * epoch)
    training.go_on(folder / f"scratch {number}")
    found, ended = [], threading.Event()

    def look() -> None:
        while not ended.wait(0.1):
            done, pages = training.done, 0
            for process in psutil.Process(), *psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    maps = process.memory_maps()
                    pages += sum(part.pss for part in maps if part.path.startswith(("[", "/dev/shm")))
            found.append((done, math.ceil(done / epoch), pages / 2**20))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        # Several threads take no other memory, and more time where others work, too.
        with contextlib.redirect_stdout(io.StringIO()), Cores(1) as cores:
            training.finish(learned, held_out, number, 60, cores)
    finally:
        ended.set()
        thread.join()
    return pd.DataFrame(found, columns=["done", "epoch", "MiB"])


PARTS = {
    "throughput": throughput,
    "bound": bound,
    "losses": losses,
    "plain": against_plain,
    "memory": memory,
    "sharing": sharing,
}


if __name__ == "__main__":
    sys.exit(main())
