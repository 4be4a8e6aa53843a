"""Metrics from the tables of a test. Accuracies are fractions from 0 to 1, of errors below a number of degrees."""

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64

FIFTH_SEED = 3  # as in the original, whose views are others, as they depend on the order in a file
BIN_DEG = 0.01  # of the histogram of pixels of a category
BINS = round(180 / BIN_DEG)
COARSE = 5  # of these bins are one in the histogram of pixels of a mesh; 11.25, 22.5 and 30 degrees still end one
Metrics = dict[str, float]
Scores = dict[str, Metrics]


def pose_metrics(errors: pd.DataFrame) -> Scores:
    """Metrics over the views of each category, their mean `macro`, and `macro_fifth`, the same over a fifth of all.

    Args:
        errors: the columns `key`, `category` and `error_deg`.
    """
    codes, names = pd.factorize(errors["category"].to_numpy(object), sort=True)  # as objects: twice as fast as strings
    degrees, rows = errors["error_deg"].to_numpy(), fifth(errors["key"])
    by_category = _by_category(names, codes, degrees)
    of_fifth = _by_category(names, codes[rows], degrees[rows])
    return {**by_category, "macro": _mean(by_category), "macro_fifth": _mean(of_fifth)}


def fifth(keys: pd.Series) -> Int64[np.ndarray, "rows"]:
    """The rows of a seeded random fifth of some views, at least one: the original scored 20 % of its test views.

    They follow from the keys alone, in any order, so that all heads are scored on the same ones.
    """
    by_key = keys.to_numpy(object).argsort(kind="stable")
    rng = np.random.default_rng(FIFTH_SEED)
    return by_key[rng.choice(len(keys), max(1, len(keys) // 5), replace=False)]


def _by_category(names: np.ndarray, codes: Int64[np.ndarray, "n"], degrees: Float64[np.ndarray, "n"]) -> Scores:
    """Metrics of the categories that are there. `codes` are indices of `names`."""
    groups = {str(name): degrees[codes == code] for code, name in enumerate(names)}
    return {name: of_errors(group) for name, group in groups.items() if len(group)}


def _mean(scores: Scores) -> Metrics:
    """Over the categories."""
    metrics = list(scores.values())
    return {name: float(np.mean([values[name] for values in metrics])) for name in metrics[0]}


def of_errors(errors_deg: Float64[np.ndarray, "n"]) -> Metrics:
    """Median, mean and accuracies of some errors in degrees."""
    return {
        "median_deg": float(np.median(errors_deg)),
        "mean_deg": float(errors_deg.mean()),
        "acc_30": float(np.count_nonzero(errors_deg < 30) / len(errors_deg)),
        "acc_15": float(np.count_nonzero(errors_deg < 15) / len(errors_deg)),
        "acc_7_5": float(np.count_nonzero(errors_deg < 7.5) / len(errors_deg)),
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
    return np.bincount(bins(errors_deg), minlength=BINS)


def bins(errors_deg: Float64[np.ndarray, "pixels"]) -> Int64[np.ndarray, "pixels"]:
    """Into which bin each error falls."""
    return np.minimum(errors_deg / BIN_DEG, BINS - 1).astype(np.int64)
