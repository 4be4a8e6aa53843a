"""Results that are made up, as `evaluate` writes them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.spatial.transform import Rotation

from sphreg.checksums import write_checksums
from sphreg.metrics import BINS, COARSE, bins, normals_metrics, pose_metrics
from sphreg.results import ANGLES, MAPS, NAMES, QUATERNION, write_arrays, write_scores, write_table
from sphreg.viewpoints import viewpoint_angles


def write_result(
    out: Path,
    task: str,
    views: pd.DataFrame,
    degrees: Sequence[float] | Sequence[Sequence[float]],
    epochs: int,
    rng: np.random.Generator,
    size: int = 16,
) -> None:
    """The test of one task.

    Args:
        out: a folder.
        task: its name.
        views: the columns of `test.csv`, but for the angles.
        degrees: of each view the error; of normals the errors of its pixels, or one.
        epochs: rows of the log.
        rng: for what is left to chance.
        size: of the maps of normals.
    """
    if task == "normals":
        _write_normals(out, views, [np.atleast_1d(np.asarray(errors, float)) for errors in degrees], rng, size)
    else:
        _write_pose(out, task, views, np.asarray(degrees, float), rng)
    write_log(out, epochs, rng)
    write_checksums(out)


def _write_pose(out: Path, task: str, views: pd.DataFrame, degrees: np.ndarray, rng: np.random.Generator) -> None:
    columns = ["qx", "qy", "qz", "qw"]
    true = Rotation.from_quat(views[columns].to_numpy())
    axes = rng.normal(size=(len(views), 3))
    turns = axes / np.linalg.norm(axes, axis=1, keepdims=True) * np.radians(degrees)[:, None]
    table = views[[*NAMES]].copy()
    for side, rotation in ("true", true), ("predicted", true * Rotation.from_rotvec(turns)):
        quaternions = rotation.as_quat(canonical=True)
        if task == "rotation":
            table[[f"{side}_{name}" for name in QUATERNION]] = quaternions[
                :, [columns.index(name) for name in QUATERNION]
            ]
            table[f"{side}_sign_class"] = (quaternions[:, :3] < 0) @ [1, 2, 4]
        else:
            angles = viewpoint_angles(quaternions)
            table[[f"{side}_{name}" for name in ANGLES]] = np.degrees(angles)
            for name, column in zip(ANGLES, angles.T, strict=True):
                signs = np.stack([np.cos(column), np.sin(column)], axis=1) < 0
                table[f"{side}_{name.removesuffix('_deg')}_sign_class"] = signs @ [1, 2]
    table["error_deg"] = degrees
    write_table(out / "errors.csv", table)
    write_scores(out / "metrics.json", pose_metrics(table))


def _write_normals(
    out: Path, views: pd.DataFrame, degrees: Sequence[np.ndarray], rng: np.random.Generator, size: int
) -> None:
    table = views[[*NAMES]].assign(
        pixels=[len(errors) for errors in degrees],
        mean_deg=[errors.mean() if len(errors) else np.nan for errors in degrees],
        median_deg=[np.median(errors) if len(errors) else np.nan for errors in degrees],
    )
    write_table(out / "errors.csv", table)
    pixels = pd.DataFrame(
        {"view": np.repeat(np.arange(len(table)), table["pixels"]), "bin": bins(np.concatenate(degrees))}
    )
    pixels = table[["category", "mesh"]].iloc[pixels["view"]].reset_index(drop=True).assign(bin=pixels["bin"])
    histogram = pixels.groupby(["category", "bin"]).size().reset_index(name="pixels")
    write_table(out / "histogram.csv", histogram)
    write_scores(out / "metrics.json", normals_metrics(histogram))
    meshes = sorted({*zip(table["category"], table["mesh"], strict=True)})
    counts = np.zeros((len(meshes), BINS // COARSE), np.uint32)
    for (category, mesh), group in pixels.groupby(["category", "mesh"]):
        np.add.at(counts[meshes.index((category, mesh))], group["bin"] // COARSE, 1)
    category, mesh = np.array(meshes).T
    write_arrays(out / "meshes.npz", category=category, mesh=mesh, pixels=counts)
    shown = np.unique(np.linspace(0, len(table) - 1, MAPS).round().astype(int))
    vectors = rng.normal(size=(2, len(shown), size, size, 3)).astype(np.float32)
    true, predicted = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    true[:, :4] = 0
    true[table["pixels"].iloc[shown] == 0] = 0
    image, key = np.full((len(shown), size, size), 200, np.uint8), table["key"].to_numpy(str)[shown]
    write_arrays(out / "maps.npz", key=key, image=image, true=true, predicted=predicted)


def write_log(out: Path, epochs: int, rng: np.random.Generator) -> None:
    """The log of a training."""
    steps = np.arange(1, epochs + 1)
    columns = {"epoch": steps, "lr": 1e-3, "loss": 3 / steps, "grad_norm": rng.uniform(0.5, 1, epochs) / steps}
    columns |= {"grad_norm_cv": rng.uniform(0.05, 0.3, epochs), "validation_median_deg": 90 / steps**0.5}
    write_table(out / "log.csv", pd.DataFrame(columns))
