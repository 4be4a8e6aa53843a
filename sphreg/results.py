"""What `evaluate` writes to a folder `results/HEAD/TASK`, and the contract that whoever reads it holds it against."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float64
from pydantic import FiniteFloat, RootModel

from sphreg import checksums
from sphreg.arrays import Array, read_arrays
from sphreg.errors import UserError
from sphreg.files import whole, write_whole
from sphreg.metrics import BIN_DEG, BINS, COARSE, Scores, normals_metrics, pose_metrics
from sphreg.reading import read_json
from sphreg.summary import FIFTH, TRACKED
from sphreg.tables import TEXT, Column, read_table

MAPS = 20  # images whose normals are kept for pictures
LARGEST = 2048  # pixels of their sides, as of `render.size`
ANGLES_DEG = np.arange(0, 180.5, 0.5)
FILES = ["errors.csv", "log.csv", "metrics.json"]
FILES_OF_NORMALS = ["histogram.csv", "maps.npz", "meshes.npz"]

ERROR = Column(low=0, high=180 + 1e-5)  # float32 has a larger pi
NAMES = {"key": TEXT, "category": TEXT, "mesh": TEXT}
QUATERNION = dict.fromkeys(["qw", "qx", "qy", "qz"], Column(low=-1 - 1e-6, high=1 + 1e-6))
ANGLES = {
    "azimuth_deg": Column(low=-180, high=180),
    "elevation_deg": Column(low=-90, high=90),
    "tilt_deg": Column(low=-180, high=180),
}
SIGNS = {f"{angle.removesuffix('_deg')}_sign_class": Column(int, 0, 3) for angle in ANGLES}


def _both(columns: Mapping[str, Column]) -> dict[str, Column]:
    return {f"{side}_{name}": column for side in ("true", "predicted") for name, column in columns.items()}


ERRORS = {
    "rotation": NAMES | _both(QUATERNION | {"sign_class": Column(int, 0, 7)}) | {"error_deg": ERROR},
    "viewpoint": NAMES | _both(ANGLES | SIGNS) | {"error_deg": ERROR},
    "normals": NAMES  # an image may show an object edge-on, in no pixel
    | {"pixels": Column(int, 0)}
    | dict.fromkeys(["mean_deg", "median_deg"], Column(low=0, high=180 + 1e-5, optional=True)),
}
LOG = {  # what the logs of all heads have
    "epoch": Column(int, 1),
    "lr": Column(low=0),
    "loss": Column(),
    "grad_norm": Column(low=0),
    "grad_norm_cv": Column(low=0, optional=True),  # of gradients that are 0
    "validation_median_deg": Column(low=0, high=180 + 1e-5, optional=True),  # where no mesh is held out
}
HISTOGRAM = {"category": TEXT, "bin": Column(int, 0, BINS - 1), "pixels": Column(int, 1)}


class _Scores(RootModel[dict[str, dict[str, FiniteFloat]]]):
    """`metrics.json`."""


def files(task: str) -> list[str]:
    """What has to be there to compare heads."""
    return FILES + (FILES_OF_NORMALS if task == "normals" else [])


@dataclass(frozen=True)
class Result:
    """The test of one task, read when it is asked for.

    Each file is held against its contract, against the others that count the same, and against its checksum, if the
    folder has any: those of earlier versions have none.

    Raises:
        UserError: of all that it reads, a file is missing or is not as `evaluate` writes it.
    """

    task: str
    folder: Path

    def check(self) -> None:
        """Read all that there is."""
        for name in ("scores", "log", *(("pixels",) if self.task == "normals" else ())):
            getattr(self, name)
        if self.task == "normals":
            self.maps()

    @cached_property
    def errors(self) -> pd.DataFrame:
        """A row per test view, with the columns of ERRORS."""
        path = self._file("errors.csv")
        table = read_table(path, ERRORS[self.task], ["key"])
        if table.empty:
            raise UserError(f"{path}: it has no row.")
        if self.task == "normals":
            for name in "mean_deg", "median_deg":
                _refuse(path, (table["pixels"] > 0) != table[name].notna(), f"{name} has to be there where pixels are")
        if self.task == "rotation":
            for side in "true", "predicted":
                squares = table[[f"{side}_{name}" for name in QUATERNION]] ** 2
                _refuse(
                    path, (squares.sum(axis=1) - 1).abs() > 1e-5, f"its {side} quaternion has another length than 1"
                )
        return table

    @cached_property
    def log(self) -> pd.DataFrame:
        """A row per epoch of the training, with the columns of LOG."""
        return read_log(self._file("log.csv"))

    @cached_property
    def scores(self) -> Scores:
        """The metrics of each category, and of all, as `sphreg.metrics` has them."""
        path = self._file("metrics.json")
        found = read_json(path, _Scores).root
        right = normals_metrics(self.histogram) if self.task == "normals" else pose_metrics(self.errors)
        same = set(right) - set(FIFTH.values()) <= set(found) <= set(right) and all(
            metrics.keys() == right[name].keys()
            and all(math.isclose(metrics[metric], right[name][metric], abs_tol=1e-6) for metric in metrics)
            for name, metrics in found.items()
        )
        if not same:
            raise UserError(f"{path}: its numbers are not those of the tables beside it; test it again.")
        return found

    @cached_property
    def histogram(self) -> pd.DataFrame:
        """Of normals, how many pixels of each category have an error in each bin of 0.01 degrees; none is left out."""
        path = self._file("histogram.csv")
        table = read_table(path, HISTOGRAM, ["category", "bin"])
        shown = self.errors.groupby("category")["pixels"].sum()
        if table.groupby("category")["pixels"].sum().to_dict() != shown[shown > 0].to_dict():
            raise UserError(f"{path}: its pixels are not as many as those of errors.csv; test it again.")
        return table

    @cached_property
    def pixels(self) -> Float64[np.ndarray, "meshes bins"]:
        """Of normals, how many pixels of each mesh have an error in each coarse bin, by category and name."""
        path = self._file("meshes.npz")
        shown = self.errors.groupby(["category", "mesh"])["pixels"].sum()
        names, numbers = Array(str, (len(shown),)), Array(np.uint32, (len(shown), BINS // COARSE))
        arrays = read_arrays(path, {"category": names, "mesh": names, "pixels": numbers})
        pixels = arrays["pixels"].astype(float)
        if [*zip(arrays["category"].tolist(), arrays["mesh"].tolist(), strict=True)] != shown.index.tolist():
            raise UserError(f"{path}: its meshes are not those of errors.csv; test it again.")
        same = (pixels.sum(axis=1) == shown).all()
        for name, group in self.histogram.groupby("category"):
            counts = np.bincount(group["bin"] // COARSE, group["pixels"], BINS // COARSE)
            same &= (counts == pixels[arrays["category"] == name].sum(axis=0)).all()
        if not same:
            raise UserError(f"{path}: its pixels are not those of errors.csv and histogram.csv; test it again.")
        return pixels

    def maps(self) -> dict[str, np.ndarray]:
        """Of normals, `key`, `image`, `true` and `predicted` of up to MAPS views, as `evaluate` writes them."""
        path = self._file("maps.npz")
        size = ("maps", "h", "w")
        vectors = Array(np.float32, (*size, 3), -1 - 1e-6, 1 + 1e-6)
        wanted = {"key": Array(str, ("maps",)), "image": Array(np.uint8, size), "true": vectors, "predicted": vectors}
        arrays = read_arrays(path, wanted, {"maps": MAPS, "h": LARGEST, "w": LARGEST})
        keys = pd.Index(arrays["key"])
        if keys.has_duplicates or not keys.isin(self.errors["key"]).all():
            raise UserError(f"{path}: its keys are not those of errors.csv, each once; test it again.")
        return arrays

    def error_cdf(self) -> pd.DataFrame:
        """The share of errors up to each angle: over all pixels, or the mean of the categories' shares of views.

        So the curves pass through the accuracies that are tracked.
        """
        if self.task == "normals":
            bins = self.histogram.groupby("bin")["pixels"].sum()
            below = np.searchsorted(bins.index, np.rint(ANGLES_DEG / BIN_DEG).astype(int))  # that end there or before
            share = np.concatenate([[0], bins.cumsum()])[below] / bins.sum()
        else:
            groups = self.errors.groupby("category")["error_deg"]
            shares = [np.searchsorted(np.sort(group), ANGLES_DEG, side="right") / len(group) for _, group in groups]
            share = np.mean(shares, axis=0)
        return pd.DataFrame({"error_deg": ANGLES_DEG, "share": share})

    def _file(self, name: str) -> Path:
        checksums.check_if_any(self.folder, [name])
        return self.folder / name


def results_in(folder: Path) -> dict[str, Result]:
    """The results of one head, `folder/TASK`, for each task that is there."""
    return {task: Result(task, folder / task) for task in TRACKED if (folder / task).is_dir()}


def read_log(path: Path) -> pd.DataFrame:
    """The columns of a `log.csv` that all heads have.

    Raises:
        UserError: it cannot be read, or is no log from the first epoch on.
    """
    table = read_table(path, LOG, others=Column())
    if table.empty:
        raise UserError(f"{path}: it has no row.")
    held_out = table["validation_median_deg"]
    _refuse(path, held_out.isna() != held_out.isna()[0], "validation_median_deg is there in some rows, not in others")
    _refuse(path, table["epoch"] != np.arange(1, len(table) + 1), "it is not the next epoch, counted from 1")
    return table


def _refuse(path: Path, wrong: pd.Series, reason: str) -> None:
    """Raise UserError with the first line that is wrong, if there is one."""
    if wrong.any():
        raise UserError(f"{path}, line {int(wrong.to_numpy().argmax()) + 2}: {reason}.")


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV.

    Raises:
        UserError: it cannot be written.
    """
    write_whole(path, table.to_csv(index=False).encode())


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write arrays as .npz.

    Raises:
        UserError: it cannot be written.
    """
    with whole(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def write_scores(path: Path, scores: Scores) -> None:
    """Write metrics as JSON.

    Raises:
        UserError: it cannot be written.
    """
    write_whole(path, (json.dumps(scores, indent=2, allow_nan=False) + "\n").encode())
