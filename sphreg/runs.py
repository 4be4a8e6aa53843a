"""The runs that DVC's lock files record: of the current results and of experiments, each with what it was made from.

`stages/dvc.lock` says of each result which model was tested, and of each model which seed, settings, data and code made
it. Results are read as it records them, from DVC's cache, not from `results/`: after `dvc exp run` and `git checkout` a
folder may hold the result of another seed than the files of git say, until `dvc checkout`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from dvc.exceptions import DvcException, NotDvcRepoError
from dvc.repo import Repo
from dvc_data.index import DataIndexDirError

from sphreg.errors import UserError

WORKSPACE = "workspace"  # DVC's name for what is checked out, beside the names of experiments
LOCK = "stages/dvc.lock"
INFO = "data/so3/info.json"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # five times as fast, where PyYAML was built with it
COLUMNS = ("key", "category", "mesh", "error_deg", "pixels", "mean_deg", "acc_11_25", "acc_22_5", "acc_30")


@dataclass(frozen=True)
class Run:
    """One head, trained with one seed on one task, and tested.

    Attributes:
        source: `workspace` or the name of the experiment.
        commit: of the experiment; None for the workspace.
        settings: of the task, the head and the test, by their dotted names; what is null is left out.
        data: checksums of the files of the dataset, by path.
        code: checksums of the modules, by path.
        folder: of the result; its content has this `checksum`.
    """

    source: str
    commit: str | None
    task: str
    head: str
    seed: int
    settings: dict[str, Any]
    data: dict[str, str]
    code: dict[str, str]
    folder: str
    checksum: str

    @property
    def made_from(self) -> str:
        """What runs have in common that differ in the seed alone."""
        return json.dumps([self.task, self.head, self.settings, self.data], sort_keys=True)

    @property
    def test_data(self) -> dict[str, str]:
        """The part of the dataset that the run was tested on."""
        return {path: checksum for path, checksum in self.data.items() if Path(path).name.startswith("test.")}


def find_runs(root: Path, names: Sequence[str], tasks: Sequence[str]) -> list[Run]:
    """All runs of some tasks, newest experiments first; without `names` those of the workspace and all experiments.

    Of an experiment it is the head and the seed that its `params.yaml` names: the rest of its lock file is what it
    inherited. A run that is found twice is there twice.

    Raises:
        UserError: there is no DVC repository, or no experiment of that name, or DVC is busy with another command.
    """
    try:
        with Repo(str(root)) as repo:
            experiments = [entry for entries in repo.experiments.ls(all_commits=True).values() for entry in entries]
            dates = {commit: repo.scm.resolve_commit(commit).commit_time for _, commit in experiments}
    except NotDvcRepoError:
        raise UserError(f"{root.resolve()}: it is not in a DVC repository.") from None
    except DvcException as error:
        raise UserError(f"{root.resolve()}: DVC cannot list its experiments ({error}).") from None
    known = {WORKSPACE, *(name for name, _ in experiments)}
    for name in names:
        if name not in known:
            raise UserError(f"{name}: there is no such experiment, allowed: {', '.join(sorted(known))}.")
    experiments.sort(key=lambda entry: (-dates[entry[1]], entry[0]))
    chosen = [(name, commit) for name, commit in [(WORKSPACE, None), *experiments] if not names or name in names]
    return [run for name, commit in chosen for run in _runs_of(root, name, commit) if run.task in tasks]


def _runs_of(root: Path, source: str, commit: str | None) -> list[Run]:
    with Repo(str(root), rev=commit) as repo:
        folder = Path(repo.root_dir)
        if not repo.fs.exists(str(folder / LOCK)):
            return []
        with repo.fs.open(str(folder / LOCK), encoding="utf-8") as file:
            stages = yaml.load(file, LOADER)["stages"]
        with repo.fs.open(str(folder / "params.yaml"), encoding="utf-8") as file:
            params = yaml.safe_load(file)
    runs = []
    for name, test in stages.items():
        stage, _, item = name.partition("@")
        training = stages.get(f"train@{item}")
        if stage != "evaluate" or training is None:
            continue
        task, _, head = item.partition("-")
        files = {dep["path"]: dep.get("md5", "") for dep in [*training["deps"], *test["deps"]]}
        models = {out["path"]: out["md5"] for out in training["outs"]}
        if any(files.get(path) != checksum for path, checksum in models.items()):
            continue  # trained again, and not tested yet
        recorded = {**training["params"]["params.yaml"], **test["params"]["params.yaml"]}
        asked = {key: _lookup(params, key) for key in recorded}
        if commit is not None and (head != params["head"] or flatten(recorded) != flatten(asked)):
            continue
        seed = recorded.pop("seed")
        own = (f"train.{task}.", f"head_settings.{head}.{task}.", "evaluate.")
        settings = {key: value for key, value in flatten(recorded).items() if key.startswith(own)}
        data = {path: files[path] for path in files if path.startswith("data/") and path != INFO}
        code = {path: files[path] for path in files if path not in models and not path.startswith("data/")}
        out = test["outs"][0]
        runs.append(Run(source, commit, task, head, seed, settings, data, code, out["path"], out["md5"]))
    return runs


def distinct(runs: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """The same without those that are there twice, of which the first counts, and a note on each that is no copy."""
    kept: dict[tuple[str, int], Run] = {}
    notes = []
    for run in runs:
        other = kept.setdefault((run.made_from, run.seed), run)
        if other.checksum != run.checksum:
            made = f"{run.task} with {run.head} and seed {run.seed}"
            notes.append(f"{made} was trained twice: {other.source} counts, {run.source} does not.")
    return list(kept.values()), notes


def _lookup(params: Any, key: str) -> Any:
    for part in key.split("."):
        params = params.get(part) if isinstance(params, dict) else None
    return params


def flatten(settings: Any, prefix: str = "") -> dict[str, Any]:
    """Nested settings by their dotted names. What is null is left out: a setting that came later was null before."""
    if not isinstance(settings, dict):
        return {} if settings is None else {prefix.removesuffix("."): settings}
    return {name: value for key in settings for name, value in flatten(settings[key], f"{prefix}{key}.").items()}


@dataclass(frozen=True)
class Result:
    """What a test wrote: a row per view, for normals the histogram of pixels; and the dataset's `info.json`."""

    errors: pd.DataFrame
    histogram: pd.DataFrame | None
    info: dict[str, Any]


def read_result(root: Path, run: Run) -> Result:
    """The tables of a run. Names stay what they are: a category may be called `NA` or `1`.

    Raises:
        UserError: they are neither in DVC's cache nor in a remote storage.
    """
    with Repo(str(root), rev=run.commit) as repo:
        try:
            with repo.datafs.open(f"{run.folder}/errors.csv") as file:
                errors = pd.read_csv(
                    file,
                    usecols=lambda name: name in COLUMNS,
                    dtype=dict.fromkeys(["key", "category", "mesh"], str),
                    keep_default_na=False,
                    na_values={name: [""] for name in COLUMNS[3:]},  # of an image without pixels
                )
            histogram = None
            if run.task == "normals":
                with repo.datafs.open(f"{run.folder}/histogram.csv") as file:
                    histogram = pd.read_csv(file, dtype={"category": str}, keep_default_na=False)
            with repo.datafs.open(INFO) as file:
                info = json.load(file)
        except (OSError, DataIndexDirError) as error:
            missing = getattr(error, "filename", None) or run.folder
            raise UserError(
                f"{run.source}: {missing} is not in DVC's cache; `dvc pull` it, run it again, or name what to compare."
            ) from None
        except DvcException as error:
            raise UserError(f"{run.source}: DVC cannot read it ({error}).") from None
    return Result(errors, histogram, info)
