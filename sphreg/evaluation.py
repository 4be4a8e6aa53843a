"""The test of a trained model: a table with a row per sample, and the metrics that follow from it."""

import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from sphreg.metrics import BINS, COARSE, Scores, bins, normals_metrics, pose_metrics
from sphreg.model import Model
from sphreg.samples import Batch, Samples
from sphreg.tasks.base import Pose

NAMES = ["key", "category", "mesh"]
MAPS = 20  # images whose normals are kept for pictures


def evaluate(model: Model, samples: Samples, out: Path, batch_size: int) -> None:
    """Score a model on all samples; write tables and metrics to `out`.

    `errors.csv` has a row per sample, in the order of the samples, and drops none. `metrics.json` has the metrics of
    each category and of all, computed from that table; those of normals from `histogram.csv`, which counts the pixels
    of each category by their error. `meshes.npz` (normals) counts the pixels of each mesh in coarser bins, for what
    resamples meshes: the arrays `category`, `mesh` and `pixels` (meshes x 3,600 bins of 0.05 degrees). `maps.npz`
    (normals) holds keys, images, true and predicted normals of up to 20 samples at even distances.
    """
    out.mkdir(parents=True, exist_ok=True)
    if isinstance(model.task, Pose):
        metrics = _evaluate_pose(model, model.task, samples, out, batch_size)
    else:
        metrics = _evaluate_normals(model, samples, out, batch_size)
    (out / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")


def _evaluate_pose(model: Model, task: Pose, samples: Samples, out: Path, batch_size: int) -> Scores:
    parts = []
    for batch, points in _progress(model, samples, batch_size):
        true, predicted = task.targets(batch.truth), points.double()
        columns = {f"true_{name}": column for name, column in task.columns(true).items()}
        columns |= {f"predicted_{name}": column for name, column in task.columns(predicted).items()}
        columns["error_deg"] = task.error(task.answer(predicted), batch.truth).rad2deg().numpy()
        parts.append(pd.DataFrame(columns))
    table = pd.concat([samples.table[NAMES], pd.concat(parts, ignore_index=True)], axis=1)
    table.to_csv(out / "errors.csv", index=False)
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
    table.to_csv(out / "errors.csv", index=False)
    category, place = counts.nonzero()
    names = np.array(model.config.categories)[category]
    pixels = pd.DataFrame({"category": names, "bin": place, "pixels": counts[category, place]})
    pixels.to_csv(out / "histogram.csv", index=False)
    categories, names = (meshes.get_level_values(level).to_numpy(str) for level in (0, 1))
    np.savez_compressed(out / "meshes.npz", category=categories, mesh=names, pixels=by_mesh)
    _write_maps(model, samples, out / "maps.npz")
    return normals_metrics(pixels)


def _write_maps(model: Model, samples: Samples, path: Path) -> None:
    rows = torch.linspace(0, len(samples) - 1, MAPS).round().long().unique()
    batch = samples.batch(rows)
    predicted = model.task.answer(model.predict(batch).cpu())
    keys = samples.table["key"].to_numpy(str)[rows]
    np.savez_compressed(path, key=keys, image=batch.images[:, 0], true=batch.truth, predicted=predicted)


def _progress(model: Model, samples: Samples, batch_size: int) -> Iterator[tuple[Batch, Tensor]]:
    batches = math.ceil(len(samples) / batch_size)
    return iter(tqdm(model.points(samples, batch_size), "test", batches, unit="batch", leave=False, disable=None))
