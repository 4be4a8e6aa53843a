"""The report of one head: the tracked metrics, curves and pictures, small enough for git.

No path names the head, so that `dvc metrics diff` and `dvc plots diff` compare heads.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from sphreg.checksums import check
from sphreg.errors import UserError
from sphreg.figures import png
from sphreg.figures import results as figures
from sphreg.files import write_whole
from sphreg.info import read_info
from sphreg.metrics import Scores
from sphreg.results import results_in
from sphreg.summary import FIFTH, TRACKED, rounded, tracked
from sphreg.views import Views

GALLERY = 6  # views in each row of the gallery of rotations
MAPS = 8  # views with their normals


def report(results: Path, data: Path, out: Path) -> None:
    """Write `summary.json`, `curves/{training,error_cdf,categories}/TASK.csv` and `pictures/*.png` to `out`.

    Args:
        results: holds TASK, as `evaluate` wrote it, of one head. A task that is not there is left out.
        data: the packed dataset, with `info.json` and `test.lmdb`.
        out: a folder.

    Raises:
        UserError: there is no task, one is not as `evaluate` wrote it, or the dataset is not as it was packed.
    """
    found = results_in(results)
    if not found:
        raise UserError(f"{results}: there is no result of any task, allowed: {', '.join(TRACKED)}.")
    scores = {task: result.scores for task, result in found.items()}
    summary = {task: rounded(tracked(task, by_category)) for task, by_category in scores.items()}
    write_whole(out / "summary.json", (json.dumps(summary, indent=2, allow_nan=False) + "\n").encode())
    curves = {
        "training": {task: result.log for task, result in found.items()},
        "error_cdf": {task: result.error_cdf() for task, result in found.items()},
        "categories": {task: categories(scores[task]) for task in scores},
    }
    for name, tables in curves.items():
        for task, table in tables.items():
            write_whole(out / "curves" / name / f"{task}.csv", table.to_csv(index=False, float_format="%.5g").encode())
    pictures = {
        "training": figures.training(curves["training"]),
        "error_cdf": figures.error_cdf(curves["error_cdf"]),
        "categories": figures.categories(curves["categories"]),
    }
    info = read_info(data)
    check(data, ["test.lmdb"])
    if "rotation" in scores:
        views = extremes(found["rotation"].errors, GALLERY)
        images = Views(data / "test.lmdb").images(views["key"])
        pictures["rotations"] = figures.rotations(views, images, info.render.fov_deg, info.note)
    if "normals" in scores:
        errors, maps = found["normals"].errors.set_index("key", drop=False), found["normals"].maps()
        rows = np.unique(np.linspace(0, len(maps["key"]) - 1, MAPS).round().astype(int))
        key, image, true, predicted = (maps[name][rows] for name in ("key", "image", "true", "predicted"))
        pictures["normal_maps"] = figures.normal_maps(errors.loc[key], image, true, predicted, info.note)
    for name, figure in pictures.items():
        write_whole(out / "pictures" / f"{name}.png", png(figure))


def categories(scores: Scores) -> pd.DataFrame:
    """A row per category, and one for all of them, with the metrics as columns."""
    rows = {name: metrics for name, metrics in scores.items() if name not in FIFTH.values()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("category").reset_index()


def extremes(errors: pd.DataFrame, n: int) -> pd.DataFrame:
    """The `n` best, middle and worst views, with `rank` as a further column; fewer where there are fewer."""
    ordered = errors.sort_values(["error_deg", "key"], ignore_index=True)
    middle = max(0, len(ordered) - n) // 2
    ranks = {"best": ordered[:n], "median": ordered[middle : middle + n], "worst": ordered[::-1][:n]}
    return pd.concat([rows.assign(rank=rank) for rank, rows in ranks.items()], ignore_index=True)
