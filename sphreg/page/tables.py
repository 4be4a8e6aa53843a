"""The tables of the page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from sphreg.page.results import ResultFolder, scores
from sphreg.published import published

EXPLANATION = (
    "Rotation and viewpoint: means over the categories; normals: over all pixels. Acc: the fraction of errors below so "
    "many degrees. Where there are several seeds, the mean over them; what rests on one may be another with the next."
)
METRICS = {
    "rotation": ("median_deg", "mean_deg", "acc_30", "acc_15", "acc_7_5"),
    "viewpoint": ("median_deg", "mean_deg", "acc_30", "acc_15", "acc_7_5"),
    "normals": ("median_deg", "mean_deg", "rmse_deg", "acc_11_25", "acc_22_5", "acc_30"),
}


@dataclass(frozen=True)
class Table:
    """What is shown, as it is shown.

    Attributes:
        caption: a line above.
        frame: the cells, as texts. A column is sorted by the number that each of its cells begins with, if all have
            one, or else by the texts; an empty cell is the last.
        strong: rows and columns of the cells that stand out.
    """

    caption: str
    frame: pd.DataFrame
    strong: frozenset[tuple[int, int]] = frozenset()

    @property
    def numeric(self) -> list[bool]:
        """Of each column, whether all of its cells that are not empty begin with a number."""
        number = r"[<≈±]?\s*[-+]?\d"
        columns = [self.frame.iloc[:, place].astype(str) for place in range(self.frame.shape[1])]
        return [bool(column[column != ""].str.match(number).all() and (column != "").any()) for column in columns]


def score_table(runs: Sequence[ResultFolder]) -> Table:
    """A row per head: the means of the seeds' metrics over all categories or pixels."""
    task = runs[0].task
    table = scores(runs).query("category == 'all'")
    seeds = table.groupby("head", sort=False)["seed"].nunique()
    means = table.groupby("head", sort=False)[list(METRICS[task])].mean()
    frame = pd.DataFrame({"head": means.index, "seeds": [str(number) for number in seeds]})
    for metric in METRICS[task]:
        frame[heading(metric)] = [shown(metric, value) for value in means[metric]]
    return Table(f"Heads on {task}", frame)


def compared_tables(document: Mapping[str, Any]) -> dict[str, list[Table]]:
    """The rows and the pairs of each task.

    Args:
        document: as JSON has it: `rows`, each a `task`, `head`, what `differs` from other rows of that head, `seeds`,
            `metric`, `mean`, `sd`, `low` and `high`; `pairs`, each a `task`, `a`, `b`, `metric`, `difference`, `low`,
            `high`, `p` and `beyond_chance`. None is what is not known.
    """
    found: dict[str, list[Table]] = {}
    for task in dict.fromkeys(row["task"] for row in document["rows"]):
        rows = [row for row in document["rows"] if row["task"] == task]
        pairs = [pair for pair in document["pairs"] if pair["task"] == task]
        cells: dict[tuple[str, str], dict[str, str]] = {}
        for row in rows:
            name = f"{row['head']} ({row['differs']})" if row["differs"] else row["head"]
            seeds = row["seeds"] if " " in row["seeds"] else f"{row['seeds']} (one seed)"
            spread = "" if row["sd"] is None else f" ± {shown(row['metric'], row['sd'])}"
            text = shown(row["metric"], row["mean"]) + spread + _interval(row)
            cells.setdefault((name, seeds), {"head": name, "seeds": seeds})[heading(row["metric"])] = text
        found[task] = [Table(f"Heads on {task}", pd.DataFrame(cells.values()).fillna(""))]
        cells, strong = {}, set()
        for pair in pairs:
            text = shown(pair["metric"], pair["difference"]) + _interval(pair)
            if pair["p"] is not None:
                text += "\np < 0.001" if pair["p"] < 0.001 else f"\np = {pair['p']:.3f}"
            name = f"{pair['a']}\N{NO-BREAK SPACE}\N{MINUS SIGN}\N{NO-BREAK SPACE}{pair['b']}"
            row = cells.setdefault((pair["a"], pair["b"]), {"difference": name})
            row[heading(pair["metric"])] = text
            if pair["beyond_chance"]:
                strong.add((list(cells.values()).index(row), len(row) - 1))
        if cells:
            frame = pd.DataFrame(cells.values()).fillna("")
            found[task].append(Table("Differences, paired by test view", frame, frozenset(strong)))
    return found


def published_tables(task: str) -> list[Table]:
    """What others published, by the data it was tested on."""
    found = []
    for entry in published(task):
        rows = entry.frame()
        frame = pd.DataFrame({"method": rows["method"], "network": rows["backbone"], "test views": rows["views"]})
        for metric in [name for name in rows.columns.astype(str) if name.endswith("_deg") or name.startswith("acc_")]:
            frame[heading(metric)] = [shown(metric, value) for value in rows[metric]]
        frame["remark"] = rows["status"]
        frame["source"] = rows["source"] + rows["certainty"].map({"checked": "", "unchecked": " (not checked)"})
        found.append(Table(f"{entry.data}: {entry.split}", frame))
    return found


def _interval(record: Mapping[str, Any]) -> str:
    if record["low"] is None:
        return ""
    return f" [{shown(record['metric'], record['low'])}, {shown(record['metric'], record['high'])}]"


def heading(metric: str) -> str:
    """`median (°)` for `median_deg`, `Acc@7.5°` for `acc_7_5`."""
    if metric.endswith("_deg"):
        name = metric.removesuffix("_deg")
        return f"{name.upper() if name == 'rmse' else name} (°)"
    return f"Acc@{metric.removeprefix('acc_').replace('_', '.')}°"


def shown(metric: str, value: float) -> str:
    """A number with as many digits as mean something; nothing where there is none."""
    if pd.isna(value):
        return ""
    return f"{value:.1f}" if metric.endswith("_deg") else f"{value:.3f}"
