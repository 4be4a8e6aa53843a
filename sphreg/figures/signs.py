"""The confusion of sign classes: which signs a head takes for which."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from sphreg.figures import GREY, style
from sphreg.figures.looks import fitted

COLUMNS = 3
TITLE = 9.0  # points
# Inches: of a cell; left of all panels, between them and right of them; of what is below a panel and below all.
CELL, LEFT, GAP, RIGHT, BELOW, NOTE = 0.31, 0.75, 0.45, 0.25, 0.62, 0.3
# On the cells, whose colours are the same on any background; not quite black and white, which the page takes for the
# colours of its own text and background.
DARK, PALE = "#010101", "#fefefe"
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
    classes = {point: _classes(tables, point) for point in points}
    pitch = GAP + max(1.4, CELL * max(len(seen) for _, seen in classes.values()))  # room for titles, too
    titles = [fitted(head, pitch - 0.1, TITLE) for head in tables]
    rows = [titles[start : start + columns] for start in range(0, len(titles), columns)]
    above = [0.15 + 1.2 * TITLE / 72 * max(title.count("\n") + 2 for title in row) for row in rows]
    cells = [CELL * len(true) for true, _ in classes.values()]
    width = max(4.2, LEFT + columns * pitch - GAP + RIGHT)
    height = NOTE + sum(space + side + BELOW for space in above for side in cells)
    figure = Figure(figsize=(width, height))
    figure.set_layout_engine("none")  # all cells of all panels are of one size
    bottom = height
    for (point, (true, seen)), side in zip(classes.items(), cells, strict=True):
        for place, (title, table) in enumerate(zip(titles, tables.values(), strict=True)):
            row, column = divmod(place, columns)
            if column == 0:
                bottom -= above[row] + side
            left = LEFT + column * pitch
            axes = figure.add_axes((left / width, bottom / height, CELL * len(seen) / width, side / height))
            _draw(axes, table, point, true, seen)
            right = (table[f"true_{point.column}"] == table[f"predicted_{point.column}"]).mean()
            axes.set_title(f"{title}\n{100 * right:.0f} % right", fontsize=TITLE)
            if column == 0:
                axes.set_ylabel(f"{point.name}: true\nsigns of {', '.join(point.components)}", fontsize=8)
            if column == columns - 1 or place == len(titles) - 1:
                bottom -= BELOW
    note = "% of the views of each row; neighbouring classes differ in one sign"
    figure.text(0.1 / width, 0.1 / height, note, fontsize=8, color=GREY)
    return figure


def _classes(tables: Mapping[str, pd.DataFrame], point: Point) -> tuple[list[int], list[int]]:
    """Those that views have, and those that are predicted, too."""
    both = pd.concat([table[[f"true_{point.column}", f"predicted_{point.column}"]] for table in tables.values()])
    order = gray_code(len(point.components))
    true, seen = set(both.iloc[:, 0]), set(both.to_numpy().ravel())
    return [code for code in order if code in true], [code for code in order if code in seen]


def _draw(axes: Axes, table: pd.DataFrame, point: Point, true: Sequence[int], seen: Sequence[int]) -> None:
    """A row for each of the `true` classes, a column for each that is `seen` at all."""
    bits = len(point.components)
    one, other = (table[f"{side}_{point.column}"].to_numpy(int) for side in ("true", "predicted"))
    shares = confusion_shares(one, other, 2**bits)[np.ix_(true, seen)]
    for (y, x), share in np.ndenumerate(shares):
        if np.isnan(share):
            continue
        colour = (1 - share) * PALEST + share * DARKEST
        axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=tuple(colour), linewidth=0))
        if round(100 * share) > 0:
            axes.text(x, y, f"{100 * share:.0f}", ha="center", va="center", fontsize=7.5, color=_ink(colour))
    axes.set(xlim=(-0.5, len(seen) - 0.5), ylim=(len(true) - 0.5, -0.5))
    below = ["\n".join(sign_label(code, bits)) for code in seen]
    axes.set_xticks(range(len(seen)), below, family="monospace", fontsize=8)
    axes.set_yticks(range(len(true)), [sign_label(code, bits) for code in true], family="monospace", fontsize=8)
    axes.set_xlabel("predicted", fontsize=8)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def _ink(colour: Float64[np.ndarray, "3"]) -> str:
    """What stands out most from a colour: its contrast is at least 4.5, as the guidelines WCAG 2 measure it."""
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    return DARK if linear @ [0.2126, 0.7152, 0.0722] > 0.18 else PALE


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
