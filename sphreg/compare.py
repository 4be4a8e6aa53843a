"""Heads side by side, over seeds, with intervals and paired tests: `python -m sphreg.compare [EXPERIMENT...]`.

Reads the current results and DVC's experiments, of each the head and the seed that its parameters name. Runs that
differ in the seed alone are one row; what differs in data, backbone or another setting is a row of its own, which says
so. The same run found twice counts once.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from sphreg.comparison import Comparison, Scored, compare
from sphreg.comparison_tables import EXPLANATION, OTHERS, data_sentence, pair_table, published_tables, row_table
from sphreg.config import read as read_settings
from sphreg.errors import UserError
from sphreg.experiments import fetch, find_runs
from sphreg.files import write_whole
from sphreg.markdown import code, escape
from sphreg.page import write_page
from sphreg.page.study import study
from sphreg.program import program
from sphreg.runs import WORKSPACE, distinct
from sphreg.summary import TRACKED

OUT = Path("reports/compare")
DATA, MESHES = Path("data/so3"), Path("data/meshes")  # what the page shows views and meshes of
PAIRED = {  # the metrics whose differences the Markdown shows; the other files have all
    "rotation": ("median_deg", "mean_deg", "acc_30"),
    "viewpoint": ("median_deg", "mean_deg", "acc_30"),
    "normals": ("mean_deg", "median_deg", "acc_30"),
}


def read(
    root: Path, names: Sequence[str], tasks: Sequence[str], folder: Path
) -> tuple[dict[str, Comparison], list[str]]:
    """Compare what there is of each task, and say what was left out. The results are written to `folder`.

    Raises:
        UserError: there is nothing to compare, or a named experiment does not exist, has no result or lost its tables.
    """
    all_runs, reasons = find_runs(root, names, tasks)
    if names and reasons:
        raise UserError(reasons[0])
    runs, notes = distinct(all_runs)
    notes += [f"Left out: {reason}" for reason in reasons]
    scored: dict[str, list[Scored]] = {task: [] for task in tasks}
    for place, run in enumerate(runs):
        result = folder / str(place)
        try:
            each = Scored(run, result, fetch(root, run, result))
            each.result.check()
            scored[run.task].append(each)
        except UserError as error:
            reason = str(error).replace(str(result), f"{run.source}: {run.folder}")
            if names:
                raise UserError(reason) from None
            notes.append(f"Left out: {reason}")
    found = {task: compare(group) for task, group in scored.items() if group}
    if not found:
        reason = notes[0] if notes else "`dvc repro -P` makes the results of all heads."
        raise UserError(f"There is no result of {', '.join(tasks)} to compare. {reason}")
    return found, notes


def markdown(found: Mapping[str, Comparison], notes: Sequence[str], command: str) -> str:
    """Of each task the rows, the pairs and what others published, and what a reader has to know."""
    infos = [info for comparison in found.values() for info in comparison.infos]
    parts = [f"Written by {code(command)}. {escape(data_sentence(infos))}", " ".join(EXPLANATION)]
    for task, comparison in found.items():
        pairs = pair_table(comparison, PAIRED[task])
        parts += [row_table(comparison).markdown, *([pairs.markdown] if pairs else []), *map(escape, comparison.notes)]
        parts += [OTHERS, *(table.markdown for table in published_tables(task))]
    return "\n\n".join([*parts, *map(escape, notes)]) + "\n"


def records(found: Mapping[str, Comparison]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A record for each row and metric, and one for each pair and metric; None is what is not known."""
    rows = [
        {
            "task": task,
            "head": row.head,
            "differs": row.differs,
            "seeds": " ".join(map(str, row.seeds)),
            "metric": metric,
        }
        | _flat(asdict(estimate))
        for task, comparison in found.items()
        for row in comparison.rows
        for metric, estimate in row.estimates.items()
    ]
    pairs = [
        {"task": task, "a": pair.a.name, "b": pair.b.name, "metric": metric} | _flat(asdict(difference))
        for task, comparison in found.items()
        for pair in comparison.pairs
        for metric, difference in pair.differences.items()
    ]
    return rows, pairs


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    """With `low` and `high` instead of `interval`."""
    low, high = record["interval"] or (None, None)
    flat: dict[str, Any] = {}
    for name, value in record.items():
        flat |= {"low": low, "high": high} if name == "interval" else {name: value}
    return flat


def runs(found: Mapping[str, Comparison]) -> list[dict[str, Any]]:
    """Of each row, the runs that it is made of: where they are from, their settings and data, their scores."""
    return [
        {"task": task, "row": row.name, "source": each.run.source, "commit": each.run.commit, "seed": each.run.seed}
        | {"settings": each.run.settings, "data": each.run.data, "command": each.run.command, "scores": each.scores}
        for task, comparison in found.items()
        for row in comparison.rows
        for each in row.scored
    ]


def write(found: Mapping[str, Comparison], notes: Sequence[str], command: str, out: Path) -> None:
    """Write to a folder `compare.md`, `compare.json`, `rows.csv`, `pairs.csv` and the page; to NAME.md Markdown alone.

    Raises:
        UserError: it cannot be written, or the dataset that is to be shown is not there.
    """
    text = markdown(found, notes, command).encode()
    if out.suffix == ".md":
        write_whole(out, text)
        return
    shown = study(found, DATA, MESHES)
    rows, pairs = records(found)
    all_notes = [*(note for comparison in found.values() for note in comparison.notes), *notes]
    document = {
        "command": command,
        "explanation": " ".join(EXPLANATION),
        "notes": all_notes,
        "rows": rows,
        "pairs": pairs,
    }
    document["runs"] = runs(found)
    numbers = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    write_whole(out / "compare.md", text)
    write_whole(out / "compare.json", (numbers + "\n").encode())
    write_whole(out / "rows.csv", pd.DataFrame(rows).to_csv(index=False).encode())
    write_whole(out / "pairs.csv", pd.DataFrame(pairs).to_csv(index=False).encode())
    write_page(shown, notes, command, read_settings("params.yaml"), out)


def _try(out: Path) -> None:
    """Say before the work that nothing can be written there."""
    folder = out.parent if out.suffix == ".md" else out
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UserError(f"{folder}: it cannot be written to ({error.strerror}).") from None


def _out(text: str) -> Path:
    out = Path(text)
    if not text or (out.suffix and out.suffix != ".md" and not out.is_dir()):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a folder, which has no dot in its name, nor NAME.md")
    return out


@program
def main(argv: list[str] | None = None) -> None:
    """Compare."""
    parser = argparse.ArgumentParser(
        prog="python -m sphreg.compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "experiments",
        nargs="*",
        metavar="EXPERIMENT",
        help=f"names of experiments, or {WORKSPACE} for the current results (default: these and all experiments)",
    )
    parser.add_argument("--task", action="append", choices=list(TRACKED), help="can be repeated (default: all)")
    parser.add_argument("--out", type=_out, default=OUT, help=f"a folder, or NAME.md for Markdown (default: {OUT})")
    arguments = parser.parse_args(argv)
    chosen = [f"--task {task}" for task in arguments.task or []]
    command = " ".join(["python -m sphreg.compare", *arguments.experiments, *chosen])
    _try(arguments.out)
    with tempfile.TemporaryDirectory() as folder:
        found, notes = read(Path(), arguments.experiments, arguments.task or list(TRACKED), Path(folder))
        print(markdown(found, notes, command), end="")
        write(found, notes, command, arguments.out)


if __name__ == "__main__":
    sys.exit(main())
