"""Sofas: a base, cushions in a row, a back, arms and feet; from the armchair to the corner sofa."""

from collections.abc import Iterator

import numpy as np

from sphreg.furniture import legs
from sphreg.furniture.choices import pick
from sphreg.furniture.solids import Solid, Span, bar, box, centred, cushion, extruded, pair, split, upright


def sofa(rng: np.random.Generator) -> Iterator[Solid]:
    """A sofa for one to four."""
    u = rng.uniform
    places = pick(rng, {1: 0.25, 2: 0.4, 3: 0.3, 4: 0.05})
    x, y = places * u(0.27, 0.36), u(0.38, 0.50)
    clear, seat, top = u(0.06, 0.17), u(0.36, 0.46), u(0.68, 0.98)
    pad, thick, arm = u(0.08, 0.2), u(0.08, 0.2), u(0.06, 0.26)
    front, inside, lean = -y, y - thick, u(0.0, 0.25)
    separate = rng.random() < 0.75  # cushions of their own, or one upholstered surface

    arms = pick(rng, {block: 0.4, roll: 0.25, slope: 0.2, frame: 0.15})
    if arms is not frame:
        feet = pick(rng, {legs.straight: 0.25, legs.splayed: 0.25, legs.buns: 0.45, legs.plinth: 0.05})
        yield from feet(rng, x + 0.8 * arm, 0.95 * y, clear)
    yield cushion((-x, x), (front + 0.02, y), (clear, seat - pad), edge=0.015)
    yield from (part.leaned(lean, clear) for part in back(rng, x + pick(rng, [0.0, arm]), (inside, y), (clear, top)))
    yield from arms(rng, (x, x + arm), (front, y), (clear, u(seat + 0.08, 0.85 * top)))
    columns = split((-x, x), places if separate else 1, gap=0.012)
    edge, fore = u(0.02, 0.06), u(0.0, 0.02)
    for column in columns:
        yield cushion(column, (front - fore, inside), (seat - pad, seat), edge, steps=2)
    if rng.random() < 0.75:
        puff, height = u(0.1, 0.22), top + u(-0.12, 0.05)
        for column in columns:
            yield upright(column, (inside - puff, inside), (seat - 0.01, height), edge, steps=2).leaned(lean, seat)
    if places > 1 and rng.random() < 0.18:
        reach = front - u(0.4, 0.7)
        side = cushion(columns[0], (reach, front + 0.1), (seat - pad, seat), edge, steps=2)
        low = box(columns[0], (reach + 0.02, front + 0.05), (0.5 * clear, seat - pad))
        left = rng.random() < 0.5
        yield from (part if left else part.mirrored() for part in (side, low))
    if rng.random() < 0.35:
        size = u(0.16, 0.22)
        pillow = upright(centred(2 * size), centred(0.14), (seat, seat + 2 * size), edge=0.07, steps=2)
        pillows = list(pair(pillow.leaned(0.35, seat).moved(x - size - 0.03, inside - 0.28)))
        yield from pillows[: int(rng.integers(1, 3))]


def back(rng: np.random.Generator, x: float, y: Span, z: Span) -> Iterator[Solid]:
    """The wall behind the cushions: straight, or with an arched top."""
    edge, corner = rng.uniform(0.05, 0.3) * (y[1] - y[0]), rng.uniform(0.0, 0.1)
    yield upright((-x, x), y, z, edge, corner, steps=2)
    if rng.random() < 0.2:
        yield box((-x, x), y, (z[1] - 0.2, z[1] - 0.02), cuts=10).bowed(x, z=-0.1).moved(z=rng.uniform(0.05, 0.12))


# Arms fill the intervals x (on the right), y and z.


def block(rng: np.random.Generator, x: Span, y: Span, z: Span) -> Iterator[Solid]:
    """A padded box."""
    yield from pair(cushion(x, y, z, edge=rng.uniform(0.01, 0.35) * (x[1] - x[0]), steps=2))


def roll(rng: np.random.Generator, x: Span, y: Span, z: Span) -> Iterator[Solid]:
    """A panel under a thick roll that looks outward."""
    radius = rng.uniform(0.45, 0.6) * (x[1] - x[0])
    middle, height = float(np.mean(x)) + 0.3 * radius, z[1] - radius
    yield from pair(
        box(x, (y[0] + 0.02, y[1]), (z[0], height)),
        bar((middle, y[0], height), (middle, y[1], height), radius, sides=14),
    )


def slope(rng: np.random.Generator, x: Span, y: Span, z: Span) -> Iterator[Solid]:
    """A board that rises towards the back."""
    front = z[0] + rng.uniform(0.5, 0.85) * (z[1] - z[0])
    step = y[0] + rng.uniform(0.1, 0.5) * (y[1] - y[0])
    outline = np.array([(y[0], z[0]), (y[1], z[0]), (y[1], z[1] + 0.05), (step, front + 0.03), (y[0], front)])
    yield from pair(extruded(outline, x))


def frame(rng: np.random.Generator, x: Span, y: Span, z: Span) -> Iterator[Solid]:
    """An open frame: two posts, a rail below and a board on top."""
    wide, size = min(x[1] - x[0], 0.1), rng.uniform(0.02, 0.035)
    at, ends = x[0] + wide / 2, (y[0] + size, y[1] - size)
    yield from pair(
        *(bar((at, end, 0.0), (at, end, z[1]), size) for end in ends),
        cushion(centred(wide, at), y, (z[1] - 0.03, z[1]), edge=0.008),
        bar((at, y[0], z[0] + 0.06), (at, y[1], z[0] + 0.06), size),
    )
