"""The figures that compare heads: each function gets a table of the runs of one task and gives a new `Figure`.

The tables have the columns `head`, the name of a row, and `seed`. Where there are several seeds, a curve is their mean
and a band goes from the least to the largest of them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from sphreg.figures import GREY, bare, random_rotations, short, show, style
from sphreg.figures.looks import Look, fitted, inches
from sphreg.figures.results import WORST_NORMAL_DEG, angles_deg, normal_colours

SIZE = (4.3, 3.1)  # inches; two of them stand side by side
LEGEND = 8.0  # points
BANDS = 4  # rows, at the most, for their quartiles to be told apart
BINS = 12  # of the views by an angle, with as many views in each
# Turned by 180 degrees about their vertical axis they look almost the same (some by 90 degrees, too), so that no method
# finds their rotation in all images.
NEAR_SYMMETRIC = frozenset({"bathtub", "table", "night_stand", "dresser", "desk"})


@style
def error_cdf(table: pd.DataFrame, heads: Mapping[str, Look], chance: bool) -> Figure:
    """The share of errors up to each angle.

    Args:
        table: with the columns `error_deg` and `share`.
        heads: what to draw, and how.
        chance: whether to show random rotations, too.
    """
    figure = Figure(figsize=SIZE)
    axes = figure.add_subplot(
        xlabel="error (°)", ylabel="share of errors up to it", xlim=(0, 180), ylim=(0, 1), xticks=range(0, 181, 30)
    )
    curves(axes, table, heads, "error_deg", "share", marker="")
    if chance:
        random_rotations(axes)
    _legend(figure, axes)
    return figure


@style
def categories(
    table: pd.DataFrame, heads: Mapping[str, Look], metrics: Mapping[str, str], marked: frozenset[str]
) -> Figure:
    """A bar for each category and head, and for all categories at the end: a panel per metric.

    Args:
        table: with the column `category` and the metrics. A whisker goes from the least to the largest of the seeds.
        heads: what to draw, and how.
        metrics: their columns, and what stands below their axis.
        marked: categories with a star.
    """
    names = list(table["category"].unique())
    places, thick = np.arange(len(names)), 0.8 / len(heads)
    figure = Figure(figsize=(SIZE[0], 1.3 + len(names) * (0.12 + 0.14 * len(heads))))
    panels = figure.subplots(1, len(metrics), squeeze=False, sharey=True)[0]
    for axes, (metric, label) in zip(panels, metrics.items(), strict=True):
        for place, (head, look) in enumerate(heads.items()):
            by_seed = table[table["head"] == head].pivot(index="category", columns="seed", values=metric).loc[names]
            mean = by_seed.mean(axis=1)
            whiskers = np.stack([mean - by_seed.min(axis=1), by_seed.max(axis=1) - mean]).clip(min=0)
            axes.barh(
                places + (place - (len(heads) - 1) / 2) * thick,
                mean,
                0.9 * thick,
                xerr=whiskers if by_seed.shape[1] > 1 else None,
                error_kw={"ecolor": GREY, "elinewidth": 1.2},
                color=look.colour,
                hatch=look.hatch,
                edgecolor="white",  # of the hatch
                linewidth=0,
                label=head,
            )
        largest = table[metric].max()
        axes.set(xlabel=label, xlim=(0, 1 if metric.startswith("acc_") else 1.05 * largest or 1))
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.axhline(len(names) - 1.5, color=GREY, linewidth=0.8)
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
    panels[0].set_yticks(places, [short(name) + (" *" if name in marked else "") for name in names])
    if marked & set(names):
        figure.supxlabel("* looks almost the same after half a turn", fontsize=8, color=GREY)
    _legend(figure, panels[0])
    return figure


@style
def by_angle(
    table: pd.DataFrame, heads: Mapping[str, Look], column: str, label: str, limits: tuple[int, int]
) -> Figure:
    """The median error against an angle of the views; of a few rows with a band from the first to the third quartile.

    Args:
        table: with the columns `error_deg`, of which NaN is left out, and `column`.
        heads: what to draw, and how.
        column: the angle in degrees.
        label: what it is.
        limits: from where to where it goes.
    """
    figure = Figure(figsize=SIZE)
    axes = figure.add_subplot(xlabel=f"{label} (°)", xlim=limits)
    axes.set_ylabel("error (°): median, quartiles" if len(heads) <= BANDS else "median error (°)")
    axes.set_xticks(range(limits[0], limits[1] + 1, 30))
    for head, look in heads.items():
        own = table[(table["head"] == head) & table["error_deg"].notna()].sort_values(column)
        groups = [group for group in np.array_split(own[[column, "error_deg"]].to_numpy(), BINS) if len(group)]
        if not groups:
            continue
        middles = [np.median(group[:, 0]) for group in groups]
        low, median, high = np.array([np.quantile(group[:, 1], [0.25, 0.5, 0.75]) for group in groups]).T
        axes.plot(middles, median, color=look.colour, ls=look.dashes, marker="o", markersize=3.5, label=head)
        if len(heads) <= BANDS:
            axes.fill_between(middles, low, high, color=look.colour, alpha=0.15, lw=0)
    axes.set_ylim(bottom=0)
    _legend(figure, axes)
    return figure


@style
def training(table: pd.DataFrame, heads: Mapping[str, Look], column: str, label: str) -> Figure:
    """A column of the log by epoch."""
    figure = Figure(figsize=SIZE)
    axes = figure.add_subplot(xlabel="epoch", ylabel=label)
    curves(axes, table, heads, "epoch", column, marker=_marker(table))
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if table[column].isna().all():
        axes.text(0.5, 0.5, "no mesh was held out", transform=axes.transAxes, ha="center", color=GREY)
    _legend(figure, axes)
    return figure


@style
def gradient_norm(table: pd.DataFrame, heads: Mapping[str, Look]) -> Figure:
    """The norm of the gradient of the loss by the raw outputs, by epoch.

    The band goes one standard deviation over the steps of an epoch to either side; all are means over the seeds.
    """
    figure = Figure(figsize=SIZE)
    axes = figure.add_subplot(xlabel="epoch", ylabel="gradient norm ‖∂l/∂o‖\n(± std over steps)")
    norm, spread = table["grad_norm"], table["grad_norm_cv"]
    bands = table.assign(low=norm * (1 - spread).clip(lower=0.02), high=norm * (1 + spread))
    for head, look in heads.items():
        mean = bands[bands["head"] == head].groupby("epoch")[["grad_norm", "low", "high"]].mean()
        drawn: dict[str, Any] = {"color": look.colour, "ls": look.dashes, "marker": _marker(table), "markersize": 4}
        axes.plot(mean.index, mean["grad_norm"], label=head, **drawn)
        axes.fill_between(mean.index, mean["low"], mean["high"], color=look.colour, alpha=0.2, lw=0)
    if (norm > 0).all():
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    _legend(figure, axes)
    return figure


@style
def normal_maps(
    titles: Sequence[str],
    images: UInt8[np.ndarray, "n h w"],
    true: Float[np.ndarray, "n h w 3"],
    predicted: Mapping[str, Float[np.ndarray, "n h w 3"]],
) -> Figure:
    """Test views with their true normals and, of each head, the predicted ones and the angle between both.

    Args:
        titles: a column of pictures each.
        images: one for each of them.
        true: unit vectors in camera coordinates, and the zero vector where there is no object.
        predicted: by head, unit vectors; they are not shown where there is no object.
    """
    side, room = 1.15, 1.6  # inches of a picture, and of the names at the most
    names = [fitted(head, room, 9.0) for head in predicted]
    room = max(inches(line, 9.0) for name in [*names, "image"] for line in name.split("\n"))
    size = max(4, 1.0 + room + side * len(titles)), 0.8 + side * (2 + 2 * len(predicted))
    figure = Figure(figsize=size, layout="compressed")
    grid = figure.subplots(2 + 2 * len(predicted), len(titles), squeeze=False)
    shown = np.linalg.norm(true, axis=-1) > 0
    for place, column in enumerate(grid.T):
        show(column[0], images[place])
        show(column[1], normal_colours(true[place], shown[place]))
        column[0].set_title(titles[place], fontsize=8)
        for row, normals in enumerate(predicted.values()):
            above, below = column[2 + 2 * row : 4 + 2 * row]
            show(above, normal_colours(normals[place], shown[place]))
            error = np.where(shown[place], angles_deg(true[place], normals[place]), np.nan)
            map_ = below.imshow(error, cmap="cividis", vmin=0, vmax=WORST_NORMAL_DEG, interpolation="nearest")
            bare(below)
    labels = ["image", "truth", *(label for name in names for label in (name, "error"))]
    for axes, label in zip(grid[:, 0], labels, strict=True):
        axes.set_ylabel(label, fontsize=9, rotation=0, ha="right", va="center")
    ticks = range(0, WORST_NORMAL_DEG + 1, 15)
    figure.colorbar(map_, ax=grid[2:], pad=0.01, label="error (°)", extend="max", ticks=ticks, shrink=0.5)
    return figure


def curves(axes: Axes, table: pd.DataFrame, heads: Mapping[str, Look], x: str, y: str, marker: str) -> None:
    """A curve per row: the mean over the seeds, and a band from the least to the largest of them."""
    for head, look in heads.items():
        by_seed = table[table["head"] == head].pivot(index=x, columns="seed", values=y)
        axes.plot(
            by_seed.index,
            by_seed.mean(axis=1),
            color=look.colour,
            ls=look.dashes,
            marker=marker,
            markersize=4,
            label=head,
            clip_on=False,
        )
        if by_seed.shape[1] > 1:
            low, high = by_seed.min(axis=1), by_seed.max(axis=1)
            axes.fill_between(by_seed.index, low, high, color=look.colour, alpha=0.2, lw=0)


def _marker(table: pd.DataFrame) -> str:
    """Points on curves of few epochs, as one epoch alone has no line."""
    return "o" if table["epoch"].nunique() <= 30 else ""


def _legend(figure: Figure, axes: Axes) -> None:
    """Above, in as many columns as there is room for; what it takes is added to the height of the figure."""
    handles, labels = axes.get_legend_handles_labels()
    handle, gap = 0.44, 0.18  # inches: the line or bar before a name, and what is between columns
    room = figure.get_figwidth() - 0.15
    labels = [fitted(label, room - handle, LEGEND) for label in labels]
    columns = next((number for number in (4, 3, 2) if _width(labels, number, handle + gap) < room + gap), 1)
    lines = max(sum(1.2 * (1 + label.count("\n")) + 0.4 for label in part) for part in np.array_split(labels, columns))
    figure.set_figheight(figure.get_figheight() + (lines - 1.6) * LEGEND / 72)
    legend = figure.legend(
        handles, labels, loc="outside upper center", ncols=columns, fontsize=LEGEND, handlelength=3, columnspacing=1.5
    )
    for line in legend.get_lines():
        line.set_marker("")  # it would hide the dashes


def _width(labels: Sequence[str], columns: int, beside: float) -> float:
    """In inches: of each column its longest line and what is beside it."""
    lines = [[line for label in part for line in label.split("\n")] for part in np.array_split(labels, columns)]
    return sum(beside + max((inches(line, LEGEND) for line in part), default=0) for part in lines)
