"""Figures, and what all of them share. No file, no model and no state: each function gives a new `Figure`."""

import io
import re

import matplotlib
import matplotlib.style
import numpy as np
from jaxtyping import Float32, UInt8
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

GREY = "#666666"
LIGHT = "#e6e6e6"

# Decorates what makes or draws a figure, so that the user's own settings change nothing.
style = matplotlib.style.context(
    [
        "default",
        {
            "figure.dpi": 100,
            "figure.constrained_layout.use": True,
            "font.size": 9,
            "axes.titlesize": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": LIGHT,
            "legend.frameon": False,
            "lines.linewidth": 1.8,
            "text.parse_math": False,  # a category may have a dollar in its name
        },
    ]
)


@style
def png(figure: Figure) -> bytes:
    """The figure as PNG: in 256 colours, for a third of the size, and without a date or version, for the same bytes."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB").quantize(kmeans=1)
    buffer = io.BytesIO()
    picture.save(buffer, "png", optimize=True)
    return buffer.getvalue()


@style
def svg(figure: Figure, name: str) -> str:
    """The figure as one `<svg>` element, in outlines, so that it needs no font: the same bytes for the same figure.

    Args:
        figure: its background stays transparent.
        name: what the names inside begin with, so that two figures may stand in one document.
    """
    buffer = io.StringIO()
    none = dict.fromkeys(["Creator", "Date", "Format", "Type"])
    with matplotlib.rc_context({"svg.fonttype": "path", "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata=none, transparent=True)
    text = re.sub(r"<!--.*?-->\s*|<metadata>.*?</metadata>\s*", "", buffer.getvalue(), flags=re.DOTALL)
    text = text[text.index("<svg") :]
    # The outlines of letters have the same names in all figures, and equal curves in one.
    text = re.sub(r'(id="|href="#|url\(#)', lambda match: f"{match[0]}{name}-", text)
    seen: set[str] = set()

    def once(match: re.Match[str]) -> str:
        if match[0] in seen:
            return ""
        seen.add(match[0])
        return match[0]

    return re.sub(r' id="[^"]*"', once, text).rstrip() + "\n"


def show(axes: Axes, image: UInt8[np.ndarray, "h w"] | Float32[np.ndarray, "h w 3"]) -> None:
    """An image in pixel coordinates as `Camera.project` gives them: the origin at the top left corner."""
    height, width = image.shape[:2]
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest", extent=(0, width, height, 0))
    bare(axes)


def random_rotations(axes: Axes) -> Line2D:
    """The share of rotations, drawn at random, whose angle to any other is at most so large."""
    angles = np.linspace(0, np.pi, 181)  # Haar-uniform: density (1 - cos t) / pi
    chance = (angles - np.sin(angles)) / np.pi
    (line,) = axes.plot(np.degrees(angles), chance, color=GREY, linestyle=":", label="random rotations")
    return line


def bare(axes: Axes) -> None:
    """Axes without ticks and frame."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def short(name: str) -> str:
    """The name, or its beginning where it is long."""
    return name if len(name) <= 14 else f"{name[:13]}…"
