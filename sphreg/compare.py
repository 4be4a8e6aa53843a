"""Heads side by side, over seeds, with intervals and paired tests: `python -m sphreg.compare [EXPERIMENT...]`.

Reads the current results and DVC's experiments, of each the head and the seed that its parameters name. Runs that
differ in the seed alone are one row; what differs in data, backbone or another setting is a row of its own, which says
so. The same run found twice counts once.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from sphreg.comparison import Comparison, Difference, Estimate, Row, Scored, compare
from sphreg.errors import UserError
from sphreg.files import write_whole
from sphreg.runs import WORKSPACE, distinct, find_runs, read_result
from sphreg.statistics import FLIPS, RESAMPLES
from sphreg.summary import TRACKED

OUT = Path("reports/compare")
PAIRED = {  # the metrics whose differences the Markdown shows; the other files have all
    "rotation": ("median_deg", "mean_deg", "acc_30"),
    "viewpoint": ("median_deg", "mean_deg", "acc_30"),
    "normals": ("mean_deg", "median_deg", "acc_30"),
}
EXPLANATION = (
    "Cells: mean over the seeds ± standard deviation between them (n - 1) [95 % interval]. Intervals: bootstrap over "
    f"the test meshes, with all their views, within each category ({RESAMPLES:,} resamples); with several seeds also "
    "over training, by Student's t. One seed says nothing of the chance of training: its interval is that of one "
    f"network. Differences: p by {FLIPS:,} sign flips of whole meshes, Holm-corrected over all pairs; of a median, on "
    "the share of errors below the common one. It tells networks apart, not yet heads. Bold: the heads differ beyond "
    "the chance of training, too (p below 0.05, and 0 outside the interval, with several seeds of both). Acc are "
    "fractions."
)


def read(root: Path, names: Sequence[str], tasks: Sequence[str]) -> tuple[dict[str, Comparison], list[str]]:
    """Compare what there is of each task, and say what was left out.

    Raises:
        UserError: there is nothing to compare, or a named experiment does not exist, has no result or lost its tables.
    """
    all_runs = find_runs(root, names, tasks)
    for name in names:
        if all(run.source != name for run in all_runs):
            raise UserError(f"{name}: it has no result of {', '.join(tasks)}, of the head and the seed that it names.")
    runs, notes = distinct(all_runs)
    scored: dict[str, list[Scored]] = {task: [] for task in tasks}
    for run in runs:
        try:
            scored[run.task].append(Scored(run, read_result(root, run)))
        except UserError as error:
            if names:
                raise
            notes.append(f"Left out: {error}")
    found = {task: compare(group) for task, group in scored.items() if group}
    if not found:
        reason = notes[0] if notes else "`dvc repro -P` makes the results of all heads."
        raise UserError(f"There is no result of {', '.join(tasks)} to compare. {reason}")
    return found, notes


def markdown(found: dict[str, Comparison], notes: Sequence[str], command: str) -> str:
    """A table of the rows and one of the pairs for each task, and what a reader has to know."""
    infos = [each.result.info for comparison in found.values() for row in comparison.rows for each in row.scored]
    parts = [f"Written by `{command}`. {_data(infos)}", EXPLANATION]
    for comparison in found.values():
        parts.append(_rows(comparison))
        if comparison.pairs:
            parts.append(_pairs(comparison))
        parts += comparison.notes
    return "\n\n".join([*parts, *notes]) + "\n"


def _data(infos: Sequence[dict[str, Any]]) -> str:
    described = {
        f"Meshes: {info['source']}; categories {', '.join(info['categories'])}; images of {info['render']['size']} x "
        f"{info['render']['size']} pixels."
        for info in infos
    }
    data = described.pop() if len(described) == 1 else "The rows are of different data, as they say."
    notes = sorted({info["note"] for info in infos})
    return " ".join([data, *notes, "These numbers are not those of the paper's dataset."])


def _rows(comparison: Comparison) -> str:
    errors = [row.scored[0].result.errors for row in comparison.rows]
    images = " or ".join(f"{number:,}" for number in sorted({len(table) for table in errors}))
    meshes = " or ".join(f"{number:,}" for number in sorted({table["mesh"].nunique() for table in errors}))
    metrics = list(comparison.rows[0].estimates)
    headings = [f"{comparison.task}, {images} test images of {meshes} meshes", "seeds", *map(_heading, metrics)]
    cells = [
        [row.name, _seeds(row), *(_estimate(metric, row.estimates[metric]) for metric in metrics)]
        for row in comparison.rows
    ]
    return _table([headings, ["---", "---", *["---:"] * len(metrics)], *cells])


def _pairs(comparison: Comparison) -> str:
    metrics = PAIRED[comparison.task]
    headings = [f"{comparison.task}, differences", *map(_heading, metrics)]
    cells = [
        [f"{pair.a.name} - {pair.b.name}", *(_difference(metric, pair.differences[metric]) for metric in metrics)]
        for pair in comparison.pairs
    ]
    return _table([headings, ["---", *["---:"] * len(metrics)], *cells])


def _seeds(row: Row) -> str:
    return ", ".join(map(str, row.seeds)) if len(row.seeds) > 1 else f"{row.seeds[0]} (one seed)"


def _estimate(metric: str, estimate: Estimate) -> str:
    spread = "" if estimate.sd is None else f" ± {_number(metric, estimate.sd)}"
    return _number(metric, estimate.mean) + spread + _interval(metric, estimate.interval)


def _difference(metric: str, difference: Difference) -> str:
    text = _number(metric, difference.difference, "+") + _interval(metric, difference.interval, "+")
    if difference.p is not None:
        text += ", p < 0.001" if difference.p < 0.001 else f", p = {difference.p:.3f}"
    return f"**{text}**" if difference.beyond_chance else text


def _heading(metric: str) -> str:
    """`median (°)` for `median_deg`, `Acc@7.5°` for `acc_7_5`."""
    if metric.endswith("_deg"):
        return f"{metric.removesuffix('_deg').replace('rmse', 'RMSE')} (°)"
    return f"Acc@{metric.removeprefix('acc_').replace('_', '.')}°"


def _number(metric: str, value: float, sign: str = "") -> str:
    return f"{value:{sign}.{1 if metric.endswith('_deg') else 3}f}"


def _interval(metric: str, interval: tuple[float, float] | None, sign: str = "") -> str:
    return "" if interval is None else f" [{', '.join(_number(metric, end, sign) for end in interval)}]"


def _table(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


def records(found: dict[str, Comparison]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
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


def runs(found: dict[str, Comparison]) -> list[dict[str, Any]]:
    """Of each row, the runs that it is made of: where they are from, their settings and data, their scores."""
    return [
        {"task": task, "row": row.name, "source": each.run.source, "commit": each.run.commit, "seed": each.run.seed}
        | {"settings": each.run.settings, "data": each.run.data, "scores": each.scores}
        for task, comparison in found.items()
        for row in comparison.rows
        for each in row.scored
    ]


def write(found: dict[str, Comparison], notes: Sequence[str], command: str, out: Path) -> None:
    """Write `compare.md`, `compare.json`, `rows.csv` and `pairs.csv` to a folder; to NAME.md the Markdown alone.

    Raises:
        UserError: it cannot be written.
    """
    text = markdown(found, notes, command).encode()
    if out.suffix == ".md":
        write_whole(out, text)
        return
    rows, pairs = records(found)
    notes = [*(note for comparison in found.values() for note in comparison.notes), *notes]
    document = {"command": command, "explanation": EXPLANATION, "notes": notes, "rows": rows, "pairs": pairs}
    document["runs"] = runs(found)
    numbers = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    write_whole(out / "compare.md", text)
    write_whole(out / "compare.json", (numbers + "\n").encode())
    write_whole(out / "rows.csv", pd.DataFrame(rows).to_csv(index=False).encode())
    write_whole(out / "pairs.csv", pd.DataFrame(pairs).to_csv(index=False).encode())


def main(argv: list[str] | None = None) -> int:
    """Compare. What a user can mend is said in one sentence, with status 1."""
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
    parser.add_argument("--out", type=Path, default=OUT, help=f"a folder, or NAME.md for Markdown (default: {OUT})")
    arguments = parser.parse_args(argv)
    chosen = [f"--task {task}" for task in arguments.task or []]
    command = " ".join(["python -m sphreg.compare", *arguments.experiments, *chosen])
    try:
        found, notes = read(Path(), arguments.experiments, arguments.task or list(TRACKED))
        write(found, notes, command, arguments.out)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    print(markdown(found, notes, command), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
