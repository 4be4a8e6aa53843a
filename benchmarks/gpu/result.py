"""Phase e: the heads on generated furniture of all ten categories, each trained for the same time."""

import contextlib
import io
import json
import math
import time
from pathlib import Path

import pandas as pd

from benchmarks.gpu.page import Report
from benchmarks.gpu.setting import Setting, config_of
from benchmarks.trainings import own_params
from sphreg.config import Execution, Furniture
from sphreg.evaluation import evaluate
from sphreg.model import Model
from sphreg.pack import pack
from sphreg.render.dataset import render_dataset
from sphreg.samples import Samples
from sphreg.sources import build
from sphreg.training import train

TASK = "rotation"
BACKBONE = {True: "resnet18", False: "small"}  # on a GPU, or not
BATCH = {True: 256, False: 16}
TEST = 4.0  # seconds
MARGIN = 10.0  # seconds, for what takes longer than foreseen


def main(setting: Setting, report: Report) -> None:
    """A table with the metrics of each head of `repro -P`."""
    start = time.monotonic()
    size, meshes, views = (128, 150, 40) if setting.gpu else (64, 2, 4)
    data = write(setting, size, meshes, views)
    splits = {split: Samples.read(data, split, with_normals=False) for split in ("train", "test")}
    made = time.monotonic() - start
    paces = {head: pace(setting, head, splits["train"], size) for head in own_params().heads}
    seconds = (setting.left - MARGIN) / len(own_params().heads) if setting.gpu else 1.0
    counts = ", ".join(f"{len(samples):,} views to {split}" for split, samples in splits.items())
    report.say(
        f"Furniture of all ten categories, rendered here in {made:.0f} s: {counts}, of {size} x {size} pixels. "
        f"Rotation, {BACKBONE[setting.gpu]} from random weights, bfloat16, the category given, one seed; "
        f"{seconds:.0f} s for each head, its start and its test among them. The rate is the loop's own. Means over the "
        "categories, as in the table of `dvc repro -P`. Chance has a median of 132.3°."
    )
    report.table("head", "epochs", "images/s", "median", "Acc@30°", "Acc@15°", "Acc@7.5°")
    for head in own_params().heads:
        around, step = paces[head]
        steps = max(1, math.floor((seconds - around - TEST) / step)) if setting.gpu else 10
        report.row(head, *trained(setting, head, splits, size, steps))


def write(setting: Setting, size: int, meshes: int, views: int) -> Path:
    """The dataset, by the functions of the pipeline's stages."""
    folder = setting.folder / "furniture"
    settings = own_params().render.model_copy(
        update={
            "engine": "numba",
            "size": size,
            "train_views": views,
            "test_views": views // 2,
            "train_normals": 1,
            "test_normals": 1,
        }
    )
    few = Furniture(seed=0, train=meshes, test=max(2, meshes // 5))
    source = own_params().meshes.model_copy(update={"source": "furniture", "categories": None, "furniture": few})
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        build(source, folder / "meshes", folder / "downloads")
        here = Execution(workers=None, scheduler=None)
        render_dataset(folder / "meshes", folder / "shards", settings, here, folder / "scratch")
        pack(folder / "shards", folder / "meshes", folder / "so3", settings)
    return folder / "so3"


def run(setting: Setting, head: str, samples: Samples, size: int, steps: int, out: Path) -> None:
    """Train a head by `sphreg.training.train`."""
    changes = {"backbone": BACKBONE[setting.gpu], "precision": "bfloat16", "batch": BATCH[setting.gpu], "lr": 1e-3}
    config = config_of(samples.categories, TASK, head, size, epochs=None, iterations=steps, **changes)
    quick = {"device": setting.device, "loaders": None if setting.gpu else 0, "cache": "device"}
    with contextlib.redirect_stdout(io.StringIO()):
        train(config, samples, out, own_params().train.model_copy(update=quick), setting.folder / "scratch")


def pace(setting: Setting, head: str, samples: Samples, size: int) -> tuple[float, float]:
    """Seconds that a training takes beside its steps, and those of a step."""
    if not setting.gpu:
        return 0.0, 0.0
    few, found = 200, []
    for steps in few, 2 * few:
        start = time.monotonic()
        run(setting, head, samples, size, steps, setting.folder / f"{head} {steps}")
        found.append(time.monotonic() - start)
    step = max(found[1] - found[0], 1e-3) / few
    return max(0.0, found[0] - few * step), step


def trained(setting: Setting, head: str, splits: dict[str, Samples], size: int, steps: int) -> list[str]:
    """Train a head for so many steps and test it."""
    folder = setting.folder / head
    run(setting, head, splits["train"], size, steps, folder)
    rate = pd.read_csv(folder / "log.csv")["images_per_s"].median()
    model = Model.load(folder / "last.safetensors", setting.device)
    evaluate(model, splits["test"], folder / "test", 512)
    found = json.loads((folder / "test/metrics.json").read_text())
    epochs = steps * BATCH[setting.gpu] / len(splits["train"])
    return [f"{epochs:.1f}", f"{rate:,.0f}", *figures(found)]


def figures(metrics: dict[str, dict[str, float]]) -> list[str]:
    """The means over the categories."""
    mean = metrics["macro"]
    return [f"{mean['median_deg']:.1f}°", *(f"{mean[name]:.3f}" for name in ("acc_30", "acc_15", "acc_7_5"))]
