"""The report, on results written here: every number again by a plain loop over the raw errors."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
import simplejpeg
from PIL import Image
from scipy.spatial.transform import Rotation

from benchmarks.packed import info_of
from benchmarks.results import write_result
from sphreg.checksums import write_checksums
from sphreg.errors import UserError
from sphreg.info import write_info
from sphreg.report import extremes, report
from sphreg.results import Result
from sphreg.views import write_views

SIZE = 16
TWELVE = {
    *("rotation.median_deg", "rotation.acc_30", "rotation.acc_15", "rotation.acc_7_5"),
    *("viewpoint.median_deg", "viewpoint.acc_30", "viewpoint.acc_15", "viewpoint.acc_7_5"),
    *("normals.mean_deg", "normals.median_deg", "normals.acc_11_25", "normals.acc_30"),
}
Errors = Mapping[str, list[float]]  # in degrees, by category


def write_pose(folder: Path, errors: Errors) -> None:
    """For true rotations that are random and predictions that miss them by `errors`."""
    write_result(folder, folder.name, *views_of(errors), 3, np.random.default_rng(0))


def write_normals(folder: Path, errors: Mapping[str, list[list[float]]]) -> None:
    """Errors by category, image and pixel; an image may have no pixels."""
    write_result(folder, "normals", *views_of(errors), 3, np.random.default_rng(0), SIZE)


def views_of(errors: Mapping[str, Sequence[Any]]) -> tuple[pd.DataFrame, list[Any]]:
    """Views of a mesh each, and the errors of each view."""
    names = [(f"m{i}_{j:03d}", category) for i, category in enumerate(errors) for j in range(len(errors[category]))]
    views = pd.DataFrame(names, columns=["mesh", "category"])
    views["key"] = views["mesh"] + ".v001"
    views[["qx", "qy", "qz", "qw"]] = Rotation.random(len(names), np.random.default_rng(0)).as_quat(canonical=True)
    return views, [error for group in errors.values() for error in group]


def write_data(folder: Path, keys: list[str]) -> Path:
    folder.mkdir()
    write_info(folder, info_of(["chair"], SIZE))
    grey = (np.add.outer(range(SIZE), range(SIZE)) * 8).astype(np.uint8)[..., None]
    write_views(folder / "test.lmdb", [(key, simplejpeg.encode_jpeg(grey, 95, "GRAY")) for key in sorted(keys)])
    write_checksums(folder)
    return folder


@pytest.fixture(scope="module", autouse=True)
def _small_galleries() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sphreg.report.GALLERY", 2)
        patch.setattr("sphreg.report.MAPS", 2)
        yield


def run(folder: Path, pose: Errors, normals: Mapping[str, list[list[float]]]) -> Path:
    """A report of all three tasks; where it is."""
    write_pose(folder / "results" / "sexp" / "rotation", pose)
    write_pose(folder / "results" / "sexp" / "viewpoint", {name: group[::-1] for name, group in pose.items()})
    write_normals(folder / "results" / "sexp" / "normals", normals)
    keys = list(pd.read_csv(folder / "results" / "sexp" / "rotation" / "errors.csv")["key"])
    report(folder / "results" / "sexp", write_data(folder / "so3", keys), folder / "metrics")
    return folder / "metrics"


def random_errors() -> tuple[Errors, dict[str, list[list[float]]]]:
    rng = np.random.default_rng(1)
    pose = {name: rng.uniform(0, 60 + 40 * i, 5 + 8 * i).tolist() for i, name in enumerate(("chair", "sofa", "toilet"))}
    normals = {
        "chair": [rng.uniform(0, 50, 30).tolist(), []],
        "sofa": [rng.uniform(0, 100, 77).tolist(), rng.uniform(0, 9, 5).tolist()],
    }
    return pose, normals


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("report"), *random_errors())


def median(values: list[float]) -> float:
    ordered, half = sorted(values), len(values) // 2
    return ordered[half] if len(values) % 2 else (ordered[half - 1] + ordered[half]) / 2


def below(values: list[float], limit: float) -> float:
    return sum(1 for value in values if value < limit) / len(values)


def test_the_summary_has_the_twelve_metrics(metrics: Path) -> None:
    summary = json.loads((metrics / "summary.json").read_text())
    assert {f"{task}.{metric}" for task, values in summary.items() for metric in values} == TWELVE


@pytest.mark.parametrize("task", ["rotation", "viewpoint"])
def test_summary_of_poses_is_that_of_a_loop_over_errors_csv(metrics: Path, task: str) -> None:
    by_category: dict[str, list[float]] = {}
    with (metrics.parent / "results" / "sexp" / task / "errors.csv").open() as file:
        for row in csv.DictReader(file):
            by_category.setdefault(row["category"], []).append(float(row["error_deg"]))
    groups = list(by_category.values())
    expected = {
        "median_deg": sum(median(group) for group in groups) / len(groups),
        "acc_30": sum(below(group, 30) for group in groups) / len(groups),
        "acc_15": sum(below(group, 15) for group in groups) / len(groups),
        "acc_7_5": sum(below(group, 7.5) for group in groups) / len(groups),
    }
    assert json.loads((metrics / "summary.json").read_text())[task] == pytest.approx(expected, abs=5e-5)


def test_summary_of_normals_is_that_of_a_loop_over_all_pixels(metrics: Path) -> None:
    pixels = [error for images in random_errors()[1].values() for image in images for error in image]
    summary = json.loads((metrics / "summary.json").read_text())["normals"]
    assert summary["mean_deg"] == pytest.approx(sum(pixels) / len(pixels), abs=0.006)  # bins of 0.01 degrees
    ordered = sorted(pixels)
    assert summary["median_deg"] == pytest.approx(ordered[(len(pixels) + 1) // 2 - 1], abs=0.006)
    assert summary["acc_11_25"] == pytest.approx(below(pixels, 11.25), abs=5e-5)
    assert summary["acc_30"] == pytest.approx(below(pixels, 30), abs=5e-5)


def test_error_cdf_is_that_of_a_loop(metrics: Path) -> None:
    pose, normals = random_errors()
    pixels = [error for images in normals.values() for image in images for error in image]
    for task, groups in ("rotation", list(pose.values())), ("viewpoint", list(pose.values())), ("normals", [pixels]):
        table = pd.read_csv(metrics / "curves" / "error_cdf" / f"{task}.csv")
        assert table["error_deg"].tolist() == [i / 2 for i in range(361)]
        for degrees, share in table.to_numpy():
            found = [sum(1 for error in group if error <= degrees) / len(group) for group in groups]
            assert share == pytest.approx(sum(found) / len(found), abs=1e-4)


def test_error_cdf_passes_through_the_tracked_accuracies(metrics: Path) -> None:
    summary = json.loads((metrics / "summary.json").read_text())
    for task, limits in ("rotation", ("30", "15", "7_5")), ("viewpoint", ("30", "15", "7_5")), ("normals", ("30",)):
        share = pd.read_csv(metrics / "curves" / "error_cdf" / f"{task}.csv").set_index("error_deg")["share"]
        for limit in limits:
            assert share[float(limit.replace("_", "."))] == pytest.approx(summary[task][f"acc_{limit}"], abs=1e-4)


def test_training_curves_have_what_all_heads_log(metrics: Path) -> None:
    for task in "rotation", "viewpoint", "normals":
        table = pd.read_csv(metrics / "curves" / "training" / f"{task}.csv")
        names = ["epoch", "lr", "loss", "grad_norm", "grad_norm_cv", "validation_median_deg"]
        assert list(table) == names
        assert table["loss"].tolist() == [3.0, 1.5, 1.0]


def test_categories_have_a_row_each_and_one_for_all(metrics: Path) -> None:
    table = pd.read_csv(metrics / "curves" / "categories" / "rotation.csv", index_col="category")
    assert list(table.index) == ["chair", "sofa", "toilet", "macro"]
    for name, group in random_errors()[0].items():
        assert table.loc[name, "median_deg"] == pytest.approx(median(group), rel=1e-4)
    table = pd.read_csv(metrics / "curves" / "categories" / "normals.csv", index_col="category")
    assert list(table.index) == ["chair", "sofa", "all"]


def test_no_path_and_no_table_names_the_head(metrics: Path) -> None:
    for path in metrics.rglob("*"):
        assert "sexp" not in str(path.relative_to(metrics))
        assert path.suffix not in (".csv", ".json") or "sexp" not in path.read_text()


def test_the_files_are_small(metrics: Path) -> None:
    assert all(path.stat().st_size < 200_000 for path in metrics.rglob("*.png"))
    assert sum(path.stat().st_size for path in metrics.rglob("*.csv")) < 100_000


def test_same_results_same_bytes_under_any_style(metrics: Path, tmp_path: Path) -> None:
    with matplotlib.rc_context({"font.size": 20, "axes.grid": False, "xtick.labelsize": 4, "savefig.dpi": 30}):
        before = dict(matplotlib.rcParams)
        again = run(tmp_path, *random_errors())
        assert dict(matplotlib.rcParams) == before
    files = sorted(path.relative_to(metrics) for path in metrics.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    assert len([path for path in files if path.suffix == ".png"]) == 5
    for path in files:
        assert (metrics / path).read_bytes() == (again / path).read_bytes(), path


def test_neither_torch_nor_pyplot_is_imported() -> None:
    code = "import sys, sphreg.report, sphreg.table; print({'torch', 'matplotlib.pyplot'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


@pytest.mark.parametrize("task", ["rotation", "viewpoint", "normals"])
def test_a_task_alone_is_reported_alone(tmp_path: Path, task: str) -> None:
    pose, normals = random_errors()
    if task == "normals":
        write_normals(tmp_path / "results" / task, normals)
    else:
        write_pose(tmp_path / "results" / task, pose)
    keys = list(Result(task, tmp_path / "results" / task).errors["key"])
    report(tmp_path / "results", write_data(tmp_path / "so3", keys), tmp_path / "out")
    assert list(json.loads((tmp_path / "out" / "summary.json").read_text())) == [task]
    assert {path.stem for path in (tmp_path / "out" / "curves").rglob("*.csv")} == {task}
    galleries = {"rotation": {"rotations"}, "viewpoint": set(), "normals": {"normal_maps"}}
    pictures = {path.stem for path in (tmp_path / "out" / "pictures").iterdir()}
    assert pictures == {"training", "error_cdf", "categories"} | galleries[task]


def test_no_result_is_an_error_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="results: there is no result of any task, allowed: rotation, viewpoint, no"):
        report(tmp_path / "results", tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("count", "degrees", "accuracy"), [(1, 0.0, 1.0), (4, 180.0, 0.0)], ids=["one image, error 0", "all errors 180"]
)
def test_constant_errors(tmp_path: Path, count: int, degrees: float, accuracy: float) -> None:
    out = run(tmp_path, {"chair": [degrees] * count}, {"chair": [[degrees] * count] * count})
    summary = json.loads((out / "summary.json").read_text())
    for task, values in summary.items():
        for name, value in values.items():
            expected = degrees if name.endswith("_deg") else accuracy
            assert value == pytest.approx(expected, abs=0.006), (task, name)
        share = pd.read_csv(out / "curves" / "error_cdf" / f"{task}.csv")["share"]
        assert share.iloc[-1] == 1 and share.iloc[-2] == accuracy
    for path in (out / "pictures").iterdir():
        assert Image.open(io.BytesIO(path.read_bytes())).mode == "P"


def test_odd_names_of_categories_survive(tmp_path: Path) -> None:
    names = ["$x_1^", "1", "NA", 'a,b "c" & <d>', "Stühle"]
    out = run(tmp_path, {name: [1.0, 50.0] for name in names}, {name: [[1.0], []] for name in names})
    for task, last in ("rotation", "macro"), ("normals", "all"):
        with (out / "curves" / "categories" / f"{task}.csv").open(newline="", encoding="utf-8") as file:
            assert [row["category"] for row in csv.DictReader(file)] == [*sorted(names), last]
        assert Result(task, tmp_path / "results" / "sexp" / task).errors["category"].unique().tolist() == names


def test_extremes_are_the_ends_and_the_middle() -> None:
    errors = pd.DataFrame({"key": list("gfedcba"), "error_deg": [6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0]})
    found = extremes(errors, 2).groupby("rank")["error_deg"].apply(list).to_dict()
    assert found == {"best": [0.0, 1.0], "median": [2.0, 3.0], "worst": [6.0, 5.0]}
    found = extremes(errors, 3).groupby("rank")["key"].apply("".join).to_dict()
    assert found == {"best": "abc", "median": "cde", "worst": "gfe"}


def test_extremes_of_equal_errors_go_by_key() -> None:
    errors = pd.DataFrame({"key": ["c", "a", "b"], "error_deg": [7.0, 7.0, 7.0]})
    assert extremes(errors, 1).set_index("rank")["key"].to_dict() == {"best": "a", "median": "b", "worst": "c"}


@pytest.mark.parametrize("count", [1, 2, 5])
def test_extremes_of_few_views_have_as_many_in_each_row(count: int) -> None:
    errors = pd.DataFrame({"key": [f"k{i}" for i in range(count)], "error_deg": np.arange(count, dtype=float)})
    assert extremes(errors, 6)["rank"].value_counts().to_dict() == dict.fromkeys(["best", "median", "worst"], count)


def test_an_image_without_object_keeps_its_row(metrics: Path) -> None:
    errors = Result("normals", metrics.parent / "results" / "sexp" / "normals").errors
    empty = errors[errors["pixels"] == 0]
    assert len(empty) == 1 and empty[["mean_deg", "median_deg"]].isna().all(axis=None)
