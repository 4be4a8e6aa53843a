"""The test of a trained model: a table with a row per sample, and the metrics that follow from it."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from sphreg.errors import UserError
from sphreg.metrics import BINS, COARSE, Scores, bins, normals_metrics, pose_metrics
from sphreg.model import Model
from sphreg.results import MAPS, write_arrays, write_scores, write_table
from sphreg.samples import Batch, Samples
from sphreg.tasks.base import Pose

NAMES = ["key", "category", "mesh"]


def evaluate(model: Model, samples: Samples, out: Path, batch_size: int) -> None:
    """Score a model on all samples; write tables and metrics to `out`.

    `errors.csv` has a row per sample, in the order of the samples, and drops none. `metrics.json` has the metrics of
    each category and of all, computed from that table; those of normals from `histogram.csv`, which counts the pixels
    of each category by their error. `meshes.npz` (normals) counts the pixels of each mesh in coarser bins, for what
    resamples meshes: the arrays `category`, `mesh` and `pixels` (meshes x 3,600 bins of 0.05 degrees). `maps.npz`
    (normals) holds keys, images, true and predicted normals of up to 20 samples at even distances.

    Raises:
        UserError: a prediction is not finite, no sample shows a normal, or a file cannot be written.
    """
    if isinstance(model.task, Pose):
        metrics = _evaluate_pose(model, model.task, samples, out, batch_size)
    else:
        metrics = _evaluate_normals(model, samples, out, batch_size)
    write_scores(out / "metrics.json", metrics)


def _evaluate_pose(model: Model, task: Pose, samples: Samples, out: Path, batch_size: int) -> Scores:
    parts = []
    for batch, points in _progress(model, samples, batch_size):
        true, predicted = task.targets(batch.truth), points.double()
        columns = {f"true_{name}": column for name, column in task.columns(true).items()}
        columns |= {f"predicted_{name}": column for name, column in task.columns(predicted).items()}
        columns["error_deg"] = task.error(task.answer(predicted), batch.truth).rad2deg().numpy()
        parts.append(pd.DataFrame(columns))
    table = pd.concat([samples.table[NAMES], pd.concat(parts, ignore_index=True)], axis=1)
    write_table(out / "errors.csv", table)
    return pose_metrics(table)


def _evaluate_normals(model: Model, samples: Samples, out: Path, batch_size: int) -> Scores:
    parts, counts = [], np.zeros((len(model.config.categories), BINS), dtype=np.int64)
    mesh_of_row, meshes = pd.factorize(pd.MultiIndex.from_frame(samples.table[["category", "mesh"]]), sort=True)
    by_mesh = np.zeros((len(meshes), BINS // COARSE), dtype=np.uint32)
    start = 0
    for batch, points in _progress(model, samples, batch_size):
        mask = model.task.mask(batch.truth)
        errors = model.task.error(model.task.answer(points), batch.truth)[mask].double().rad2deg().numpy()
        image = mask.nonzero()[:, 0]
        by_image = pd.Series(errors).groupby(image.numpy())
        parts.append(by_image.agg(pixels="size", mean_deg="mean", median_deg="median").reindex(range(len(mask))))
        places = bins(errors)
        np.add.at(counts, (batch.categories[image].numpy(), places), 1)
        np.add.at(by_mesh, (mesh_of_row[start + image.numpy()], places // COARSE), 1)
        start += len(mask)
    table = pd.concat([samples.table[NAMES], pd.concat(parts, ignore_index=True)], axis=1)
    table["pixels"] = table["pixels"].fillna(0).astype(int)  # an image may show an object edge-on, in no pixel
    category, place = counts.nonzero()
    if not len(category):
        raise UserError(f"{samples.images.path}: no view shows a pixel with a normal, allowed: at least one.")
    write_table(out / "errors.csv", table)
    names = np.array(model.config.categories)[category]
    pixels = pd.DataFrame({"category": names, "bin": place, "pixels": counts[category, place]})
    write_table(out / "histogram.csv", pixels)
    categories, names = (meshes.get_level_values(level).to_numpy(str) for level in (0, 1))
    write_arrays(out / "meshes.npz", category=categories, mesh=names, pixels=by_mesh)
    _write_maps(model, samples, out / "maps.npz")
    return normals_metrics(pixels)


def _write_maps(model: Model, samples: Samples, path: Path) -> None:
    rows = torch.linspace(0, len(samples) - 1, MAPS).round().long().unique()
    batch = samples.batch(rows)
    predicted = model.task.answer(model.predict(batch).cpu())
    keys = samples.table["key"].to_numpy(str)[rows]
    images, true = batch.images[:, 0].numpy(), batch.truth.numpy()
    write_arrays(path, key=keys, image=images, true=true, predicted=predicted.numpy())


def _progress(model: Model, samples: Samples, batch_size: int) -> Iterator[tuple[Batch, Tensor]]:
    """The samples batch by batch, with their predicted points, which are finite."""
    batches, start = math.ceil(len(samples) / batch_size), 0
    bar = tqdm(model.points(samples, batch_size), "test", batches, unit="batch", leave=False, disable=None)
    for batch, points in bar:
        wrong = ~points.flatten(1).isfinite().all(1)
        if wrong.any():
            key = samples.table["key"][start + int(wrong.int().argmax())]
            raise UserError(f"{samples.images.path}: the prediction for {key} is not finite; train the model again.")
        start += len(points)
        yield batch, points
