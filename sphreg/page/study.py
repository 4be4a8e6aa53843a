"""What the page and the README show: comparisons, and of the rows that were tested on one dataset their views."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from sphreg.comparison import Comparison, Row
from sphreg.errors import UserError
from sphreg.figures.looks import Look, looks
from sphreg.page.gallery import Meshes
from sphreg.page.pictures import Picture, pictures
from sphreg.page.results import errors
from sphreg.reading import read_table
from sphreg.render.camera import Camera
from sphreg.results import ANGLES, NAMES, QUATERNION
from sphreg.views import Views


@dataclass(frozen=True)
class Study:
    """What is shown.

    Attributes:
        found: all rows, by task.
        drawn: those that were tested on the views of this dataset, by task; of a task there may be none.
        errors: of the tasks that have such rows, the table of `sphreg.page.results.errors`.
        info: `info.json` of the dataset.
        views: the test images.
        meshes: what they are images of.
    """

    found: Mapping[str, Comparison]
    drawn: dict[str, list[Row]]
    errors: dict[str, pd.DataFrame]
    info: dict[str, Any]
    views: Views
    meshes: Meshes

    @cached_property
    def heads(self) -> dict[str, Look]:
        """How each row is drawn, in all figures."""
        return looks((row.head, row.differs) for rows in self.drawn.values() for row in rows)

    @cached_property
    def pictures(self) -> dict[str, list[Picture]]:
        """The figures of each task that has any."""
        return {task: [*pictures(task, self.drawn[task], table, self.heads)] for task, table in self.errors.items()}

    @property
    def camera(self) -> Camera:
        """Of the test images."""
        return Camera(self.info["render"]["size"], self.info["render"]["fov_deg"])


def study(found: Mapping[str, Comparison], data: Path, meshes: Path) -> Study:
    """What there is to show of some comparisons.

    Args:
        found: by task.
        data: the packed dataset, with `info.json`, `test.csv` and `test.lmdb`.
        meshes: the folder of normalised meshes, with `index.csv`.

    Raises:
        UserError: the dataset is not there, or rows say that they are of its views and are not.
    """
    for path in data / "info.json", data / "test.csv", data / "test.lmdb", meshes / "index.csv":
        if not path.exists():
            raise UserError(f"{path} is not there, which the page is drawn from; `dvc checkout` brings what was made.")
    info = json.loads((data / "info.json").read_text(encoding="utf-8"))
    views = read_table(data / "test.csv", NAMES | QUATERNION | ANGLES, ["key"])
    drawn = {task: _tested_on(comparison.rows, data / "test.csv") for task, comparison in found.items()}
    tables = {task: errors(rows, views) for task, rows in drawn.items() if rows}
    return Study(found, drawn, tables, info, Views(data / "test.lmdb"), Meshes(meshes))


def _tested_on(rows: list[Row], views: Path) -> list[Row]:
    """The rows that were tested on these views, or have no record of it: within a stage, DVC sees to that."""
    checksum = hashlib.md5(views.read_bytes(), usedforsecurity=False).hexdigest()  # as DVC has it
    found = []
    for row in rows:
        recorded = {Path(path).name: recorded for path, recorded in row.scored[0].run.test_data.items()}
        if recorded.get(views.name, checksum) == checksum:
            found.append(row)
    return found
