"""Trainings that share the cores: with each other, and with processes that do something else."""

import contextlib
import io
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from itertools import repeat
from pathlib import Path

import pandas as pd

from benchmarks.rows import missed, row
from benchmarks.trainings import SIZES, own_params, run, write_dataset
from sphreg.cores import Cores, available
from sphreg.samples import Samples

IMAGES, EPOCHS = 3_200, 12
TOGETHER, BESIDE = 1.3, 2.5  # at least so many times one after the other; at most so many times slower


def sharing(folder: Path, rounds: int) -> Iterator[str]:
    """Two trainings at once, and one beside two busy processes: each with all cores, and with a number of its own.

    Rates are medians over the epochs of one training, whatever the number of rounds: beside busy processes it takes
    minutes with all cores.
    """
    write_dataset(folder / "shared", SIZES["small"], IMAGES)
    cores = len(available())
    processes = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, processes) as pool:

        def rate(threads: int | None, trainings: int, busy: int = 0) -> float:
            """Images per second of all these trainings together."""
            with ExitStack() as ends:
                for _ in range(busy):
                    other = processes.Process(target=spin, daemon=True)
                    other.start()
                    ends.callback(other.kill)
                outs = [folder / f"out {number}" for number in range(trainings)]
                return sum(pool.map(images_per_s, repeat(folder / "shared"), outs, repeat(threads)))

        rate(cores, 2)  # both have started
        what = f"sharing, small, 64 px, rotation, {cores} cores"
        alone = rate(cores, 1)
        yield row(f"{what}: a training alone", alone, "images/s")
        for threads, name in (cores, f"always {cores} threads"), (None, "threads as there is room, the default"):
            both = rate(threads, 2)
            said = missed(threads is None and both / alone < TOGETHER, f"{TOGETHER} x")
            yield row(f"{what}: two at once, {name}", both, "images/s", f"{both / alone:.2f} x one alone{said}")
            beside = rate(threads, 1, busy=2)
            loss = alone / beside
            said = missed(threads is None and loss > BESIDE, f"{BESIDE} x")
            slower = f"{loss:.1f} x slower than alone{said}"
            yield row(f"{what}: one beside two busy processes, {name}", beside, "images/s", slower)


def images_per_s(data: Path, out: Path, threads: int | None) -> float:
    """The median of the epochs in the middle of a training, while what began with it is still under way."""
    samples = Samples.read(data, "train", False)
    epoch = len(samples) // own_params().train.rotation.batch
    training = run("small", "rotation", "sexp", samples, out, EPOCHS * epoch)
    training.go_on(out / f"scratch {os.getpid()}")
    out.mkdir(exist_ok=True)
    with Cores(threads) as cores, contextlib.redirect_stdout(io.StringIO()):
        training.finish(samples, samples.hold_out(0)[1], 0, 60, cores)
    return float(pd.DataFrame(training.log)["images_per_s"].iloc[EPOCHS // 3 : -EPOCHS // 4].median())


def spin() -> None:
    """Be busy."""
    while True:
        pass
