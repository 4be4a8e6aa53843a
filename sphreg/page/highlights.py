"""What the README shows of a study: pictures, and Markdown with their texts."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sphreg.figures import png
from sphreg.figures.teaser import teaser, teaser_views
from sphreg.files import write_whole
from sphreg.markdown import escape
from sphreg.page.gallery import draw
from sphreg.page.pictures import Picture
from sphreg.page.results import cdf
from sphreg.page.study import Study
from sphreg.render.camera import Camera

VIEWS, PIXELS = 6, 224  # in the picture at the top
# Of which task which figures, line by line.
SHOWN = (
    ("rotation", ("categories", "gradient_norm")),
    ("rotation", ("sphere",)),
    ("rotation", ("signs",)),
    ("normals", ("normal_maps",)),
)


def write_highlights(study: Study, out: Path) -> None:
    """Write `teaser.png` and the pictures of SHOWN, and Markdown that shows them: `teaser.md` and `figures.md`.

    Paths in the Markdown begin with `out`. What is of a task that has no rows is left out.

    Raises:
        UserError: a mesh is not there.
    """
    if study.drawn.get("rotation"):
        write_whole(out / "teaser.md", _line([_teaser(study)], out).encode())
    lines = []
    for task, names in SHOWN:
        drawn = {picture.name: picture for picture in study.pictures.get(task, [])}
        if shown := [replace(drawn[name], name=f"{task}-{name}") for name in names if name in drawn]:
            lines.append(_line(shown, out, f"{task.capitalize()}. "))
    write_whole(out / "figures.md", "\n".join(lines).encode())


def _line(shown: Sequence[Picture], out: Path, task: str = "") -> str:
    """Write some pictures; Markdown with all of them side by side, and their captions below."""
    for picture in shown:
        write_whole(out / f"{picture.name}.png", png(picture.figure))
    images = [f"![{escape(picture.text)}]({(out / picture.name).as_posix()}.png)" for picture in shown]
    return f"{' '.join(images)}\n\n*{task}{escape(' '.join(picture.caption for picture in shown))}*\n"


def _teaser(study: Study) -> Picture:
    rows = study.drawn["rotation"]
    table = study.errors["rotation"]
    first = {row.name: table[(table["head"] == row.name) & (table["seed"] == row.seeds[0])] for row in rows}
    keys = teaser_views(first[rows[0].name], VIEWS)["key"]
    chosen = {head: own.set_index("key", drop=False).loc[keys] for head, own in first.items()}
    camera = Camera(PIXELS, study.camera.fov_deg)
    figure = teaser(
        study.views.images(keys),
        {head: draw(own, study.meshes, camera) for head, own in chosen.items()},
        {head: own["error_deg"].to_numpy(float) for head, own in chosen.items()},
        {task: cdf(study.drawn[task]) for task in study.errors},
        {row.name: study.heads[row.name] for row in rows},
    )
    caption = (
        f"{len(keys)} test views at even distances in the test set, and the same meshes drawn at the rotations that "
        "each head predicts of them, with its errors. Right: the share of all test errors up to each angle."
    )
    medians = ", ".join(f"{row.name} {row.estimates['median_deg'].mean:.1f}°" for row in rows)
    return Picture("teaser", figure, caption, f"{caption} Median error of rotation: {medians}.")
