"""The figures of the dataset card: each function gets tables or images and gives a new `Figure`."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float64, UInt8
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from sphreg.figures import GREY, bare, short, style

BLUE, ORANGE = "#0072B2", "#D55E00"  # of Okabe and Ito's colours
GAP = 0.06  # between views, in images
FEW = 10_000  # views; up to here each is shown as a point
BANDS = 12  # of latitude, of equal area
FINE = 8  # straight pieces that the edge of a cell is drawn with


@style
def categories(images: Mapping[str, UInt8[np.ndarray, "_ h w"]], note: str) -> Figure:
    """A row of views of each category; some may have fewer than others."""
    columns = max(len(row) for row in images.values())
    height, width = next(iter(images.values())).shape[1:]
    gap = max(1, round(GAP * width))
    board = np.full((len(images), columns, height + gap, width + gap), 255, np.uint8)
    for place, row in enumerate(images.values()):
        board[place, : len(row), :height, :width] = row
    rows, across = len(images) * (height + gap), columns * (width + gap)
    figure = Figure(figsize=(max(6, 1.3 + 0.85 * columns), 0.9 + 0.85 * len(images)), layout="compressed")
    axes = figure.add_subplot()
    axes.imshow(board.swapaxes(1, 2).reshape(rows, across), cmap="gray", vmin=0, vmax=255)
    bare(axes)
    axes.grid(visible=False)
    axes.set_yticks((np.arange(len(images)) + 0.5) * (height + gap), [short(name) for name in images])
    axes.tick_params(axis="y", length=0)
    figure.suptitle("Random views of each category", fontsize=10)
    figure.supxlabel(note, fontsize=8, color=GREY)
    return figure


@style
def angles(curves: Mapping[str, pd.DataFrame], counts: Mapping[str, int], note: str) -> Figure:
    """The rotation angles of all views against those of Haar-uniform rotations, a panel per split.

    Args:
        curves: with the columns `angle_deg`, the middles of equal bins from 0 to 180 degrees, `density_per_deg` and
            `haar_per_deg`.
        counts: of views.
        note: a sentence below.
    """
    figure = Figure(figsize=(9, 4))
    panels = figure.subplots(1, len(curves), squeeze=False, sharey=True)[0]
    for axes, (split, curve) in zip(panels, curves.items(), strict=True):
        degrees, haar = curve["angle_deg"], curve["haar_per_deg"]
        width = 180 / len(curve)
        edges = np.linspace(0, 180, len(curve) + 1)
        axes.stairs(curve["density_per_deg"], edges, baseline=None, color=BLUE, linewidth=1.5, label="views")
        # The number of views in a bin is binomial: 1.96 standard deviations.
        spread = 1.96 * np.sqrt(haar * (1 - haar * width) / (counts[split] * width))
        axes.plot(degrees, haar, color=ORANGE, label="uniform rotations: (1 - cos t) / 180 per °")
        low, high = (haar - spread).clip(lower=0), haar + spread
        axes.fill_between(degrees, low, high, color=ORANGE, alpha=0.3, lw=0, label="where 95 % of such samples lie")
        axes.set(xlim=(0, 180), xticks=range(0, 181, 30), title=f"{split}: {counts[split]:,} views")
        axes.set_xlabel("rotation angle t (°)")
    panels[0].set(ylabel="density (per °)", ylim=(0, None))
    panels[0].legend(loc="upper left")
    figure.suptitle("Rotation angles of the views", fontsize=10)
    figure.supxlabel(note, fontsize=8, color=GREY)
    return figure


@style
def directions(quaternions: Mapping[str, Float64[np.ndarray, "_ 4"]], note: str) -> Figure:
    """Where all views were taken from, on Mollweide's map of the sphere, which keeps areas: a panel per split.

    Few views are points, many are counted in cells of equal area.

    Args:
        quaternions: of the views, XYZW.
        note: a sentence below.
    """
    figure = Figure(figsize=(10, 3.4))
    cells = None
    for place, (split, rotations) in enumerate(quaternions.items(), 1):
        azimuth, elevation = azimuth_elevation(viewing_directions(rotations)).T
        axes = figure.add_subplot(1, len(quaternions), place, projection="mollweide")
        if len(rotations) > FEW:
            cells = _draw_cells(axes, azimuth, elevation)
        else:
            axes.scatter(azimuth, elevation, s=np.clip(6000 / len(rotations), 1.5, 25), color=BLUE, linewidths=0)
        label_map(axes)
        axes.set_title(f"{split}: {len(rotations):,} views")
        axes.set_xlabel("azimuth")
        axes.set_ylabel("elevation")
    if cells is not None:
        figure.colorbar(cells, ax=figure.axes, label="density (1: uniform)", extend="max", shrink=0.7, pad=0.02)
    figure.suptitle("Where the views were taken from: object coordinates, azimuth 0 sees the front", fontsize=10)
    figure.supxlabel(note, fontsize=8, color=GREY)
    return figure


def viewing_directions(quaternions: Float64[np.ndarray, "n 4"]) -> Float64[np.ndarray, "n 3"]:
    """Where the viewer is, seen from the object, in object coordinates: R' (0, 0, 1), the last row of R."""
    x, y, z, w = quaternions.T
    return np.stack([2 * (x * z - w * y), 2 * (y * z + w * x), w**2 + z**2 - x**2 - y**2], axis=-1)


def azimuth_elevation(directions: Float64[np.ndarray, "n 3"]) -> Float64[np.ndarray, "n 2"]:
    """Of directions in radians: azimuth 0 is the front, -y, and it grows towards +x; at a pole it means nothing."""
    x, y, z = directions.T
    return np.stack([np.arctan2(x, -y), np.arctan2(z, np.hypot(x, y))], axis=-1)


def densities(azimuth: Float64[np.ndarray, "n"], elevation: Float64[np.ndarray, "n"]) -> Float64[np.ndarray, "a b"]:
    """The views in 2 `BANDS` x `BANDS` cells of equal area, by azimuth and elevation, as multiples of their mean."""
    sides = [np.linspace(-np.pi, np.pi, 2 * BANDS + 1), np.linspace(-1, 1, BANDS + 1)]
    counts, _, _ = np.histogram2d(azimuth, np.sin(elevation), sides)
    return counts / counts.mean()


def _draw_cells(axes: Axes, azimuth: Float64[np.ndarray, "n"], elevation: Float64[np.ndarray, "n"]) -> QuadMesh:
    across = np.linspace(-np.pi, np.pi, 2 * BANDS + 1)
    bands = np.arcsin(np.linspace(-1, 1, BANDS + 1))
    up = np.interp(np.arange(BANDS * FINE + 1) / FINE, np.arange(BANDS + 1), bands)  # the sides of a cell are curved
    values = np.repeat(densities(azimuth, elevation).T, FINE, axis=0)
    axes.set_axisbelow(False)
    return axes.pcolormesh(across, up, values, cmap="RdBu_r", vmin=0, vmax=2)


def label_map(axes: Axes) -> None:
    """Degrees along the equator, above what is drawn there, and at the left edge."""
    for azimuth in range(-120, 121, 60):
        text = axes.text(np.radians(azimuth), 0.05, f"{azimuth}°", ha="center", va="bottom", zorder=3)
        text.set_path_effects([withStroke(linewidth=2.5, foreground="white")])
    axes.set_xticks(np.radians(range(-120, 121, 60)), [""] * 5)
    axes.set_yticks(np.radians(range(-60, 61, 30)), [f"{elevation}°" for elevation in range(-60, 61, 30)])
