"""The runs that DVC's lock files record: of the current results and of experiments, each with what it was made from.

`stages/dvc.lock` says of each result which model was tested, and of each model which data made it, and which file of
`check` has its settings and its code. These files and the results are read as it records them, from DVC's cache and not
from the workspace: after `dvc exp run` and `git checkout` a folder may hold the result of another seed than the files
of git say, until `dvc checkout`.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from dvc.exceptions import DvcException, NotDvcRepoError
from dvc.fs import GitFileSystem
from dvc.repo import Repo
from dvc_data.index import DataIndexDirError

from sphreg.errors import UserError
from sphreg.info import Info
from sphreg.reading import parse_json, reading
from sphreg.results import files
from sphreg.runs import WORKSPACE, Run, flatten

LOCK, CHECKED = "stages/dvc.lock", "data/checked"
INFO, CHECKSUMS = "data/so3/info.json", "data/so3/SHA256SUMS"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # five times as fast, where PyYAML was built with it


def find_runs(root: Path, names: Sequence[str], tasks: Sequence[str]) -> tuple[list[Run], list[str]]:
    """All runs of some tasks, newest experiments first; without `names` those of the workspace and all experiments.

    Of an experiment it is the head and the seed that its `params.yaml` names: the rest of its lock file is what it
    inherited. A run that is found twice is there twice.

    Returns:
        The runs, and why there is none of an experiment, or of the workspace if it was named, a sentence each.

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
    runs: list[Run] = []
    reasons = []
    for name, commit in chosen:
        try:
            found = [run for run in _runs_of(root, name, commit, current) if run.task in tasks]
        except UserError as error:
            reasons.append(str(error))
            continue
        runs += found
        if not found and (name != WORKSPACE or names):
            of = f"of {', '.join(tasks)} with the head and the seed that its params.yaml names"
            reasons.append(f"{name}: it has no result {of}.")
    return runs, reasons


def _runs_of(root: Path, source: str, commit: str | None, current: Mapping[str, Any]) -> list[Run]:
    with _repository(root, commit) as repo:
        if not repo.fs.exists(str(Path(repo.root_dir, LOCK))):
            return []
        lock, params = _read_yaml(repo, LOCK), _read_yaml(repo, "params.yaml")
        with reading(Path(LOCK if commit is None else f"{source}:{LOCK}"), "a lock file of DVC"):
            return _recorded(repo, source, commit, lock["stages"], params, current)


def _recorded(
    repo: Repo,
    source: str,
    commit: str | None,
    stages: Mapping[str, Any],
    params: Mapping[str, Any],
    current: Mapping[str, Any],
) -> list[Run]:
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
        if commit is not None and head != params["head"]:
            continue
        checked = [path for path in files_of if path.startswith(CHECKED)]
        facts = [each for path in checked if (each := _checked(repo, source, path, files_of[path]))]
        if len(facts) < 2:
            continue
        used = {name: value for each in facts for name, value in flatten(each["settings"]).items()}
        asked = flatten(params)
        if commit is not None and any(asked.get(name) != value for name, value in used.items()):
            continue
        seed = used.pop("seed")
        made = asked | used
        out = test["outs"][0]
        runs.append(
            Run(
                source,
                commit,
                task,
                head,
                seed,
                settings=used,
                data={
                    path: checksum
                    for path, checksum in files_of.items()
                    if path not in (INFO, CHECKSUMS, *models) and not path.startswith(CHECKED)
                },
                code={path: checksum for each in facts for path, checksum in each["code"].items()},
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


def _repository(root: Path, commit: str | None) -> Repo:
    """What is checked out, or a commit. DVC alone looks for its folder at the top of a commit, where it need not be."""
    repo = Repo(str(root))
    if commit is None:
        return repo
    with repo:
        folder = Path("/", Path(repo.root_dir).resolve().relative_to(Path(repo.scm.root_dir).resolve()))
    return Repo(str(folder), fs=GitFileSystem(scm=repo.scm, rev=commit), scm=repo.scm)


def _read_yaml(repo: Repo, path: str) -> Any:
    with reading(Path(path), "YAML"), repo.fs.open(str(Path(repo.root_dir, path)), encoding="utf-8") as file:
        content = yaml.load(file, LOADER)
    if not isinstance(content, dict):
        raise UserError(f"{path}: it holds {type(content).__name__}, allowed: a mapping.")
    return content


def _checked(repo: Repo, source: str, path: str, checksum: str) -> dict[str, Any] | None:
    """Settings and code of a stage, as `check` wrote them before it ran; None where there are only newer ones.

    Raises:
        UserError: there are none, neither in DVC's cache nor in a remote storage.
    """
    file = Path(repo.cache.local.oid_to_path(checksum))
    with _sentences(source, path):
        content = file.read_bytes() if file.exists() else repo.datafs.read_bytes(path)
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != checksum:
        return None
    with reading(file, "what the stage check writes"):
        facts: dict[str, Any] = yaml.load(content, LOADER)
    return facts


@contextmanager
def _sentences(source: str, path: str) -> Iterator[None]:
    try:
        yield
    except (OSError, DataIndexDirError) as error:
        missing = getattr(error, "filename", None) or path
        raise UserError(
            f"{source}: {missing} is not in DVC's cache; run it again, `dvc pull` it, or name what to compare."
        ) from None
    except DvcException as error:
        raise UserError(f"{source}: DVC cannot read it ({error}).") from None


def fetch(root: Path, run: Run, out: Path) -> Info:
    """Write the result of a run to a folder, as it was recorded, and return the `info.json` of its dataset.

    Raises:
        UserError: they are neither in DVC's cache nor in a remote storage, or the result lacks a table, or
            `info.json` is something else.
    """
    with _sentences(run.source, run.folder), _repository(root, run.commit) as repo:
        repo.datafs.get(run.folder, str(out), batch_size=1)
        content = repo.datafs.read_bytes(INFO)
    lacking = [name for name in files(run.task) if not (out / name).is_file()]
    if lacking:
        raise UserError(
            f"{run.source}: {run.folder} has no {', '.join(lacking)}, as another version tested it; run it again."
        )
    return parse_json(content, f"{run.source}: {INFO}", Info)
