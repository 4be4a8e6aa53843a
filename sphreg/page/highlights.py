"""What the README shows of a study: pictures, and Markdown with their texts."""

from pathlib import Path

from sphreg.figures import png
from sphreg.figures.teaser import teaser, teaser_views
from sphreg.files import write_whole
from sphreg.page.gallery import draw
from sphreg.page.pictures import Picture
from sphreg.page.results import cdf
from sphreg.page.study import Study
from sphreg.render.camera import Camera

VIEWS, PIXELS = 6, 224  # in the picture at the top
# Of which task which figures, in their order.
SHOWN = (
    ("rotation", "categories"),
    ("rotation", "gradient_norm"),
    ("rotation", "sphere"),
    ("rotation", "signs"),
    ("normals", "normal_maps"),
)


def write_highlights(study: Study, out: Path) -> None:
    """Write `teaser.png` and the pictures of SHOWN, and Markdown that shows them: `teaser.md` and `figures.md`.

    Paths in the Markdown begin with `out`. What is of a task that has no rows is left out.

    Raises:
        UserError: a mesh is not there.
    """
    top = [_teaser(study)] if study.drawn.get("rotation") else []
    below = [
        (f"{task}-{name}", f"{task.capitalize()}. {picture.caption}", picture)
        for task, name in SHOWN
        for picture in study.pictures.get(task, [])
        if picture.name == name
    ]
    for document, shown in ("teaser", [("teaser", picture.caption, picture) for picture in top]), ("figures", below):
        parts = []
        for name, caption, picture in shown:
            write_whole(out / f"{name}.png", png(picture.figure))
            text = picture.text.replace("[", "(").replace("]", ")")
            parts.append(f"![{text}]({(out / name).as_posix()}.png)\n\n*{caption}*")
        write_whole(out / f"{document}.md", ("\n\n".join(parts) + "\n").encode())


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
