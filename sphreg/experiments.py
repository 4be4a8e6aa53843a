"""The runs that DVC's lock files record: of the current results and of experiments, each with what it was made from.

`stages/dvc.lock` says of each result which model was tested, and of each model which seed, settings, data and code made
it. Results are read as it records them, from DVC's cache, not from `results/`: after `dvc exp run` and `git checkout` a
folder may hold the result of another seed than the files of git say, until `dvc checkout`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from dvc.exceptions import DvcException, NotDvcRepoError
from dvc.repo import Repo
from dvc_data.index import DataIndexDirError

from sphreg.errors import UserError
from sphreg.info import Info
from sphreg.reading import parse_json
from sphreg.results import files
from sphreg.runs import WORKSPACE, Run, flatten

LOCK = "stages/dvc.lock"
INFO, CHECKSUMS = "data/so3/info.json", "data/so3/SHA256SUMS"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # five times as fast, where PyYAML was built with it


def find_runs(root: Path, names: Sequence[str], tasks: Sequence[str]) -> tuple[list[Run], list[str]]:
    """All runs of some tasks, newest experiments first; without `names` those of the workspace and all experiments.

    Of an experiment it is the head and the seed that its `params.yaml` names: the rest of its lock file is what it
    inherited. A run that is found twice is there twice.

    Returns:
        The runs, and the names of which there is none.

    Raises:
        UserError: there is no DVC repository, or no experiment of that name, or DVC is busy with another command.
    """
    try:
        with Repo(str(root)) as repo:
            experiments = [entry for entries in repo.experiments.ls(all_commits=True).values() for entry in entries]
            dates = {commit: repo.scm.resolve_commit(commit).commit_time for _, commit in experiments}
            current = flatten(_read_yaml(repo, "params.yaml"))
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
    runs = [run for name, commit in chosen for run in _runs_of(root, name, commit, current) if run.task in tasks]
    return runs, [name for name, _ in chosen if all(run.source != name for run in runs)]


def _runs_of(root: Path, source: str, commit: str | None, current: Mapping[str, Any]) -> list[Run]:
    with Repo(str(root), rev=commit) as repo:
        if not repo.fs.exists(str(Path(repo.root_dir, LOCK))):
            return []
        stages, params = _read_yaml(repo, LOCK)["stages"], _read_yaml(repo, "params.yaml")
    runs = []
    for name, test in stages.items():
        stage, _, item = name.partition("@")
        training = stages.get(f"train@{item}")
        if stage != "evaluate" or training is None:
            continue
        task, _, head = item.partition("-")
        files_of = {dep["path"]: dep.get("md5", "") for dep in [*training["deps"], *test["deps"]]}
        models = {out["path"]: out["md5"] for out in training["outs"]}
        if any(files_of.get(path) != checksum for path, checksum in models.items()):
            continue  # trained again, and not tested yet
        recorded = {**training["params"]["params.yaml"], **test["params"]["params.yaml"]}
        asked = {key: _lookup(params, key) for key in recorded}
        if commit is not None and (head != params["head"] or flatten(recorded) != flatten(asked)):
            continue
        seed = recorded.pop("seed")
        own = (f"train.{task}.", f"head_settings.{head}.{task}.", "evaluate.")
        used = flatten(recorded)
        made = flatten(params) | used
        out = test["outs"][0]
        runs.append(
            Run(
                source,
                commit,
                task,
                head,
                seed,
                settings={key: value for key, value in used.items() if key.startswith(own)},
                data={
                    path: checksum
                    for path, checksum in files_of.items()
                    if path.startswith("data/") and path not in (INFO, CHECKSUMS)
                },
                code={path: files_of[path] for path in files_of if path not in models and not path.startswith("data/")},
                folder=out["path"],
                checksum=out["md5"],
                changes={
                    key: made.get(key)
                    for key in sorted({*made, *current} - {"head", "seed"})
                    if made.get(key) != current.get(key)
                },
            )
        )
    return runs


def _read_yaml(repo: Repo, path: str) -> Any:
    with repo.fs.open(str(Path(repo.root_dir, path)), encoding="utf-8") as file:
        return yaml.load(file, LOADER)


def _lookup(params: Any, key: str) -> Any:
    for part in key.split("."):
        params = params.get(part) if isinstance(params, dict) else None
    return params


def fetch(root: Path, run: Run, out: Path) -> Info:
    """Write the result of a run to a folder, as it was recorded, and return the `info.json` of its dataset.

    Raises:
        UserError: they are neither in DVC's cache nor in a remote storage, or the result lacks a table, or
            `info.json` is something else.
    """
    try:
        with Repo(str(root), rev=run.commit) as repo:
            repo.datafs.get(run.folder, str(out), batch_size=1)
            content = repo.datafs.read_bytes(INFO)
    except (OSError, DataIndexDirError) as error:
        missing = getattr(error, "filename", None) or run.folder
        raise UserError(
            f"{run.source}: {missing} is not in DVC's cache; run it again, `dvc pull` it, or name what to compare."
        ) from None
    except DvcException as error:
        raise UserError(f"{run.source}: DVC cannot read it ({error}).") from None
    lacking = [name for name in files(run.task) if not (out / name).is_file()]
    if lacking:
        raise UserError(
            f"{run.source}: {run.folder} has no {', '.join(lacking)}, as another version tested it; run it again."
        )
    return parse_json(content, f"{run.source}: {INFO}", Info)
