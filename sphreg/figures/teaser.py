"""The picture at the top of the README: what the networks see, what each head answers, and how often it is right."""

from collections.abc import Iterable, Mapping, Sequence

import matplotlib.style
import numpy as np
import pandas as pd
from jaxtyping import Float64, UInt8
from matplotlib.colors import Colormap, LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from sphreg.figures import GREY, random_rotations, show, style
from sphreg.figures.comparison import curves as draw_curves
from sphreg.figures.looks import Look, fitted, inches

# In inches: with six views and three heads 12 wide, of which GitHub shows two thirds of the pixels. So the letters are
# larger than those of other figures.
CELL, LINE = 1.16, 0.2  # a view, and below it its error
NAMES = 1.3  # at most, beside the rows
CURVES, PANEL = 4.3, 1.5  # width and height of the curves of a task
ENTRY = 0.55  # of the legend, without its name
LARGE, SMALL = 11.0, 10.0  # points
FONT = {"font.size": LARGE, "xtick.labelsize": SMALL, "ytick.labelsize": SMALL, "legend.fontsize": SMALL}
LONGEST = 60  # characters of a name beside a row; the legend has all of it


def teaser_views(errors: pd.DataFrame, n: int) -> pd.DataFrame:
    """Test views at even distances, whatever their errors; each category counts as if it had as many as the others.

    Args:
        errors: rows of the table of errors of one test, with the columns `category` and `key`.
        n: at most how many.

    Returns:
        Some of the rows, in the order of their categories and keys.
    """
    ordered = errors.sort_values(["category", "key"], ignore_index=True)
    categories = ordered.groupby("category")
    within = (categories.cumcount() + 0.5) / categories["key"].transform("size")  # of its category, from 0 to 1
    place = ((categories.ngroup() + within) / categories.ngroups).to_numpy()
    wanted = (np.arange(n) + 0.5) / n
    return ordered.iloc[np.unique(np.abs(place[:, None] - wanted).argmin(axis=0))]


@style
@matplotlib.style.context(FONT)
def teaser(
    images: UInt8[np.ndarray, "n h h"],
    predicted: Mapping[str, UInt8[np.ndarray, "n k k"]],
    errors_deg: Mapping[str, Float64[np.ndarray, "n"]],
    curves: Mapping[str, pd.DataFrame],
    heads: Mapping[str, Look],
) -> Figure:
    """A few test views above the same meshes at the predicted rotations; beside them, the errors of all test views.

    Args:
        images: as the networks saw them.
        predicted: by head, the mesh of each view, drawn at the rotation that was predicted of it. More pixels than
            those of `images` look better.
        errors_deg: by head, of each view, in degrees.
        curves: by task, a table with the columns `head`, `seed`, `error_deg` and `share`, of the errors up to it.
        heads: what to draw, and how.
    """
    names = [fitted(_cut(name), NAMES, LARGE) for name in ["input", *heads]]
    labels = [fitted(name, CURVES - ENTRY, SMALL) for name in [*heads, "chance"]]
    entries = max(1, int(CURVES / (ENTRY + _longest(labels, SMALL))))  # of the legend, side by side
    legend = 0.2 * sum(1 + label.count("\n") for label in labels) / entries

    start = 0.2 + 1.15 * _longest(names, LARGE)  # the names are bold, and so wider
    size = start + CELL * len(images), max((CELL + LINE) * len(names), PANEL * len(curves) + 0.5 + legend)
    figure = Figure(figsize=(size[0] + CURVES, size[1]))
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(size[0], CURVES))[0]

    bottoms = size[1] * (1 - (np.arange(len(names)) + 1) / len(names)) + LINE
    _row(left, size, (start, bottoms[0]), names[0], GREY, images, "gray", [""] * len(images))
    for bottom, name, (head, look) in zip(bottoms[1:], names[1:], heads.items(), strict=True):
        errors = [f"{error:.0f}°" for error in errors_deg[head]]
        _row(left, size, (start, bottom), name, look.colour, predicted[head], _tones(look.colour), errors)

    lines: list[Line2D] = []
    for axes, (task, table) in zip(
        right.subplots(len(curves), 1, squeeze=False, sharex=True)[:, 0], curves.items(), strict=True
    ):
        draw_curves(axes, table, heads, "error_deg", "share", marker="")
        lines = lines or [*axes.lines]
        if task != "normals":
            lines[len(heads) :] = [random_rotations(axes)]
        axes.set(xlim=(0, 180), ylim=(0, 1), xticks=range(0, 181, 30), yticks=(0, 0.5, 1), ylabel="share up to it")
        axes.text(0.98, 0.06, task, transform=axes.transAxes, ha="right", weight="bold")
    axes.set_xlabel("error (°)")
    right.legend(
        lines, labels[: len(lines)], loc="outside upper center", ncols=entries, handlelength=2, columnspacing=1
    )
    return figure


def _row(
    part: SubFigure,
    size: tuple[float, float],
    corner: tuple[float, float],
    name: str,
    colour: str,
    images: UInt8[np.ndarray, "n h h"],
    colours: str | Colormap,
    texts: Sequence[str],
) -> None:
    """Images side by side, a name before them and a text below each.

    Placed in inches, as the automatic layout would leave room between the images, which have a white margin already.

    Args:
        part: of the figure.
        size: its width and height.
        corner: the lower left one of the first image.
        name: of the row.
        colour: of the name.
        images: grey.
        colours: in which they are shown.
        texts: one for each.
    """
    width, height = size
    for column, (image, text) in enumerate(zip(images, texts, strict=True)):
        x, y = corner[0] + CELL * column, corner[1]
        axes = part.add_axes((x / width, y / height, CELL / width, CELL / height))
        show(axes, image)
        axes.images[0].set(cmap=colours, interpolation="antialiased")
        axes.set_xlabel(text, labelpad=0)
        if column == 0:
            axes.set_ylabel(name, color=colour, weight="bold", rotation=0, ha="right", va="center")


def _tones(colour: str) -> LinearSegmentedColormap:
    """For grey: black, the colour in the shades of the object, and white around it."""
    red, green, blue = 0.45 * np.array(to_rgb(colour)) + 0.55
    tones = [(0.0, "black"), (0.55, colour), (0.9, (red, green, blue)), (1.0, "white")]
    return LinearSegmentedColormap.from_list(colour, tones)


def _cut(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _longest(texts: Iterable[str], points: float) -> float:
    """The length of their longest line, in inches."""
    return max(inches(line, points) for text in texts for line in text.split("\n"))
