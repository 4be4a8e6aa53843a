"""Runs of one task side by side: what was trained alike is a row over its seeds, and rows are tested in pairs."""

import itertools
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64

from sphreg import statistics
from sphreg.info import Info
from sphreg.metrics import Metrics
from sphreg.naming import differences
from sphreg.results import Result
from sphreg.runs import Run, row_name
from sphreg.statistics import LIMITS_DEG, PIXEL_BINS_DEG, PIXEL_LIMITS
from sphreg.summary import OVERALL

FEW = 10  # meshes of a category, which the bootstrap takes for all that there could be


@dataclass(frozen=True)
class Scored:
    """A run with the folder that its test wrote, and the `info.json` of its dataset."""

    run: Run
    folder: Path
    info: Info

    @cached_property
    def result(self) -> Result:
        """What the test wrote."""
        return Result(self.run.task, self.folder)

    @property
    def errors(self) -> pd.DataFrame:
        """A row per test view."""
        return self.result.errors

    @property
    def pixels(self) -> Float64[np.ndarray, "meshes bins"]:
        """Of normals, as `sphreg.statistics.pixel_draws` takes them."""
        return self.result.pixels

    @property
    def scores(self) -> Metrics:
        """All metrics, over all categories or pixels."""
        return self.result.scores[OVERALL[self.run.task]]

    @property
    def views(self) -> tuple[str, ...]:
        """What it was tested on."""
        return (json.dumps(self.run.test_data, sort_keys=True), *self.errors["key"])

    @cached_property
    def meshes(self) -> Int64[np.ndarray, "views"]:
        """The number of the mesh of each view, by category and name."""
        names = pd.MultiIndex.from_frame(self.errors[["category", "mesh"]])
        return pd.factorize(names, sort=True)[0].astype(np.int64)

    @cached_property
    def categories(self) -> Int64[np.ndarray, "meshes"]:
        """The number of the category of each mesh."""
        codes = pd.factorize(self.errors["category"], sort=True)[0].astype(np.int64)
        return codes[np.unique(self.meshes, return_index=True)[1]]

    def draws(self, counts: Int64[np.ndarray, "resamples meshes"]) -> statistics.Draws:
        """The metrics of each resample."""
        if self.run.task == "normals":
            return statistics.pixel_draws(self.pixels, counts)
        return statistics.pose_draws(self.errors["error_deg"].to_numpy(float), self.meshes, self.categories, counts)

    def shares(self, metric: str, middle_deg: Mapping[str, float]) -> Float64[np.ndarray, "meshes"]:
        """What each mesh adds to a metric. To a median, what it adds to the share of errors below a middle.

        Args:
            metric: its name. Of `rmse_deg`, what a mesh adds to its square.
            middle_deg: of each category, or of all pixels.
        """
        if self.run.task == "normals":
            bins = {
                "mean_deg": PIXEL_BINS_DEG,
                "rmse_deg": PIXEL_BINS_DEG**2,
                "median_deg": (middle_deg[OVERALL["normals"]] > PIXEL_BINS_DEG).astype(float),
                **{name: (np.arange(len(PIXEL_BINS_DEG)) < end).astype(float) for name, end in PIXEL_LIMITS.items()},
            }[metric]
            return self.pixels @ bins / self.pixels.sum()
        values = self.errors["error_deg"]
        if metric != "mean_deg":
            limits = self.errors["category"].map(middle_deg) if metric == "median_deg" else LIMITS_DEG[metric]
            values = (values < limits).astype(float)
        views = self.errors.groupby("category")["key"].transform("size")
        return np.bincount(self.meshes, weights=values / views / self.errors["category"].nunique())


@dataclass(frozen=True)
class Estimate:
    """A metric: the mean over the seeds, their standard deviation (None for one), the interval (None if unknown)."""

    mean: float
    sd: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class Row:
    """Runs that differ in the seed alone, in its order, and what tells them from other rows."""

    scored: list[Scored]
    differs: str
    estimates: dict[str, Estimate]
    draws: statistics.Draws

    @property
    def task(self) -> str:
        """Of all of them."""
        return self.scored[0].run.task

    @property
    def head(self) -> str:
        """Of all of them."""
        return self.scored[0].run.head

    @property
    def name(self) -> str:
        """The head, and what tells it from others."""
        return row_name(self.head, self.differs)

    @property
    def seeds(self) -> list[int]:
        """Of the training."""
        return [each.run.seed for each in self.scored]


@dataclass(frozen=True)
class Difference:
    """Of a metric, one row minus another.

    Attributes:
        interval: None if unknown.
        p: of sign flips over the meshes, corrected over all pairs.
        beyond_chance: p is below 5 %, and 0 is outside the interval over several seeds of both, made wider for the
            number of pairs (Bonferroni). Of two trainings of one head p may well be low: it is about these networks.
    """

    difference: float
    interval: tuple[float, float] | None
    p: float
    beyond_chance: bool


@dataclass(frozen=True)
class Pair:
    """Two rows that were tested on the same views."""

    a: Row
    b: Row
    differences: dict[str, Difference]


@dataclass(frozen=True)
class Comparison:
    """The rows of a task and their pairs, and sentences that a reader needs."""

    task: str
    rows: list[Row]
    pairs: list[Pair]
    notes: list[str]

    @property
    def infos(self) -> list[Info]:
        """The `info.json` of each run's dataset."""
        return [each.info for row in self.rows for each in row.scored]


def compare(scored: Sequence[Scored]) -> Comparison:
    """Compare runs of one task, none of them twice."""
    rows, notes = _rows(scored), []
    views = [row.scored[0].views for row in rows]
    pairs = _pairs([(a, b) for (a, i), (b, j) in itertools.combinations(zip(rows, views, strict=True), 2) if i == j])
    if len(set(views)) > 1:
        notes.append("Not all rows were tested on the same views; those that were are paired.")
    fewest = min(np.bincount(row.scored[0].categories).min() for row in rows)
    if fewest == 1:
        notes.append("Where a category has one test mesh there is no interval, as nothing can be resampled.")
    elif fewest < FEW:
        notes.append(f"A category has {fewest} test meshes: of so few, intervals are too narrow.")
    code: dict[str, set[str]] = defaultdict(set)
    for each in scored:
        for path, checksum in each.run.code.items():
            code[path].add(checksum)
    changed = sorted(path for path, checksums in code.items() if len(checksums) > 1)
    if changed:
        notes.append(f"The runs are not all of the same code: {', '.join(changed)} changed between them.")
    return Comparison(rows[0].task, rows, pairs, notes)


def _rows(scored: Sequence[Scored]) -> list[Row]:
    """By head, those with most seeds first."""
    groups: dict[str, list[Scored]] = defaultdict(list)
    for each in sorted(scored, key=lambda each: each.run.seed):
        groups[each.run.made_from].append(each)
    alike = sorted(groups.values(), key=lambda group: (group[0].run.head, -len(group)))
    names = differences([group[0].run for group in alike], [group[0].info for group in alike])
    return [_row(group, name) for group, name in zip(alike, names, strict=True)]


def _row(scored: list[Scored], differs: str) -> Row:
    one = scored[0]
    draws: statistics.Draws = {}
    if np.bincount(one.categories).min() > 1:
        # Of the same generator: the rows that were tested on the same views have the same resamples
        counts = statistics.resample(one.categories, statistics.RESAMPLES, np.random.default_rng(0))
        of_seeds = [each.draws(counts) for each in scored]
        draws = {metric: np.mean([each[metric] for each in of_seeds], axis=0) for metric in of_seeds[0]}
    estimates = {}
    for metric in one.scores:
        scores = [each.scores[metric] for each in scored]
        mean, sd = float(np.mean(scores)), float(np.std(scores, ddof=1)) if len(scores) > 1 else None
        limits = (0.0, _largest(metric))
        interval = statistics.interval(mean, draws[metric], [scores], limits) if metric in draws else None
        estimates[metric] = Estimate(mean, sd, interval)
    return Row(scored, differs, estimates, draws)


def _largest(metric: str) -> float:
    return 180.0 if metric.endswith("_deg") else 1.0


def _pairs(rows: Sequence[tuple[Row, Row]]) -> list[Pair]:
    pairs = [Pair(a, b, {}) for a, b in rows]
    # As many seeds of both: otherwise equal heads could not be exchanged, as a mean of more has rarer extremes.
    alike = [(a.scored[:n], b.scored[:n]) for a, b in rows for n in [min(len(a.scored), len(b.scored))]]
    middles = [_middle([*a, *b]) for a, b in alike]
    for metric in rows[0][0].estimates if rows else ():
        shares = [
            np.mean([each.shares(metric, middle) for each in a], axis=0)
            - np.mean([each.shares(metric, middle) for each in b], axis=0)
            for (a, b), middle in zip(alike, middles, strict=True)
        ]
        alone = [statistics.sign_flips(share, statistics.FLIPS, np.random.default_rng(0)) for share in shares]
        for pair, p in zip(pairs, statistics.holm(np.array(alone)).tolist(), strict=True):
            pair.differences[metric] = _difference(pair.a, pair.b, metric, p, len(pairs))
    return pairs


def _middle(scored: Sequence[Scored]) -> dict[str, float]:
    """The median of each category, or of all pixels, over all these runs of both rows.

    No flip changes it, so that the test of it is exact.
    """
    if scored[0].run.task == "normals":
        below = np.sum([each.pixels.sum(axis=0) for each in scored], axis=0).cumsum()
        return {OVERALL["normals"]: float(PIXEL_BINS_DEG[np.searchsorted(below, below[-1] / 2)])}
    errors = pd.concat([each.errors for each in scored])
    return {str(name): float(value) for name, value in errors.groupby("category")["error_deg"].median().items()}


def _difference(a: Row, b: Row, metric: str, p: float, pairs: int) -> Difference:
    scores = [[each.scores[metric] for each in row.scored] for row in (a, b)]
    difference, interval, beyond = a.estimates[metric].mean - b.estimates[metric].mean, None, False
    if metric in a.draws and metric in b.draws:
        limits = (-_largest(metric), _largest(metric))
        draws = a.draws[metric] - b.draws[metric]
        interval = statistics.interval(difference, draws, scores, limits)
        if min(len(a.scored), len(b.scored)) > 1 and p < 1 - statistics.LEVEL:
            level = 1 - (1 - statistics.LEVEL) / pairs
            low, high = statistics.interval(difference, draws, scores, limits, level)
            beyond = not low <= 0 <= high
    return Difference(difference, interval, p, beyond)
