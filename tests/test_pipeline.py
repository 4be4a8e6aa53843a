"""The whole pipeline in a clone, at the scale of the preset `tiny`, as a person runs it.

Most processes are forked from a warm one; each stage also runs in one test as it does elsewhere.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd
import pytest
import yaml

from sphreg.config import load
from tests.settings import FILE
from tests.warm import write_python

pytestmark = pytest.mark.in_order  # as a person types the commands
ROOT = Path(__file__).parents[1]
IDENTITY = {f"GIT_{who}_{what}": "test@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
TRACKED = {
    "rotation": {"median_deg", "acc_30", "acc_15", "acc_7_5"},
    "viewpoint": {"median_deg", "acc_30", "acc_15", "acc_7_5"},
    "normals": {"mean_deg", "median_deg", "acc_11_25", "acc_30"},
}


@dataclass(frozen=True)
class Project:
    """A clone, and the commands that a person types there; `bin` has the `python` that they run."""

    folder: Path
    bin: Path = Path(sys.executable).parent
    variables: dict[str, str] = field(default_factory=dict)

    def start(self, *command: str) -> subprocess.Popen[str]:
        """A command, with its processes in a group of their own."""
        variables = IDENTITY | {"PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}
        variables |= {"PYTHONDONTWRITEBYTECODE": ""}  # the same modules are imported again and again
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=os.environ | variables | self.variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *command: str, status: int = 0) -> str:
        """What a command prints; it has to end with this status."""
        process = self.start(*command)
        said, _ = process.communicate()
        assert process.returncode == status, said
        return said

    def dvc(self, *arguments: str, status: int = 0) -> str:
        return self.python("dvc", *arguments, status=status)

    def python(self, module: str, *arguments: str, status: int = 0) -> str:
        return self.run(str(self.bin / "python"), "-m", module, *arguments, status=status)

    def changed(self) -> set[str]:
        """The paths that `git status` shows."""
        return {line[3:] for line in self.run("git", "status", "--porcelain").splitlines()}

    def weights(self) -> dict[str, int]:
        """When each of the last weights was written."""
        return {str(path): path.stat().st_mtime_ns for path in self.folder.glob("models/*/*/last.safetensors")}


def clone(folder: Path) -> None:
    """Make a clone of this tree with no results, and the settings of `tiny` in place of the user's."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True)
    for name in listed.stdout.decode().splitlines():
        if (ROOT / name).is_file() and not name.startswith(("metrics/", "dvc.lock", "stages/dvc.lock")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    params = load(FILE, differences=folder / "presets/tiny.yaml")
    (folder / "params.yaml").write_text(yaml.safe_dump(params.model_dump(), sort_keys=False))


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a `python` that starts at once."""
    folder = tmp_path_factory.mktemp("warm")
    server = write_python(folder)
    yield folder
    server.terminate()
    server.communicate()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, warm: Path) -> Project:
    """A clone of this tree after `dvc repro`."""
    project = Project(tmp_path_factory.mktemp("clone"), warm)
    clone(project.folder)
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

    said = project.python("sphreg.compare", "--task", "rotation")
    assert (
        "\n| direct | 0 (one seed) | " in said
        and "\n| flat | 0 (one seed) | " in said
        and "\n| direct - flat, one seed | " in said
    )
    page = (project.folder / "reports" / "compare" / "index.html").read_text(encoding="utf-8")
    assert "Not drawn" not in page and page.count("<svg") == 10 and "data:image/jpeg;base64," in page


def test_a_setting_of_one_task_trains_that_task_alone(project: Project) -> None:
    before = project.weights()
    replace(project, bin=Project.bin).dvc("exp", "run", "--set-param", "train.normals.lr=0.002")
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
    assert "git diff params.yaml" in said
    assert "Traceback" not in said
    assert "meshes" not in said
    assert project.weights() == before
    project.run("git", "checkout", "--quiet", "params.yaml")


@pytest.fixture
def stale(project: Project) -> Iterator[Callable[[], set[str]]]:
    """Which stages are to run again, as `dvc status` has it, for code or settings; these are put back at the end."""

    def names() -> set[str]:
        project.dvc("repro", "check")
        status = json.loads(project.dvc("status", "--json"))
        deps = {name: [entry.get("changed deps", {}) for entry in entries] for name, entries in status.items()}
        return {
            name.removeprefix("stages/dvc.yaml:")
            for name, changed in deps.items()
            if any(path.startswith("data/checked/") for paths in changed for path in paths)
        }

    project.run("git", "checkout", "--quiet", ".")
    before = names()
    yield lambda: names() - before
    project.run("git", "checkout", "--quiet", ".")
    project.run("git", "clean", "--quiet", "--force", "sphreg")


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_docstring_and_a_comment_run_nothing_again(project: Project, stale: Callable[[], set[str]]) -> None:
    camera = project.folder / "sphreg/render/camera.py"
    edit(camera, '"""The camera and the shading', '"""The camera, and the shading')
    edit(camera, "AMBIENT = 0.3", "AMBIENT = 0.3  # of 1")
    assert stale() == set()


def test_what_is_added_trains_nothing_again(project: Project, stale: Callable[[], set[str]]) -> None:
    """A head, a backbone, a setting of one task that no code reads yet, and one of all."""
    sphreg, params = project.folder / "sphreg", project.folder / "params.yaml"
    shutil.copy(sphreg / "heads/flat.py", sphreg / "heads/toy.py")
    edit(sphreg / "heads/__init__.py", "HEADS = {", 'HEADS = {\n    "toy": "sphreg.heads.toy:Flat",')
    edit(sphreg / "networks/backbones.py", "BACKBONES = {", 'BACKBONES = {\n    "resnet152": _resnet("resnet152", 4),')
    config = sphreg / "config.py"
    edit(config, '"resnet101"]', '"resnet101", "resnet152"]')
    edit(config, '"resnet101": 1,', '"resnet101": 1,\n    "resnet152": 1,')
    edit(config, "    hidden: Count\n", "    hidden: Count\n    warmup: Count\n")
    edit(config, "    checkpoint_s: NotNegative\n", "    checkpoint_s: NotNegative\n    prefetch: Count\n")
    settings = yaml.safe_load(params.read_text())
    settings["heads"].append("toy")
    settings["head_settings"]["toy"] = {}
    settings["train"]["prefetch"] = 2
    for task in settings["tasks"]:
        settings["train"][task]["warmup"] = 10
    params.write_text(yaml.safe_dump(settings, sort_keys=False))
    toys = {f"{stage}@{task}-toy" for stage in ("train", "evaluate") for task in settings["tasks"]}
    assert stale() - {"table", "page"} == toys


def test_a_setting_of_one_task_is_of_that_task_alone(project: Project, stale: Callable[[], set[str]]) -> None:
    settings = yaml.safe_load((project.folder / "params.yaml").read_text())
    settings["train"]["rotation"]["lr"] = 0.5
    (project.folder / "params.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    assert stale() - {"page"} == {"train@rotation-direct"}


def test_a_formula_of_one_head_is_of_that_head_alone(project: Project, stale: Callable[[], set[str]]) -> None:
    edit(project.folder / "sphreg/heads/direct.py", "sum(-1)", "sum(-1) * 2")
    assert stale() == {f"{stage}@{task}-direct" for stage in ("train", "evaluate") for task in TRACKED}


def test_a_machine_without_opengl_and_a_kill(tmp_path: Path) -> None:
    """`dvc repro` renders with numba there, says so, and after a kill goes on where the rendering stopped."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    for name in "libEGL.so.1", "libEGL.so", "libOSMesa.so.8", "libOSMesa.so":  # found before the real ones, and empty
        (hidden / name).touch()
    variables = {"LD_LIBRARY_PATH": str(hidden)}
    load_egl = [sys.executable, "-c", "import ctypes; ctypes.CDLL('libEGL.so.1')"]
    assert subprocess.run(load_egl, env=os.environ | variables, capture_output=True).returncode != 0

    project = Project(tmp_path / "clone", variables=variables)
    clone(project.folder)
    project.run("git", "init", "--quiet")
    settings = yaml.safe_load((project.folder / "params.yaml").read_text())
    settings["render"] |= {"train_views": 3000, "test_views": 3000}
    (project.folder / "params.yaml").write_text(yaml.safe_dump(settings))

    first = project.start(sys.executable, "-m", "dvc", "repro", "pack")
    shards: list[Path] = []
    while len(shards) < 2 and first.poll() is None:
        time.sleep(0.05)
        shards = sorted(project.folder.glob(".scratch/render/*/*/*/*.safetensors"))
    os.killpg(first.pid, signal.SIGKILL)
    assert first.communicate() and first.returncode == -signal.SIGKILL
    finished = {path.name: path.stat().st_ino for path in shards}
    said = project.dvc("repro", "pack")
    assert "Rendering with numba, as OpenGL cannot draw without a window" in said
    after = {path.name: path.stat().st_ino for path in project.folder.glob("data/shards/*/*/*.safetensors")}
    assert len(after) == 10
    assert finished
    assert finished.items() <= after.items()
    assert json.loads((project.folder / "data/so3/info.json").read_text())["engine"]["engine"] == "numba"
    assert "Data and pipelines are up to date" in project.dvc("repro", "pack")
