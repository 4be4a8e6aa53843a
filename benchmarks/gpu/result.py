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
from benchmarks.trainings import PARAMS
from sphreg.config import Execution, Furniture
from sphreg.evaluation import evaluate
from sphreg.model import Model, ModelConfig
from sphreg.pack import pack
from sphreg.render.dataset import render_dataset
from sphreg.samples import Samples
from sphreg.sources import build
from sphreg.training import train

TASK = "rotation"
BACKBONE = {True: "resnet18", False: "small"}  # on a GPU, or not
MARGIN = 15.0  # seconds for the tests, and for what takes longer than foreseen


def main(setting: Setting, report: Report) -> None:
    """A table with the metrics of each head of `repro -P`."""
    start = time.monotonic()
    size, meshes, views = (128, 150, 40) if setting.gpu else (64, 2, 4)
    data = write(setting, size, meshes, views)
    splits = {split: Samples.read(data, split, with_normals=False) for split in ("train", "test")}
    made = time.monotonic() - start
    seconds = max(1.0, (setting.left - MARGIN) / len(PARAMS.heads) - 5) if setting.gpu else 1.0
    counts = ", ".join(f"{len(samples):,} views to {split}" for split, samples in splits.items())
    report.say(
        f"Furniture of all ten categories, rendered here in {made:.0f} s: {counts}, of {size} x {size} pixels. "
        f"Rotation, {BACKBONE[setting.gpu]} from random weights, bfloat16, the category given, one seed; each head "
        f"trained for {seconds:.0f} s. "
        "The rate is the loop's own. Means over the categories, as in the table of `dvc repro -P`. Chance has a median "
        "of 132.3°."
    )
    report.table("head", "epochs", "images/s", "median", "Acc@30°", "Acc@15°", "Acc@7.5°")
    for head in PARAMS.heads:
        report.row(head, *trained(setting, head, splits, size, seconds))


def write(setting: Setting, size: int, meshes: int, views: int) -> Path:
    """The dataset, by the functions of the pipeline's stages."""
    folder = setting.folder / "furniture"
    settings = PARAMS.render.model_copy(
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
    source = PARAMS.meshes.model_copy(update={"source": "furniture", "categories": None, "furniture": few})
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        build(source, folder / "meshes", folder / "scratch", folder / "downloads")
        here = Execution(workers=None, scheduler=None)
        render_dataset(folder / "meshes", folder / "shards", settings, here, folder / "scratch")
        pack(folder / "shards", folder / "meshes", folder / "so3", settings)
    return folder / "so3"


def trained(setting: Setting, head: str, splits: dict[str, Samples], size: int, seconds: float) -> list[str]:
    """Train a head for so long and test it."""
    samples, batch = splits["train"], 256 if setting.gpu else 16
    how = PARAMS.train.model_copy(update={"device": setting.device, "loaders": None if setting.gpu else 0})
    cached = how.model_copy(update={"cache": "device" if setting.gpu else "none"})
    changes = {"backbone": BACKBONE[setting.gpu], "precision": "bfloat16", "batch": batch, "lr": 1e-3}

    def config(steps: int) -> ModelConfig:
        return config_of(samples.categories, TASK, head, size, epochs=None, iterations=steps, **changes)

    def run(steps: int, name: str) -> tuple[Path, float]:
        """The folder of a training, and how long it took."""
        start = time.monotonic()
        with contextlib.redirect_stdout(io.StringIO()):
            train(config(steps), samples, setting.folder / name, cached, setting.folder / "scratch")
        return setting.folder / name, time.monotonic() - start

    few = 200 if setting.gpu else 2
    (_, first), (_, again) = run(few, f"{head} first"), run(2 * few, f"{head} again")
    pace = max(again - first, 1e-3) / few  # what both have in common, as decoding, cancels out
    steps = max(few, math.floor((seconds - (first - few * pace)) / pace))
    folder, _ = run(steps, head)
    rate = pd.read_csv(folder / "log.csv")["images_per_s"].median()
    model = Model.load(folder / "last.safetensors", setting.device)
    evaluate(model, splits["test"], folder / "test", 512)
    found = json.loads((folder / "test/metrics.json").read_text())
    return [f"{steps * batch / len(samples):.1f}", f"{rate:,.0f}", *figures(found)]


def figures(metrics: dict[str, dict[str, float]]) -> list[str]:
    """The means over the categories."""
    mean = metrics["macro"]
    return [f"{mean['median_deg']:.1f}°", *(f"{mean[name]:.3f}" for name in ("acc_30", "acc_15", "acc_7_5"))]
