"""The tests that are compared, each a folder as `evaluate` wrote it, and tables over all of them.

The tables have the columns `head` and `seed` first, and hold the runs of one task.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sphreg.errors import UserError
from sphreg.report import LOG, error_cdf, read_errors
from sphreg.summary import OVERALL
from sphreg.viewpoints import viewpoint_angles, viewpoint_quaternions

QUATERNION = ("qx", "qy", "qz", "qw")
ANGLES = ("azimuth_deg", "elevation_deg", "tilt_deg")


@dataclass(frozen=True)
class ResultFolder:
    """The test of one task with one head.

    Attributes:
        task: rotation, viewpoint or normals.
        head: its name.
        seed: of the training.
        folder: what `evaluate` wrote.
        command: what makes it again, from a clone of the repository.
    """

    task: str
    head: str
    seed: int
    folder: Path
    command: str


def find_results(results: Path, heads: Sequence[str], tasks: Sequence[str], seed: int) -> list[ResultFolder]:
    """What `results/HEAD/TASK` has, task by task in the order of the heads.

    Raises:
        UserError: one is missing.
    """
    runs = []
    for task in tasks:
        for head in heads:
            folder = results / head / task
            if not (folder / "metrics.json").is_file():
                raise UserError(f"{folder}: there is no result; `dvc repro -P` makes all of them.")
            command = f"uv run dvc exp run -S seed={seed} stages/dvc.yaml:evaluate@{task}-{head}"
            runs.append(ResultFolder(task, head, seed, folder, command))
    return runs


def errors(runs: Sequence[ResultFolder], views: pd.DataFrame) -> pd.DataFrame:
    """A row per run and test view: its row of `errors.csv`, with the view's own columns of `test.csv`.

    `angle_deg`, the rotation angle of the view, comes as a further column, and `error_deg` in the table of normals: the
    mean over the pixels, NaN where the object covers none.

    Raises:
        UserError: the runs were not tested on these views, in this order.
    """
    w = views["qw"].abs().clip(upper=1)
    views = views.assign(angle_deg=np.degrees(2 * np.arctan2(np.sqrt(1 - w**2), w)))
    columns = ["angle_deg", *QUATERNION, *ANGLES]
    parts: list[pd.DataFrame] = []
    for run in runs:
        table = read_errors(run.folder)
        table = table.rename(columns={"mean_deg": "error_deg"}) if run.task == "normals" else table
        if not table["key"].isin(views["key"]).all():
            raise UserError(f"{run.folder}: it was tested on other views than those of the dataset; test it again.")
        if parts and table["key"].tolist() != parts[0]["key"].tolist():
            raise UserError(f"{runs[0].folder} and {run.folder} were tested on different views; test both again.")
        own = views.set_index("key").loc[table["key"], columns].reset_index(drop=True)
        parts.append(pd.concat([_names(run, len(table)), table, own], axis=1))
    return pd.concat(parts, ignore_index=True)


def predicted_quaternions(table: pd.DataFrame) -> np.ndarray:
    """The predictions of rows of `errors.csv`, of rotation or of viewpoint, as quaternions XYZW: (n, 4)."""
    if "predicted_qw" in table:
        return table[[f"predicted_{name}" for name in QUATERNION]].to_numpy(float)
    return viewpoint_quaternions(np.radians(table[[f"predicted_{name}" for name in ANGLES]].to_numpy(float)))


def predicted_angles(table: pd.DataFrame) -> np.ndarray:
    """The predictions of rows of `errors.csv`, of rotation or of viewpoint, as azimuth, elevation and tilt: (n, 3)."""
    return viewpoint_angles(predicted_quaternions(table))


def cdf(runs: Sequence[ResultFolder]) -> pd.DataFrame:
    """`error_deg` and `share`: the share of errors up to each angle."""
    return _join(runs, [error_cdf(run.task, run.folder) for run in runs])


def logs(runs: Sequence[ResultFolder]) -> pd.DataFrame:
    """What the logs of all heads have."""
    return _join(runs, [pd.read_csv(run.folder / "log.csv")[LOG] for run in runs])


def scores(runs: Sequence[ResultFolder]) -> pd.DataFrame:
    """`category` and the metrics: a row per category of a run, and one for all of them, named `all`."""
    parts = []
    for run in runs:
        by_category = json.loads((run.folder / "metrics.json").read_text(encoding="utf-8"))
        names = [*sorted(read_errors(run.folder)["category"].unique()), OVERALL[run.task]]
        table = pd.DataFrame([by_category[name] for name in names if name in by_category])
        parts.append(table.assign(category=[*(name for name in names[:-1] if name in by_category), "all"]))
    return _join(runs, parts)


def _join(runs: Sequence[ResultFolder], tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    parts = [pd.concat([_names(run, len(table)), table], axis=1) for run, table in zip(runs, tables, strict=True)]
    return pd.concat(parts, ignore_index=True)


def _names(run: ResultFolder, rows: int) -> pd.DataFrame:
    return pd.DataFrame({"head": [run.head] * rows, "seed": [run.seed] * rows})
