"""Dressers, night stands, and the drawers that desks share with them. Their fronts face -y."""

from collections.abc import Iterator

import numpy as np

from sphreg.furniture import legs
from sphreg.furniture.choices import pick
from sphreg.furniture.solids import (
    Solid,
    Span,
    bar,
    box,
    centred,
    cushion,
    pair,
    rectangle,
    revolved,
    rounded,
    split,
    stack,
    tube,
    upright,
)

GAP = 0.012  # between drawers, metres

# The relief of a drawer's front: how far each outline lies inside its edge and before the cabinet.
RELIEFS = {
    "flat": [(0.0, -0.01), (0.0, 0.014), (0.008, 0.02)],
    "framed": [(0.0, -0.01), (0.0, 0.02), (0.035, 0.02), (0.04, 0.008)],
    "raised": [(0.0, -0.01), (0.0, 0.01), (0.025, 0.012), (0.05, 0.026)],
}


class Fronts:
    """Drawers and doors that match: their relief and their handle are drawn once for a piece of furniture."""

    def __init__(self, rng: np.random.Generator) -> None:
        """Draw the look from the generator."""
        self.relief = pick(rng, list(RELIEFS.values()))
        self.handle = pick(rng, [knob, rod, bow, lip])(rng)
        self.lone = rng.uniform(0.45, 0.7)  # the width up to which a drawer has one handle, metres

    def drawer(self, x: Span, y: float, z: Span) -> Iterator[Solid]:
        """A drawer that closes the opening x by z in the plane y."""
        yield self.board(x, y, z)
        width, middle = x[1] - x[0], (x[0] + x[1]) / 2
        for at in (middle,) if width < self.lone else centred(0.55 * width, middle):
            yield self.handle.moved(at, y - 0.015, (z[0] + z[1]) / 2)

    def doors(self, x: Span, y: float, z: Span) -> Iterator[Solid]:
        """One door, or two where it is wide, with handles beside the middle or the right edge."""
        leaves = split(x, 1 if x[1] - x[0] < 0.5 else 2, GAP)
        for leaf, grip in zip(leaves, (leaves[0][1] - 0.05, leaves[-1][0] + 0.05), strict=False):
            yield self.board(leaf, y, z)
            yield self.handle.rolled().moved(grip, y - 0.015, 0.4 * z[0] + 0.6 * z[1])

    def board(self, x: Span, y: float, z: Span) -> Solid:
        """The front of a drawer or a door."""
        width, height = x[1] - x[0], z[1] - z[0]
        flatter = min(1.0, 4.0 * min(width, height))  # small drawers have narrow frames
        layers = [(rectangle(width - 2 * flatter * i, height - 2 * flatter * i), out) for i, out in self.relief]
        return stack(layers).tipped().moved((x[0] + x[1]) / 2, y, (z[0] + z[1]) / 2)


# Handles stick out of the plane y = 0.


def knob(rng: np.random.Generator) -> Solid:
    """A round knob."""
    size = rng.uniform(0.012, 0.022)
    return revolved([(0.5 * size, 0.0), (0.5 * size, size), (size, 1.3 * size), (0.8 * size, 2 * size)], 8).tipped()


def rod(rng: np.random.Generator) -> Solid:
    """A straight bar."""
    return box(centred(rng.uniform(0.08, 0.16)), (-rng.uniform(0.025, 0.045), 0.0), centred(rng.uniform(0.01, 0.02)))


def bow(rng: np.random.Generator) -> Solid:
    """A bent handle."""
    half, out = rng.uniform(0.04, 0.08), -rng.uniform(0.03, 0.05)
    return tube(
        rounded([(-half, 0.0, 0.0), (-half, out, 0.0), (half, out, 0.0), (half, 0.0, 0.0)], 0.02, steps=2),
        0.006,
        sides=4,
    )


def lip(rng: np.random.Generator) -> Solid:
    """A shell to reach under."""
    half = rng.uniform(0.03, 0.06)
    return cushion((-half, half), (-rng.uniform(0.025, 0.035), 0.0), centred(0.03), edge=0.01)


def carcass(x: Span, y: Span, z: Span, thick: float) -> Iterator[Solid]:
    """A cabinet without fronts: sides, top, bottom and back."""
    for side in ((x[0], x[0] + thick), (x[1] - thick, x[1])):
        yield box(side, y, z)
    for level in ((z[0], z[0] + thick), (z[1] - thick, z[1])):
        yield box(x, y, level)
    yield box(x, (y[1] - thick, y[1]), z)


def dresser(rng: np.random.Generator) -> Iterator[Solid]:
    """A chest of drawers, low and wide or tall and narrow, some with doors or with a mirror."""
    u = rng.uniform
    x, y, top = u(0.35, 0.85), u(0.2, 0.28), u(0.7, 1.35)
    clear, thick, fronts = u(0.03, 0.2), u(0.018, 0.035), Fronts(rng)
    yield from pick(rng, [legs.straight, legs.splayed, legs.turned, legs.buns, legs.plinth])(rng, x, y, clear)
    yield from carcass((-x, x), (-y, y), (clear, top), thick)
    yield from worktop(rng, x, y, top)

    inner, rows = (thick - x, x - thick), int(rng.integers(3, 7))
    levels = split((clear + thick, top - 0.01), rows, GAP)
    columns = int(rng.integers(1, 2 + round(x / 0.3)))
    doors = rng.random() < 0.2
    if doors:
        yield from fronts.doors(inner, -y, (levels[0][0], levels[1][1]))
    for row, level in enumerate(levels[2:] if doors else levels):
        upper = row == rows - 1 and rng.random() < 0.5  # a top row of smaller drawers
        for column in split(inner, columns + upper, GAP):
            yield from fronts.drawer(column, -y, level)
    if rng.random() < 0.3:
        yield from mirror(rng, u(0.5, 0.95) * x, y, top)


def worktop(rng: np.random.Generator, x: float, y: float, z: float) -> Iterator[Solid]:
    """The top board, which reaches over the front, and perhaps a low ledge at the back."""
    over, thick = rng.uniform(0.0, 0.04), rng.uniform(0.015, 0.04)
    yield cushion((-x - over, x + over), (-y - over, y), (z, z + thick), edge=0.3 * thick)
    if rng.random() < 0.25:
        yield box((-x, x), (y - 0.02, y), (z, z + rng.uniform(0.05, 0.15)))


def mirror(rng: np.random.Generator, x: float, y: float, z: float) -> Iterator[Solid]:
    """A framed mirror at the back, on two posts."""
    height, border = rng.uniform(0.5, 0.85), rng.uniform(0.03, 0.07)
    yield from pair(bar((x, y - 0.02, z), (x, y - 0.02, z + 0.6 * height), 0.018))
    outer, inner = rectangle(2 * x, height, 0.06, 3), rectangle(2 * (x - border), height - 2 * border, 0.04, 3)
    frame = stack([(outer, -0.03), (outer, 0.0), (inner, 0.0), (inner, -0.03)], closed=True)
    glass = stack([(inner, -0.03), (inner, -0.015)])
    yield from (part.tipped().moved(y=y - 0.04, z=z + 0.08 + height / 2).leaned(0.06, z) for part in (frame, glass))


def night_stand(rng: np.random.Generator) -> Iterator[Solid]:
    """A small cabinet with drawers, a door or open shelves, on short or on long legs."""
    u = rng.uniform
    x, y, top = u(0.18, 0.3), u(0.17, 0.25), u(0.42, 0.7)
    thick, fronts = u(0.015, 0.03), Fronts(rng)
    clear = pick(rng, [u(0.03, 0.12), u(0.15, 0.55) * top])
    support = [legs.straight, legs.splayed, legs.turned] + [legs.buns, legs.plinth] * (clear < 0.12)
    yield from support[rng.integers(len(support))](rng, x, y, clear)
    yield from carcass((-x, x), (-y, y), (clear, top), thick)
    yield from worktop(rng, x, y, top)
    if clear > 0.25:
        yield box((0.04 - x, x - 0.04), (0.04 - y, y - 0.04), (0.3 * clear, 0.3 * clear + thick))

    inner = (thick - x, x - thick)
    levels = split((clear + thick, top - 0.01), max(1, round((top - clear) / u(0.12, 0.22))), GAP)
    closed = pick(rng, {"drawers": 0.45, "door": 0.15, "open below": 0.25, "open above": 0.15})
    if len(levels) == 1 or closed == "drawers":
        for level in levels:
            yield from fronts.drawer(inner, -y, level)
    elif closed == "door":
        yield from fronts.doors(inner, -y, (levels[0][0], levels[-2][1]))
        yield from fronts.drawer(inner, -y, levels[-1])
    else:
        empty = levels.pop(0 if closed == "open below" else -1)
        edge = empty[1] if closed == "open below" else empty[0] - GAP
        yield box(inner, (-y, y), (edge, edge + GAP))
        for level in levels:
            yield from fronts.drawer(inner, -y, level)
    if rng.random() < 0.15:
        yield upright((-x, x), (y - 0.03, y), (top, top + u(0.08, 0.25)), corner=0.08, steps=3)
