"""The table of all heads against all tasks."""

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from sphreg.errors import UserError
from sphreg.files import write_whole
from sphreg.metrics import Metrics
from sphreg.summary import TRACKED, read_scores, rounded, tracked


def table(results: Path, heads: Sequence[str], tasks: Sequence[str], data: Path, out: Path) -> None:
    """Write `table.md` and `table.json` to `out`: the tracked metrics of each task for each head, from one seed.

    Args:
        results: holds HEAD/TASK, as `evaluate` wrote them.
        heads: the rows.
        tasks: one part of `table.md` each.
        data: the packed dataset, with `info.json`.
        out: a folder.

    Raises:
        UserError: a result is missing, or the heads were tested on different views.
    """
    found = {head: read_scores(results / head) for head in heads}
    for head in heads:
        for task in tasks:
            if task not in found[head]:
                raise UserError(f"{results / head / task}: there is no result; `dvc repro -P` makes all of them.")
    scores = {task: {head: tracked(task, found[head][task]) for head in heads} for task in tasks}
    images = {task: _count_images(results, heads, task) for task in tasks}
    info = json.loads((data / "info.json").read_text(encoding="utf-8"))
    size = info["render"]["size"]
    caption = (
        f"Meshes: {info['source']}; categories {', '.join(info['categories'])}; images of {size} x {size} pixels; one "
        "seed; best values in bold. "
        "Rotation and viewpoint: means over the categories of their medians and accuracies. Normals: over all pixels. "
        "Acc@x: the fraction of errors below x."
    )
    note = f"{info['note']} These numbers are not those of the paper's dataset."
    parts = [caption, note, *(_markdown(task, images[task], scores[task]) for task in tasks)]
    numbers = {task: {head: rounded(metrics) for head, metrics in scores[task].items()} for task in tasks}
    document = {"note": note, "seeds": 1, "test_images": images, "scores": numbers}
    write_whole(out / "table.md", ("\n\n".join(parts) + "\n").encode())
    write_whole(out / "table.json", (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode())


def _count_images(results: Path, heads: Sequence[str], task: str) -> int:
    keys = {head: list(pd.read_csv(results / head / task / "errors.csv", usecols=["key"])["key"]) for head in heads}
    for head in heads:
        if keys[head] != keys[heads[0]]:
            raise UserError(
                f"{results}: {heads[0]} and {head} were tested on different images for {task}; repeat both."
            )
    return len(keys[heads[0]])


def _markdown(task: str, images: int, scores: dict[str, Metrics]) -> str:
    """A row per head. Values that look alike are equally good."""
    columns = []
    for metric in TRACKED[task]:
        decimals, best = (2, min) if metric.endswith("_deg") else (3, max)
        values = [round(metrics[metric], decimals) for metrics in scores.values()]
        texts = [f"{value:.{decimals}f}" for value in values]
        cells = [f"**{text}**" if value == best(values) else text for value, text in zip(values, texts, strict=True)]
        columns.append([_heading(metric), "---:", *cells])
    rows = zip([f"{task}, {images:,} test images", "---", *scores], *columns, strict=True)
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _heading(metric: str) -> str:
    """`median (°)` for `median_deg`, `Acc@7.5° (fraction)` for `acc_7_5`."""
    if metric.endswith("_deg"):
        return f"{metric.removesuffix('_deg')} (°)"
    return f"Acc@{metric.removeprefix('acc_').replace('_', '.')}° (fraction)"
