"""Metrics against plain loops, at the thresholds, and against statistics of the single pixels."""

import math
import statistics

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sphreg.metrics import BIN_DEG, BINS, histogram, normals_metrics, of_errors, of_pixels, pose_metrics

POSE = {"median_deg", "mean_deg", "acc_30", "acc_15", "acc_7_5"}
NORMALS = {"mean_deg", "median_deg", "rmse_deg", "acc_11_25", "acc_22_5", "acc_30"}
degrees = st.lists(st.floats(0, 180), min_size=1, max_size=60)
reproducible = settings(derandomize=True, deadline=None)


def share_below(errors: list[float], threshold: float) -> float:
    return sum(1 for error in errors if error < threshold) / len(errors)


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
        errors = pd.DataFrame({"category": ["sofa"] * 5 + ["bed"] * 2, "error_deg": [1.0, 1, 1, 1, 40, 100, 120]})
        metrics = pose_metrics(errors)
        assert set(metrics) == {"sofa", "bed", "macro"}
        assert metrics["sofa"]["median_deg"] == 1
        assert metrics["bed"]["median_deg"] == 110
        assert metrics["macro"]["median_deg"] == (1 + 110) / 2
        assert metrics["macro"]["mean_deg"] == pytest.approx((44 / 5 + 110) / 2)
        assert metrics["macro"]["acc_30"] == pytest.approx((4 / 5 + 0) / 2)
        assert set(metrics["macro"]) == POSE

    def test_an_error_that_is_not_a_number_is_not_dropped(self) -> None:
        metrics = pose_metrics(pd.DataFrame({"category": ["bed", "sofa"], "error_deg": [1.0, math.nan]}))
        assert math.isnan(metrics["macro"]["median_deg"])
        assert metrics["macro"]["acc_30"] == 0.5

    def test_the_order_of_the_rows_changes_nothing(self) -> None:
        rng = np.random.default_rng(0)
        errors = pd.DataFrame({"category": rng.choice(["a", "b", "c"], 100), "error_deg": rng.uniform(0, 180, 100)})
        shuffled = pose_metrics(errors.sample(frac=1, random_state=0))
        for name, metrics in pose_metrics(errors).items():
            assert shuffled[name] == pytest.approx(metrics, rel=1e-12)


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
