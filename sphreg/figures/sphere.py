"""Rotations on the sphere, as the field draws them: Mollweide's map for the direction, colours for the tilt."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float64
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize, hsv_to_rgb
from matplotlib.figure import Figure

from sphreg.figures import GREY, style
from sphreg.figures.dataset import label_map
from sphreg.figures.looks import fitted

WIDTH, TITLE = 3.5, 9.0  # inches of a map, points
STEPS = 64  # of the lines from truth to prediction
ANGLES = ("azimuth_deg", "elevation_deg", "tilt_deg")


@style
def rotations(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Test views on the map of the directions they were seen from: truth as rings, predictions as points.

    Args:
        tables: by head, with the columns `azimuth_deg`, `elevation_deg`, `tilt_deg` and the same after `predicted_`.
            A view may have several rows, of several seeds.
    """
    columns = min(3, len(tables))
    rows = -(-len(tables) // columns)
    titles = [fitted(head, WIDTH - 0.5, TITLE) for head in tables]
    height = 1.75 + 1.2 * TITLE / 72 * max(title.count("\n") + 1 for title in titles)
    figure = Figure(figsize=(WIDTH * columns + 0.8, height * rows + 0.3), layout="compressed")
    tilts = ScalarMappable(Normalize(-180, 180), tilt_colours())
    for place, (title, table) in enumerate(zip(titles, tables.values(), strict=True), 1):
        axes = figure.add_subplot(rows, columns, place, projection="mollweide")
        true = table[list(ANGLES)].to_numpy(float)
        predicted = table[[f"predicted_{name}" for name in ANGLES]].to_numpy(float)
        for one, other in zip(np.radians(true), np.radians(predicted), strict=True):
            axes.plot(*great_circle(one[:2], other[:2]).T, color=GREY, linewidth=0.6, zorder=2)
        x, y = np.radians(true[:, :2]).T
        axes.scatter(
            x, y, s=55, facecolors="none", edgecolors=list(tilts.to_rgba(true[:, 2])), linewidths=1.6, zorder=3
        )
        x, y = np.radians(predicted[:, :2]).T
        axes.scatter(x, y, s=12, c=tilts.to_rgba(predicted[:, 2]), linewidths=0, zorder=4)
        label_map(axes)
        for text in [*axes.texts, *axes.get_yticklabels()]:
            text.set(fontsize=7, color=GREY)
        axes.set_title(title, fontsize=TITLE)
    figure.colorbar(tilts, ax=figure.axes, label="tilt (°)", ticks=range(-180, 181, 90), shrink=0.8, pad=0.02)
    figure.supxlabel("ring: truth; point: prediction", fontsize=8, color=GREY)
    return figure


def tilt_colours() -> ListedColormap:
    """All hues, the same at both ends, and as bright as each other: all stand out from white and from black.

    Those of matplotlib's `hsv` do not: yellow is lost on white, and blue on black.
    """
    hues = np.linspace(0, 1, 256)
    linear = hsv_to_rgb(np.stack([hues, *np.ones((2, 256))], axis=1)) ** 2.2
    bright, aim = linear @ [[0.2126], [0.7152], [0.0722]], 0.2
    darker, paler = linear * aim / bright, linear + (1 - linear) * (aim - bright) / (1 - bright)
    return ListedColormap(np.where(bright > aim, darker, paler) ** (1 / 2.2))


def great_circle(one: Float64[np.ndarray, "2"], other: Float64[np.ndarray, "2"]) -> Float64[np.ndarray, "n 2"]:
    """The shortest way between two points of azimuth and elevation, in radians, with a gap of NaN at the map's edge."""
    a, b = (np.array([np.cos(e) * np.cos(h), np.cos(e) * np.sin(h), np.sin(e)]) for h, e in (one, other))
    angle = 2 * np.arctan2(np.linalg.norm(a - b), np.linalg.norm(a + b))
    side = b - a * (a @ b)
    if np.linalg.norm(side) < 1e-9:  # one place, or two opposite ones: over a pole is as short as any way
        side = np.array([-np.sin(one[1]) * np.cos(one[0]), -np.sin(one[1]) * np.sin(one[0]), np.cos(one[1])])
    t = np.linspace(0, angle, STEPS)[:, None]
    x, y, z = (np.cos(t) * a + np.sin(t) * side / np.linalg.norm(side)).T
    path = np.stack([np.arctan2(y, x), np.arcsin(z.clip(-1, 1))], axis=1)
    jumps = np.flatnonzero(np.abs(np.diff(path[:, 0])) > np.pi) + 1
    return np.insert(path, jumps, np.nan, axis=0)
