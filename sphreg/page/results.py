"""Tables over the results of all rows of a task, of which each has the columns `head`, the row's name, and `seed`."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from sphreg.comparison import Row
from sphreg.errors import UserError
from sphreg.split import DEGREES, QUATERNION
from sphreg.summary import OVERALL
from sphreg.viewpoints import viewpoint_angles, viewpoint_quaternions


def errors(rows: Sequence[Row], views: pd.DataFrame) -> pd.DataFrame:
    """A row per run and test view: its row of `errors.csv`, with the view's own columns of `test.csv`.

    `angle_deg`, the rotation angle of the view, comes as a further column, and `error_deg` in the table of normals: the
    mean over the pixels, NaN where the object covers none.

    Raises:
        UserError: the runs were not tested on these views, in this order.
    """
    w = views["qw"].abs().clip(upper=1)
    views = views.assign(angle_deg=np.degrees(2 * np.arctan2(np.sqrt(1 - w**2), w))).set_index("key")
    columns = ["angle_deg", *QUATERNION, *DEGREES]
    parts, first = [], rows[0].scored[0]
    for row in rows:
        for each in row.scored:
            table = each.errors.rename(columns={"mean_deg": "error_deg"}) if row.task == "normals" else each.errors
            known = table["key"].isin(views.index).all() and (row.task == "normals" or len(table) == len(views))
            if not known or (
                table[["category", "mesh"]].to_numpy() != views.loc[table["key"], ["category", "mesh"]]
            ).any(axis=None):
                raise UserError(f"{each.run.folder}: tested on other views than those of the dataset; test it again.")
            if table["key"].tolist() != first.errors["key"].tolist():
                raise UserError(
                    f"{first.run.folder} and {each.run.folder}: tested on different views; test them again."
                )
            own = views.loc[table["key"], columns].reset_index(drop=True)
            parts.append(pd.concat([table, own], axis=1))
    return _join(rows, parts)


def predicted_quaternions(table: pd.DataFrame) -> np.ndarray:
    """The predictions of rows of `errors.csv`, of rotation or of viewpoint, as quaternions XYZW: (n, 4)."""
    if "predicted_qw" in table:
        return table[[f"predicted_{name}" for name in QUATERNION]].to_numpy(float)
    return viewpoint_quaternions(np.radians(table[[f"predicted_{name}" for name in DEGREES]].to_numpy(float)))


def predicted_angles(table: pd.DataFrame) -> np.ndarray:
    """The predictions of rows of `errors.csv`, of rotation or of viewpoint, as azimuth, elevation and tilt: (n, 3)."""
    return viewpoint_angles(predicted_quaternions(table))


def cdf(rows: Sequence[Row]) -> pd.DataFrame:
    """`error_deg` and `share`: the share of errors up to each angle."""
    return _join(rows, (each.result.error_cdf() for row in rows for each in row.scored))


def logs(rows: Sequence[Row]) -> pd.DataFrame:
    """What the logs of all heads have."""
    return _join(rows, (each.result.log for row in rows for each in row.scored))


def scores(rows: Sequence[Row]) -> pd.DataFrame:
    """`category` and the metrics: a row per category of a run, and one for all of them, named `all`."""
    parts = []
    for row in rows:
        for each in row.scored:
            by_category = each.result.scores
            names = [name for name in sorted(each.errors["category"].unique()) if name in by_category]
            table = pd.DataFrame([by_category[name] for name in [*names, OVERALL[row.task]]])
            parts.append(table.assign(category=[*names, "all"]))
    return _join(rows, parts)


def _join(rows: Sequence[Row], tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """A table of each run, in their order, in one."""
    names = [(row.name, seed) for row in rows for seed in row.seeds]
    parts = [
        pd.concat([pd.DataFrame({"head": head, "seed": seed}, index=table.index), table], axis=1)
        for (head, seed), table in zip(names, tables, strict=True)
    ]
    return pd.concat(parts, ignore_index=True)
