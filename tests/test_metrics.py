"""Metrics against plain loops, at the thresholds, and against statistics of the single pixels."""

import math
import statistics

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sphreg.metrics import BIN_DEG, BINS, fifth, histogram, normals_metrics, of_errors, of_pixels, pose_metrics

POSE = {"median_deg", "mean_deg", "acc_30", "acc_15", "acc_7_5"}
NORMALS = {"mean_deg", "median_deg", "rmse_deg", "acc_11_25", "acc_22_5", "acc_30"}
degrees = st.lists(st.floats(0, 180), min_size=1, max_size=60)
PINNED = [4, 1, 3, 13]  # of 20 sorted keys
reproducible = settings(derandomize=True, deadline=None)


def share_below(errors: list[float], threshold: float) -> float:
    return sum(1 for error in errors if error < threshold) / len(errors)


def poses(errors: dict[str, list[float]]) -> pd.DataFrame:
    """A table as evaluation writes it, of errors by category. By key, view 10 of a mesh comes before view 9."""
    rows = [(f"{name}.v{view}", name, error) for name, group in errors.items() for view, error in enumerate(group)]
    return pd.DataFrame(rows, columns=["key", "category", "error_deg"])


def table(errors: np.ndarray, category: str = "chair") -> pd.DataFrame:
    """The histogram of some pixels as the table that evaluation writes."""
    counts = histogram(errors)
    return pd.DataFrame({"category": category, "bin": counts.nonzero()[0], "pixels": counts[counts > 0]})


class TestPose:
    @reproducible
    @given(degrees)
    def test_plain_loops(self, errors: list[float]) -> None:
        metrics = of_errors(np.array(errors))
        assert set(metrics) == POSE
        assert metrics["median_deg"] == pytest.approx(statistics.median(errors), abs=1e-12)
        assert metrics["mean_deg"] == pytest.approx(math.fsum(errors) / len(errors), abs=1e-12)
        for name, threshold in ("acc_30", 30), ("acc_15", 15), ("acc_7_5", 7.5):
            assert metrics[name] == share_below(errors, threshold)

    def test_by_hand(self) -> None:
        assert of_errors(np.array([0.0, 7.5, 10.0, 180.0])) == {
            "median_deg": 8.75,
            "mean_deg": 49.375,
            "acc_30": 0.75,
            "acc_15": 0.75,
            "acc_7_5": 0.25,
        }

    @pytest.mark.parametrize(("name", "threshold"), [("acc_30", 30.0), ("acc_15", 15.0), ("acc_7_5", 7.5)])
    def test_an_error_at_the_threshold_is_not_below_it(self, name: str, threshold: float) -> None:
        assert of_errors(np.array([threshold]))[name] == 0
        assert of_errors(np.array([np.nextafter(threshold, 0)]))[name] == 1

    def test_macro_is_the_mean_over_categories_of_different_sizes(self) -> None:
        """As in the field; the median of all errors would be 1."""
        metrics = pose_metrics(poses({"sofa": [1.0, 1, 1, 1, 40], "bed": [100, 120]}))
        assert list(metrics) == ["bed", "sofa", "macro", "macro_fifth"]
        assert metrics["sofa"]["median_deg"] == 1
        assert metrics["bed"]["median_deg"] == 110
        assert metrics["macro"]["median_deg"] == (1 + 110) / 2
        assert metrics["macro"]["mean_deg"] == pytest.approx((44 / 5 + 110) / 2)
        assert metrics["macro"]["acc_30"] == pytest.approx((4 / 5 + 0) / 2)
        assert set(metrics["macro"]) == POSE

    def test_an_error_that_is_not_a_number_is_not_dropped(self) -> None:
        metrics = pose_metrics(poses({"bed": [1.0], "sofa": [math.nan]}))
        assert math.isnan(metrics["macro"]["median_deg"])
        assert metrics["macro"]["acc_30"] == 0.5

    def test_the_order_of_the_rows_changes_nothing(self) -> None:
        rng = np.random.default_rng(0)
        errors = poses({name: rng.uniform(0, 180, count).tolist() for name, count in (("a", 20), ("b", 50), ("c", 30))})
        shuffled = pose_metrics(errors.sample(frac=1, random_state=0))
        for name, metrics in pose_metrics(errors).items():
            assert shuffled[name] == pytest.approx(metrics, rel=1e-12)

    def test_odd_names_of_categories(self) -> None:
        names = ["NA", "1", "nan", "Stühle", "a,b", "None"]
        assert list(pose_metrics(poses({name: [1.0] for name in names})))[:-2] == sorted(names)


class TestFifth:
    """The original scored a seeded random 20 % of its test views."""

    @pytest.mark.parametrize(
        ("views", "drawn"), [(1, 1), (4, 1), (5, 1), (9, 1), (10, 2), (14, 2), (4000, 800), (18_160, 3632)]
    )
    def test_its_size(self, views: int, drawn: int) -> None:
        rows = fifth(pd.Series([f"k{view}" for view in range(views)]))
        assert len(set(rows.tolist())) == len(rows) == drawn
        assert set(rows.tolist()) <= set(range(views))

    def test_it_follows_from_the_keys_alone_and_not_from_their_order(self) -> None:
        keys = poses({"chair": [0.0] * 123, "bed": [0.0] * 456})["key"]
        drawn = set(keys.iloc[fifth(keys)])
        for seed in range(3):
            shuffled = keys.sample(frac=1, random_state=seed)
            assert list(shuffled) != list(keys)
            assert set(shuffled.iloc[fifth(shuffled)]) == drawn

    def test_numpys_draw_over_the_sorted_keys(self) -> None:
        """A release of NumPy that draws others would make results incomparable with earlier ones."""
        assert np.random.default_rng(3).choice(20, 4, replace=False).tolist() == PINNED
        keys = pd.Series([f"k{view}" for view in range(20)])
        assert [sorted(keys)[row] for row in PINNED] == keys.iloc[fifth(keys)].tolist()

    def test_each_category_has_about_a_fifth_of_it(self) -> None:
        keys = poses({f"c{number}": [0.0] * 1816 for number in range(10)})["key"]
        drawn = keys.iloc[fifth(keys)].str.split(".").str[0].value_counts()
        spread = math.sqrt(1816 * 0.2 * 0.8)
        assert len(drawn) == 10
        assert (abs(drawn - 1816 / 5) < 4 * spread).all()

    def test_its_metrics_are_those_of_a_plain_loop(self) -> None:
        rng = np.random.default_rng(0)
        errors = poses({name: rng.uniform(0, 90, count).tolist() for name, count in (("bed", 70), ("sofa", 230))})
        by_key = errors.sort_values("key", ignore_index=True)
        groups: dict[str, list[float]] = {}
        for row in np.random.default_rng(3).choice(300, 60, replace=False):
            groups.setdefault(by_key["category"][row], []).append(by_key["error_deg"][row])
        expected = {
            "median_deg": statistics.fmean(statistics.median(group) for group in groups.values()),
            "mean_deg": statistics.fmean(statistics.fmean(group) for group in groups.values()),
            "acc_30": statistics.fmean(share_below(group, 30) for group in groups.values()),
            "acc_15": statistics.fmean(share_below(group, 15) for group in groups.values()),
            "acc_7_5": statistics.fmean(share_below(group, 7.5) for group in groups.values()),
        }
        for table in errors, errors.sample(frac=1, random_state=1):
            metrics = pose_metrics(table)
            assert metrics["macro_fifth"] == pytest.approx(expected, rel=1e-12)
            assert metrics["macro_fifth"] != metrics["macro"]

    def test_only_its_views_count(self) -> None:
        errors = poses({"bed": [10.0] * 40, "sofa": [10.0] * 60})
        rows = fifth(errors["key"])
        others = np.setdiff1d(np.arange(100), rows)
        missed = errors.assign(error_deg=np.where(np.isin(np.arange(100), others), 100.0, 10.0))
        assert pose_metrics(missed)["macro_fifth"]["mean_deg"] == 10
        assert pose_metrics(missed)["macro"]["mean_deg"] > 50

    def test_a_category_that_is_not_in_it_does_not_count(self) -> None:
        """Of five views one is drawn."""
        errors = poses({name: [float(place)] for place, name in enumerate("abcde")})
        metrics = pose_metrics(errors)
        (row,) = fifth(errors["key"])
        assert metrics["macro_fifth"] == metrics["abcde"[row]]
        assert metrics["macro"]["mean_deg"] == 2


class TestHistogram:
    @reproducible
    @given(degrees)
    def test_every_error_lies_in_its_bin(self, errors: list[float]) -> None:
        for error in errors:
            (place,) = histogram(np.array([error])).nonzero()[0]
            assert BIN_DEG * place - 1e-9 <= error <= BIN_DEG * (place + 1) + 1e-9
        one_by_one = sum(histogram(np.array([error])) for error in errors)
        np.testing.assert_array_equal(histogram(np.array(errors)), one_by_one)

    def test_its_ends(self) -> None:
        """float32 knows no pi: its 180 degrees are a little more."""
        above = math.degrees(np.float32(np.pi))
        assert above > 180
        counts = histogram(np.array([0.0, 0.0, np.nextafter(180, 0), 180.0, above]))
        assert len(counts) == BINS == 18_000
        assert counts[0] == 2
        assert counts[-1] == 3
        assert counts.sum() == 5

    def test_nothing_to_count(self) -> None:
        assert histogram(np.array([], dtype=np.float64)).tolist() == [0] * BINS


class TestNormals:
    @reproducible
    @given(degrees)
    def test_statistics_of_the_pixels_within_half_a_bin(self, errors: list[float]) -> None:
        metrics = of_pixels(table(np.array(errors)))
        half = BIN_DEG / 2 + 1e-9
        assert set(metrics) == NORMALS
        assert metrics["mean_deg"] == pytest.approx(math.fsum(errors) / len(errors), abs=half)
        assert metrics["median_deg"] == pytest.approx(statistics.median_low(errors), abs=half)
        root = math.sqrt(math.fsum(error * error for error in errors) / len(errors))
        assert metrics["rmse_deg"] == pytest.approx(root, abs=half)

    def test_accuracies_are_those_of_the_pixels(self) -> None:
        """Bins end at the thresholds, so that they are exact."""
        errors = np.random.default_rng(0).gamma(2, 12, 5000).clip(0, 180)
        metrics = of_pixels(table(errors))
        for name, threshold in ("acc_11_25", 11.25), ("acc_22_5", 22.5), ("acc_30", 30.0):
            assert metrics[name] == share_below(errors.tolist(), threshold)
            assert 0.1 < metrics[name] < 0.9

    @pytest.mark.parametrize(("name", "threshold"), [("acc_11_25", 11.25), ("acc_22_5", 22.5), ("acc_30", 30.0)])
    def test_an_error_at_the_threshold_is_not_below_it(self, name: str, threshold: float) -> None:
        assert of_pixels(table(np.array([threshold])))[name] == 0
        assert of_pixels(table(np.array([threshold - 1e-6])))[name] == 1

    @pytest.mark.parametrize(("error", "reported"), [(0.0, 0.005), (180.0, 179.995)])
    def test_the_ends(self, error: float, reported: float) -> None:
        metrics = of_pixels(table(np.full(7, error)))
        for name in "mean_deg", "median_deg", "rmse_deg":
            assert metrics[name] == pytest.approx(reported)

    def test_all_pools_the_pixels_of_the_categories(self) -> None:
        """Unlike the macro mean of the poses: a category with more pixels counts more."""
        rng = np.random.default_rng(0)
        chair, sofa = rng.uniform(0, 20, 3000), rng.uniform(0, 90, 500)
        metrics = normals_metrics(pd.concat([table(chair, "chair"), table(sofa, "sofa")]))
        assert set(metrics) == {"chair", "sofa", "all"}
        for name, errors in ("chair", chair), ("sofa", sofa), ("all", np.concatenate([chair, sofa])):
            assert metrics[name]["mean_deg"] == pytest.approx(errors.mean(), abs=BIN_DEG)
            assert metrics[name]["median_deg"] == pytest.approx(np.median(errors), abs=0.1)
            assert metrics[name]["acc_11_25"] == share_below(errors.tolist(), 11.25)
