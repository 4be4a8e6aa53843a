"""Runs: one head, trained with one seed on one task, and tested; and what tells them apart."""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sphreg.errors import UserError
from sphreg.results import files

WORKSPACE = "workspace"  # DVC's name for what is checked out, beside the names of experiments


@dataclass(frozen=True)
class Run:
    """One head, trained with one seed on one task, and tested.

    Attributes:
        source: `workspace` or the name of the experiment.
        commit: of the experiment; None for the workspace.
        settings: of the task, the head and the test, by their dotted names; what is null is left out.
        data: checksums of the files of the dataset, by path; none where nothing recorded them.
        code: checksums of the modules, by path; none where nothing recorded them.
        folder: of the result; its content has this `checksum`.
        changes: what differs from the `params.yaml` that is checked out, by dotted names.
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
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def made_from(self) -> str:
        """What runs have in common that differ in the seed alone."""
        return json.dumps([self.task, self.head, self.settings, self.data], sort_keys=True)

    @property
    def test_data(self) -> dict[str, str]:
        """The part of the dataset that the run was tested on."""
        return {path: checksum for path, checksum in self.data.items() if Path(path).name.startswith("test.")}

    @property
    def command(self) -> str:
        """What makes it again, in a clone with the code that it was made from."""
        settings = {"head": self.head, **self.changes, "seed": self.seed}
        values = {name: value if isinstance(value, str) else json.dumps(value) for name, value in settings.items()}
        changes = [f"-S {shlex.quote(f'{name}={value}')}" for name, value in values.items()]
        return " ".join(["uv run dvc exp run", *changes, f"stages/dvc.yaml:evaluate@{self.task}-{self.head}"])


def row_name(head: str, differs: str) -> str:
    """Of runs that differ in the seed alone: `sexp`, or `sexp (lr 0.1)`, with what tells them from others."""
    return f"{head} ({differs})" if differs else head


def runs_in(results: Path, heads: Sequence[str], tasks: Sequence[str], seed: int) -> list[Run]:
    """What `results/HEAD/TASK` has, task by task in the order of the heads; all were trained alike, with this seed.

    Raises:
        UserError: one is missing.
    """
    runs = []
    for task in tasks:
        for head in heads:
            folder = results / head / task
            if any(not (folder / name).is_file() for name in files(task)):
                raise UserError(f"{folder}: there is no whole result; `dvc repro -P` makes all of them.")
            runs.append(Run(WORKSPACE, None, task, head, seed, {}, {}, {}, str(folder), ""))
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


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by their dotted names. What is null is left out: a setting that came later was null before."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        elif value is not None:
            flat[f"{prefix}{name}"] = value
    return flat
