"""The report as one HTML file, which needs nothing else: tables, figures, gallery, settings, how to repeat it all."""

import json
import platform
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from sphreg.comparison import Row
from sphreg.comparison_tables import (
    EXPLANATION,
    OTHERS,
    Table,
    data_sentence,
    overview_table,
    pair_table,
    published_tables,
    row_table,
)
from sphreg.figures import svg
from sphreg.files import write_whole
from sphreg.info import Info
from sphreg.page.gallery import RANKS, gallery
from sphreg.page.pictures import Picture
from sphreg.page.study import Study

LEADS = {
    "rotation": "One quaternion on S3 for each image.",
    "viewpoint": "Azimuth, elevation and tilt, each on S1; the error is that of the rotation they make.",
    "normals": "One unit vector on S2 for each pixel that shows the object.",
}
SHOWN, MOST = 60, 4  # views in a gallery, about, and of one rank and category
GALLERIES = 6  # rows that have one, at the most
COMMANDS = ["task", "head", "seed", "source", "commit", "command"]
PACKAGES = ("sphreg", "torch", "torchvision", "numpy", "scipy", "pandas", "numba", "matplotlib", "dvc")


def write_page(study: Study, notes: Sequence[str], command: str, settings: Mapping[str, Any], out: Path) -> None:
    """Write `index.html` and `figures/TASK/NAME.svg` to `out`.

    The tables have all rows; figures and galleries those that were tested on the views of the dataset.

    Args:
        study: what to show.
        notes: sentences that a reader needs, beside those of the comparisons.
        command: what writes this page.
        settings: all of them, to be shown.
        out: a folder.

    Raises:
        UserError: a mesh is not there.
    """
    found, info = study.found, study.info
    parts = []
    for task, comparison in found.items():
        parts.append(
            {
                "name": task,
                "lead": LEADS[task],
                "views": len(comparison.rows[0].scored[0].errors),
                "meshes": len(comparison.rows[0].scored[0].categories),
                "tables": [table for table in (row_table(comparison), pair_table(comparison)) if table],
                "notes": [*comparison.notes, *_left_out(comparison.rows, study.drawn[task])],
                "published": published_tables(task),
                "pictures": _figures(task, study.pictures.get(task, []), out / "figures" / task),
                "galleries": [] if task == "normals" else _galleries(task, study),
            }
        )
    runs = [(row, each.run) for comparison in found.values() for row in comparison.rows for each in row.scored]
    environment = Environment(loader=PackageLoader("sphreg.page", "."), autoescape=True, undefined=StrictUndefined)
    environment.filters["data_uri"] = data_uri
    environment.filters["number"] = lambda value: f"{value:,}"
    html = environment.get_template("template.html").render(
        title="Comparison of heads",
        heads=list(dict.fromkeys(run.head for _, run in runs)),
        parts=parts,
        info=info,
        data=data_sentence(info for comparison in found.values() for info in comparison.infos),
        overview=overview_table(found),
        reading=[*EXPLANATION, *notes],
        others=OTHERS,
        counts=_counts(info),
        facts=[*as_texts(info.model_dump(include={"camera", "shading", "engine"}))],
        command=command,
        commands=Table(
            "The runs",
            pd.DataFrame(
                [
                    (row.task, row.name, str(run.seed), run.source, (run.commit or "")[:7], run.command)
                    for row, run in runs
                ],
                columns=COMMANDS,
            ),
        ),
        settings=Table("params.yaml", pd.DataFrame(as_texts(settings), columns=["setting", "value"])),
        versions=Table("What wrote this page", pd.DataFrame(_versions(), columns=["package", "version"])),
        ranks=RANKS,
    )
    write_whole(out / "index.html", html.encode())


def _versions() -> list[tuple[str, str]]:
    return [("Python", platform.python_version()), *((name, version(name)) for name in PACKAGES)]


def data_uri(image: bytes) -> str:
    """A JPEG as the address of a picture."""
    return f"data:image/jpeg;base64,{b64encode(image).decode()}"


def as_texts(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """`train.rotation.lr` and `0.003`, for all settings."""
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from as_texts(value, f"{prefix}{name}.")
        elif isinstance(value, (list, tuple)):
            yield f"{prefix}{name}", ", ".join(map(str, value))
        else:
            number = float(f"{value:.6g}") if isinstance(value, float) else value
            yield f"{prefix}{name}", value if isinstance(value, str) else json.dumps(number)


def _inline(text: str) -> str:
    """The colours of text, lines and background are those of the page, light or dark."""
    for colour, name in ("#000000", "ink"), ("#ffffff", "paper"), ("#666666", "muted"), ("#e6e6e6", "line"):
        text = text.replace(f": {colour}", f": var(--{name})")
    return text


def _left_out(rows: Sequence[Row], drawn: Sequence[Row]) -> list[str]:
    names = [row.name for row in rows if row.name not in {row.name for row in drawn}]
    if not names:
        return []
    return [f"Not drawn, as tested on other views than those of the dataset that is checked out: {', '.join(names)}."]


def _figures(task: str, drawn: Sequence[Picture], out: Path) -> list[tuple[Picture, str]]:
    """Each figure with the text of its file, in the colours of the page."""
    found = []
    for picture in drawn:
        text = svg(picture.figure, f"{task}-{picture.name}")
        write_whole(out / f"{picture.name}.svg", text.encode())
        found.append((picture, _inline(text)))
    return found


def _galleries(task: str, study: Study) -> list[dict[str, Any]]:
    """Of the best rows, with their first seeds: by category and rank the views."""
    rows = study.drawn[task]
    best = [row.name for row in sorted(rows, key=lambda row: row.estimates["median_deg"].mean)]
    found = []
    for row in rows:
        if row.name not in best[:GALLERIES]:
            continue
        table = study.errors[task]
        own = table[(table["head"] == row.name) & (table["seed"] == row.seeds[0])]
        count = max(1, min(MOST, SHOWN // (len(RANKS) * own["category"].nunique())))
        by_category: dict[str, dict[str, list[Any]]] = {}
        for shown in gallery(own, study.views, study.meshes, study.camera, count):
            by_category.setdefault(shown.category, {rank: [] for rank in RANKS})[shown.rank].append(shown)
        found.append({"head": row.name, "seed": row.seeds[0], "rows": by_category, "open": row.name == best[0]})
    return found


def _counts(info: Info) -> Table:
    """Meshes, views and maps of normals of each category; in the caption, of all."""
    rows = []
    for category in info.categories:
        row: dict[str, Any] = {"category": category}
        for split, counts in info.counts.items():
            row |= {f"{split}: {name}": number for name, number in counts[category]}
        rows.append(row)
    frame = pd.DataFrame(rows)
    text = frame.iloc[:, 1:].map(lambda number: f"{number:,}")
    sums = ", ".join(f"{name} {number:,}" for name, number in frame.iloc[:, 1:].sum().items())
    return Table(f"What the dataset holds. In all: {sums}", pd.concat([frame[["category"]], text], axis=1))
