"""Trainings to be measured: a dataset of furniture, and models on the CPU with the settings of params.yaml."""

import functools
from collections.abc import Callable, Iterator
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import simplejpeg
from scipy.spatial.transform import Rotation
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.packed import describe
from benchmarks.rounds import rates
from sphreg.config import DeviceName, Params, load
from sphreg.furniture import CATEGORIES, furniture
from sphreg.loading import Shuffled
from sphreg.meshes import Mesh, normalise
from sphreg.model import Model, ModelConfig
from sphreg.render.camera import Camera
from sphreg.render.engine import choose_engine, open_engine
from sphreg.render.png import png
from sphreg.samples import Batch, Samples
from sphreg.split import views_table
from sphreg.step import step
from sphreg.training import Run
from sphreg.views import write_views

SIZES = {"small": 64, "resnet18": 224}  # pixels
BATCHES = {"small": None, "resnet18": 8}  # images; None: as params.yaml has it
VIEWS = 50  # per mesh, of one mesh per category; the others have the same


@functools.cache
def own_params() -> Params:
    """Those of params.yaml, of the current folder or of the project's.

    Raises:
        UserError: they are not allowed.
    """
    here = Path("params.yaml")
    return load(here if here.is_file() else Path(__file__).parents[1] / here)


def normalised(category: str, rng: np.random.Generator) -> Mesh:
    """A random piece of furniture, as the stage `meshes` leaves it."""
    solid = furniture(category, rng)
    return normalise(Mesh(np.array(solid.vertices), np.array(solid.faces)), "z")


@functools.cache
def _views(size: int) -> list[tuple[str, np.ndarray, bytes, bytes]]:
    """Category, quaternion, image and map of normals."""
    engine = open_engine(Camera(size, own_params().render.fov_deg), choose_engine("numba"))
    rng, found = np.random.default_rng(0), []
    for category in sorted(CATEGORIES):
        mesh = normalised(category, rng)
        rotations = Rotation.random(VIEWS, rng)
        drawn = engine.render(*mesh, rotations.as_matrix())
        for quaternion, (image, colours) in zip(rotations.as_quat(canonical=True), drawn, strict=True):
            quality = own_params().render.jpeg_quality
            jpeg = simplejpeg.encode_jpeg(image[..., None], quality, colorspace="GRAY", colorsubsampling="Gray")
            found.append((category, quaternion, jpeg, png(colours)))
    return found


def write_dataset(folder: Path, size: int, images: int) -> None:
    """A packed dataset, as far as a training reads it."""
    rows, views, maps = [], [], []
    for number in range(images):
        category, quaternion, jpeg, colours = _views(size)[number % len(_views(size))]
        mesh = f"{category}_{number // VIEWS:05d}"
        key = f"{mesh}.v{number % VIEWS:03d}"
        rows.append((key, category, mesh, quaternion))
        views.append((key, jpeg))
        maps.append((key, colours))
    folder.mkdir()
    *names, quaternions = zip(*sorted(rows, key=itemgetter(0)), strict=True)
    views_table(*names, np.array(quaternions)).to_csv(folder / "train.csv", index=False)
    write_views(folder / "train.lmdb", sorted(views))
    write_views(folder / "train.normals.lmdb", sorted(maps))
    describe(folder, size)


def run(backbone: str, task: str, head: str, samples: Samples, folder: Path, steps: int = 10**6, **changes: Any) -> Run:
    """A training on the CPU, with other settings where they are given, that is about to begin."""
    changes |= {"backbone": backbone, "epochs": None, "iterations": steps}
    changes |= {"batch": BATCHES[backbone]} if BATCHES[backbone] else {}
    return begin(config_of(samples.categories, task, head, SIZES[backbone], **changes), samples, folder, "cpu")


def config_of(categories: list[str], task: str, head: str, size: int, **changes: Any) -> ModelConfig:
    """Of a model with the settings of params.yaml, but for these changes."""
    section = own_params().train.of(task).model_copy(update=changes)
    params = own_params().model_copy(update={"train": own_params().train.model_copy(update={task: section})})
    return ModelConfig.of(params, task, head, categories, size)


def begin(config: ModelConfig, samples: Samples, folder: Path, device: DeviceName) -> Run:
    """A training that is about to begin."""
    model = Model(config, device)
    model.network.train()
    return Run(model, len(samples) // config.train.batch, folder)


def rows(samples: Samples, training: Run) -> Shuffled:
    """Of each batch of a training."""
    settings = training.model.config.train
    return Shuffled(len(samples), settings.batch, own_params().seed, range(training.steps))


def compare(contenders: dict[str, Callable[[], int]], rounds: int) -> pd.DataFrame:
    """Items per second: a column for each, a row for each round. A first round does not count."""
    found = [rates(dict(list(contenders.items())[:: -1 if i % 2 else 1]), 1) for i in range(1 + rounds)]
    return pd.DataFrame(found[1:])


def work(batches: Iterator[Any], learn: Callable[[Any], object], steps: int, size: int) -> Callable[[], int]:
    """A contender that takes so many batches a round."""

    def contender() -> int:
        for batch in islice(batches, steps):
            learn(batch)
        return steps * size

    return contender


def step_on(training: Run, batch: Batch) -> None:
    """A step on a batch that is there already."""
    step(training.model, training.network, training.optimizer, batch)


def flops(training: Run, batch: Batch) -> int:
    """Of a step on a batch: two for each multiplication with its addition, forward and backward."""
    with FlopCounterMode(display=False) as counter:
        step_on(training, batch)
    return counter.get_total_flops()
