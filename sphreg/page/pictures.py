"""The figures of the page: what is drawn of each task, with a caption and a text for those who do not see it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from sphreg.comparison import Row
from sphreg.figures import comparison, short, signs, sphere
from sphreg.figures.comparison import BANDS, BINS, NEAR_SYMMETRIC
from sphreg.figures.looks import Look
from sphreg.figures.signs import Point
from sphreg.page import results
from sphreg.page.results import predicted_angles
from sphreg.split import DEGREES

VIEWS = 16  # on the map of directions
MAPS = 6  # views with their normals
METRICS = {
    "rotation": {"median_deg": "median error (°)", "acc_30": "share of errors < 30°"},
    "viewpoint": {"median_deg": "median error (°)", "acc_30": "share of errors < 30°"},
    "normals": {"median_deg": "median error (°)", "acc_11_25": "share of errors < 11.25°"},
}
POINTS = {
    "rotation": [Point("sign_class", "quaternion", ("x", "y", "z"))],
    "viewpoint": [Point(f"{angle}_sign_class", angle, ("cos", "sin")) for angle in ("azimuth", "elevation", "tilt")],
}


# Of the course of training: name, column of the log, label, format of its numbers, caption.
COURSE = (
    (
        "training",
        "validation_median_deg",
        "median error on\nheld-out meshes (°)",
        ".1f",
        "The median error in degrees on training meshes that were held out, after each epoch.",
    ),
    (
        "loss",
        "loss",
        "loss",
        ".3g",
        "The loss, the mean over each epoch. Heads have different losses: compare the shapes, not the heights.",
    ),
    (
        "gradient_norm",
        "grad_norm",
        "",
        ".3g",
        "The norm of the gradient of the loss by the raw outputs. Its height follows from the loss; what can be "
        "compared is how it changes.",
    ),
    (
        "gradient_spread",
        "grad_norm_cv",
        "std / mean of the\ngradient norm over steps",
        ".3f",
        "The spread of that norm over the steps of each epoch, relative to its mean.",
    ),
)


@dataclass(frozen=True)
class Picture:
    """A figure.

    Attributes:
        name: of its file.
        caption: what is to be seen, in a sentence.
        text: the same with the main numbers.
        wide: whether it takes the whole width of the page.
        course: whether it is of the course of training, and not of its result.
    """

    name: str
    figure: Figure
    caption: str
    text: str
    wide: bool = False
    course: bool = False


def pictures(task: str, rows: Sequence[Row], errors: pd.DataFrame, heads: Mapping[str, Look]) -> Iterator[Picture]:
    """All figures of a task.

    Args:
        task: its name.
        rows: of this task.
        errors: all rows of their tests, as `sphreg.page.results.errors` gives them.
        heads: of all tasks, and how they are drawn.
    """
    heads = {head: look for head, look in heads.items() if head in {row.name for row in rows}}
    pose = task != "normals"
    what = "views" if pose else "pixels"
    cdf, scores, logs = results.cdf(rows), results.scores(rows), results.logs(rows)
    caption = f"The share of {what} whose error is at most so many degrees."
    at_30 = cdf[cdf["error_deg"] == 30].groupby("head", sort=False)["share"].mean()
    text = f"{caption} Up to 30°: {_list(at_30, '.2f')}."
    yield Picture("error_cdf", comparison.error_cdf(cdf, heads, chance=pose), caption, text)

    marked = NEAR_SYMMETRIC if pose else frozenset()
    caption = f"Each category; below the line {'their mean' if pose else 'all pixels together'}."
    overall = scores[scores["category"] == "all"].groupby("head", sort=False)["median_deg"].mean()
    text = f"Bars by category and head. Median error over all: {_list(overall, '.1f', '°')}."
    yield Picture("categories", comparison.categories(scores, heads, METRICS[task], marked), caption, text)

    mean = "" if pose else ", of each view the mean over its pixels"
    for column, label, limits, where in (
        ("angle_deg", "rotation angle", (0, 180), "by the angle of its true rotation"),
        ("elevation_deg", "elevation", (-90, 90), "by the elevation it was seen from"),
    ):
        drawn = "medians and quartiles" if len(heads) <= BANDS else "medians"
        caption = f"The error of a view {where}{mean}: {drawn} of {BINS} groups of equal size."
        rank = errors[column].rank(pct=True)
        least = _list(_medians(errors[rank <= 1 / BINS]), ".1f", "°")
        most = _list(_medians(errors[rank > 1 - 1 / BINS]), ".1f", "°")
        text = f"{caption} Where the angle is least: {least}; where it is largest: {most}."
        figure = comparison.by_angle(errors, heads, column, label, limits)
        yield Picture(f"by_{column.removesuffix('_deg')}", figure, caption, text)

    if pose:
        yield _signs(task, errors, heads)
        yield _sphere(errors, heads)
    else:
        yield _maps(rows, errors)

    for name, column, label, form, caption in COURSE:
        by_run = logs.groupby(["head", "seed"], sort=False)[column]
        first, last = (values.groupby("head", sort=False).mean() for values in (by_run.first(), by_run.last()))
        text = f"{caption} First epoch: {_list(first, form)}; last epoch: {_list(last, form)}."
        with_band = name == "gradient_norm"
        figure = comparison.gradient_norm(logs, heads) if with_band else comparison.training(logs, heads, column, label)
        yield Picture(name, figure, caption, text, course=True)


def _signs(task: str, errors: pd.DataFrame, heads: Mapping[str, Look]) -> Picture:
    by_head = {head: errors[errors["head"] == head] for head in heads}
    right = {
        head: np.mean([table[f"true_{column}"] == table[f"predicted_{column}"] for column, _, _ in POINTS[task]])
        for head, table in by_head.items()
    }
    caption = (
        "Which sign classes are taken for which. Heads that have no classifier of signs have the signs of their points."
    )
    text = f"{caption} Share of right classes: {_list(pd.Series(right), '.2f')}."
    return Picture("signs", signs.confusion(by_head, POINTS[task]), caption, text, wide=True)


def _sphere(errors: pd.DataFrame, heads: Mapping[str, Look]) -> Picture:
    keys = errors["key"].unique()
    keys = keys[np.unique(np.linspace(0, len(keys) - 1, VIEWS).round().astype(int))]
    chosen = errors[errors["key"].isin(keys)].reset_index(drop=True)
    angles = np.degrees(predicted_angles(chosen))
    chosen = chosen.assign(**{f"predicted_{name}": column for name, column in zip(DEGREES, angles.T, strict=True)})
    figure = sphere.rotations({head: chosen[chosen["head"] == head] for head in heads})
    caption = (
        f"{len(keys)} test views at even distances in the test set, each where the viewer is seen from the object, on "
        "Mollweide's map of the sphere, which keeps areas. Colours are tilts. A line joins a truth and what was "
        "predicted."
    )
    text = f"{caption} Median error of the rotations of these views: {_list(_medians(chosen), '.1f', '°')}."
    return Picture("sphere", figure, caption, text, wide=True)


def _maps(rows: Sequence[Row], errors: pd.DataFrame) -> Picture:
    """Of each row's first seed."""
    loaded = {row.name: _chosen(row.scored[0].result.maps()) for row in rows}
    one = next(iter(loaded.values()))
    by_head = {head: maps["predicted"] for head, maps in loaded.items()}
    categories = errors.drop_duplicates("key").set_index("key")["category"].loc[one["key"]]
    titles = [short(category) for category in categories]
    figure = comparison.normal_maps(titles, one["image"], one["true"], by_head)
    caption = (
        "Test views at even distances in the test set. Normals as colours: x, y and z from -1 to 1 are red, green and "
        "blue from dark to bright. Below each prediction its error."
    )
    shown = errors[errors["key"].isin(one["key"])].groupby("head", sort=False)["error_deg"].mean()
    text = f"{caption} They show: {', '.join(categories)}. Mean error of these views: {_list(shown, '.1f', '°')}."
    return Picture("normal_maps", figure, caption, text, wide=True)


def _chosen(maps: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    rows = np.unique(np.linspace(0, len(maps["key"]) - 1, MAPS).round().astype(int))
    return {name: array[rows] for name, array in maps.items()}


def _medians(errors: pd.DataFrame) -> pd.Series:
    """The median error of each row."""
    return errors.groupby("head", sort=False)["error_deg"].median()


def _list(values: pd.Series, form: str, unit: str = "") -> str:
    """`direct 50.0°, sexp 30.9°`."""
    return ", ".join(f"{name} {value:{form}}{unit}" for name, value in values.items())
