"""Tables and desks. A table's long side faces -y; a desk's user sits there."""

from collections.abc import Iterator

import numpy as np

from sphreg.furniture import legs
from sphreg.furniture.cabinets import GAP, Fronts, carcass
from sphreg.furniture.choices import pick
from sphreg.furniture.solids import Solid, Span, bar, box, centred, cushion, ellipse, pair, split, stack

SIZES = (  # half width, half depth and height of a dining, a coffee and a side table
    ((0.55, 1.1), (0.38, 0.5), (0.70, 0.78)),
    ((0.4, 0.7), (0.25, 0.38), (0.3, 0.5)),
    ((0.22, 0.4), (0.2, 0.4), (0.45, 0.75)),
)


def table(rng: np.random.Generator) -> Iterator[Solid]:
    """A dining, coffee or side table."""
    u = rng.uniform
    x, y, height = (u(*span) for span in SIZES[rng.integers(3)])
    thick, shape = u(0.015, 0.06), pick(rng, {"board": 0.65, "oval": 0.35})
    if shape == "oval":
        outline = ellipse(2 * x, 2 * y, power=pick(rng, [2.0, 2.0, 3.0, 4.0]), points=32)
        edge = 1 - 0.3 * thick / y
        yield stack([(edge * outline, height - thick), (outline, height - 0.5 * thick), (edge * outline, height)])
    else:
        corner = pick(rng, [0.0, u(0.02, 0.2)])
        yield cushion((-x, x), (-y, y), (height - thick, height), edge=0.3 * thick, corner=corner, steps=2)

    inset = u(0.58, 0.68) if shape == "oval" else u(0.82, 0.98)
    support = pick(
        rng,
        {
            legs.straight: 0.28,
            legs.splayed: 0.15,
            legs.turned: 0.12,
            legs.hairpin: 0.08,
            legs.sled: 0.08,
            legs.panels: 0.07,
            legs.trestle: 0.1,
            legs.pedestal: 0.12,
        },
    )
    low = height - thick
    if support is legs.pedestal and x > 2 * y:  # a long table needs two columns
        columns = list(legs.pedestal(rng, 0.9 * y, 0.9 * y, low))
        yield from (part.moved(side * 0.5 * x) for part in columns for side in (-1, 1))
    else:
        yield from support(rng, inset * x, inset * y, low)
    if support in (legs.straight, legs.turned):
        yield from apron(rng, inset * x - 0.01, inset * y - 0.01, low)
        if rng.random() < 0.3:
            shelf = low * u(0.15, 0.4)
            yield box((-inset * x, inset * x), (-inset * y, inset * y), (shelf, shelf + 0.02))


def apron(rng: np.random.Generator, x: float, y: float, top: float) -> Iterator[Solid]:
    """Boards under the edge of a table, perhaps with a drawer in front."""
    if rng.random() < 0.7:
        low, thick = top - rng.uniform(0.04, 0.12), 0.02
        yield from pair(box((x - thick, x), (-y, y), (low, top)))
        for y_span in ((-y, thick - y), (y - thick, y)):
            yield box((-x, x), y_span, (low, top))
        if rng.random() < 0.25:
            yield from Fronts(rng).drawer((-0.4 * x, 0.4 * x), -y, (low + 0.005, top - 0.005))


def desk(rng: np.random.Generator) -> Iterator[Solid]:
    """A desk with its drawers on the left or on the right."""
    parts = left_desk(rng)
    yield from parts if rng.random() < 0.5 else (part.mirrored() for part in parts)


def left_desk(rng: np.random.Generator) -> Iterator[Solid]:
    """A desk with drawers on the left and drawers, legs or a board on the right; some have a hutch or a wing."""
    u = rng.uniform
    x, y, height, thick = u(0.5, 0.95), u(0.27, 0.42), u(0.70, 0.78), u(0.02, 0.05)
    low, inset, wide, fronts = height - thick, u(0.0, 0.05), u(0.32, 0.48), Fronts(rng)
    yield cushion((-x, x), (-y, y), (low, height), edge=0.3 * thick, corner=pick(rng, [0.0, 0.06]), steps=2)

    block = list(drawers(rng, fronts, (inset - x, wide - x), y - u(0.0, 0.06), low))
    twin = rng.random() < 0.25
    yield from block
    yield from (part.mirrored() for part in block) if twin else pick(rng, [feet, cheek])(rng, x - inset, y, low)

    knees = (wide - x, x - wide if twin else x - inset - 0.05)
    if rng.random() < 0.8:
        yield box(knees, (y - 0.06, y - 0.04), (u(0.1, 0.6) * low, low))
    if rng.random() < 0.4:
        yield box(knees, (0.05 - y, y - 0.06), (low - 0.1, low - 0.08))
        yield from fronts.drawer(knees, 0.04 - y, (low - 0.1, low - GAP))
    if rng.random() < 0.3:
        yield from hutch(rng, x, y, height)
    if rng.random() < 0.15:
        wing, reach = (x - u(0.35, 0.5), x), -y - u(0.4, 0.8)
        yield box(wing, (reach, 0.01 - y), (low, height))
        yield box(wing, (reach, reach + 0.03), (0.0, low))


def drawers(rng: np.random.Generator, fronts: Fronts, x: Span, y: float, top: float) -> Iterator[Solid]:
    """A block of drawers under a desk."""
    clear = pick(rng, [0.0, rng.uniform(0.03, 0.25)])
    yield from carcass(x, (-y, y), (clear, top), 0.018)
    for level in split((clear + 0.02, top - 0.01), int(rng.integers(2, 5)), GAP):
        yield from fronts.drawer((x[0] + 0.01, x[1] - 0.01), -y, level)
    if clear:
        foot = 0.022
        for at in (x[0] + foot, x[1] - foot):
            for end in (foot - y, y - foot):
                yield bar((at, end, 0.0), (at, end, clear), foot, sides=8)


def feet(rng: np.random.Generator, x: float, y: float, top: float) -> Iterator[Solid]:
    """Two legs on the right."""
    size, sides = rng.uniform(0.015, 0.035), pick(rng, [4, 10])
    for end in (0.03 + size - y, y - 0.03 - size):
        yield bar((x - size, end, 0.0), (x - size, end, top), rng.uniform(0.6, 1.0) * size, size, sides)


def cheek(rng: np.random.Generator, x: float, y: float, top: float) -> Iterator[Solid]:
    """A board on the right."""
    yield box((x - rng.uniform(0.02, 0.05), x), (0.02 - y, y - 0.02), (0.0, top))


def hutch(rng: np.random.Generator, x: float, y: float, z: float) -> Iterator[Solid]:
    """Shelves that stand on the back of a desk."""
    deep, high = rng.uniform(0.18, 0.28), rng.uniform(0.2, 0.6)
    yield from carcass((-x, x), (y - deep, y), (z, z + high), 0.02)
    bays = int(rng.integers(1, 5))
    for bay in split((-x, x), bays)[1:]:
        yield box((bay[0] - 0.01, bay[0] + 0.01), (y - deep, y), (z, z + high))
    if high > 0.4:
        yield box((-x, x), (y - deep, y), centred(0.02, z + high / 2))
