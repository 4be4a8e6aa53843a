"""Resampling and tests against plain loops, and against distributions whose truth is known."""

import itertools
import math
import statistics as stdlib

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from sphreg.metrics import histogram, normals_metrics, pose_metrics
from sphreg.statistics import FLIPS, holm, interval, pixel_draws, pose_draws, resample, sign_flips

METRICS = ["median_deg", "mean_deg", "acc_30", "acc_15", "acc_7_5"]


def uneven(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Errors, the mesh of each and the category of each mesh, in no order, with ties, 1 to 6 views a mesh."""
    categories = np.array([0, 2, 1, 0, 2, 2, 1, 0, 2])
    meshes = rng.permutation(np.repeat(np.arange(9), [3, 1, 4, 1, 5, 2, 6, 2, 3]))
    return rng.choice([0.0, 3.0, 7.5, 14.0, 15.0, 20.0, 30.0, 33.3, 120.0, 180.0], len(meshes)), meshes, categories


def macro_of_a_loop(
    errors: np.ndarray, meshes: np.ndarray, categories: np.ndarray, times: np.ndarray
) -> dict[str, float]:
    """Each view written out as often as its mesh was drawn."""
    groups: dict[int, list[float]] = {}
    for error, mesh in zip(errors.tolist(), meshes.tolist(), strict=True):
        groups.setdefault(int(categories[mesh]), []).extend([error] * int(times[mesh]))
    found = {"median_deg": [stdlib.median(group) for group in groups.values()]}
    found["mean_deg"] = [stdlib.fmean(group) for group in groups.values()]
    for name, limit in ("acc_30", 30), ("acc_15", 15), ("acc_7_5", 7.5):
        found[name] = [sum(error < limit for error in group) / len(group) for group in groups.values()]
    return {name: stdlib.fmean(values) for name, values in found.items()}


def test_scores_of_resamples_are_those_of_a_loop() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        errors, meshes, categories = uneven(rng)
        counts = resample(categories, 30, rng)
        draws = pose_draws(errors, meshes, categories, counts)
        assert list(draws) == METRICS
        for i, times in enumerate(counts):
            expected = macro_of_a_loop(errors, meshes, categories, times)
            assert {name: values[i] for name, values in draws.items()} == pytest.approx(expected, abs=1e-12)


def test_each_mesh_once_gives_the_scores_of_the_evaluation() -> None:
    errors, meshes, categories = uneven(np.random.default_rng(1))
    table = pd.DataFrame({"category": categories[meshes].astype(str), "error_deg": errors})
    table["key"] = [f"{mesh}.v{i:03d}" for i, mesh in enumerate(meshes)]
    draws = pose_draws(errors, meshes, categories, np.ones((1, 9), dtype=np.int64))
    assert {name: values[0] for name, values in draws.items()} == pytest.approx(pose_metrics(table)["macro"])


def counted(errors: list[float]) -> np.ndarray:
    """How many of them are in each of 3,600 bins of 0.05 degrees."""
    return np.histogram(errors, np.linspace(0, 180, 3601))[0].astype(float)


def test_scores_of_resampled_pixels_are_those_of_a_loop() -> None:
    """Errors in the middle of bins, so that nothing is lost by counting."""
    rng = np.random.default_rng(2)
    pixels = [((rng.integers(0, 900, n) + 0.5) * 0.05).tolist() for n in (5, 0, 100, 1)]
    counts = resample(np.array([0, 0, 1, 1]), 50, rng)
    draws = pixel_draws(np.stack([counted(errors) for errors in pixels]), counts)
    assert list(draws) == ["mean_deg", "median_deg", "rmse_deg", "acc_11_25", "acc_22_5", "acc_30"]
    for i, times in enumerate(counts.tolist()):
        errors = sorted(error for mesh, n in zip(pixels, times, strict=True) for error in mesh * n)
        expected = {"mean_deg": stdlib.fmean(errors), "median_deg": stdlib.median_low(errors)}
        expected["rmse_deg"] = math.sqrt(stdlib.fmean(error**2 for error in errors))
        for name, limit in ("acc_11_25", 11.25), ("acc_22_5", 22.5), ("acc_30", 30):
            expected[name] = sum(error < limit for error in errors) / len(errors)
        assert {name: values[i] for name, values in draws.items()} == pytest.approx(expected)


def test_each_mesh_once_gives_the_scores_of_the_pixels() -> None:
    """But for what the coarser bins lose: half of 0.05 degrees, and nothing of the accuracies."""
    errors = np.random.default_rng(3).exponential(15, 2000).clip(max=180)
    draws = pixel_draws(np.stack([counted(part.tolist()) for part in np.split(errors, 4)]), np.ones((1, 4), int))
    counts = histogram(errors)
    table = pd.DataFrame({"category": "chair", "bin": counts.nonzero()[0], "pixels": counts[counts.nonzero()]})
    for name, expected in normals_metrics(table)["all"].items():
        assert draws[name][0] == pytest.approx(expected, abs=0.03 if name.endswith("_deg") else 1e-12)


def test_a_resample_that_shows_no_pixel_is_left_out() -> None:
    pixels = np.stack([counted([]), counted([8.02, 8.02, 8.02])])
    draws = pixel_draws(pixels, np.array([[2, 0], [1, 1], [0, 2]]))["mean_deg"]
    assert np.isnan(draws[0]) and draws[1:] == pytest.approx(8.025)
    assert interval(8.025, draws, [[8.025]], (0.0, 180.0)) == pytest.approx((8.025, 8.025))


def test_resamples_are_drawn_with_replacement_within_each_category() -> None:
    categories = np.array([1, 0, 1, 1, 0, 1, 1])
    counts = resample(categories, 20_000, np.random.default_rng(0))
    assert (counts[:, categories == 0].sum(axis=1) == 2).all() and (counts[:, categories == 1].sum(axis=1) == 5).all()
    for category, n in (0, 2), (1, 5):
        for mesh in np.flatnonzero(categories == category):
            for times in range(3):  # binomial: n draws, each of this mesh with probability 1 / n
                share = math.comb(n, times) * (1 / n) ** times * (1 - 1 / n) ** (n - times)
                assert (counts[:, mesh] == times).mean() == pytest.approx(share, abs=0.015)


CENTRES, BETWEEN, WITHIN = np.array([25.0, 40.0]), 6.0, 5.0  # of categories; deviations of their meshes and of views
MESHES, VIEWS = 40, 3  # of a category, and of a mesh
CATEGORIES = np.repeat(np.arange(len(CENTRES)), MESHES)
MESH = np.repeat(np.arange(len(CATEGORIES)), VIEWS)
LIMITS = (0.0, 180.0)


def simulated(rng: np.random.Generator, hardness: np.ndarray) -> np.ndarray:
    """Errors of one network, of meshes of which some are harder than others."""
    return CENTRES[CATEGORIES[MESH]] + hardness[MESH] + rng.normal(0, WITHIN, len(MESH))


def mean_draws(errors: np.ndarray, meshes: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The mean over the views of each resample; of categories of one size it is that over categories."""
    return counts @ np.bincount(meshes, weights=errors) / (counts @ np.bincount(meshes))


def test_intervals_cover_the_truth() -> None:
    """Of all meshes that there could be: the errors of a category are normal."""
    normal = [scipy.stats.norm(centre, math.hypot(BETWEEN, WITHIN)) for centre in CENTRES]
    truth = {"median_deg": CENTRES.mean(), "mean_deg": CENTRES.mean()}
    truth |= {"acc_30": np.mean([each.cdf(30) for each in normal])}
    rng, covered = np.random.default_rng(0), dict.fromkeys(truth, 0)
    for _ in range(500):
        errors = simulated(rng, rng.normal(0, BETWEEN, len(CATEGORIES)))
        draws = pose_draws(errors, MESH, CATEGORIES, resample(CATEGORIES, 400, rng))
        for name, expected in truth.items():
            low, high = interval(0.0, draws[name], [[0.0]], LIMITS)
            covered[name] += low <= expected <= high
    assert all(0.92 <= times / 500 <= 0.98 for times in covered.values()), covered


def test_views_that_are_drawn_alone_cover_too_little() -> None:
    """What the resampling of meshes is for."""
    rng, covered = np.random.default_rng(1), 0
    for _ in range(300):
        errors = simulated(rng, rng.normal(0, BETWEEN, len(CATEGORIES)))
        draws = mean_draws(errors, np.arange(len(MESH)), resample(CATEGORIES[MESH], 400, rng))
        low, high = interval(0.0, draws, [[0.0]], LIMITS)
        covered += low <= CENTRES.mean() <= high
    assert covered / 300 < 0.85


@pytest.mark.parametrize(("spread", "highest"), [(0.0, 1.0), (2.0, 0.98), (5.0, 0.98)])
def test_intervals_of_three_seeds_cover_the_truth(spread: float, highest: float) -> None:
    """Of one head, and of the difference between two heads on the same meshes.

    The standard error by the meshes is 0.7 degrees. Where the seeds spread less than that the interval is too wide:
    what a network makes of single meshes is part of both its parts.
    """
    rng, covered, differ = np.random.default_rng(2), 0, 0
    for _ in range(500):
        hardness = rng.normal(0, BETWEEN, len(CATEGORIES))
        counts = resample(CATEGORIES, 400, rng)
        scores: list[list[float]] = [[], []]
        draws = [np.zeros(400), np.zeros(400)]
        for head, _seed in itertools.product(range(2), range(3)):
            errors = simulated(rng, hardness + rng.normal(0, 2, len(CATEGORIES))) + rng.normal(0, spread)
            scores[head].append(float(errors.mean()))
            draws[head] += mean_draws(errors, MESH, counts) / 3
        means = [float(np.mean(each)) for each in scores]
        low, high = interval(means[0], draws[0], scores[:1], LIMITS)
        covered += low <= CENTRES.mean() <= high
        low, high = interval(means[0] - means[1], draws[0] - draws[1], scores, (-180.0, 180.0))
        differ += low <= 0 <= high
    assert 0.92 <= covered / 500 <= highest and 0.92 <= differ / 500 <= highest, (covered, differ)


def test_seeds_widen_the_interval_by_students_t() -> None:
    draws = np.linspace(20, 40, 1001)  # its percentiles are 20.5 and 39.5
    assert interval(30.0, draws, [[30.0]], (0.0, 180.0)) == pytest.approx((20.5, 39.5))
    t = scipy.stats.t.ppf(0.975, 2) * 2 / math.sqrt(3)  # of 28, 30, 32
    assert interval(30.0, draws, [[28.0, 30.0, 32.0]], (0.0, 180.0)) == pytest.approx(
        (30 - math.hypot(9.5, t), 30 + math.hypot(9.5, t))
    )
    a, b = [1.0, 2.0, 6.0], [3.0, 4.0]
    welch = scipy.stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert interval(-0.5, np.full(100, -0.5), [a, b], (-180.0, 180.0)) == pytest.approx((welch.low, welch.high))
    assert interval(-0.5, np.full(100, -0.5), [a, [3.0]], (-180.0, 180.0)) == (
        -0.5,
        -0.5,
    )  # a single seed has no spread
    assert interval(0.9, np.full(100, 0.9), [[0.85, 0.95]], (0.0, 1.0)) == pytest.approx(
        (0.9 - 0.05 * 12.7062, 1), abs=1e-5
    )


def exact(differences: np.ndarray) -> float:
    """p by all sign flips."""
    flips = [abs(sum(s * d for s, d in zip(signs, differences, strict=True))) for signs in flips_of(len(differences))]
    return sum(value >= abs(sum(differences)) - 1e-9 for value in flips) / len(flips)


def flips_of(n: int) -> list[tuple[int, ...]]:
    return list(itertools.product((1, -1), repeat=n))


def test_sign_flips_are_those_of_all_flips() -> None:
    rng = np.random.default_rng(3)
    for n in range(1, 11):
        differences = rng.normal(0.6, 1, n)
        p = sign_flips(differences, 20_000, rng)
        assert p == pytest.approx(exact(differences), abs=4 * math.sqrt(0.25 / 20_000))
    assert exact(np.array([1.0, 2.0, 3.0])) == 0.25


def test_p_is_never_0() -> None:
    p = sign_flips(np.full(300, 1.0), FLIPS, np.random.default_rng(0))
    assert p == 1 / (FLIPS + 1)


def holm_of_a_loop(p: list[float]) -> list[float]:
    """The smallest p of those left times their number, but never less than that of a smaller p."""
    left, adjusted, largest = list(range(len(p))), [0.0] * len(p), 0.0
    while left:
        best = min(left, key=lambda i: p[i])
        largest = max(largest, min(1.0, p[best] * len(left)))
        adjusted[best] = largest
        left.remove(best)
    return adjusted


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_is_that_of_a_loop(p: list[float]) -> None:
    assert holm(np.array(p, dtype=float)).tolist() == pytest.approx(holm_of_a_loop(p))


def test_holm_of_an_example() -> None:
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx(np.array([0.03, 0.06, 0.06, 0.02]))


def test_equal_heads_are_told_apart_as_often_as_they_may_be() -> None:
    """Three heads, three pairs: at least one false alarm in 3 to 7 % of the tables."""
    rng, alarms = np.random.default_rng(5), 0
    for _ in range(1000):
        hardness = rng.gamma(2, 10, 40)  # of a mesh, for all heads
        heads = hardness + rng.exponential(8, (3, 40)) * rng.choice([1, 4], 40)
        pairs = [heads[a] - heads[b] for a, b in itertools.combinations(range(3), 2)]
        p = holm(np.array([sign_flips(pair, 600, rng) for pair in pairs]))
        alarms += bool((p < 0.05).any())
    assert 0.03 <= alarms / 1000 <= 0.07, alarms


def test_many_equal_heads_are_seldom_told_apart_over_seeds() -> None:
    """Six heads, three seeds each: with the level corrected for 15 pairs one false alarm or more in 5 %, not in 20."""
    rng, alarms = np.random.default_rng(6), {0.95: 0, 1 - 0.05 / 15: 0}
    for _ in range(600):
        heads = 30 + rng.normal(0, 1, (6, 3))
        for level in alarms:
            ends = []
            for a, b in itertools.combinations(heads.tolist(), 2):
                difference = stdlib.fmean(a) - stdlib.fmean(b)
                ends.append(interval(difference, np.full(100, difference), [a, b], (-180.0, 180.0), level))
            alarms[level] += any(not low <= 0 <= high for low, high in ends)
    uncorrected, corrected = (times / 600 for times in alarms.values())
    assert corrected <= 0.07 and uncorrected > 0.2, alarms


def test_one_mesh() -> None:
    """It is drawn every time, and no flip makes its difference smaller."""
    rng = np.random.default_rng(0)
    counts = resample(np.array([0]), 20, rng)
    assert (counts == 1).all()
    draws = pose_draws(np.array([10.0, 20.0, 90.0]), np.zeros(3, dtype=np.int64), np.array([0]), counts)
    assert set(draws["median_deg"]) == {20.0} and set(draws["mean_deg"]) == {40.0}
    assert sign_flips(np.array([3.0]), 100, rng) == 1


@pytest.mark.parametrize("degrees", [0.0, 7.5, 180.0])
def test_all_errors_equal(degrees: float) -> None:
    rng = np.random.default_rng(0)
    _, meshes, categories = uneven(rng)
    draws = pose_draws(np.full(len(meshes), degrees), meshes, categories, resample(categories, 40, rng))
    assert interval(degrees, draws["median_deg"], [[degrees, degrees]], (0.0, 180.0)) == (degrees, degrees)
    assert set(draws["acc_7_5"]) == {float(degrees < 7.5)} and set(draws["acc_30"]) == {float(degrees < 30)}
    assert sign_flips(np.zeros(9), 100, rng) == 1
