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

from sphreg.figures import svg
from sphreg.figures.comparison import looks
from sphreg.files import write_whole
from sphreg.page.gallery import RANKS, gallery
from sphreg.page.pictures import pictures
from sphreg.page.results import ResultFolder, errors
from sphreg.page.tables import EXPLANATION, Table, compared_tables, published_tables, score_table
from sphreg.render.camera import Camera
from sphreg.views import Views

LEADS = {
    "rotation": "One quaternion on S3 for each image.",
    "viewpoint": "Azimuth, elevation and tilt, each on S1; the error is that of the rotation they make.",
    "normals": "One unit vector on S2 for each pixel that shows the object.",
}
SHOWN, MOST = 60, 4  # views in a gallery, about, and of one rank and category
COMMANDS = ["task", "head", "seed", "command"]
PACKAGES = ("sphreg", "torch", "torchvision", "numpy", "scipy", "pandas", "numba", "matplotlib", "dvc")


def write_page(
    runs: Sequence[ResultFolder],
    data: Path,
    meshes: Path,
    settings: Mapping[str, Any],
    out: Path,
    compared: Mapping[str, Any] | None = None,
) -> None:
    """Write `index.html` and `figures/TASK/NAME.svg` to `out`.

    Args:
        runs: what to compare; all of a task were tested on the same views.
        data: the packed dataset, with `info.json`, `test.csv` and `test.lmdb`.
        meshes: the folder of normalised meshes, with `index.csv`.
        settings: all of them, to be shown.
        out: a folder.
        compared: intervals and tests, as `sphreg.page.tables.compared_tables` takes them, with an `explanation`
            and a list `notes`; None: the scores alone.

    Raises:
        UserError: runs were tested on other views, or a mesh is missing.
    """
    info = json.loads((data / "info.json").read_text(encoding="utf-8"))
    names = dict.fromkeys(["key", "category", "mesh"], str)
    views = pd.read_csv(data / "test.csv", dtype=names, keep_default_na=False)
    heads = looks(dict.fromkeys(run.head for run in runs))
    parts = []
    for task in dict.fromkeys(run.task for run in runs):
        own = [run for run in runs if run.task == task]
        table = errors(own, views)
        drawn = [
            (picture, svg(picture.figure, f"{task}-{picture.name}")) for picture in pictures(task, own, table, heads)
        ]
        for picture, text in drawn:
            write_whole(out / "figures" / task / f"{picture.name}.svg", text.encode())
        first = table.drop_duplicates("key")
        parts.append(
            {
                "name": task,
                "lead": LEADS[task],
                "views": len(first),
                "meshes": first["mesh"].nunique(),
                "tables": compared_tables(compared)[task] if compared else [score_table(own)],
                "published": published_tables(task),
                "pictures": [(picture, _inline(text)) for picture, text in drawn],
                "galleries": [] if task == "normals" else _galleries(table, data, meshes, info["render"]),
            }
        )
    environment = Environment(loader=PackageLoader("sphreg.page", "."), autoescape=True, undefined=StrictUndefined)
    environment.filters["data_uri"] = data_uri
    environment.filters["number"] = lambda value: f"{value:,}"
    html = environment.get_template("template.html").render(
        title="Comparison of heads",
        heads=list(heads),
        seeds=sorted({run.seed for run in runs}),
        parts=parts,
        info=info,
        reading=[compared["explanation"], *compared["notes"]] if compared else [EXPLANATION],
        counts=_counts(info["counts"]),
        facts=[*flatten({name: info[name] for name in ("camera", "shading", "engine") if name in info})],
        commands=Table(
            "The runs",
            pd.DataFrame([(run.task, run.head, str(run.seed), run.command) for run in runs], columns=COMMANDS),
        ),
        settings=Table("params.yaml", pd.DataFrame(flatten(settings), columns=["setting", "value"])),
        versions=Table("What wrote this page", pd.DataFrame(_versions(), columns=["package", "version"])),
        ranks=RANKS,
    )
    write_whole(out / "index.html", html.encode())


def _versions() -> list[tuple[str, str]]:
    return [("Python", platform.python_version()), *((name, version(name)) for name in PACKAGES)]


def data_uri(image: bytes) -> str:
    """A JPEG as the address of a picture."""
    return f"data:image/jpeg;base64,{b64encode(image).decode()}"


def flatten(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """`train.rotation.lr` and `0.003`, for all settings."""
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{name}.")
        elif isinstance(value, (list, tuple)):
            yield f"{prefix}{name}", ", ".join(map(str, value))
        else:
            yield f"{prefix}{name}", value if isinstance(value, str) else json.dumps(value)


def _inline(text: str) -> str:
    """The colours of text, lines and background are those of the page, light or dark."""
    for colour, name in ("#000000", "ink"), ("#ffffff", "paper"), ("#666666", "muted"), ("#e6e6e6", "line"):
        text = text.replace(f": {colour}", f": var(--{name})")
    return text


def _galleries(table: pd.DataFrame, data: Path, meshes: Path, render: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of each head, with its first seed: by category and rank the views."""
    views, camera = Views(data / "test.lmdb"), Camera(render["size"], render["fov_deg"])
    count = max(1, min(MOST, SHOWN // (len(RANKS) * table["category"].nunique())))
    found = []
    best = table.groupby("head")["error_deg"].median().idxmin()
    for head, group in table.groupby("head", sort=False):
        seed = group["seed"].iloc[0]
        rows: dict[str, dict[str, list[Any]]] = {}
        for shown in gallery(group[group["seed"] == seed], views, meshes, camera, count):
            rows.setdefault(shown.category, {rank: [] for rank in RANKS})[shown.rank].append(shown)
        found.append({"head": head, "seed": seed, "rows": rows, "open": head == best})
    return found


def _counts(counts: Mapping[str, Mapping[str, Mapping[str, int]]]) -> Table:
    """Meshes, views and maps of normals of each category, and all."""
    rows = []
    for category in {**counts["train"], **counts["test"]}:
        row: dict[str, Any] = {"category": category}
        for split in "train", "test":
            row |= {f"{split}: {name}": number for name, number in counts[split].get(category, {}).items()}
        rows.append(row)
    frame = pd.DataFrame(rows).fillna(0)
    frame.loc[len(frame)] = ["all", *frame.iloc[:, 1:].sum()]
    text = frame.iloc[:, 1:].map(lambda number: f"{number:,.0f}")
    return Table("What the dataset holds", pd.concat([frame[["category"]], text], axis=1))
