"""The table of all heads against all tasks."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from sphreg import markdown
from sphreg.errors import UserError
from sphreg.files import write_whole
from sphreg.info import read_info
from sphreg.markdown import Markup, escape
from sphreg.metrics import Metrics, fifth
from sphreg.results import Result, results_in
from sphreg.summary import FIFTH, TRACKED, rounded, tracked


def table(results: Path, heads: Sequence[str], tasks: Sequence[str], data: Path, out: Path) -> None:
    """Write `table.md` and `table.json` to `out`: the tracked metrics of each task for each head, from one seed.

    Rotation and viewpoint have rows for all test images, then rows for the fifth of them that `metrics.fifth` draws.

    Args:
        results: holds HEAD/TASK, as `evaluate` wrote them.
        heads: a row each, or two.
        tasks: one part of `table.md` each.
        data: the packed dataset, with `info.json`.
        out: a folder.

    Raises:
        UserError: a result is missing or not as `evaluate` wrote it, `info.json` is not as it was packed, or the heads
            were tested on different views.
    """
    found = {head: results_in(results / head) for head in heads}
    for head in heads:
        for task in tasks:
            if task not in found[head]:
                raise UserError(f"{results / head / task}: there is no result; `dvc repro -P` makes all of them.")
    keys = {task: _keys(results, {head: found[head][task] for head in heads}, task) for task in tasks}
    images = {task: len(keys[task]) for task in tasks}
    scores = {task: {head: tracked(task, found[head][task].scores) for head in heads} for task in tasks}
    poses = [task for task in tasks if task in FIFTH]
    images_fifth = {task: len(fifth(keys[task])) for task in poses}
    scores_fifth = {task: {head: tracked(task, found[head][task].scores, FIFTH) for head in heads} for task in poses}
    info = read_info(data)
    size = info.render.size
    caption = (
        f"Meshes: {escape(info.source)}; categories {escape(', '.join(info.categories))}; images of {size} x "
        f"{size} pixels; one seed; best values in bold. "
        "Rotation and viewpoint: means over the categories of their medians and accuracies, on all test images and on "
        "a random fifth of them, drawn once for all heads: the original scored its rotations on a fifth, later papers "
        "on all. Normals: over all pixels. Acc@x: the fraction of errors below x."
    )
    note = f"{info.note} These numbers are not those of the paper's dataset."
    parts = [caption, note]
    for task in tasks:
        rows = _cells(task, scores[task])
        if task in poses:
            rows += _cells(
                task, {f"{head}, {images_fifth[task]:,} of them": scores_fifth[task][head] for head in heads}
            )
        heading = [f"{task}, {images[task]:,} test images", *map(_heading, TRACKED[task])]
        parts.append(markdown.table(heading, rows))
    document = {"note": note, "seeds": 1, "test_images": images, "scores": _rounded(scores)}
    document["fifth"] = {"test_images": images_fifth, "scores": _rounded(scores_fifth)}
    write_whole(out / "table.md", ("\n\n".join(parts) + "\n").encode())
    write_whole(
        out / "table.json", (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
    )


def _keys(results: Path, found: Mapping[str, Result], task: str) -> pd.Series:
    """Of the test images, the same for all heads."""
    first, *_ = found
    keys = found[first].errors["key"]
    for head, result in found.items():
        if not result.errors["key"].equals(keys):
            raise UserError(f"{results}: {first} and {head} were tested on different images for {task}; repeat both.")
    return keys


def _rounded(scores: Mapping[str, Mapping[str, Metrics]]) -> dict[str, dict[str, Metrics]]:
    return {task: {head: rounded(metrics) for head, metrics in scores[task].items()} for task in scores}


def _cells(task: str, scores: Mapping[str, Metrics]) -> list[list[str]]:
    """A row for each of `scores`, the best of a column in bold. Values that look alike are equally good."""
    columns: list[list[str]] = [list(scores)]
    for metric in TRACKED[task]:
        decimals, best = (2, min) if metric.endswith("_deg") else (3, max)
        values = [round(metrics[metric], decimals) for metrics in scores.values()]
        texts = [Markup(f"{value:.{decimals}f}") for value in values]
        shown = zip(values, texts, strict=True)
        columns.append([Markup(f"**{text}**") if value == best(values) else text for value, text in shown])
    return [list(row) for row in zip(*columns, strict=True)]


def _heading(metric: str) -> str:
    """`median (°)` for `median_deg`, `Acc@7.5° (fraction)` for `acc_7_5`."""
    if metric.endswith("_deg"):
        return f"{metric.removesuffix('_deg')} (°)"
    return f"Acc@{metric.removeprefix('acc_').replace('_', '.')}° (fraction)"
