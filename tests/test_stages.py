"""The two pipeline files against the code that the stages run."""

import ast
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo

from sphreg.config import TASKS
from sphreg.heads import HEADS

ROOT = Path(__file__).parents[1]
STAGES = (
    yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    | yaml.safe_load((ROOT / "stages/dvc.yaml").read_text())["stages"]
)

# They name what a stage uses, check it, or let it wait: their own text changes no result. What they name is listed.
NOT_LISTED = {
    "sphreg/__init__.py",
    "sphreg/config.py",
    "sphreg/errors.py",
    "sphreg/heads/__init__.py",
    "sphreg/locks.py",
    "sphreg/presets.py",
    "sphreg/program.py",
    "sphreg/scratch.py",
    "sphreg/tasks/__init__.py",
    "stages/__init__.py",
}


def expanded(text: str) -> set[str]:
    """The values of a text with `${item.task}`, `${item.head}` or a setting in it."""
    text = text.replace("${meshes.folder.path}", "data/own")
    return {text.replace("${item.task}", task).replace("${item.head}", head) for task, head in product(TASKS, HEADS)}


def module_files(name: str) -> list[Path]:
    """The files that `import name` reads; none if it is no module of this project."""
    parts = name.split(".")
    stems = [ROOT.joinpath(*parts[:i]) for i in range(1, len(parts) + 1)]
    files = [file for stem in stems for file in (stem / "__init__.py", stem.with_suffix(".py"))]
    return [file for file in files if file.is_file()]


def imported(path: Path) -> Iterator[Path]:
    """The files of this project that a file imports, in functions too; for the registry of heads, the heads."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            yield from module_files(name)
    if path == ROOT / "sphreg/heads/__init__.py":
        yield from (ROOT / f"sphreg/heads/{head}.py" for head in HEADS)


def closure(path: Path) -> set[str]:
    seen, todo = set(), [path]
    while todo:
        path = todo.pop()
        if path not in seen:
            seen.add(path)
            if path != ROOT / "sphreg/config.py":  # which knows heads by name only
                todo += imported(path)
    return {str(path.relative_to(ROOT)) for path in seen}


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_lists_the_modules_that_it_imports(name: str) -> None:
    used = closure(ROOT / f"stages/{name}.py") - NOT_LISTED
    listed = {
        value for dep in STAGES[name]["deps"] for value in expanded(dep) if value.startswith(("sphreg/", "stages/"))
    }
    for folder in [value for value in listed if (ROOT / value).is_dir()]:
        inside = {path for path in used if path.startswith(f"{folder}/")}
        assert inside, f"{name} lists {folder} and uses nothing of it"
        listed, used = listed - {folder}, used - inside
    assert listed - NOT_LISTED == used


def test_what_git_holds_of_results_is_what_the_lock_files_record() -> None:
    """And this code wrote it. So the documents, which are checked against these files, show what it would write now."""
    with Repo(str(ROOT)) as repo:
        stages = [stage for stage in repo.index.stages if any(not out.use_cache for out in stage.outs)]
        outs = {str(out): out.status() for stage in stages for out in stage.outs if not out.use_cache}
        code = {
            str(dep): dep.status() for stage in stages for dep in stage.deps if str(dep).endswith((".py", "figures"))
        }
    assert {"metrics/table.md", "metrics/heads", "metrics/summary.json"} <= set(outs) and "sphreg/table.py" in code
    assert {path: status for path, status in (outs | code).items() if status} == {}
