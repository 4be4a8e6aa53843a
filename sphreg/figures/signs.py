"""The confusion of sign classes: which signs a head takes for which."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle

from sphreg.figures import GREY, short, style

COLUMNS = 3
DARK, PALE = "#111111", "#fefefe"  # on the colours of the cells, which are the same on any background
PALEST, DARKEST = np.array([0.93, 0.95, 0.98]), np.array([0.0, 0.32, 0.55])  # cells of 0 and 100 %


class Point(NamedTuple):
    """What a head predicts the signs of.

    Attributes:
        column: the tables have `true_COLUMN` and `predicted_COLUMN`, the sign classes.
        name: what it is.
        components: those of unknown sign, in the order of the bits of a class.
    """

    column: str
    name: str
    components: tuple[str, ...]


@style
def confusion(tables: Mapping[str, pd.DataFrame], points: Sequence[Point]) -> Figure:
    """The share of each predicted class among the views of each true one: a panel per head and point.

    Classes that no view has are left out, and so are those that no head predicts either.

    Args:
        tables: by head. Runs with several seeds are counted together.
        points: at least one.
    """
    columns = min(COLUMNS, len(tables))
    blocks = -(-len(tables) // columns)
    side = 1.1 + 0.3 * 2 ** max(len(point.components) for point in points)
    layout = ConstrainedLayoutEngine(h_pad=0.1, compress=True)
    size = max(4, side * columns), 0.5 + (side + 0.45) * len(points) * blocks
    figure = Figure(figsize=size, layout=layout)
    grid = figure.subplots(len(points) * blocks, columns, squeeze=False).reshape(len(points), -1)
    for panels, point in zip(grid, points, strict=True):
        both = pd.concat([table[[f"true_{point.column}", f"predicted_{point.column}"]] for table in tables.values()])
        order = gray_code(len(point.components))
        true = [code for code in order if code in set(both.iloc[:, 0])]
        seen = [code for code in order if code in set(both.to_numpy().ravel())]
        for axes, (head, table) in zip(panels, tables.items(), strict=False):
            _draw(axes, table, point, true, seen)
            right = (table[f"true_{point.column}"] == table[f"predicted_{point.column}"]).mean()
            axes.set_title(f"{short(head)}\n{100 * right:.0f} % right", fontsize=9)
        for axes in panels[len(tables) :]:
            axes.set_axis_off()
        for axes in panels[::columns]:
            axes.set_ylabel(f"{point.name}: true\nsigns of {', '.join(point.components)}", fontsize=8)
    figure.supxlabel("% of the views of each row; neighbouring classes differ in one sign", fontsize=8, color=GREY)
    return figure


def _draw(axes: Axes, table: pd.DataFrame, point: Point, true: Sequence[int], seen: Sequence[int]) -> None:
    """A row for each of the `true` classes, a column for each that is `seen` at all."""
    bits = len(point.components)
    one, other = (table[f"{side}_{point.column}"].to_numpy(int) for side in ("true", "predicted"))
    shares = confusion_shares(one, other, 2**bits)[np.ix_(true, seen)]
    for (y, x), share in np.ndenumerate(shares):
        if np.isnan(share):
            continue
        colour = tuple((1 - share) * PALEST + share * DARKEST)
        axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=colour, linewidth=0))
        if round(100 * share) > 0:
            ink = PALE if share > 0.5 else DARK
            axes.text(x, y, f"{100 * share:.0f}", ha="center", va="center", fontsize=7, color=ink)
    axes.set(xlim=(-0.5, len(seen) - 0.5), ylim=(len(true) - 0.5, -0.5), aspect="equal")
    below = ["\n".join(sign_label(code, bits)) for code in seen]
    axes.set_xticks(range(len(seen)), below, family="monospace", fontsize=8)
    axes.set_yticks(range(len(true)), [sign_label(code, bits) for code in true], family="monospace", fontsize=8)
    axes.set_xlabel("predicted", fontsize=8)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def confusion_shares(true: np.ndarray, predicted: np.ndarray, classes: int) -> Float64[np.ndarray, "a a"]:
    """Of each true class (row), the shares of the predicted ones (columns); NaN where no view has it."""
    counts = np.bincount(true * classes + predicted, minlength=classes**2).reshape(classes, classes).astype(float)
    totals = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, totals, out=np.full_like(counts, np.nan), where=totals > 0)


def gray_code(bits: int) -> Sequence[int]:
    """All classes, so that neighbours differ in one bit; of (cos, sin) these are the quadrants in turn."""
    return [number ^ number >> 1 for number in range(2**bits)]


def sign_label(code: int, bits: int) -> str:
    """`+-+` for a class whose second component is negative."""
    return "".join("-" if code >> bit & 1 else "+" for bit in range(bits))
