"""How the rows of a comparison are drawn, in every figure, and how their names fit."""

from collections import Counter
from collections.abc import Iterable, Sequence
from textwrap import wrap
from typing import NamedTuple

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from sphreg.runs import row_name

# Four of Okabe's and Ito's; their others are too bright on white. All stand out from white and from the page's dark.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#9D49F2", "#CC1F3C")
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.2, 1, 1.2)), (0, (2, 1)), (0, (5, 1, 1, 1, 1, 1)))
HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "----")
LONGEST = 160  # characters of a name; of a longer one the middle is left out


class Look(NamedTuple):
    """How a row is drawn, in every figure: its curves are dashed, its bars hatched."""

    colour: str
    dashes: str | tuple[float, Sequence[float]] = "-"
    hatch: str = ""


def looks(rows: Iterable[tuple[str, str]]) -> dict[str, Look]:
    """How to draw each row, by its name.

    The rows of one head have one colour and differ in their dashes. When the colours are used up they come again, with
    further dashes. What comes later changes nothing of what came before.

    Args:
        rows: head and variant, a text that tells the rows of one head apart and may be empty; in any task, and more
            than once.
    """
    heads: dict[str, int] = {}
    used: Counter[str] = Counter()
    found = {}
    for head, variant in rows:
        colour = COLOURS[heads.setdefault(head, len(heads)) % len(COLOURS)]
        name = row_name(head, variant)
        if name not in found:
            place = used[colour] % len(DASHES)
            found[name] = Look(colour, DASHES[place], HATCHES[place])
            used[colour] += 1
    return found


def fitted(name: str, room: float, size: float) -> str:
    """The name of a row in lines that are no longer than `room` inches, in letters of `size` points.

    The variant begins a line where not all of it has room in one. Nothing is left out, as two names may differ
    anywhere, but of a very long one the middle.
    """
    if len(name) > LONGEST:
        name = f"{name[: LONGEST // 2]}…{name[-LONGEST // 2 :]}"
    if inches(name, size) <= room:
        return name
    head, bracket, variant = name.partition(" (")
    parts = [head, f"({variant}"] if bracket else [head]
    for most in range(len(name), 0, -1):  # characters in a line
        lines = [line for part in parts for line in wrap(part, most)]
        if all(inches(line, size) <= room for line in lines):
            break
    return "\n".join(lines)


def inches(text: str, size: float) -> float:
    """The length of a line of text."""
    return float(text_to_path.get_text_width_height_descent(text, FontProperties(size=size), False)[0]) / 72
