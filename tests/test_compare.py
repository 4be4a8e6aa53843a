"""The comparison, on a small repository whose commits, lock files and cache are written here as DVC writes them.

One test has DVC itself make the experiment.
"""

import csv
import hashlib
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from benchmarks.packed import info_of
from benchmarks.report import make
from benchmarks.results import write_result
from sphreg.compare import main
from sphreg.compare import read as read_to
from sphreg.comparison import Comparison, Scored, compare
from sphreg.errors import UserError
from sphreg.experiments import find_runs
from sphreg.info import Info
from sphreg.runs import Run, distinct

ROOT = Path(__file__).parents[1]
ROTATION = {"backbone": "small", "weights": None, "lr": 0.003}
PARAMS: dict[str, Any] = {
    "head": "direct",
    "seed": 0,
    "tasks": ["rotation", "normals"],
    "heads": ["direct", "sexp"],
    "train": {"launcher": "python", "rotation": ROTATION, "normals": {"backbone": "small"}},
    "head_settings": {"direct": {}, "sexp": {"rotation": {"weight": 10.0}, "normals": {"weight": 1.0}}},
    "evaluate": {"weights": "last"},
}
PIPELINE = """\
stages:
  check:
    cmd: python check.py
    params:
      - params.yaml:
    outs:
      - data/checked
  pack:
    cmd: mkdir -p data/so3 && cp info.json data/so3/info.json && cp info.json data/so3/test.csv
    deps:
      - info.json
    outs:
      - data/so3
"""
TRAININGS = """\
vars:
  - ../params.yaml
stages:
  train:
    wdir: ..
    matrix:
      task: ${tasks}
      head: ${heads}
    cmd: mkdir -p models/${item.head}/${item.task} && grep '^seed' params.yaml > models/${item.head}/${item.task}/seed
    deps:
      - data/checked/train@${item.task}-${item.head}
      - data/so3/info.json
    outs:
      - models/${item.head}/${item.task}
  evaluate:
    wdir: ..
    matrix:
      task: ${tasks}
      head: ${heads}
    cmd: >-
      mkdir -p results/${item.head} &&
      cp -r "prepared/${item.head}-$(cat models/${item.head}/${item.task}/seed)" results/${item.head}/${item.task}
    deps:
      - data/checked/evaluate@${item.task}-${item.head}
      - data/so3/test.csv
      - models/${item.head}/${item.task}
    outs:
      - results/${item.head}/${item.task}
"""
INFO = info_of(["chair", "so|fa"], 48, note="A re-render.")
TRAIN = {"data/so3/info.json": 8 * "1111", "data/so3/train.lmdb": 8 * "2222"}
TEST = {"data/so3/test.csv": 8 * "4444", "data/so3/test.lmdb": 8 * "5555"}
CODE = {"train": {"sphreg/training.py": 4 * "3333"}, "evaluate": {"sphreg/metrics.py": 4 * "6666"}}
CHECK = f"""\
import sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
import yaml
from tests.test_compare import checked
Path("data/checked").mkdir(parents=True)
params = yaml.safe_load(Path("params.yaml").read_text())
for task in params["tasks"]:
    for head in params["heads"]:
        for stage, content in checked(params, task, head).items():
            Path(f"data/checked/{{stage}}@{{task}}-{{head}}").write_bytes(content)
"""


def checked(params: Mapping[str, Any], task: str, head: str) -> dict[str, bytes]:
    """What the stage `check` writes for a training and its test."""
    own = params["head_settings"][head].get(task, {})
    settings = {
        "train": {
            "seed": params["seed"],
            "train": {task: params["train"][task]},
            "head_settings": {head: {task: own}},
        },
        "evaluate": {"evaluate": params["evaluate"]},
    }
    return {
        stage: yaml.safe_dump({"settings": settings[stage], "code": CODE[stage]}, sort_keys=False).encode()
        for stage in CODE
    }


def poses(seed: int, scale: float, meshes: int = 12) -> pd.DataFrame:
    """As `evaluate` writes them: two categories, some meshes harder than others, three views each."""
    hardness = np.random.default_rng(0).uniform(0.5, 2, 2 * meshes).repeat(3)
    names = [f"m{i:02d}" for i in range(2 * meshes) for _ in range(3)]
    table = pd.DataFrame({"key": [f"{name}.v{i % 3 + 1:03d}" for i, name in enumerate(names)]})
    table["category"] = np.repeat(["chair", "so|fa"], 3 * meshes)
    table["mesh"] = names
    table["error_deg"] = hardness * np.random.default_rng(seed).exponential(scale, len(table)).clip(max=60)
    return table


def maps(seed: int, scale: float) -> tuple[dict[str, bytes], list[tuple[str, float]]]:
    """The files of a test of normals, and mesh and error of each pixel: four meshes of each category, one without."""
    rng, rows, degrees, pixels = np.random.default_rng(seed), [], [], []
    for category, mesh in itertools.product(["chair", "so|fa"], range(4)):
        errors = rng.exponential(scale * (1 + mesh), 50 * (mesh + 1)).clip(max=180) if mesh else np.empty(0)
        name = f"{category[0]}{mesh}"
        rows.append((f"{name}.v001", category, name))
        degrees.append(errors)
        pixels += [(name, float(error)) for error in errors]
    return written("normals", pd.DataFrame(rows, columns=["key", "category", "mesh"]), degrees), pixels


def tables(errors: pd.DataFrame) -> dict[str, bytes]:
    """The files of a test of rotations."""
    return written("rotation", errors, errors["error_deg"])


def written(task: str, views: pd.DataFrame, degrees: Sequence[Any] | pd.Series) -> dict[str, bytes]:
    """The files of a test."""
    with tempfile.TemporaryDirectory() as name:
        views = views.assign(qx=0.0, qy=0.0, qz=0.0, qw=1.0)
        write_result(Path(name), task, views, [*degrees], 1, np.random.default_rng(0))
        return {path.name: path.read_bytes() for path in Path(name).iterdir()}


def made_of(run: Run, folder: Path, errors: pd.DataFrame) -> Scored:
    """The run, as if these were its errors."""
    folder.mkdir()
    for name, content in tables(errors).items():
        (folder / name).write_bytes(content)
    return Scored(run, folder, INFO)


class Project:
    """A git and DVC repository. `record` is what a training and its test leave in lock file and cache."""

    def __init__(self, root: Path, top: Path | None = None) -> None:
        self.root = root
        self.stages: dict[str, Any] = {}
        for folder in ".dvc", "stages":
            (root / folder).mkdir(parents=True)
        (root / ".dvc" / "config").touch()
        (root / ".dvc" / ".gitignore").write_text("/config.local\n/tmp\n/cache\n")
        (root / ".gitignore").write_text("/models\n/results\n/data\n/reports\n")
        (root / "dvc.yaml").write_text(PIPELINE)
        (root / "check.py").write_text(CHECK)
        (root / "stages" / "dvc.yaml").write_text(TRAININGS)
        self.git("init", "-q", str(top or root))
        self.params()
        self.dataset(INFO)

    def git(self, *arguments: str) -> str:
        identity = ["-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
        command = ["git", "-C", str(self.root), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def params(self, **changes: Any) -> dict[str, Any]:
        params = PARAMS | changes
        (self.root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
        return params

    def cached(self, files: Mapping[str, bytes]) -> dict[str, str]:
        """A folder in DVC's cache, as a lock file refers to it."""
        entries = [{"md5": self._store(content), "relpath": name} for name, content in sorted(files.items())]
        return {"hash": "md5", "md5": self._store(json.dumps(entries).encode(), ".dir")}

    def _store(self, content: bytes, suffix: str = "") -> str:
        checksum = hashlib.md5(content).hexdigest() + suffix
        path = self.root / ".dvc" / "cache" / "files" / "md5" / checksum[:2] / checksum[2:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return checksum

    def dataset(self, info: Info) -> None:
        out = {"path": "data/so3"} | self.cached({"info.json": info.model_dump_json().encode()})
        (self.root / "dvc.lock").write_text(
            yaml.safe_dump({"schema": "2.0", "stages": {"pack": {"cmd": "", "outs": [out]}}})
        )

    def record(
        self,
        task: str,
        head: str,
        seed: int,
        files: Mapping[str, bytes],
        deps: Mapping[str, str] | None = None,
        **changes: Any,
    ) -> None:
        """`deps` are checksums other than those of TRAIN and TEST, and `changes` other parameters."""
        item = f"{task}-{head}"
        model = {"path": f"models/{head}/{task}"} | self.cached({"seed": f"{seed} {changes} {deps}".encode()})
        made = checked(PARAMS | changes | {"seed": seed}, task, head)
        read = {stage: {f"data/checked/{stage}@{item}": self._store(made[stage])} for stage in made}
        read = {"train": TRAIN | read["train"], "evaluate": TEST | read["evaluate"]}
        self.stages[f"train@{item}"] = {
            "cmd": "",
            "deps": [{"path": path, "md5": checksum} for path, checksum in (read["train"] | dict(deps or {})).items()],
            "outs": [model],
        }
        self.stages[f"evaluate@{item}"] = {
            "cmd": "",
            "deps": [
                dict(model),
                *({"path": path, "md5": checksum} for path, checksum in (read["evaluate"] | dict(deps or {})).items()),
            ],
            "outs": [{"path": f"results/{head}/{task}"} | self.cached(files)],
        }

    def commit(self) -> str:
        lock = yaml.safe_dump({"schema": "2.0", "stages": self.stages}, sort_keys=False)
        (self.root / "stages" / "dvc.lock").write_text(lock)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "a commit")
        return self.git("rev-parse", "HEAD")

    def experiment(self, name: str, head: str, seed: int, **changes: Any) -> None:
        """What was recorded since the last commit becomes an experiment, and what is checked out stays what it was."""
        before, stages = self.git("rev-parse", "HEAD"), yaml.safe_load((self.root / "stages" / "dvc.lock").read_text())
        self.params(head=head, seed=seed, **changes)
        self.git("update-ref", f"refs/exps/{before[:2]}/{before[2:]}/{name}", self.commit())
        self.git("reset", "-q", "--hard", before)
        self.stages = stages["stages"]


SCALE = {"direct": 30.0, "sexp": 14.0}


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both heads with seed 0 in the workspace, seeds 1 and 2 as experiments for rotation, normals with seed 0 alone."""
    project = Project(tmp_path_factory.mktemp("compare") / "grid")
    for head, scale in SCALE.items():
        project.record("rotation", head, 0, tables(poses(0, scale)))
        project.record("normals", head, 0, maps(0, scale)[0])
    project.commit()
    for head, seed in itertools.product(SCALE, (0, 1, 2)):
        project.record("rotation", head, seed, tables(poses(seed, SCALE[head])))
        project.experiment(f"{head}-{seed}", head, seed)
    return project.root


@pytest.fixture
def copy(grid: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return Path(shutil.copytree(grid, tmp_path / "copy"))


@pytest.fixture
def read(tmp_path: Path) -> Callable[[Path, Sequence[str], Sequence[str]], tuple[dict[str, Comparison], list[str]]]:
    """`sphreg.compare.read`, to a folder of each call."""
    places = itertools.count()
    return lambda root, names, tasks: read_to(root, names, tasks, tmp_path / f"read {next(places)}")


Read = Callable[[Path, Sequence[str], Sequence[str]], tuple[dict[str, Comparison], list[str]]]


def rows_of(found: Comparison) -> dict[str, list[int]]:
    return {row.name: row.seeds for row in found.rows}


def test_seeds_are_those_that_the_experiments_were_trained_with(grid: Path, read: Read) -> None:
    """Seed 0 is in the workspace and in an experiment; the normals of seed 1 and 2 are inherited, and of seed 0."""
    found, notes = read(grid, [], ["rotation", "viewpoint", "normals"])
    assert list(found) == ["rotation", "normals"] and not notes
    assert rows_of(found["rotation"]) == {"direct": [0, 1, 2], "sexp": [0, 1, 2]}
    assert rows_of(found["normals"]) == {"direct": [0], "sexp": [0]}
    sources = [each.run.source for each in found["rotation"].rows[0].scored]
    assert sources == ["workspace", "direct-1", "direct-2"]


def test_of_an_experiment_the_head_that_it_names(grid: Path, read: Read) -> None:
    found, _ = read(grid, ["sexp-2", "direct-1"], ["rotation"])
    assert rows_of(found["rotation"]) == {"direct": [1], "sexp": [2]}


def test_scores_are_those_of_a_loop_over_the_tables(grid: Path, read: Read) -> None:
    found, _ = read(grid, [], ["rotation"])
    for row in found["rotation"].rows:
        medians, shares = [], []
        for seed in range(3):
            groups: dict[str, list[float]] = {}
            for record in poses(seed, SCALE[row.head]).to_dict("records"):
                groups.setdefault(record["category"], []).append(record["error_deg"])
            medians.append(statistics.fmean(statistics.median(group) for group in groups.values()))
            shares.append(statistics.fmean(sum(e < 15 for e in group) / len(group) for group in groups.values()))
        for metric, values in ("median_deg", medians), ("acc_15", shares):
            estimate = row.estimates[metric]
            assert estimate.mean == pytest.approx(statistics.fmean(values))
            assert estimate.sd == pytest.approx(statistics.stdev(values))
            assert estimate.interval is not None and estimate.interval[0] < estimate.mean < estimate.interval[1]


def test_intervals_of_normals_are_those_of_the_pixels(grid: Path, read: Read) -> None:
    """A loop over them resamples the meshes, of which two show no pixel."""
    found, _ = read(grid, [], ["normals"])
    row = found["normals"].rows[1]
    assert found["normals"].notes == ["A category has 4 test meshes: of so few, intervals are too narrow."]
    assert all(estimate.sd is None for estimate in row.estimates.values())
    _, pixels = maps(0, SCALE["sexp"])
    by_mesh: dict[str, list[float]] = {"c0": [], "s0": []}
    for mesh, error in pixels:
        by_mesh.setdefault(mesh, []).append(error)
    rng, drawn = np.random.default_rng(9), []
    for _ in range(4000):
        meshes = [f"{c}{rng.integers(4)}" for c in "cccc"] + [f"s{rng.integers(4)}" for _ in range(4)]
        errors = np.array([error for mesh in meshes for error in by_mesh[mesh]] or [np.nan])
        shares = [(errors < limit).mean() for limit in (11.25, 22.5, 30)]
        drawn.append([errors.mean(), np.median(errors), np.sqrt((errors**2).mean()), *shares])
    expected = np.nanquantile(drawn, [0.025, 0.975], axis=0).T
    assert list(row.estimates) == ["mean_deg", "median_deg", "rmse_deg", "acc_11_25", "acc_22_5", "acc_30"]
    for estimate, interval in zip(row.estimates.values(), expected, strict=True):
        assert estimate.interval == pytest.approx(interval, rel=0.04)
        assert interval[0] < estimate.mean < interval[1]


def test_normals_are_tested_by_flips_of_whole_meshes(grid: Path, read: Read) -> None:
    """By a loop over all 64 flips of the six meshes that show pixels."""
    found, _ = read(grid, [], ["normals"])
    errors = {}
    for head, scale in SCALE.items():
        for mesh, error in maps(0, scale)[1]:
            errors.setdefault(mesh, {}).setdefault(head, []).append(error)
    both = [error for of_mesh in errors.values() for some in of_mesh.values() for error in some]
    middle = statistics.median(both)
    for metric, value in {
        "mean_deg": lambda error: error,
        "rmse_deg": lambda error: error**2,
        "median_deg": lambda error: error < middle,
        "acc_30": lambda error: error < 30,
    }.items():
        differences = [
            sum(map(value, of_mesh["direct"])) - sum(map(value, of_mesh["sexp"])) for of_mesh in errors.values()
        ]
        sums = [
            abs(sum(sign * d for sign, d in zip(signs, differences, strict=True)))
            for signs in itertools.product([1, -1], repeat=len(differences))
        ]
        expected = np.mean([total >= abs(sum(differences)) - 1e-9 for total in sums])
        assert found["normals"].pairs[0].differences[metric].p == pytest.approx(expected, abs=0.02)


def test_a_median_is_tested_by_the_errors_below_the_common_one(grid: Path, read: Read, tmp_path: Path) -> None:
    """By a loop over views and over many flips, of which each exchanges the heads' errors of some meshes."""
    errors = {head: poses(0, scale, 5) for head, scale in {"direct": 20.0, "sexp": 17.0}.items()}
    rows = read(grid, ["workspace"], ["rotation"])[0]["rotation"].rows
    found = compare([made_of(row.scored[0].run, tmp_path / row.head, errors[row.head]) for row in rows])
    meshes, rng = sorted(set(errors["sexp"]["mesh"])), np.random.default_rng(1)
    views = [
        (category, mesh, (float(error), float(errors["sexp"]["error_deg"][i])))
        for i, (category, mesh, error) in enumerate(
            errors["direct"][["category", "mesh", "error_deg"]].itertuples(index=False)
        )
    ]

    def statistic(flipped: set[str]) -> float:
        total = 0.0
        for category in "chair", "so|fa":
            turned = [pair[::-1] if mesh in flipped else pair for name, mesh, pair in views if name == category]
            middle = statistics.median([error for pair in turned for error in pair])
            total += sum((a < middle) - (b < middle) for a, b in turned) / len(turned) / 2
        return total

    observed = abs(statistic(set()))
    flips = [{mesh for mesh in meshes if rng.random() < 0.5} for _ in range(1500)]
    expected = np.mean([abs(statistic(flipped)) >= observed - 1e-9 for flipped in flips])
    assert 0.02 < expected < 0.98
    assert found.pairs[0].differences["median_deg"].p == pytest.approx(expected, abs=0.05)


def test_clear_differences_are_bold_and_those_of_one_seed_are_not(grid: Path, read: Read) -> None:
    several, one = (read(grid, names, ["rotation"])[0]["rotation"].pairs[0] for names in ([], ["workspace"]))
    assert several.differences["mean_deg"].p == one.differences["mean_deg"].p == 1 / 10_001
    assert several.differences["mean_deg"].beyond_chance and not one.differences["mean_deg"].beyond_chance


@pytest.mark.parametrize("change", ["lr", "head", "data"])
def test_what_was_made_otherwise_is_a_row_of_its_own(copy: Path, change: str, read: Read) -> None:
    project = Project.__new__(Project)
    project.root, project.stages = copy, yaml.safe_load((copy / "stages" / "dvc.lock").read_text())["stages"]
    changes: dict[str, Any] = {}
    deps = {}
    if change == "lr":
        changes = {"train": PARAMS["train"] | {"rotation": ROTATION | {"lr": 0.1}}}
    elif change == "head":
        changes = {"head_settings": PARAMS["head_settings"] | {"sexp": {"rotation": {"weight": 3.0}}}}
    else:
        deps = {"data/so3/test.lmdb": 8 * "7777"}
        project.dataset(info_of(["chair", "so|fa"], 96, note="A re-render."))
    project.record("rotation", "sexp", 1, tables(poses(7, 12.0)), deps, **changes)
    project.experiment("other", "sexp", 1, **changes)
    found = read(copy, [], ["rotation"])[0]["rotation"]
    common, other, headline = {
        "lr": ("lr 0.003", "lr 0.1", "direct"),
        "head": ("weight 10.0", "weight 3.0", "direct"),
        "data": ("data render.size 48", "data render.size 96", "direct"),
    }[change]
    assert rows_of(found) == {headline: [0, 1, 2], f"sexp ({common})": [0, 1, 2], f"sexp ({other})": [1]}
    assert len(found.pairs) == (1 if change == "data" else 3)
    assert ("Not all rows were tested on the same views; those that were are paired." in found.notes) == (
        change == "data"
    )


def test_what_changes_no_result_makes_no_row() -> None:
    """Nor a setting that came later and is null, nor one of another task."""
    run = Run("a", None, "rotation", "sexp", 0, {"train.rotation.lr": 0.1}, {"data/so3/test.csv": "1"}, {}, "f", "c")
    assert distinct([run, replace(run, source="b", code={"sphreg/x.py": "2"})]) == ([run], [])
    again = replace(run, source="b", checksum="d")
    assert distinct([run, again]) == ([run], ["rotation with sexp and seed 0 was trained twice: a counts, b does not."])
    assert len(distinct([run, replace(run, seed=1)])[0]) == 2


def test_null_settings_and_the_launcher_are_left_out(grid: Path) -> None:
    run = find_runs(grid, ["workspace"], ["rotation"])[0][1]
    assert run.head == "sexp"
    expected = {
        "train.rotation.backbone": "small",
        "train.rotation.lr": 0.003,
        "head_settings.sexp.rotation.weight": 10.0,
    }
    assert run.settings == expected | {"evaluate.weights": "last"}
    assert run.data == {path: checksum for path, checksum in (TRAIN | TEST).items() if path.endswith((".lmdb", ".csv"))}
    assert run.code == CODE["train"] | CODE["evaluate"]


def test_a_project_in_a_folder_of_a_larger_repository(tmp_path: Path, read: Read) -> None:
    project = Project(tmp_path / "all" / "of it" / "heads", top=tmp_path / "all")
    project.record("rotation", "sexp", 0, tables(poses(0, 14.0)))
    project.commit()
    project.record("rotation", "sexp", 1, tables(poses(1, 14.0)))
    project.experiment("one", "sexp", 1)
    found, notes = read(project.root, [], ["rotation"])
    assert rows_of(found["rotation"]) == {"sexp": [0, 1]} and not notes
    assert [each.info for each in found["rotation"].rows[0].scored] == [INFO, INFO]


def test_a_model_that_was_not_tested_yet_does_not_count(copy: Path) -> None:
    lock = copy / "stages" / "dvc.lock"
    document = yaml.safe_load(lock.read_text())
    document["stages"]["train@rotation-sexp"]["outs"][0]["md5"] = 8 * "0000" + ".dir"
    lock.write_text(yaml.safe_dump(document))
    assert [run.head for run in find_runs(copy, ["workspace"], ["rotation"])[0]] == ["direct"]


def test_changed_code_is_named(grid: Path, read: Read) -> None:
    rows = read(grid, ["workspace"], ["rotation"])[0]["rotation"].rows
    a, b = (row.scored[0] for row in rows)
    changed = replace(b.run, code=b.run.code | {"sphreg/training.py": "30"})
    notes = compare([a, Scored(changed, b.folder, INFO)]).notes
    assert notes == ["The runs are not all of the same code: sphreg/training.py changed between them."]


def test_rows_of_other_numbers_of_seeds_are_tested_with_as_many_of_both(grid: Path, read: Read) -> None:
    """A mean of three seeds has rarer extremes than one: two rows of equal heads could not be exchanged."""
    rows = read(grid, [], ["rotation"])[0]["rotation"].rows
    direct, sexp = (row.scored for row in rows)
    (pair,), (alike,) = compare([*direct, sexp[0]]).pairs, compare([direct[0], sexp[0]]).pairs
    assert {metric: each.p for metric, each in pair.differences.items()} == {
        metric: each.p for metric, each in alike.differences.items()
    }
    assert pair.differences["mean_deg"].difference != alike.differences["mean_deg"].difference


def test_one_mesh_has_no_interval(grid: Path, read: Read, tmp_path: Path) -> None:
    rows = read(grid, ["workspace"], ["rotation"])[0]["rotation"].rows
    table = pd.DataFrame({"key": ["a.v001"], "category": ["chair"], "mesh": ["a"], "error_deg": [12.0]})
    found = compare([made_of(row.scored[0].run, tmp_path / row.head, table) for row in rows])
    assert all(estimate.interval is None for row in found.rows for estimate in row.estimates.values())
    assert found.notes == ["Where a category has one test mesh there is no interval, as nothing can be resampled."]
    assert all(difference.p == 1 and not difference.beyond_chance for difference in found.pairs[0].differences.values())


def run_main(monkeypatch: pytest.MonkeyPatch, root: Path, *arguments: str) -> int:
    monkeypatch.chdir(root)
    return main(list(arguments))


def test_the_files(copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    make(copy / "data", ["chair", "so|fa"], 2, 1, 48, 1, [], [], [])  # other views than those that were tested
    assert run_main(monkeypatch, copy) == 0
    printed = capsys.readouterr().out
    out = copy / "reports" / "compare"
    names = {"compare.md", "compare.json", "rows.csv", "pairs.csv", "index.html"}
    assert {path.name for path in out.iterdir()} == names
    page = (out / "index.html").read_text()
    assert "Not drawn, as tested on other views than those of the dataset that is checked out: direct, sexp." in page
    assert (
        "<svg" not in page
        and "python -m sphreg.compare" in page
        and "uv run dvc exp run -S head=sexp -S seed=2 stages/dvc.yaml:evaluate@rotation-sexp" in page
    )
    assert (out / "compare.md").read_text() == printed
    lines = printed.splitlines()
    assert lines[0].startswith(r"Written by `python -m sphreg.compare`. Meshes: furniture; categories chair, so\|fa;")
    start = lines.index(
        next(line for line in lines if line.startswith("| rotation, 72 test images of 24 meshes | seeds |"))
    )
    direct, sexp = lines[start + 2 : start + 4]
    assert direct.startswith("| direct | 0, 1, 2 | ") and sexp.startswith("| sexp | 0, 1, 2 | ")
    assert any(line.startswith("| direct - sexp | **+") for line in lines)
    assert any(line.startswith("| direct | 0 (one seed) | ") for line in lines)
    document = json.loads((out / "compare.json").read_text())
    with (out / "rows.csv").open() as file:
        records = [row for row in csv.DictReader(file) if row["task"] == "rotation" and row["head"] == "sexp"]
    assert [row["metric"] for row in records] == ["median_deg", "mean_deg", "acc_30", "acc_15", "acc_7_5"]
    of_runs = [run for run in document["runs"] if run["task"] == "rotation" and run["row"] == "sexp"]
    assert [run["source"] for run in of_runs] == ["workspace", "sexp-1", "sexp-2"]
    for row in records:
        assert row["seeds"] == "0 1 2"
        assert float(row["mean"]) == pytest.approx(statistics.fmean(run["scores"][row["metric"]] for run in of_runs))
        assert float(row["low"]) < float(row["mean"]) < float(row["high"])
    median = records[0]
    shown = [f"{float(median[name]):.1f}" for name in ("mean", "sd", "low", "high")]
    assert f" | {shown[0]} ± {shown[1]} [{shown[2]}, {shown[3]}] | " in sexp
    with (out / "pairs.csv").open() as file:
        pairs = list(csv.DictReader(file))
    assert {(pair["a"], pair["b"]) for pair in pairs} == {("direct", "sexp")}


def test_markdown_alone_and_the_same_every_time(
    copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["sexp-1", "direct-1", "--task", "rotation", "--out", "metrics/seeds.md"]
    texts = []
    for _ in range(2):
        assert run_main(monkeypatch, copy, *arguments) == 0
        texts.append((copy / "metrics" / "seeds.md").read_text())
    assert texts[0] == texts[1] and [path.name for path in (copy / "metrics").iterdir()] == ["seeds.md"]
    assert texts[0].startswith("Written by `python -m sphreg.compare sexp-1 direct-1 --task rotation`.")
    assert "normals" not in texts[0] and "**+" not in texts[0]


@pytest.mark.parametrize("out", ["", "numbers.txt", "page.html", "TABLE.MD"])
def test_a_wrong_place_is_said_before_the_work(
    grid: Path, out: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run_main(monkeypatch, grid, "--out", out)
    assert f"{out!r} is neither a folder, which has no dot in its name, nor NAME.md" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_to(
    grid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert run_main(monkeypatch, grid, "--out", str(tmp_path / "file" / "x")) == 1
    said = capsys.readouterr()
    assert said.err == f"{tmp_path}/file/x: it cannot be written to (Not a directory).\n" and not said.out


def test_experiments_without_a_result_are_named(copy: Path, read: Read) -> None:
    project = Project.__new__(Project)
    project.root, project.stages = copy, yaml.safe_load((copy / "stages" / "dvc.lock").read_text())["stages"]
    project.experiment("odd", "sexp", 5)  # nothing was trained with this seed
    _, notes = read(copy, [], ["rotation"])
    assert notes == [
        "Left out: odd: it has no result of rotation with the head and the seed that its params.yaml names."
    ]


def test_an_unknown_experiment_is_named(
    grid: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main(monkeypatch, grid, "sexp-9") == 1
    said = capsys.readouterr()
    names = ", ".join(f"{head}-{seed}" for head in SCALE for seed in range(3))
    assert said.err == f"sexp-9: there is no such experiment, allowed: {names}, workspace.\n" and not said.out


def test_an_experiment_without_a_result_is_named(grid: Path, read: Read) -> None:
    """Its lock file has normals, which are inherited."""
    with pytest.raises(
        UserError,
        match=r"^sexp-1: it has no result of normals with the head and the seed that its params\.yaml names\.$",
    ):
        read(grid, ["workspace", "sexp-1"], ["normals"])


def test_no_results_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    project = Project(tmp_path / "empty")
    project.commit()
    (project.root / "stages" / "dvc.lock").unlink()
    assert run_main(monkeypatch, project.root, "--task", "rotation") == 1
    expected = "There is no result of rotation to compare. `dvc repro -P` makes the results of all heads.\n"
    assert capsys.readouterr().err == expected
    assert not [*(project.root / "reports").rglob("*.*")]


def test_outside_of_a_repository(tmp_path: Path, read: Read) -> None:
    with pytest.raises(UserError, match="it is not in a DVC repository"):
        read(tmp_path, [], ["rotation"])


def test_results_that_are_not_in_the_cache(copy: Path, read: Read) -> None:
    """A named experiment has to be there; of all, the others are compared."""
    lock = yaml.safe_load(
        subprocess.check_output(["git", "-C", str(copy), "show", exp(copy, "sexp-1") + ":stages/dvc.lock"])
    )
    checksum = lock["stages"]["evaluate@rotation-sexp"]["outs"][0]["md5"]
    (copy / ".dvc" / "cache" / "files" / "md5" / checksum[:2] / checksum[2:]).unlink()
    with pytest.raises(UserError, match=r"^sexp-1: results/sexp/rotation is not in DVC's cache; run it again, "):
        read(copy, ["sexp-1", "direct-1"], ["rotation"])
    found, notes = read(copy, [], ["rotation"])
    assert rows_of(found["rotation"]) == {"direct": [0, 1, 2], "sexp": [0, 2]}
    assert len(notes) == 1 and notes[0].startswith("Left out: sexp-1: results/sexp/rotation is not in DVC's cache;")
    shutil.rmtree(copy / ".dvc" / "cache")
    with pytest.raises(
        UserError, match=r"^There is no result of rotation to compare\. Left out: workspace: data/checked/train"
    ):
        read(copy, [], ["rotation"])


@pytest.mark.parametrize("damage", ["cut short", "half of the rows"])
def test_a_damaged_result_is_left_out_or_named(copy: Path, damage: str, read: Read) -> None:
    """In the cache, which a disk may damage; or as a version without checksums wrote it."""
    project = Project.__new__(Project)
    project.root, project.stages = copy, yaml.safe_load((copy / "stages" / "dvc.lock").read_text())["stages"]
    files = tables(poses(3, 14.0))
    if damage == "cut short":
        files["errors.csv"] = files["errors.csv"][:-100]
    else:
        files["errors.csv"] = b"".join(files["errors.csv"].splitlines(keepends=True)[::2])
        del files["SHA256SUMS"]
    project.record("rotation", "sexp", 3, files)
    project.experiment("sexp-3", "sexp", 3)
    found, (note,) = read(copy, [], ["rotation"])
    assert rows_of(found["rotation"]) == {"direct": [0, 1, 2], "sexp": [0, 1, 2]}
    assert note.startswith("Left out: sexp-3: results/sexp/rotation/")
    with pytest.raises(UserError, match=r"^sexp-3: results/sexp/rotation/(errors\.csv|metrics\.json): "):
        read(copy, ["sexp-3"], ["rotation"])


@pytest.mark.parametrize("content", [None, b"", b"a: [", b"\xff", b"- 1\n", b"stages: {evaluate@rotation-sexp: 1}\n"])
@pytest.mark.parametrize("name", ["params.yaml", "stages/dvc.lock"])
def test_damaged_files_of_the_project_are_a_sentence(
    copy: Path, name: str, content: bytes | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is None:
        (copy / name).unlink()
    else:
        (copy / name).write_bytes(content)
    assert run_main(monkeypatch, copy, "workspace", "--task", "rotation", "--out", "x.md") == 1
    said = capsys.readouterr()
    assert said.err.count("\n") == 1 and not said.out


def exp(root: Path, name: str) -> str:
    refs = subprocess.check_output(
        ["git", "-C", str(root), "for-each-ref", "--format=%(refname)", "refs/exps"], text=True
    )
    return next(ref for ref in refs.split() if ref.endswith(f"/{name}"))


def test_dvc_itself(tmp_path: Path, read: Read) -> None:
    """`dvc exp run` of one target: its head and seed are a run; what it left in `results/` is not the workspace's."""
    project = Project(tmp_path / "real")
    (project.root / "info.json").write_text(INFO.model_dump_json())
    (project.root / "dvc.lock").unlink()
    for seed in 0, 1:
        folder = project.root / "prepared" / f"sexp-seed: {seed}"
        folder.mkdir(parents=True)
        for name, content in tables(poses(seed, 14.0)).items():
            (folder / name).write_bytes(content)
    environment = os.environ | {"DVC_NO_ANALYTICS": "1", "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@b.c"}
    environment |= {"GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@b.c"}

    def dvc(*arguments: str) -> None:
        command = [sys.executable, "-m", "dvc", *arguments, "stages/dvc.yaml:evaluate@rotation-sexp"]
        done = subprocess.run(command, cwd=project.root, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    dvc("repro", "-q")
    project.git("add", "-A")
    project.git("commit", "-q", "-m", "seed 0")
    dvc("exp", "run", "-q", "-n", "one", "-S", "head=sexp", "-S", "seed=1")
    project.git("checkout", "-q", ".")
    assert "seed: 1" in (project.root / "models" / "sexp" / "rotation" / "seed").read_text()
    found, notes = read(project.root, [], ["rotation"])
    assert rows_of(found["rotation"]) == {"sexp": [0, 1]} and not notes
    for each in found["rotation"].rows[0].scored:
        assert each.errors["error_deg"].tolist() == pytest.approx(poses(each.run.seed, 14.0)["error_deg"].tolist())
