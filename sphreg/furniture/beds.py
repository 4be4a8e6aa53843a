"""Beds: the head lies at +y, the foot in front."""

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
    corners,
    cushion,
    pair,
    rounded,
    split,
    stack,
    tube,
    upright,
)


def bed(rng: np.random.Generator) -> Iterator[Solid]:
    """A bed for one or two: base, mattress, pillows, headboard, and perhaps a footboard, drawers, a blanket, posts."""
    u = rng.uniform
    x, y = pick(rng, [u(0.42, 0.55), u(0.68, 1.0)]), u(0.95, 1.08)
    clear, base, mattress = u(0.06, 0.3), u(0.08, 0.25), u(0.12, 0.32)
    deck, top, rim = clear + base, clear + base + mattress, u(0.0, 0.12)

    yield from pick(rng, [legs.straight, legs.turned, legs.buns, legs.plinth])(rng, x, y, clear)
    yield cushion((-x - rim, x + rim), (-y - rim, y), (clear, deck), edge=0.01)
    yield cushion((-x, x), (-y, y), (deck - 0.02, top), edge=u(0.02, 0.08), corner=u(0.04, 0.12), steps=2)
    yield from bedding(rng, x, y, top)

    board = pick(rng, [panel, padded, slatted, tubular, arched])
    wide = x + rim + pick(rng, [0.0, u(0.0, 0.35)])
    yield from board(rng, wide, (y, y + u(0.03, 0.1)), (0.0, top + u(0.25, 0.85)))
    if rng.random() < 0.45:
        footboard = panel if board is padded else board
        yield from footboard(rng, x + rim, (-y - rim - u(0.03, 0.08), -y - rim), (0.0, top + u(-0.1, 0.12)))
    if base > 0.16 and rng.random() < 0.4:
        for drawer in split((-0.9 * y, 0.6 * y), int(rng.integers(2, 4)), gap=0.06):
            yield from pair(box((x + rim, x + rim + 0.025), drawer, (clear + 0.02, deck - 0.02)))
    if rng.random() < 0.1:
        yield from canopy(rng, x + rim, y, u(1.7, 2.1))


def bedding(rng: np.random.Generator, x: float, y: float, top: float) -> Iterator[Solid]:
    """Pillows at the head and mostly a blanket with its upper end folded back."""
    u = rng.uniform
    puff, long = u(0.1, 0.18), u(0.32, 0.48)
    for column in split((-0.94 * x, 0.94 * x), 2 if x > 0.6 else 1, gap=0.08):
        pillow = cushion(
            column, (y - long - 0.04, y - 0.04), (top - 0.02, top + puff), 0.45 * puff, corner=0.12, steps=3
        )
        yield pillow
        if rng.random() < 0.2:
            yield pillow.moved(y=-0.25, z=0.03)
    if rng.random() < 0.7:
        head, thick = y - long - u(0.1, 0.5), u(0.02, 0.05)
        yield cushion((-x - 0.03, x + 0.03), (-y - 0.03, head), (top - u(0.08, 0.25), top + thick), edge=0.04, steps=2)
        yield cushion(
            (-x - 0.04, x + 0.04), (head - u(0.15, 0.3), head + 0.02), (top - 0.07, top + 1.8 * thick), edge=0.03
        )


def canopy(rng: np.random.Generator, x: float, y: float, top: float) -> Iterator[Solid]:
    """Four tall posts and the rails between them."""
    size = rng.uniform(0.025, 0.045)
    yield from corners(bar((x, y, 0.0), (x, y, top), size))
    yield from pair(bar((x, -y, top), (x, y, top), 0.8 * size))
    for end in (-y, y):
        yield bar((-x, end, top), (x, end, top), 0.8 * size)


# Boards at the head and at the foot fill +-x, y and z.


def panel(rng: np.random.Generator, x: float, y: Span, z: Span) -> Iterator[Solid]:
    """A plain board, perhaps with a ledge on top."""
    yield upright((-x, x), y, z, edge=0.2 * (y[1] - y[0]), corner=rng.uniform(0.0, 0.2), steps=3)
    if rng.random() < 0.3:
        yield box((-x - 0.02, x + 0.02), centred(1.6 * (y[1] - y[0]), float(np.mean(y))), (z[1] - 0.03, z[1] + 0.02))


def padded(rng: np.random.Generator, x: float, y: Span, z: Span) -> Iterator[Solid]:
    """A board with upholstered fields."""
    yield box((-x, x), y, z)
    rows, columns = int(rng.integers(1, 4)), int(rng.integers(1, 7))
    for width in split((-x + 0.02, x - 0.02), columns, gap=0.01):
        for height in split((z[0] + 0.4 * (z[1] - z[0]), z[1] - 0.02), rows, gap=0.01):
            yield upright(width, (y[0] - 0.05, y[0] + 0.02), height, edge=0.03)


def slatted(rng: np.random.Generator, x: float, y: Span, z: Span) -> Iterator[Solid]:
    """Posts and rails of wood with slats between them."""
    size, middle = (y[1] - y[0]) / 2, float(np.mean(y))
    low, top = z[0] + rng.uniform(0.3, 0.5) * (z[1] - z[0]), z[1] - rng.uniform(0.02, 0.1)
    yield from pair(cushion((x - 2 * size, x), y, (z[0], z[1] + 0.03), edge=0.01))
    for height in (low, top):
        yield box((-x, x), centred(0.8 * size, middle), centred(0.06, height))
    for slat in split((-x + 2 * size, x - 2 * size), int(rng.integers(5, 14)), gap=rng.uniform(0.04, 0.1)):
        yield box(slat, centred(0.4 * size, middle), (low, top))


def tubular(rng: np.random.Generator, x: float, y: Span, z: Span) -> Iterator[Solid]:
    """A bent tube with thin rods."""
    size, middle, low = rng.uniform(0.015, 0.025), float(np.mean(y)), z[0] + 0.4 * (z[1] - z[0])
    path = [(-x, middle, z[0]), (-x, middle, z[1]), (x, middle, z[1]), (x, middle, z[0])]
    yield tube(rounded(path, rng.uniform(0.05, 0.4)), size, sides=8)
    yield bar((-x, middle, low), (x, middle, low), 0.8 * size, sides=6)
    for at in np.linspace(-0.8, 0.8, int(rng.integers(4, 10))) * x:
        yield bar((at, middle, low), (at, middle, z[1] - 0.01), 0.4 * size, sides=6)


def arched(rng: np.random.Generator, x: float, y: Span, z: Span) -> Iterator[Solid]:
    """A board whose top is an arch, between two posts."""
    along = np.linspace(-x, x, 13)
    drop, size, low = rng.uniform(0.1, 0.35) * (z[1] - z[0]), rng.uniform(0.02, 0.04), 0.6 * z[0] + 0.4 * z[1]
    crest = np.column_stack([along, z[1] - drop * (along / x) ** 2])
    outline = np.concatenate([np.column_stack([along, np.full(13, low)]), crest[::-1]])
    yield stack([(outline, -y[1]), (outline, -y[0])]).tipped()
    yield from pair(bar((x, float(np.mean(y)), z[0]), (x, float(np.mean(y)), z[1] - drop + 0.08), size))
