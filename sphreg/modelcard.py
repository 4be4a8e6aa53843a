"""The model card: what a model was trained on, how well it does, what its answers mean, and how to use it."""

import json
from collections.abc import Iterator
from pathlib import Path

from sphreg.config import RotationTraining
from sphreg.files import write_whole
from sphreg.info import Info, read_info
from sphreg.markdown import Markup, code, escape, table
from sphreg.metrics import Scores
from sphreg.model import ModelConfig
from sphreg.results import Result

PREDICTS = {
    "rotation": "the rotation of an object, as a quaternion, from a grey image",
    "viewpoint": "the viewpoint of an object, its azimuth, elevation and tilt, from a grey image",
    "normals": "the normal of the surface at each pixel of a grey image",
}
OVERALL = {  # beside the categories in the metrics
    "macro": "mean of the categories",
    "macro_fifth": "the same, over a fifth of the images",
    "all": "all pixels",
}

# As the docstring of `sphreg` has them, by its headings.
CAMERA = "x to the right, y up, z towards the viewer, as in OpenGL."
POSE = {
    "Rotations": "R takes object coordinates to camera coordinates, column vectors: x_cam = R x_obj + t. Quaternions "
    "are XYZW in code, with w >= 0, as q and -q are one rotation; in files their columns are named `qw,qx,qy,qz`.",
    "Camera": CAMERA,
    "Objects": "z up, the front towards -y: the headboard of a bed and the back of a chair lie at +y.",
    "Viewpoint": "R = Rz(tilt) Rx(elevation - 90 degrees) Rz(-azimuth). Azimuth and tilt lie in [-pi, pi), the "
    "elevation in [-pi/2, pi/2]. Azimuth 0 and elevation 0 see the front, upright.",
}
NORMALS = {"Normals": "In the camera's frame, of unit length, facing the viewer (n . v >= 0).", "Camera": CAMERA}
CONVENTIONS = {"rotation": POSE, "viewpoint": POSE, "normals": NORMALS}


def write_card(config: ModelConfig, folder: Path, weights: str, data: Path, results: Path) -> None:
    """Write `card.md` beside the results of a test.

    Args:
        config: of the model.
        folder: where it is.
        weights: `last` or `best`, which were tested.
        data: the packed dataset, with `info.json`, that it was trained and tested on.
        results: as `evaluate` wrote them.

    Raises:
        UserError: `info.json` is not as it was packed, the results are not those of `evaluate`, or the card cannot be
            written.
    """
    info = read_info(data)
    scores = Result(config.task, results).scores
    write_whole(results / "card.md", card(config, folder.as_posix(), weights, info, scores).encode())


def card(config: ModelConfig, folder: str, weights: str, info: Info, scores: Scores) -> str:
    """The text of the card, in Markdown. The other arguments are those of `write_card`, or what its files hold."""
    size, kind = info.render.size, "normals" if config.task == "normals" else "views"
    rows = [
        [category, *(getattr(counts[category], what) for counts in info.counts.values() for what in ("meshes", kind))]
        for category in info.categories
    ]
    total = ["all", *(sum(column) for column in list(zip(*rows, strict=True))[1:])]
    which = {"last": "of the last epoch", "best": "of the epoch that was best on the held-out meshes"}[weights]
    file = code(f"{folder}/{weights}.safetensors")
    parts = [
        f"# `{config.head}` for {config.task}",
        f"It predicts {PREDICTS[config.task]}. The weights are those {which}: {file}.",
        "## Use",
        f"```python\n{_use(config, folder, weights)}\n```",
        "## Training",
        f"{info.note} Meshes: {escape(info.source)}. Images: {size} x {size} pixels, grey, with a field of view of "
        f"{info.render.fov_deg:g} degrees, drawn with {escape(info.engine['engine'])}. "
        f"{100 * config.train.validation:g} % of the training meshes of each category were held out, to tell the "
        "best weights. The card of the dataset, `metrics/dataset/card.md`, says more, also under which licence the "
        "meshes are.",
        table(
            ["category", *(f"{what}, {split}" for split in info.counts for what in ("meshes", kind))], [*rows, total]
        ),
        table(["setting", "value"], _settings(config)),
        "## Metrics",
        f"On the split `test`: all its {total[-1]:,} images{' with normals' * (kind == 'normals')}, of {total[-2]:,} "
        "meshes that the training did not have. Errors are angles in degrees; accuracies are fractions from 0 to 1, of "
        "the errors below the degrees in their name."
        + " The fifth is random, with a fixed seed, as the original scored one."
        * (kind == "views"),
        _metrics(scores),
        "## Conventions",
        "\n".join(f"- {name}: {text}" for name, text in CONVENTIONS[config.task].items()),
        "## Limits",
        "\n".join(f"- {limit}" for limit in _limits(config)),
    ]
    return "\n\n".join(parts) + "\n"


def _use(config: ModelConfig, folder: str, weights: str) -> str:
    """Three lines of Python."""
    best = ', weights="best"' if weights == "best" else ""
    category = f", categories={_quoted(config.categories[0])}" if _per_category(config) else ""
    name = "normals" if config.task == "normals" else "rotations"
    load = f"model = sphreg.load({_quoted(folder)}{best})"
    return f'import sphreg\n{load}\n{name} = model.predict(["view.png"]{category})'


def _settings(config: ModelConfig) -> list[tuple[Markup, Markup]]:
    settings = {"seed": config.seed, **config.train.model_dump(), **config.head_settings}
    return [(code(name), code(json.dumps(value, ensure_ascii=False))) for name, value in settings.items()]


def _metrics(scores: Scores) -> str:
    names = list(next(iter(scores.values())))
    rows = [
        [OVERALL.get(category, category), *(f"{metrics[name]:.{2 if name.endswith('_deg') else 3}f}" for name in names)]
        for category, metrics in scores.items()
    ]
    return table(["category", *map(code, names)], rows)


def _limits(config: ModelConfig) -> Iterator[str]:
    yield (
        "The images of its training are renders of whole objects, in the middle of the image, on white, with a light "
        "at the camera. It was not tried on photographs."
    )
    yield "It has an answer for any image, also for one of another category, and does not say how sure it is."
    if _per_category(config):
        yield "It has other outputs for each category, and has to be told it: the metrics are those with the true one."
    if config.task == "normals":
        yield "It does not say where the object is: the metrics count the pixels that are known to show it."


def _per_category(config: ModelConfig) -> bool:
    return isinstance(config.train, RotationTraining) and config.train.per_category


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
