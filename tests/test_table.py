"""The table of all heads, on results written here; its numbers again by a plain loop over errors.csv."""

import csv
import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.packed import info_of
from benchmarks.results import write_result
from sphreg.checksums import write_checksums
from sphreg.errors import UserError
from sphreg.info import write_info
from sphreg.table import table

HEADS, TASKS = ["direct", "flat", "sexp"], ["rotation", "viewpoint", "normals"]
FIFTH = ", 260 of them"  # of the 1,301 views of these tests
NOTE = "A re-render: the camera and the light of the original were never published."


def write_pose(folder: Path, errors: dict[str, list[float]]) -> None:
    names = [(f"m{i}_{j}.v001", name, f"m{i}_{j}") for i, name in enumerate(errors) for j in range(len(errors[name]))]
    write(folder, names, [error for group in errors.values() for error in group])


def write_normals(folder: Path, bins: list[int]) -> None:
    """One view, with a pixel in each of these bins of 0.01 degrees."""
    write(folder, [("c.v001", "chair", "c")], [[(place + 0.5) / 100 for place in bins]])


def write(folder: Path, names: list[tuple[str, str, str]], errors: list[Any]) -> None:
    views = pd.DataFrame(names, columns=["key", "category", "mesh"]).assign(qx=0.0, qy=0.0, qz=0.0, qw=1.0)
    write_result(folder, folder.name, views, errors, 1, np.random.default_rng(0))


def write_data(folder: Path) -> Path:
    folder.mkdir()
    write_info(folder, info_of(["chair", "so|fa"], 48, note=NOTE))
    write_checksums(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("table"), np.random.default_rng(0)
    for i, head in enumerate(HEADS):
        for task in "rotation", "viewpoint":
            errors = {"chair": rng.uniform(0, 90 - 20 * i, 400), "so|fa": rng.uniform(0, 40, 901)}
            write_pose(folder / "results" / head / task, {name: group.tolist() for name, group in errors.items()})
        write_normals(folder / "results" / head / "normals", [1000 + (0, 1, 3)[i], 2000, 4000])
    table(folder / "results", HEADS, TASKS, write_data(folder / "so3"), folder / "out")
    return folder


def rows(markdown: str, task: str, suffix: str = "") -> dict[str, dict[str, str]]:
    """The cells of a task's part by head and column, of the rows that are called as the head and the suffix."""
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    start = next(i for i, row in enumerate(cells) if row[0].startswith(task))
    assert all(set(cell) <= set("-:") for cell in cells[start + 1])
    found = {}
    for row in cells[start + 2 :]:
        if row[0].startswith(tuple(TASKS)):
            break
        if (head := row[0].removesuffix(suffix)) in HEADS and row[0] == head + suffix:
            found[head] = dict(zip(cells[start][1:], row[1:], strict=True))
    return found


def test_json_has_the_twelve_metrics_of_each_head(folder: Path) -> None:
    document = json.loads((folder / "out" / "table.json").read_text())
    for scores, tasks in (document["scores"], TASKS), (document["fifth"]["scores"], TASKS[:2]):
        assert list(scores) == tasks
        for task in tasks:
            assert list(scores[task]) == HEADS
            pose = ["median_deg", "acc_30", "acc_15", "acc_7_5"]
            expected = ["mean_deg", "median_deg", "acc_11_25", "acc_30"] if task == "normals" else pose
            assert all(list(metrics) == expected for metrics in scores[task].values())


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("task", ["rotation", "viewpoint"])
@pytest.mark.parametrize("suffix", ["", FIFTH], ids=["all", "fifth"])
def test_the_numbers_are_those_of_a_loop_over_errors_csv(folder: Path, head: str, task: str, suffix: str) -> None:
    with (folder / "results" / head / task / "errors.csv").open() as file:
        lines = sorted(csv.DictReader(file), key=lambda row: row["key"])
    if suffix:
        lines = [lines[row] for row in np.random.default_rng(3).choice(1301, 260, replace=False)]
    groups: dict[str, list[float]] = {}
    for row in lines:
        groups.setdefault(row["category"], []).append(float(row["error_deg"]))
    expected = {"median (°)": statistics.mean(statistics.median(group) for group in groups.values())}
    for limit in 30, 15, 7.5:
        shares = [sum(error < limit for error in group) / len(group) for group in groups.values()]
        expected[f"Acc@{limit}° (fraction)"] = statistics.mean(shares)
    if suffix:
        numbers = json.loads((folder / "out" / "table.json").read_text())["fifth"]["scores"][task][head]
        assert list(numbers.values()) == pytest.approx(list(expected.values()), abs=5.001e-5)
    found = rows((folder / "out" / "table.md").read_text(), task, suffix)[head]
    assert found.keys() == expected.keys()
    for column, value in expected.items():
        assert float(found[column].strip("*")) == pytest.approx(value, abs=0.005001 if "°)" in column else 0.0005001)


def test_the_best_of_each_column_is_bold(folder: Path) -> None:
    markdown = (folder / "out" / "table.md").read_text()
    for task, suffix in *((task, "") for task in TASKS), ("rotation", FIFTH), ("viewpoint", FIFTH):
        found = rows(markdown, task, suffix)
        assert list(found) == HEADS
        for column in found[HEADS[0]]:
            values = {head: float(found[head][column].strip("*")) for head in HEADS}
            best = (min if column.endswith("(°)") else max)(values.values())
            for head in HEADS:
                assert found[head][column].startswith("**") == (values[head] == best), (task, column, head)


def test_values_that_look_alike_are_equally_good(folder: Path) -> None:
    """The means of normals are 23.338, 23.342 and 23.348 degrees."""
    found = rows((folder / "out" / "table.md").read_text(), "normals")
    assert [found[head]["mean (°)"] for head in HEADS] == ["**23.34**", "**23.34**", "23.35"]
    assert [found[head]["Acc@30° (fraction)"] for head in HEADS] == ["**0.667**"] * 3


def test_it_says_what_it_is(folder: Path) -> None:
    markdown = (folder / "out" / "table.md").read_text()
    for words in NOTE, "not those of the paper's dataset", "one seed", "48 x 48 pixels", "categories chair, so\\|fa":
        assert words in markdown
    assert "on all test images and on a random fifth of them, drawn once for all heads" in markdown
    assert not rows(markdown, "normals", FIFTH)
    assert "| rotation, 1,301 test images |" in markdown and "| normals, 1 test images |" in markdown
    document = json.loads((folder / "out" / "table.json").read_text())
    assert document["seeds"] == 1 and document["note"].startswith(NOTE)
    assert document["test_images"] == {"rotation": 1301, "viewpoint": 1301, "normals": 1}
    assert document["fifth"]["test_images"] == {"rotation": 260, "viewpoint": 260}


def test_same_results_same_bytes(folder: Path, tmp_path: Path) -> None:
    table(folder / "results", HEADS, TASKS, folder / "so3", tmp_path)
    for name in "table.md", "table.json":
        assert (tmp_path / name).read_bytes() == (folder / "out" / name).read_bytes()
    assert len(list(tmp_path.iterdir())) == 2


def test_one_head_and_one_task(folder: Path, tmp_path: Path) -> None:
    table(folder / "results", ["flat"], ["viewpoint"], folder / "so3", tmp_path)
    markdown = (tmp_path / "table.md").read_text()
    assert list(rows(markdown, "viewpoint")) == ["flat"] and "rotation," not in markdown


@pytest.mark.parametrize(("degrees", "median", "accuracy"), [(0.0, "0.00", "1.000"), (180.0, "180.00", "0.000")])
def test_one_image_at_either_end(tmp_path: Path, degrees: float, median: str, accuracy: str) -> None:
    write_pose(tmp_path / "results" / "flat" / "rotation", {"chair": [degrees]})
    table(tmp_path / "results", ["flat"], ["rotation"], write_data(tmp_path / "so3"), tmp_path)
    for suffix in "", ", 1 of them":
        cells = rows((tmp_path / "table.md").read_text(), "rotation", suffix)["flat"]
        assert [cell.strip("*") for cell in cells.values()] == [median, accuracy, accuracy, accuracy]


def test_a_missing_result_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"results/toy/rotation: there is no result; `dvc repro -P` makes all of them\."
    ):
        table(folder / "results", ["flat", "toy"], TASKS, folder / "so3", tmp_path)
    assert not list(tmp_path.iterdir())


def test_heads_that_saw_different_images_are_not_compared(tmp_path: Path) -> None:
    write_pose(tmp_path / "results" / "flat" / "rotation", {"chair": [1.0, 2.0]})
    write_pose(tmp_path / "results" / "sexp" / "rotation", {"chair": [1.0, 2.0, 3.0]})
    with pytest.raises(UserError, match=r"flat and sexp were tested on different images for rotation"):
        table(tmp_path / "results", ["flat", "sexp"], ["rotation"], write_data(tmp_path / "so3"), tmp_path / "out")
