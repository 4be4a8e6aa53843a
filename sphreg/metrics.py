"""Metrics from the tables of a test. Accuracies are fractions from 0 to 1, of errors below a number of degrees."""

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64

BIN_DEG = 0.01  # of the histogram of pixels
BINS = round(180 / BIN_DEG)
Metrics = dict[str, float]
Scores = dict[str, Metrics]


def pose_metrics(errors: pd.DataFrame) -> Scores:
    """Metrics of a table with the columns `category` and `error_deg`, for each category and `macro`, their mean."""
    by_category = {str(name): of_errors(group.to_numpy()) for name, group in errors.groupby("category")["error_deg"]}
    macro = {str(name): float(values.mean(skipna=False)) for name, values in pd.DataFrame(by_category.values()).items()}
    return {**by_category, "macro": macro}


def of_errors(errors_deg: Float64[np.ndarray, "n"]) -> Metrics:
    """Median, mean and accuracies of some errors in degrees."""
    return {
        "median_deg": float(np.median(errors_deg)),
        "mean_deg": float(errors_deg.mean()),
        "acc_30": float((errors_deg < 30).mean()),
        "acc_15": float((errors_deg < 15).mean()),
        "acc_7_5": float((errors_deg < 7.5).mean()),
    }


def normals_metrics(histogram: pd.DataFrame) -> Scores:
    """Metrics over the pixels of each category, and over `all`.

    Args:
        histogram: the columns `category`, `bin` (errors from bin to bin + 1 times BIN_DEG degrees) and `pixels`.
    """
    by_category = {str(name): of_pixels(group) for name, group in histogram.groupby("category")}
    return {**by_category, "all": of_pixels(histogram)}


def of_pixels(histogram: pd.DataFrame) -> Metrics:
    """Mean, median, root mean square and accuracies, each pixel at the middle of its bin."""
    pixels = histogram.groupby("bin")["pixels"].sum().sort_index()
    bins, counts = pixels.index.to_numpy(), pixels.to_numpy()
    degrees, total = (bins + 0.5) * BIN_DEG, counts.sum()
    return {
        "mean_deg": float((degrees * counts).sum() / total),
        "median_deg": float(degrees[np.searchsorted(counts.cumsum(), total / 2)]),
        "rmse_deg": float(np.sqrt((degrees**2 * counts).sum() / total)),
        "acc_11_25": float(counts[degrees < 11.25].sum() / total),
        "acc_22_5": float(counts[degrees < 22.5].sum() / total),
        "acc_30": float(counts[degrees < 30].sum() / total),
    }


def histogram(errors_deg: Float64[np.ndarray, "pixels"]) -> Int64[np.ndarray, "bins"]:
    """How many errors fall into each bin from 0 to 180 degrees; 180 itself belongs to the last one."""
    return np.bincount(np.minimum(errors_deg / BIN_DEG, BINS - 1).astype(np.int64), minlength=BINS)
