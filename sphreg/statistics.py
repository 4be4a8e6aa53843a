"""How sure a number is: intervals by resampling meshes, paired tests by flipping the signs of their differences.

What is random in a result is, first, which meshes were tested. Views of one mesh are not independent, so a mesh is
drawn with all its views. The categories are fixed, as scores are means over them: each keeps its number of meshes (a
stratified bootstrap). A resample is a count for each mesh, and a score is computed for all resamples at once; the same
counts serve all runs on the same views, so that the differences between runs are paired.

Second, the seed of the training. A few seeds are too few to resample: of three, the bootstrap makes the variance a
third too small. Their part of an interval is therefore that of Student's t for a mean, and the two parts are added in
quadrature on each side of the estimate: the method of variance estimates recovery (Zou and Donner, Statistics in
Medicine 27, 2008). Such an interval is rather too wide than too narrow: where seeds hardly differ, what they make of
single meshes is part of both.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int64
from scipy.special import stdtrit

from sphreg.metrics import BIN_DEG, BINS, COARSE

LEVEL = 0.95
RESAMPLES = 2000
FLIPS = 10_000
BLOCK = 250  # resamples at a time: they fit the cache of a processor
LIMITS_DEG = {"acc_30": 30.0, "acc_15": 15.0, "acc_7_5": 7.5}
PIXEL_BINS_DEG = (np.arange(BINS // COARSE) + 0.5) * BIN_DEG * COARSE  # the middle of each
PIXEL_LIMITS = {"acc_11_25": 225, "acc_22_5": 450, "acc_30": 600}  # bins below so many degrees
Draws = dict[str, Float64[np.ndarray, "resamples"]]


def resample(
    categories: Int64[np.ndarray, "meshes"], resamples: int, rng: np.random.Generator
) -> Int64[np.ndarray, "resamples meshes"]:
    """How often each resample has each mesh, of those of a category as many as there are, with replacement."""
    counts = np.empty((resamples, len(categories)), dtype=np.int64)
    for category in np.unique(categories):
        members = np.flatnonzero(categories == category)
        counts[:, members] = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), size=resamples)
    return counts


def pose_draws(
    errors_deg: Float64[np.ndarray, "views"],
    meshes: Int64[np.ndarray, "views"],
    categories: Int64[np.ndarray, "meshes"],
    counts: Int64[np.ndarray, "resamples meshes"],
) -> Draws:
    """`macro` of `sphreg.metrics.pose_metrics` for each resample; `meshes` says of which mesh a view is."""
    draws = {name: np.zeros(len(counts)) for name in ("median_deg", "mean_deg", *LIMITS_DEG)}
    names = np.unique(categories)
    for category in names:
        views = np.flatnonzero(categories[meshes] == category)
        views = views[np.argsort(errors_deg[views], kind="stable")]
        errors = errors_deg[views]
        members, mesh = np.unique(meshes[views], return_inverse=True)
        below = {name: np.searchsorted(errors, limit) for name, limit in LIMITS_DEG.items()}
        sums = np.bincount(mesh, weights=errors)
        for start in range(0, len(counts), BLOCK):
            rows = slice(start, start + BLOCK)
            weights = counts[rows, members].T.astype(np.int32)
            # views x resamples: how many views of a resample are among the first so many of the sorted ones
            drawn = weights.take(mesh, axis=0).cumsum(axis=0, dtype=np.int32)
            total = drawn[-1]
            draws["mean_deg"][rows] += sums @ weights / total
            for name, views_below in below.items():
                draws[name][rows] += drawn[views_below - 1] / total if views_below else 0.0
            middle = [(drawn <= k).sum(axis=0) for k in ((total - 1) // 2, total // 2)]
            draws["median_deg"][rows] += errors[middle].mean(axis=0)
    return {name: values / len(names) for name, values in draws.items()}


def pixel_draws(pixels: Float64[np.ndarray, "meshes bins"], counts: Int64[np.ndarray, "resamples meshes"]) -> Draws:
    """`all` of `sphreg.metrics.normals_metrics` for each resample; NaN for one that shows no pixel.

    `pixels` says how many of a mesh have an error in each of `PIXEL_BINS_DEG`, and counts as their middle.
    """
    draws = {name: np.full(len(counts), np.nan) for name in ("mean_deg", "median_deg", "rmse_deg", *PIXEL_LIMITS)}
    for start in range(0, len(counts), BLOCK):
        drawn = counts[start : start + BLOCK].astype(float) @ pixels
        shown = np.flatnonzero(drawn.any(axis=1))
        drawn, rows = drawn[shown], start + shown
        below = drawn.cumsum(axis=1)
        total = below[:, -1]
        draws["mean_deg"][rows] = drawn @ PIXEL_BINS_DEG / total
        draws["rmse_deg"][rows] = np.sqrt(drawn @ PIXEL_BINS_DEG**2 / total)
        draws["median_deg"][rows] = PIXEL_BINS_DEG[(below < total[:, None] / 2).sum(axis=1)]
        for name, bins in PIXEL_LIMITS.items():
            draws[name][rows] = below[:, bins - 1] / total
    return draws


def interval(
    estimate: float,
    draws: Float64[np.ndarray, "resamples"],
    seeds: Sequence[Sequence[float]],
    limits: tuple[float, float],
    level: float = LEVEL,
) -> tuple[float, float]:
    """An interval: percentiles of the draws, widened by the spread over the seeds where there are several.

    Args:
        estimate: the score, a mean over the seeds; or the difference of two.
        draws: the same for each resample of the meshes.
        seeds: the score of each seed; of a difference, those of both. One that has a single seed widens nothing.
        limits: between which values a score lies.
        level: how often it is to cover what it estimates.
    """
    low, high = np.nanquantile(draws, [(1 - level) / 2, (1 + level) / 2])
    half = _half_of_seeds(seeds, level)
    if half > 0:
        low, high = (
            estimate - np.hypot(max(estimate - low, 0), half),
            estimate + np.hypot(max(high - estimate, 0), half),
        )
    return float(np.clip(low, *limits)), float(np.clip(high, *limits))


def _half_of_seeds(seeds: Sequence[Sequence[float]], level: float) -> float:
    """Half the interval of a mean over seeds, or by Welch of a difference of two; 0 where one has one seed."""
    numbers = np.array([len(scores) for scores in seeds])
    if numbers.min() < 2:
        return 0.0
    variances = np.array([np.var(scores, ddof=1) for scores in seeds]) / numbers
    if not variances.any():
        return 0.0
    freedom = variances.sum() ** 2 / (variances**2 / (numbers - 1)).sum()
    return float(stdtrit(freedom, (1 + level) / 2) * np.sqrt(variances.sum()))


def sign_flips(differences: Float64[np.ndarray, "meshes"], flips: int, rng: np.random.Generator) -> float:
    """How likely a sum at least as far from 0 is if each mesh's difference could as well have the other sign.

    Two-sided. The observed signs count as one of the flips, so that p is never 0 and the test is exact.
    """
    smallest = abs(differences.sum()) - 1e-12 * np.abs(differences).sum()  # equal sums differ by rounding
    reached = 1
    for start in range(0, flips, BLOCK):
        signs = rng.integers(0, 2, (min(BLOCK, flips - start), len(differences)), dtype=np.int8)
        reached += int((np.abs((1.0 - 2 * signs) @ differences) >= smallest).sum())
    return reached / (1 + flips)


def holm(p: Float64[np.ndarray, "pairs"]) -> Float64[np.ndarray, "pairs"]:
    """Holm's adjusted p: rejecting those below 5 % makes one false rejection or more in at most 5 % of the families."""
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(np.arange(len(p), 0, -1) * p[order]), 1)
    return adjusted
