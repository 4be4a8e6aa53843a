"""Phase b: whether what is trained and predicted on the GPU is right."""

import contextlib
import copy
import io
import itertools
import math
import os
import re
import signal
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu.page import Report
from benchmarks.gpu.setting import Setting, cached, config_of, new_processes, on_cpu
from benchmarks.trainings import own_params, rows
from sphreg import checkpoint
from sphreg.config import TASKS
from sphreg.errors import UserError
from sphreg.heads import HEADS
from sphreg.loading import Shuffled, kept, loader
from sphreg.model import Model, ModelConfig
from sphreg.samples import Batch, Samples
from sphreg.step import optimization, step
from sphreg.training import LOOK, Run, train

SIZE = 64  # pixels
IMAGES = {True: 6400, False: 256}  # on a GPU, or not
BATCH = {True: 64, False: 8}
TASK = "rotation"  # of checks that one task is enough for
SEEN = (
    "Waits for the GPU are those that torch's synchronisation debug mode sees, which is experimental: torch's own "
    "calls in this process, as `.item()`, `nonzero` and copies that block. It does not see allocations (`cudaMalloc`, "
    "`cudaHostAlloc`), what libraries do inside, nor copies from pageable memory that were asked not to block."
)


def main(setting: Setting, report: Report) -> None:
    """Each check has a row: what, what was found, what is allowed, and whether it is so."""
    report.say(SEEN)
    report.table("what", "found", "allowed", "so?")
    for part in predictions, synchronisation, not_finite, too_large, curves, resumed, copies:
        with arithmetic_as_before():
            for what, found, allowed, holds in part(setting):
                report.row(what, found, allowed, "yes" if holds else "**no**")


Check = tuple[str, str, str, bool]


@contextlib.contextmanager
def arithmetic_as_before() -> Iterator[None]:
    """Set back what a check sets of torch's arithmetic."""
    before = torch.backends.cudnn.allow_tf32, torch.are_deterministic_algorithms_enabled()
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before[0]
        torch.use_deterministic_algorithms(before[1])


def predictions(setting: Setting) -> Iterator[Check]:
    """Of trained models, beside the CPU's: in plain float32, and in torch's defaults, which round to TF32."""
    steps, tested = (100, 1000) if setting.gpu else (2, 32)
    for task, head in itertools.product(TASKS, HEADS):
        samples = setting.samples(SIZE, IMAGES[setting.gpu], task)
        training = setting.training(samples, task, head, SIZE, steps, batch=BATCH[setting.gpu])
        learn(training, samples)
        batch = samples.batch(torch.arange(tested if task != "normals" else tested // 10))
        true = predicted(on_cpu(training.model), batch)
        for tf32 in (False, True) if setting.gpu else (False,):
            torch.backends.cudnn.allow_tf32 = tf32
            found = predicted(training.model, batch)
            mask = training.model.task.mask(batch.truth)
            answers = [training.model.task.answer(points.double()) for points in (found, true)]
            angles = training.model.task.error(*answers)[mask].rad2deg()
            signs = [training.model.task.sphere.sign_class(points) for points in (found, true)]
            flips = (signs[0] != signs[1]).reshape(len(mask), -1).float().mean().item()
            # A head that classifies signs jumps where two classes are as probable as each other.
            allowed = (0.1, 0.01) if tf32 else (0.001, 0.001)
            yield (
                f"{task}, {head}{', TF32' if tf32 else ''}: GPU and CPU predict",
                f"median {angles.median():.2g}°, largest {angles.max():.2g}°, {flips:.2%} of the signs differ",
                f"median {allowed[0]:g}°, {allowed[1]:.1%} of the signs",
                bool(angles.median() <= allowed[0]) and flips <= allowed[1],
            )


def learn(training: Run, samples: Samples) -> None:
    """All steps, with the images from the file."""
    for batch in loader(samples, rows(samples, training), training.model.accelerator, 0):
        training._learn(batch)


def predicted(model: Model, batch: Batch) -> Tensor:
    """Points, on the CPU."""
    return model.predict(batch).cpu()


def synchronisation(setting: Setting) -> Iterator[Check]:
    """Whether the CPU waits for the GPU between two looks at the losses."""
    tasks = TASKS if setting.gpu else ("normals",)
    for task, where in itertools.product(tasks, ("none", "ram", "device")):
        samples = setting.samples(SIZE, IMAGES[setting.gpu], task)
        training = setting.training(samples, task, "sexp", SIZE, batch=BATCH[setting.gpu])
        source = cached(samples, where, training)  # type: ignore[arg-type]
        taken = loader(source, rows(samples, training), training.model.accelerator, 2 if where == "none" else 0)
        for _ in range(3):
            training._learn(next(taken))
        setting.wait()
        found = "none"
        if setting.gpu:
            torch.cuda.set_sync_debug_mode("error")
        try:
            for _ in range(LOOK - 2):
                training._learn(next(taken))
        except RuntimeError as error:
            last = [frame for frame in traceback.extract_tb(error.__traceback__) if "sphreg" in frame.filename][-1]
            found = f"{error} ({Path(last.filename).name}:{last.lineno})"
        finally:
            taken.close()  # type: ignore[attr-defined]
            if setting.gpu:
                torch.cuda.set_sync_debug_mode("default")
        yield f"{task}, cache {where}: waits for the GPU in {LOOK - 2} steps", found, "none", found == "none"


def not_finite(setting: Setting) -> Iterator[Check]:
    """A loss that is not finite any more."""
    samples = setting.samples(SIZE, IMAGES[setting.gpu], TASK)
    config = config_of(samples.categories, TASK, "direct", SIZE, epochs=1, batch=64, lr=1e30)
    said = "nothing"
    try:
        run_whole(setting, config, samples, "nan")
    except UserError as error:
        said = str(error)
    holds = re.match(r"(the (loss|gradient) is (nan|-?inf)|the weights are not finite) at step \d+ of epoch 1", said)
    yield "a learning rate of 1e30", said, "a sentence with the step", holds is not None


def too_large(setting: Setting) -> Iterator[Check]:
    """A cache that does not fit."""
    samples = setting.samples(SIZE, IMAGES[setting.gpu], "normals")

    class Many(Samples):
        """As if there were far more of them."""

        def __len__(self) -> int:
            return 10**8

    many = copy.copy(samples)
    many.__class__ = Many
    training = setting.training(samples, "normals", "direct", SIZE, batch=8)
    said = "nothing"
    try:
        kept([many], "device", training.model.accelerator, 0)
    except UserError as error:
        said = str(error)
    gigabytes = 10**8 * (4 * SIZE**2 + 8) / 1e9
    yield "`cache: device` of 100,000,000 images", said, "a sentence with its size", f"{gigabytes:.1f} GB" in said


def curves(setting: Setting) -> Iterator[Check]:
    """A training in plain float32 beside the same on the CPU, from the same weights and images."""
    steps, size = (200, 32) if setting.gpu else (30, 8)
    torch.backends.cudnn.allow_tf32 = False
    for task in "rotation", "normals":
        samples = setting.samples(SIZE, IMAGES[setting.gpu], task)
        training = setting.training(samples, task, "sexp", SIZE, steps, batch=size)
        reference = on_cpu(training.model)
        expected = list(losses_of(reference, samples, steps))
        learn(training, samples)
        found = training.values[:steps, training.names.index("loss")].cpu().numpy()
        first = np.abs(found[:20] / expected[:20] - 1).max()
        last = found[-steps // 4 :].mean() / np.mean(expected[-steps // 4 :]) - 1
        yield f"{task}: losses of the first 20 steps beside the CPU's", f"{first:.2g} apart", "0.001", first <= 1e-3
        what = f"{task}: mean loss of steps {steps - steps // 4} to {steps} beside the CPU's"
        yield what, f"{last:+.2%}", "3%", bool(abs(last) <= 0.03)


def losses_of(model: Model, samples: Samples, steps: int) -> Iterator[float]:
    """Of a training that has not begun, step by step. Without dropout it draws no random numbers."""
    settings = model.config.train
    optimizer, schedule = optimization(model.network, settings, steps)
    for places in Shuffled(len(samples), settings.batch, model.config.seed, range(steps)):
        yield float(step(model, model.network, optimizer, samples.batch(torch.tensor(places)))["loss"])
        schedule.step()


def run_whole(setting: Setting, config: ModelConfig, samples: Samples, name: str, checkpoint_s: float = 60) -> Path:
    """Train by `sphreg.training.train`; the folder with the weights and the log."""
    how = own_params().train.model_copy(
        update={"device": setting.device, "loaders": 0, "cache": "none", "checkpoint_s": checkpoint_s}
    )
    out = setting.folder / name
    with contextlib.redirect_stdout(io.StringIO()):
        train(config, samples, out, how, setting.folder / f"{name}.scratch")
    return out


def killed(setting: Setting, config: ModelConfig, name: str, deterministic: bool) -> None:
    """In a process of its own: train, and be killed after the second checkpoint."""
    set_deterministic(deterministic)
    save, left = checkpoint.save, 2

    def counted(path: Path, state: dict[str, object]) -> None:
        nonlocal left
        save(path, state)
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    checkpoint.save = counted  # type: ignore[assignment]
    run_whole(setting, config, setting.samples(SIZE, IMAGES[setting.gpu], TASK), name, checkpoint_s=0)


def set_deterministic(wanted: bool) -> None:
    """What has no deterministic form on the GPU warns."""
    torch.use_deterministic_algorithms(wanted, warn_only=True)


def resumed(setting: Setting) -> Iterator[Check]:
    """A training that was killed and went on, beside two that were not."""
    samples = setting.samples(SIZE, IMAGES[setting.gpu], TASK)
    for deterministic in (True, False) if setting.gpu else (True,):
        batch = 128 if setting.gpu else 64
        config = config_of(samples.categories, TASK, "sexp", SIZE, epochs=2, batch=batch, dropout=0.2)
        kind = "deterministic" if deterministic else "default"
        set_deterministic(deterministic)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            whole = [run_whole(setting, config, samples, f"{kind} {n}", checkpoint_s=0) for n in range(2)]
            child = new_processes().Process(  # type: ignore[attr-defined]
                target=killed, args=(setting, config, f"{kind} parts", deterministic)
            )
            child.start()
            child.join()
            parts = run_whole(setting, config, samples, f"{kind} parts", checkpoint_s=0)
        without = sorted({str(one.message).split()[0] for one in caught if "deterministic" in str(one.message)})
        what = f"{TASK}, {kind} algorithms: killed and resumed"
        if child.exitcode != -signal.SIGKILL:
            yield what, f"the training was not killed: status {child.exitcode}", "SIGKILL", False
            continue
        first, second, third = (logged(folder) for folder in (*whole, parts))
        equal = weights(whole[0]) == weights(whole[1]) == weights(parts)
        if deterministic:
            found = "the same bytes" if equal else f"losses {apart(first, third):.2g} apart"
            missing = f"; without a deterministic form: {', '.join(without)}" if without else ""
            yield what, found + missing, "the same bytes", equal
        else:
            spread, difference = apart(first, second), apart(first, third)
            # Both are single draws of one distribution, of which one may well be three times the other.
            holds = difference <= 3 * max(spread, 1e-4)
            said = f"three times two that were not killed, {spread:.2g} apart"
            yield what, f"losses {difference:.2g} apart", said, holds


def weights(folder: Path) -> bytes:
    return (folder / "last.safetensors").read_bytes()


def logged(folder: Path) -> pd.Series:
    """The loss of each epoch."""
    return pd.read_csv(folder / "log.csv")["loss"]


def apart(a: pd.Series, b: pd.Series) -> float:
    """The largest relative difference."""
    return float((a / b - 1).abs().max())


def copies(setting: Setting) -> Iterator[Check]:
    """Copies to the GPU: from pinned memory, and while it works."""
    if not setting.gpu:
        return
    samples = setting.samples(224, 2048, TASK)
    training = setting.training(samples, TASK, "sexp", 224, backbone="resnet18", batch=256)
    taken = loader(cached(samples, "ram", training), rows(samples, training), training.model.accelerator, 0)
    for _ in range(3):
        training._learn(next(taken))
    setting.wait()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        for _ in range(10):
            training._learn(next(taken))
        setting.wait()
    on_device = [event for event in profiler.events() if event.device_type.name == "CUDA"]
    uploads = [event for event in on_device if event.name.startswith("Memcpy HtoD")]
    kernels = [event for event in on_device if not event.name.startswith(("Memcpy", "Memset"))]
    kernels = [event for event in kernels if not getattr(event, "is_user_annotation", False)]  # which span kernels
    pinned = sum("Pinned" in event.name for event in uploads)
    what = f"copies of {len(uploads)} in 10 steps from pinned memory"
    yield what, str(pinned), str(len(uploads)), pinned == len(uploads) > 0
    total = sum(event.time_range.elapsed_us() for event in uploads)
    beside = sum(overlap(event.time_range, [kernel.time_range for kernel in kernels]) for event in uploads)
    share = beside / total if total else math.nan
    yield "share of the time of copies in which the GPU also computes", f"{share:.0%}", "more than 50%", share > 0.5
    wall = max(e.time_range.end for e in on_device) - min(e.time_range.start for e in on_device)
    busy = sum(event.time_range.elapsed_us() for event in kernels) / wall
    yield "share of the time in which the GPU computes", f"{busy:.0%}", "more than 90%", busy > 0.9


def overlap(one: object, others: list[object]) -> float:
    """How long one of the others runs beside the first, in microseconds; the others are one after the other."""
    start, end = one.start, one.end  # type: ignore[attr-defined]
    return sum(max(0.0, min(end, o.end) - max(start, o.start)) for o in others)  # type: ignore[attr-defined]
