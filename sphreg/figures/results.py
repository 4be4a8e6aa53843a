"""The figures of the report: each function gets the tables of the tasks and gives a new `Figure`.

The colours are Okabe and Ito's, which colour-blind readers can tell apart.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Float32, Float64, UInt8
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from scipy.spatial.transform import Rotation

from sphreg.figures import GREY, bare, random_rotations, short, show, style
from sphreg.render.camera import Camera

TASK_COLOURS = {"rotation": "#0072B2", "viewpoint": "#D55E00", "normals": "#009E73"}
AXIS_COLOURS = {"x": "#D55E00", "y": "#009E73", "z": "#0072B2"}
AXIS_LENGTH = 0.9  # of the object's axes; its bounding sphere, of radius 1, touches the edges of the image
WORST_NORMAL_DEG = 60  # where the colours of the errors of normals end
ARROWS: dict[str, dict[str, Any]] = {
    "true": {"linewidth": 4, "mutation_scale": 13},
    "predicted": {"linewidth": 1.5, "mutation_scale": 8, "linestyle": (0, (3, 1.5))},
}
DARKER = {"true": 0.0, "predicted": 0.45}


@style
def error_cdf(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """The share of errors up to each angle: a curve per task, of the columns `error_deg` and `share`."""
    figure = Figure(figsize=(7, 4.2))
    axes = figure.add_subplot(
        xlabel="error (°)", ylabel="share of errors up to it", xlim=(0, 180), ylim=(0, 1), xticks=range(0, 181, 30)
    )
    for task, table in tables.items():
        axes.plot(table["error_deg"], table["share"], color=TASK_COLOURS[task], label=task, clip_on=False)
    if set(tables) != {"normals"}:
        random_rotations(axes)
    figure.legend(loc="outside upper center", ncols=4)
    return figure


@style
def training(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Loss, gradient norm and error by epoch: a column per task, of tables with the columns of `log.csv`."""
    figure = Figure(figsize=(1 + 2.9 * len(tables), 6.6))
    grid = figure.subplots(3, len(tables), sharex="col", squeeze=False)
    for column, (task, table) in zip(grid.T, tables.items(), strict=True):
        colour, marker = TASK_COLOURS[task], "o" if len(table) <= 30 else ""
        norm, spread = table["grad_norm"], table["grad_norm"] * table["grad_norm_cv"]
        for axes, name in zip(column, ("loss", "grad_norm", "validation_median_deg"), strict=True):
            axes.plot(table["epoch"], table[name], color=colour, marker=marker, markersize=4)
        column[1].fill_between(
            table["epoch"], (norm - spread).clip(lower=0), norm + spread, color=colour, alpha=0.2, lw=0
        )
        for axes in column:
            axes.set_ylim(bottom=0)
        column[0].set_title(task)
        column[-1].set_xlabel("epoch")
        column[-1].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if table["validation_median_deg"].isna().all():
            column[2].text(0.5, 0.5, "no mesh was held out", transform=column[2].transAxes, ha="center", color=GREY)
    labels = "loss", "gradient norm ‖∂l/∂o‖\n(± std over steps)", "median error on\nheld-out meshes (°)"
    for axes, label in zip(grid[:, 0], labels, strict=True):
        axes.set_ylabel(label)
    figure.align_ylabels(grid[:, 0])
    return figure


@style
def categories(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Median error and accuracies: a column per task, a bar per row, the last of them for all categories.

    The tables have the columns `category` and the metrics.
    """
    rows = max(len(table) for table in tables.values())
    figure = Figure(figsize=(1 + 2.9 * len(tables), 2.4 + 0.5 * rows))
    grid = figure.subplots(2, len(tables), squeeze=False)
    for (above, below), (task, table) in zip(grid.T, tables.items(), strict=True):
        places = np.arange(len(table))
        colour = TASK_COLOURS[task]
        bars = above.barh(places, table["median_deg"], color=colour)
        above.bar_label(bars, fmt="%.1f", padding=2)
        above.set(title=task, xlabel="median error (°)", xlim=(0, 1.2 * table["median_deg"].max() or 1))
        accuracies = sorted((name for name in table.columns if name.startswith("acc_")), key=_threshold)
        for name, white in zip(reversed(accuracies), (0.7, 0.4, 0.0), strict=True):  # the longest bars first
            label = f"< {_threshold(name):g}°"
            below.barh(places, table[name], color=_mix(colour, "white", white), label=label)
        below.set(xlabel="share of errors", xlim=(0, 1))
        below.legend(
            *(entries[::-1] for entries in below.get_legend_handles_labels()),
            loc="lower center",
            bbox_to_anchor=(0.5, 1),
            ncols=3,
            handlelength=1,
            columnspacing=1,
        )
        for axes in above, below:
            axes.set_yticks(places, [short(name) for name in table["category"]])
            axes.set_ylim(len(table) - 0.5, -0.5)
            axes.axhline(len(table) - 1.5, color=GREY, linewidth=0.8)
            axes.tick_params(axis="y", length=0)
            axes.grid(visible=False, axis="y")
    return figure


@style
def rotations(views: pd.DataFrame, images: UInt8[np.ndarray, "n h h"], fov_deg: float, note: str) -> Figure:
    """Test views with the axes of the object, as they are and as they were predicted.

    Args:
        views: rows of the table of errors for rotation, with a further column `rank`: each value of it is a row of
            images, as many in each.
        images: one for each of them.
        fov_deg: field of view of the camera in degrees.
        note: a sentence below the images.
    """
    ranks = views["rank"].unique()
    columns = len(views) // len(ranks)
    figure = Figure(figsize=(max(6, 0.6 + 1.5 * columns), 0.8 + 1.75 * len(ranks)), layout="compressed")
    grid = figure.subplots(len(ranks), columns, squeeze=False)
    camera = Camera(images.shape[-1], fov_deg)
    for axes, image, view in zip(grid.flat, images, views.to_dict("records"), strict=True):
        show(axes, image)
        axes.set_title(f"{short(view['category'])} {view['error_deg']:.1f}°", fontsize=8)
        for whose in ARROWS:
            _draw_axes(axes, camera, np.array([view[f"{whose}_{q}"] for q in ("qx", "qy", "qz", "qw")]), whose)
    for axes, rank in zip(grid[:, 0], ranks, strict=True):
        axes.set_ylabel(rank, fontsize=10)
    handles = [Line2D([], [], color=colour, linewidth=4, label=f"{name} axis") for name, colour in AXIS_COLOURS.items()]
    handles += [Line2D([], [], color="#999999", linewidth=4, label="true")]
    handles += [Line2D([], [], color="#333333", linewidth=1.5, linestyle=(0, (3, 1.5)), label="predicted")]
    figure.legend(handles=handles, loc="outside upper center", ncols=5)
    figure.supxlabel(note, fontsize=8, color=GREY)
    return figure


@style
def normal_maps(
    views: pd.DataFrame,
    images: UInt8[np.ndarray, "n h w"],
    true: Float[np.ndarray, "n h w 3"],
    predicted: Float[np.ndarray, "n h w 3"],
    note: str,
) -> Figure:
    """Test views with their true and predicted normals and the angle between them.

    Args:
        views: rows of the table of errors for normals; a column of pictures each.
        images: one for each of them.
        true: unit vectors in camera coordinates, and the zero vector where there is no object.
        predicted: unit vectors; they are not shown where there is no object.
        note: a sentence below the images.
    """
    figure = Figure(figsize=(max(6, 1.4 + 1.2 * len(views)), 5.8), layout="compressed")
    grid = figure.subplots(4, len(views), squeeze=False)
    shown = np.linalg.norm(true, axis=-1) > 0
    errors = np.where(shown, angles_deg(true, predicted), np.nan)
    for place, (column, view) in enumerate(zip(grid.T, views.to_dict("records"), strict=True)):
        show(column[0], images[place])
        show(column[1], normal_colours(true[place], shown[place]))
        show(column[2], normal_colours(predicted[place], shown[place]))
        map_ = column[3].imshow(errors[place], cmap="cividis", vmin=0, vmax=WORST_NORMAL_DEG, interpolation="nearest")
        bare(column[3])
        error = "no object" if view["pixels"] == 0 else f"mean {view['mean_deg']:.1f}°"
        column[0].set_title(f"{short(view['category'])}\n{error}", fontsize=8)
    for axes, label in zip(grid[:, 0], ("image", "true normals", "predicted", "error"), strict=True):
        axes.set_ylabel(label, fontsize=10)
    figure.colorbar(
        map_, ax=grid[3], pad=0.01, label="error (°)", extend="max", ticks=range(0, WORST_NORMAL_DEG + 1, 15)
    )
    figure.supxlabel(note, fontsize=8, color=GREY)
    return figure


def angles_deg(a: Float[np.ndarray, "*n 3"], b: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n"]:
    """The angle between unit vectors in degrees: 2 atan2(||a - b||, ||a + b||), accurate at both ends."""
    return np.degrees(2 * np.arctan2(np.linalg.norm(a - b, axis=-1), np.linalg.norm(a + b, axis=-1)))


def _draw_axes(axes: Axes, camera: Camera, quaternion: Float64[np.ndarray, "4"], whose: str) -> None:
    """The axes of the object as arrows, the farthest from the camera first."""
    centre = np.array([0, 0, -camera.distance])
    directions = Rotation.from_quat(quaternion).as_matrix().T  # R e_x, R e_y, R e_z
    start, *tips = camera.project(np.stack([centre, *(centre + AXIS_LENGTH * directions)]))
    for axis in np.argsort(directions[:, 2]):
        name, look = "xyz"[axis], ARROWS[whose]
        arrow = FancyArrowPatch(
            start, tips[axis], arrowstyle="-|>", shrinkA=0, shrinkB=0, gid=f"{whose} {name}", **look
        )
        arrow.set_color(_mix(AXIS_COLOURS[name], "black", DARKER[whose]))
        arrow.set_path_effects([withStroke(linewidth=arrow.get_linewidth() + 1, foreground="white")])
        axes.add_patch(arrow)


def normal_colours(normals: Float[np.ndarray, "h w 3"], shown: Bool[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w 3"]:
    """(n + 1) / 2 as red, green and blue, on white."""
    return np.where(shown[..., None], (normals.clip(-1, 1) + 1) / 2, 1).astype(np.float32)


def _threshold(accuracy: str) -> float:
    """`acc_7_5`: 7.5 degrees."""
    return float(accuracy.removeprefix("acc_").replace("_", "."))


def _mix(colour: str, other: str, share: float) -> tuple[float, float, float]:
    """The colour with a share of another one in it; it is opaque, so nothing under it shines through."""
    red, green, blue = (1 - share) * np.array(to_rgb(colour)) + share * np.array(to_rgb(other))
    return red, green, blue
