"""The two pipeline files against the stages, and the lock files against the code and the settings."""

import hashlib
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo

from sphreg.config import load
from stages.fingerprints import fingerprints, written
from tests.settings import FILE

ROOT = Path(__file__).parents[1]
STAGES = (
    yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    | yaml.safe_load((ROOT / "stages/dvc.yaml").read_text())["stages"]
)


def test_check_reads_all_code() -> None:
    scripts = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("stages/*.py")}
    assert set(STAGES["check"]["deps"]) == {"sphreg", *scripts}


@pytest.mark.parametrize("name", STAGES.keys() - {"check"})
def test_a_stage_depends_on_its_own_code_and_settings(name: str) -> None:
    matrix = "@${item.task}-${item.head}" if "matrix" in STAGES[name] else ""
    assert [dep for dep in STAGES[name]["deps"] if "checked" in dep] == [f"data/checked/{name}{matrix}"]
    assert f"-m stages.{name} " in STAGES[name]["cmd"]


def test_each_setting_of_a_training_counts() -> None:
    """As its name stands in the code: one that is read in another way would run nothing again."""
    params = load(FILE)
    facts = dict(fingerprints(params))
    for task in params.tasks:
        assert facts[f"train@{task}-sexp"]["settings"]["train"] == {task: params.train.of(task).model_dump()}


def test_what_git_holds_of_results_is_what_the_lock_files_record() -> None:
    """And this code wrote it. So the documents, which are checked against these files, show what it would write now."""
    recorded = {}
    with Repo(str(ROOT)) as repo:
        stages = [stage for stage in repo.index.stages if any(not out.use_cache for out in stage.outs)]
        outs = {str(out): out.status() for stage in stages for out in stage.outs if not out.use_cache}
        for stage in repo.index.stages:
            recorded |= {str(dep): dep.hash_info.value for dep in stage.deps if "data/checked/" in str(dep)}
    assert {"metrics/table.md", "metrics/heads", "metrics/summary.json"} <= set(outs)
    assert {path: status for path, status in outs.items() if status} == {}
    committed = load(ROOT / "params.yaml")
    now = {f"data/checked/{stage}": written(facts) for stage, facts in fingerprints(committed)}
    assert recorded == {path: hashlib.md5(content).hexdigest() for path, content in now.items()}
