"""Comparisons, and what others published, as tables of texts: for Markdown, HTML and a terminal."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from sphreg.comparison import Comparison, Difference, Estimate, Pair, Row
from sphreg.info import Info
from sphreg.markdown import Markup, escape, table
from sphreg.published import STATUS, published
from sphreg.statistics import FLIPS, RESAMPLES

EXPLANATION = (
    "Cells: mean over the seeds ± standard deviation between them (n - 1) [95 % interval]. Acc are fractions.",
    "Intervals: bootstrap over the test meshes, with all their views, within each category "
    f"({RESAMPLES:,} resamples); with several seeds also over training, by Student's t. One seed says nothing of the "
    "chance of training: its interval is that of one network. Each interval is of its number alone.",
    f"Differences: the first minus the second; p by {FLIPS:,} sign flips of whole meshes, with as many seeds of both, "
    "Holm-corrected over the pairs of a task, for each metric alone; of a median, on the share of errors below the "
    "common one. It tells networks apart, not yet heads.",
    "Bold: the heads differ beyond the chance of training, too: with several seeds of both, p is below 0.05, and 0 is "
    "outside the interval at a level that is corrected for the number of pairs.",
)
NOT_THE_PAPERS = "These numbers are not those of the paper's dataset."
OTHERS = (
    "What others published, on other data than the rows above: other images, networks, splits and training. Some were "
    "told the category of each test image, some were not. So none of these numbers can be held against the rows above."
)


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
        number = r"[<≈±]?\s*[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?(?![\w.])"  # a version is none
        columns = [self.frame.iloc[:, place].astype(str) for place in range(self.frame.shape[1])]
        return [bool(column[column != ""].str.match(number).all() and (column != "").any()) for column in columns]

    @property
    def markdown(self) -> str:
        """With the caption as the heading of the first column."""
        rows, numeric = [], self.numeric
        for place, row in enumerate(self.frame.itertuples(index=False, name=None)):
            cells = [cell.replace("\n[", " [").replace("\n", ", ") for cell in row]
            marked = [Markup(cell) if i and numeric[i] else escape(cell) for i, cell in enumerate(cells)]
            rows.append([Markup(f"**{cell}**") if (place, i) in self.strong else cell for i, cell in enumerate(marked)])
        return table([self.caption, *self.frame.columns[1:]], rows, numeric)


def row_table(comparison: Comparison) -> Table:
    """A row per head, or per setting of it: each metric with its spread over the seeds and its interval."""
    errors = [row.scored[0].errors for row in comparison.rows]
    images = _counted({len(table) for table in errors}, "test image", "test images")
    meshes = _counted({table["mesh"].nunique() for table in errors}, "mesh", "meshes")
    cells = [
        {"head": row.name, "seeds": _seeds(row)}
        | {heading(metric): _estimate(metric, estimate) for metric, estimate in row.estimates.items()}
        for row in comparison.rows
    ]
    return Table(f"{comparison.task}, {images} of {meshes}", pd.DataFrame(cells))


def pair_table(comparison: Comparison, metrics: Sequence[str] | None = None) -> Table | None:
    """A row per pair of rows; None where there is no pair. Without `metrics` all of them."""
    if not comparison.pairs:
        return None
    metrics = metrics or list(comparison.pairs[0].differences)
    cells = [
        {"difference": _pair(pair)}
        | {heading(metric): _difference(metric, pair.differences[metric]) for metric in metrics}
        for pair in comparison.pairs
    ]
    strong = frozenset(
        (place, column)
        for place, pair in enumerate(comparison.pairs)
        for column, metric in enumerate(metrics, 1)
        if pair.differences[metric].beyond_chance
    )
    return Table(f"{comparison.task}, differences", pd.DataFrame(cells), strong)


def overview_table(found: Mapping[str, Comparison]) -> Table:
    """The median error of each row and task, as `row_table` has it."""
    cells: dict[str, dict[str, str]] = {}
    for task, comparison in found.items():
        for row in comparison.rows:
            rests_on = "one seed" if len(row.seeds) == 1 else f"{len(row.seeds)} seeds"
            text = f"{_estimate('median_deg', row.estimates['median_deg'])}\n{rests_on}"
            cells.setdefault(row.name, {"head": row.name})[f"{task} (°)"] = text
    return Table("Median errors on the test set", pd.DataFrame(cells.values()).fillna(""))


def published_tables(task: str) -> list[Table]:
    """What others published, by the data it was tested on; what was withdrawn stands apart."""
    found = []
    for entry in published(task):
        rows = entry.frame()
        withdrawn = rows["status"] == STATUS["withdrawn"]
        found.append(_published(f"{entry.data}: {entry.split}", rows[~withdrawn]))
        if withdrawn.any():
            found.append(_published(f"{entry.data}: {entry.split}; first published and withdrawn", rows[withdrawn]))
    return found


def _published(caption: str, rows: pd.DataFrame) -> Table:
    rows = rows.dropna(axis="columns", how="all")
    frame = pd.DataFrame({"method": rows["method"], "network": rows["backbone"], "test views": rows["views"]})
    for metric in [name for name in rows.columns.astype(str) if name.endswith("_deg") or name.startswith("acc_")]:
        frame[heading(metric)] = ["" if pd.isna(value) else number(metric, value) for value in rows[metric]]
    frame["remark"] = rows["status"]
    frame["source"] = rows["source"] + rows["certainty"].map({"checked": "", "unchecked": " (not checked)"})
    return Table(caption, frame)


def data_sentence(infos: Iterable[Info]) -> str:
    """What the rows were trained and tested on, from the `info.json` of each."""
    infos = list(infos)
    described = {
        f"Meshes: {info.source}; categories {', '.join(info.categories)}; images of {info.render.size} x "
        f"{info.render.size} pixels."
        for info in infos
    }
    data = described.pop() if len(described) == 1 else "The rows are of different data, as they say."
    return " ".join([data, *sorted({info.note for info in infos}), NOT_THE_PAPERS])


def heading(metric: str) -> str:
    """`median (°)` for `median_deg`, `Acc@7.5°` for `acc_7_5`."""
    if metric.endswith("_deg"):
        return f"{metric.removesuffix('_deg').replace('rmse', 'RMSE')} (°)"
    return f"Acc@{metric.removeprefix('acc_').replace('_', '.')}°"


def number(metric: str, value: float, sign: str = "") -> str:
    """With as many digits as mean something."""
    return f"{value:{sign}.{1 if metric.endswith('_deg') else 3}f}"


def _counted(numbers: Iterable[int], one: str, several: str) -> str:
    numbers = sorted(numbers)
    return f"{' or '.join(f'{number:,}' for number in numbers)} {one if numbers == [1] else several}"


def _pair(pair: Pair) -> str:
    one_seed = ", one seed" if min(len(pair.a.seeds), len(pair.b.seeds)) == 1 else ""
    return f"{pair.a.name} - {pair.b.name}{one_seed}"


def _seeds(row: Row) -> str:
    return ", ".join(map(str, row.seeds)) if len(row.seeds) > 1 else f"{row.seeds[0]} (one seed)"


def _estimate(metric: str, estimate: Estimate) -> str:
    spread = "" if estimate.sd is None else f" ± {number(metric, estimate.sd)}"
    return number(metric, estimate.mean) + spread + _interval(metric, estimate.interval)


def _difference(metric: str, difference: Difference) -> str:
    text = number(metric, difference.difference, "+") + _interval(metric, difference.interval, "+")
    return text + ("\np < 0.001" if difference.p < 0.001 else f"\np = {difference.p:.3f}")


def _interval(metric: str, interval: tuple[float, float] | None, sign: str = "") -> str:
    return "" if interval is None else f"\n[{', '.join(number(metric, end, sign) for end in interval)}]"
