"""What `evaluate` writes to a folder `results/HEAD/TASK`, as tables. `sphreg.summary` reads the metrics."""

from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float64

from sphreg.metrics import BIN_DEG

LOG = ["epoch", "lr", "loss", "grad_norm", "grad_norm_cv", "validation_median_deg"]  # what the logs of all heads have
ANGLES_DEG = np.arange(0, 180.5, 0.5)
FILES = ["errors.csv", "log.csv", "metrics.json"]
FILES_OF_NORMALS = ["histogram.csv", "maps.npz", "meshes.npz"]


def files(task: str) -> list[str]:
    """What has to be there to compare heads."""
    return FILES + (FILES_OF_NORMALS if task == "normals" else [])


def read_errors(results: Path) -> pd.DataFrame:
    """The table of the test of one task. Names stay what they are: a category may be called `NA` or `1`."""
    return pd.read_csv(
        results / "errors.csv",
        dtype=dict.fromkeys(["key", "category", "mesh"], str),
        keep_default_na=False,
        na_values={"mean_deg": [""], "median_deg": [""]},  # of an image without pixels
    )


def read_log(results: Path) -> pd.DataFrame:
    """The columns of `log.csv` that all heads have."""
    return pd.read_csv(results / "log.csv")[LOG]


def read_histogram(results: Path) -> pd.DataFrame:
    """Of normals, how many pixels of each category have an error in each bin of 0.01 degrees."""
    return pd.read_csv(results / "histogram.csv", dtype={"category": str}, keep_default_na=False)


def read_pixels(results: Path) -> Float64[np.ndarray, "meshes bins"]:
    """Of normals, how many pixels of each mesh, in the order of category and name, have an error in each coarse bin."""
    with np.load(results / "meshes.npz") as arrays:
        return arrays["pixels"].astype(float)


def error_cdf(task: str, results: Path) -> pd.DataFrame:
    """The share of errors up to each angle: over all pixels, or the mean of the categories' shares of views.

    So the curves pass through the accuracies that are tracked.
    """
    if task == "normals":
        bins = read_histogram(results).groupby("bin")["pixels"].sum()
        below = np.searchsorted(bins.index, np.rint(ANGLES_DEG / BIN_DEG).astype(int))  # bins that end there or before
        share = np.concatenate([[0], bins.cumsum()])[below] / bins.sum()
    else:
        by_category = read_errors(results).groupby("category")["error_deg"]
        shares = [np.searchsorted(np.sort(group), ANGLES_DEG, side="right") / len(group) for _, group in by_category]
        share = np.mean(shares, axis=0)
    return pd.DataFrame({"error_deg": ANGLES_DEG, "share": share})
