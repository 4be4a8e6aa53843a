"""The whole pipeline in a clone, at the scale of the preset `tiny`, as a person runs it."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import yaml

from sphreg.config import load

ROOT = Path(__file__).parents[1]
IDENTITY = {f"GIT_{who}_{what}": "test@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
TRACKED = {
    "rotation": {"median_deg", "acc_30", "acc_15", "acc_7_5"},
    "viewpoint": {"median_deg", "acc_30", "acc_15", "acc_7_5"},
    "normals": {"mean_deg", "median_deg", "acc_11_25", "acc_30"},
}


@dataclass(frozen=True)
class Project:
    """A clone, and the commands that a person types there."""

    folder: Path

    def run(self, *command: str, status: int = 0) -> str:
        """What a command prints; it has to end with this status."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**os.environ, **IDENTITY, "PATH": path, "DVC_NO_ANALYTICS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == status, done.stdout
        return done.stdout

    def dvc(self, *arguments: str, status: int = 0) -> str:
        return self.run(sys.executable, "-m", "dvc", *arguments, status=status)

    def changed(self) -> set[str]:
        """The paths that `git status` shows."""
        return {line[3:] for line in self.run("git", "status", "--porcelain").splitlines()}

    def weights(self) -> dict[str, int]:
        """When each of the last weights was written."""
        return {str(path): path.stat().st_mtime_ns for path in self.folder.glob("models/*/*/last.safetensors")}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A clone of this tree after `dvc repro`."""
    folder = tmp_path_factory.mktemp("clone")
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True)
    for name in listed.stdout.decode().splitlines():
        if (ROOT / name).is_file() and not name.startswith(("metrics/", "dvc.lock", "stages/dvc.lock")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    params = load(folder / "params.yaml", differences=folder / "presets/tiny.yaml")
    (folder / "params.yaml").write_text(yaml.safe_dump(params.model_dump(), sort_keys=False))
    project = Project(folder)
    project.run("git", "init", "--quiet")
    project.run("git", "add", "--all")
    project.run("git", "commit", "--quiet", "--message", "A clone at the scale of tests")
    project.dvc("repro")
    project.run("git", "add", "--all")
    project.run("git", "commit", "--quiet", "--message", "Results of direct")
    return project


def test_the_results_are_there(project: Project) -> None:
    summary = json.loads((project.folder / "metrics/summary.json").read_text())
    assert {task: set(metrics) for task, metrics in summary.items()} == TRACKED
    table = pd.read_csv(project.folder / "results/direct/rotation/errors.csv")
    views = pd.read_csv(project.folder / "data/so3/test.csv")
    assert table["key"].tolist() == views["key"].tolist()
    assert len(views) == 2 * 2 * 4  # categories, meshes of each, views of each


def test_a_second_run_does_nothing(project: Project) -> None:
    before = project.weights()
    assert "Data and pipelines are up to date" in project.dvc("repro")
    assert project.weights() == before
    assert not project.changed()


def test_another_head_is_an_experiment_to_compare_with(project: Project) -> None:
    before = project.weights()
    project.dvc("exp", "run", "--name", "flat", "--set-param", "head=flat")
    trained = project.weights()
    assert {Path(path).parts[-3] for path in trained.keys() - before.keys()} == {"flat"}
    assert before.items() <= trained.items()

    difference = json.loads(project.dvc("metrics", "diff", "HEAD", "flat", "--json"))["metrics/summary.json"]
    assert {f"{task}.{name}" for task, names in TRACKED.items() for name in names} >= set(difference)
    assert difference
    assert {path for path in project.changed() if not path.startswith("metrics/")} == {
        "params.yaml",
        "dvc.lock",
        "stages/dvc.lock",
    }

    project.dvc("exp", "run", "--name", "back", "--set-param", "head=direct")
    assert project.weights() == trained


def test_a_setting_of_one_task_trains_that_task_alone(project: Project) -> None:
    before = project.weights()
    project.dvc("exp", "run", "--set-param", "train.normals.lr=0.002")
    assert {Path(path).parts[-2] for path, time in project.weights().items() if before[path] != time} == {"normals"}


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("head=nope", "params.yaml: head is 'nope', allowed: direct, flat, sexp"),
        ("train.rotation.lr=-1", "params.yaml: train.rotation.lr is -1, allowed: greater than 0"),
    ],
)
def test_a_wrong_setting_fails_first_and_in_one_sentence(project: Project, setting: str, sentence: str) -> None:
    before = project.weights()
    said = project.dvc("exp", "run", "--set-param", setting, status=255)
    assert sentence in said
    assert "git checkout params.yaml" in said
    assert "Traceback" not in said
    assert "meshes" not in said
    assert project.weights() == before
    project.run("git", "checkout", "--quiet", "params.yaml")
