"""Runs of one task side by side: what was trained alike is a row over its seeds, and rows are tested in pairs."""

import hashlib
import itertools
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64

from sphreg import statistics
from sphreg.metrics import Metrics, normals_metrics, pose_metrics
from sphreg.runs import Result, Run, flatten
from sphreg.statistics import LIMITS_DEG
from sphreg.summary import OVERALL

SHOWN = 4  # settings that differ, in the name of a row
PIXEL_MEANS = ("mean_deg", "acc_11_25", "acc_22_5", "acc_30")  # of normals, where errors.csv has them for each image


@dataclass(frozen=True)
class Scored:
    """A run with its tables."""

    run: Run
    result: Result

    @cached_property
    def scores(self) -> Metrics:
        """All metrics, over all categories or pixels."""
        if self.run.task == "normals":
            assert self.result.histogram is not None
            return normals_metrics(self.result.histogram)[OVERALL["normals"]]
        return pose_metrics(self.result.errors)[OVERALL[self.run.task]]

    @property
    def views(self) -> tuple[str, ...]:
        """What it was tested on."""
        return (json.dumps(self.run.test_data, sort_keys=True), *self.result.errors["key"])

    @cached_property
    def meshes(self) -> Int64[np.ndarray, "views"]:
        """The number of the mesh of each view."""
        names = pd.MultiIndex.from_frame(self.result.errors[["category", "mesh"]])
        return pd.factorize(names, sort=True)[0].astype(np.int64)

    @cached_property
    def categories(self) -> Int64[np.ndarray, "meshes"]:
        """The number of the category of each mesh."""
        codes = pd.factorize(self.result.errors["category"], sort=True)[0].astype(np.int64)
        return codes[np.unique(self.meshes, return_index=True)[1]]

    @cached_property
    def by_mesh(self) -> list[str]:
        """The metrics that the tables allow for some of the meshes: of normals those that each image has."""
        if self.run.task == "normals":
            return [metric for metric in PIXEL_MEANS if metric in self.result.errors]
        return list(self.scores)

    def draws(self, counts: Int64[np.ndarray, "resamples meshes"]) -> statistics.Draws:
        """Their values in each resample."""
        errors = self.result.errors
        if self.run.task == "normals":
            pixels = errors["pixels"].to_numpy(np.int64)
            means = {metric: errors[metric].to_numpy(float) for metric in self.by_mesh}
            return {
                name: statistics.pooled_draws(values, pixels, self.meshes, counts) for name, values in means.items()
            }
        return statistics.pose_draws(errors["error_deg"].to_numpy(float), self.meshes, self.categories, counts)

    def shares(self, metric: str, middle_deg: Mapping[str, float]) -> Float64[np.ndarray, "meshes"]:
        """What each mesh adds to a metric. To a median, what it adds to the share of errors below a middle.

        Args:
            metric: one of `by_mesh`.
            middle_deg: of each category.
        """
        errors = self.result.errors
        if self.run.task == "normals":
            return np.bincount(
                self.meshes, weights=errors[metric].fillna(0) * errors["pixels"] / errors["pixels"].sum()
            )
        values = errors["error_deg"]
        if metric != "mean_deg":
            limits = errors["category"].map(middle_deg) if metric == "median_deg" else LIMITS_DEG[metric]
            values = (values < limits).astype(float)
        views = errors.groupby("category")["key"].transform("size")
        return np.bincount(self.meshes, weights=values / views / errors["category"].nunique())


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
    def head(self) -> str:
        """Of all of them."""
        return self.scored[0].run.head

    @property
    def name(self) -> str:
        """The head, and what tells it from others."""
        return f"{self.head} ({self.differs})" if self.differs else self.head

    @property
    def seeds(self) -> list[int]:
        """Of the training."""
        return [each.run.seed for each in self.scored]


@dataclass(frozen=True)
class Difference:
    """Of a metric, one row minus another.

    Attributes:
        interval: None if unknown.
        p: of sign flips over the meshes, corrected over all pairs; None where no mesh has a value of its own.
        beyond_chance: p is below 5 %, and 0 is outside the interval over several seeds of both. Of two trainings of one
            head p may well be low: it is about these networks.
    """

    difference: float
    interval: tuple[float, float] | None
    p: float | None
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


def compare(scored: Sequence[Scored]) -> Comparison:
    """Compare runs of one task, none of them twice."""
    rows, notes = _rows(scored), []
    views = [row.scored[0].views for row in rows]
    pairs = _pairs([(a, b) for (a, i), (b, j) in itertools.combinations(zip(rows, views, strict=True), 2) if i == j])
    if len(set(views)) > 1:
        notes.append("Not all rows were tested on the same views; those that were are paired.")
    if any(not row.draws for row in rows):
        notes.append("Where a category has one test mesh there is no interval, as nothing can be resampled.")
    counted = [metric for metric in rows[0].estimates if any(metric not in each.by_mesh for each in scored)]
    if counted:
        notes.append(
            f"There is no interval of {', '.join(counted)}: for these the tables count the pixels of a category, not "
            "of a mesh."
        )
    code: dict[str, set[str]] = defaultdict(set)
    for each in scored:
        for path, checksum in each.run.code.items():
            code[path].add(checksum)
    changed = sorted(path for path, checksums in code.items() if len(checksums) > 1)
    if changed:
        notes.append(f"The runs are not all of the same code: {', '.join(changed)} changed between them.")
    return Comparison(scored[0].run.task, rows, pairs, notes)


def _rows(scored: Sequence[Scored]) -> list[Row]:
    """By head, those with most seeds first."""
    groups: dict[str, list[Scored]] = defaultdict(list)
    for each in sorted(scored, key=lambda each: each.run.seed):
        groups[each.run.made_from].append(each)
    alike = sorted(groups.values(), key=lambda group: (group[0].run.head, -len(group)))
    names = _differences([group[0] for group in alike])
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


def _differences(scored: Sequence[Scored]) -> list[str]:
    """What tells each of some runs from the others; a setting of a head, from the runs of that head."""
    known = [each.run.settings for each in scored]
    if len({json.dumps(each.run.data, sort_keys=True) for each in scored}) > 1:
        described = [{f"data {name}": value for name, value in flatten(each.result.info).items()} for each in scored]
        if all(other == described[0] for other in described):
            described = [{"data": _checksum(each.run.data)} for each in scored]
        known = [settings | description for settings, description in zip(known, described, strict=True)]
    texts = []
    for each, mine in zip(scored, known, strict=True):
        task, head = each.run.task, each.run.head
        same_head = [other for rival, other in zip(scored, known, strict=True) if rival.run.head == head]
        parts = []
        for name in sorted({name for other in known for name in other}):
            of_head = name.startswith("head_settings.")
            if of_head and not name.startswith(f"head_settings.{head}."):
                continue
            if any(other.get(name) != mine.get(name) for other in (same_head if of_head else known)):
                short = name.removeprefix(f"train.{task}.").removeprefix(f"head_settings.{head}.{task}.")
                parts.append(f"{short} {mine.get(name, 'not set')}")
        texts.append(", ".join(parts[:SHOWN]) + (f" and {len(parts) - SHOWN} more" if len(parts) > SHOWN else ""))
    return texts


def _checksum(data: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:8]


def _pairs(rows: Sequence[tuple[Row, Row]]) -> list[Pair]:
    p: dict[str, list[float]] = {}
    if rows:
        middles = [_middle(a, b) for a, b in rows]
        for metric in rows[0][0].scored[0].by_mesh:
            shares = [
                np.mean([each.shares(metric, middle) for each in a.scored], axis=0)
                - np.mean([each.shares(metric, middle) for each in b.scored], axis=0)
                for (a, b), middle in zip(rows, middles, strict=True)
            ]
            alone = [statistics.sign_flips(share, statistics.FLIPS, np.random.default_rng(0)) for share in shares]
            p[metric] = statistics.holm(np.array(alone)).tolist()
    pairs = []
    for i, (a, b) in enumerate(rows):
        differences = {
            metric: _difference(a, b, metric, p[metric][i] if metric in p else None) for metric in a.estimates
        }
        pairs.append(Pair(a, b, differences))
    return pairs


def _middle(a: Row, b: Row) -> dict[str, float]:
    """The median of each category over all runs of both rows: no flip changes it, so that the test of it is exact."""
    if a.scored[0].run.task == "normals":
        return {}
    errors = pd.concat([each.result.errors for row in (a, b) for each in row.scored])
    return {str(name): float(value) for name, value in errors.groupby("category")["error_deg"].median().items()}


def _difference(a: Row, b: Row, metric: str, p: float | None) -> Difference:
    scores = [[each.scores[metric] for each in row.scored] for row in (a, b)]
    difference, interval = a.estimates[metric].mean - b.estimates[metric].mean, None
    if metric in a.draws and metric in b.draws:
        limits = (-_largest(metric), _largest(metric))
        interval = statistics.interval(difference, a.draws[metric] - b.draws[metric], scores, limits)
    several = min(len(a.scored), len(b.scored)) > 1
    outside = interval is not None and not interval[0] <= 0 <= interval[1]
    return Difference(difference, interval, p, several and outside and p is not None and p < 1 - statistics.LEVEL)
