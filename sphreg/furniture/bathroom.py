"""Bathtubs and toilets: bowls lofted up their outside, over the rim and down their inside."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float64

from sphreg.furniture.choices import pick
from sphreg.furniture.solids import (
    Solid,
    Span,
    bar,
    box,
    centred,
    corners,
    cushion,
    ellipse,
    pair,
    rectangle,
    revolved,
    rounded,
    stack,
    tube,
)


def bathtub(rng: np.random.Generator) -> Iterator[Solid]:
    """A bathtub along y with its taps at the far end: built in, free, or free on claws."""
    u = rng.uniform
    kind = pick(rng, {"built in": 0.45, "free": 0.3, "claws": 0.25})
    clear = u(0.08, 0.16) if kind == "claws" else 0.0
    x, y, top, rim = u(0.33, 0.46), u(0.7, 0.95), clear + u(0.4, 0.6), u(0.03, 0.1)
    if kind == "built in":
        power, foot, rise = pick(rng, [6.0, 12.0]), u(0.96, 1.0), 0.0
    else:  # an oval that narrows to its foot, some with a backrest in front
        power, foot, rise = u(2.0, 3.2), u(0.55, 0.9), pick(rng, [0.0, u(0.05, 0.25)])

    outline = ellipse(2 * x, 2 * y, power, points=36)
    outside = [(0.92 * foot, clear), (foot, clear + 0.06), (0.7 + 0.3 * foot, 0.4 * clear + 0.6 * top)]
    outside += [(0.985, top - 0.04), (1.02, top - 0.03), (1.02, top)]
    opening = ellipse(2 * (x - rim), 2 * (y - rim - u(0.0, 0.1)), min(power, u(2.2, 5.0)), points=36)
    deep, shift, floor = u(0.65, 0.8) * foot, np.array([0.0, u(0.06, 0.18) * foot * y]), clear + u(0.05, 0.1)
    inside = [
        (1.0, 0.0, 1.0),
        (0.95, 0.0, 0.85),
        (0.45 + deep / 2, 0.5, 0.5),
        (deep, 1.0, 0.06),
        (0.85 * deep, 1.0, 0.0),
    ]
    shell = stack(
        [(scale * outline, height) for scale, height in outside]
        + [(scale * opening + along * shift, floor + share * (top - floor)) for scale, along, share in inside]
    )
    ahead, height = np.maximum(-shell.vertices[:, 1] / y, 0.0), shell.vertices[:, 2] - clear
    yield shell.shifted(2, rise * ahead**2 * height / (top - clear))
    yield revolved([(0.03, floor), (0.03, floor + 0.006)]).moved(y=0.6 * deep * y)

    if kind == "claws":
        yield from claws(rng, 0.6 * foot * x, 0.6 * foot * y, clear)
    elif kind == "built in" and rng.random() < 0.5:
        yield from pair(cushion((0.9 * x, 1.03 * x), centred(1.5 * y), (0.12 * top, 0.8 * top), edge=0.02))
    if kind != "built in" and rng.random() < 0.3:
        yield from taps(rng, y + 0.07, 0.0, top)
    else:
        yield from taps(rng, y - 0.4 * rim, top - 0.02, top)


def claws(rng: np.random.Generator, x: float, y: float, top: float) -> Iterator[Solid]:
    """Four feet with balls that reach outward from under a tub."""
    size = rng.uniform(0.02, 0.035)
    claw = bar((x + 0.05, y + 0.06, 0.0), (x, y, top + 0.1), 0.7 * size, 1.6 * size, sides=6)
    ball = revolved([(0.6 * size, 0.0), (1.3 * size, size), (0.6 * size, 2 * size)], 8)
    yield from corners(claw, ball.moved(x + 0.05, y + 0.06))


def taps(rng: np.random.Generator, y: float, low: float, rim: float) -> Iterator[Solid]:
    """A spout between two handles over the rim; their pipes start at the height `low`."""
    u = rng.uniform
    rise, reach, apart = u(0.08, 0.2), u(0.1, 0.2), u(0.07, 0.14)
    path = [(0.0, y, low), (0.0, y, rim + rise), (0.0, y - reach, rim + rise), (0.0, y - reach, rim + 0.5 * rise)]
    yield tube(rounded(path, u(0.03, 0.08)), u(0.010, 0.018), sides=8)
    knob = revolved([(0.012, low), (0.012, rim + 0.04), (0.03, rim + 0.045), (0.025, rim + 0.075)], 8)
    cross = bar((apart - 0.04, y, rim + 0.06), (apart + 0.04, y, rim + 0.06), 0.01)
    yield from pair(knob.moved(apart, y), cross)


def egg(x: float, front: float, back: float, power: float, points: int = 28) -> Float64[np.ndarray, "points 2"]:
    """An outline around the origin that is as long as `front` towards -y and as `back` towards +y."""
    outline = ellipse(2 * x, 2.0, power, points)
    return outline * np.column_stack([np.ones(points), np.where(outline[:, 1] < 0, front, back)])


# The outside of a bowl from its lowest outline up: shares of its half width, front, back and height.
BOWLS = {
    "skirted": [(0.72, 0.72, 1.5, 0.0), (0.74, 0.74, 1.5, 0.3), (0.95, 0.95, 1.2, 0.85)],
    "waisted": [(0.66, 0.5, 1.4, 0.0), (0.6, 0.45, 1.3, 0.12), (0.5, 0.4, 1.1, 0.4), (0.85, 0.8, 1.0, 0.72)],
    "straight": [(0.55, 0.35, 1.2, 0.0), (0.55, 0.4, 1.1, 0.45), (0.8, 0.85, 1.0, 0.6)],
    "hung": [(0.45, 0.25, 1.5, 0.25), (0.7, 0.65, 1.3, 0.4), (0.92, 0.92, 1.1, 0.7)],
}


def toilet(rng: np.random.Generator) -> Iterator[Solid]:
    """A bowl with a seat and a lid, open or closed, in front of its tank."""
    u = rng.uniform
    x, front, back, rim = u(0.17, 0.21), u(0.24, 0.34), u(0.16, 0.2), u(0.36, 0.44)
    power = u(2.0, 2.4) if rng.random() < 0.7 else u(3.0, 4.5)
    kind = pick(rng, {"waisted": 0.4, "skirted": 0.3, "straight": 0.15, "hung": 0.15})
    outline, gap, deep = egg(x, front, back, power), u(0.03, 0.1), u(0.14, 0.19)  # gap: from the bowl to the tank

    outside = [(egg(a * x, b * front, c * back, power), h * rim) for a, b, c, h in BOWLS[kind] * u(0.93, 1.07, (1, 4))]
    inside = [(0.72, 0.0), (0.68, 0.03), (0.5, 0.13), (0.22, 0.2)]
    yield stack(
        [*outside, (outline, 0.94 * rim), (outline, rim)] + [(share * outline, rim - drop) for share, drop in inside]
    )
    yield box(centred(1.2 * x), (back - 0.06, back + gap + 0.7 * deep), (rim - 0.1, rim))
    ring = [(1.03, 0.0), (1.03, 0.02), (0.68, 0.02), (0.66, 0.0)]
    yield stack([(share * outline, rim + 0.002 + height) for share, height in ring], closed=True)
    lid = stack([(1.03 * outline, 0.024), (1.04 * outline, 0.036), (0.9 * outline, u(0.042, 0.055))])
    cover = pick(rng, {"closed": 0.45, "open": 0.45, "none": 0.1})
    if cover == "closed":
        yield lid.moved(z=rim)
    elif cover == "open":
        yield lid.mirrored(1).tipped().moved(y=back + 0.04, z=rim + back + 0.02).leaned(u(0.0, 0.05) + gap, rim)
    if rng.random() < 0.5:
        hinge = box(centred(0.04, 0.4 * x), (back - 0.01, back + 0.03), (rim, rim + 0.045))
        yield from pair(hinge)
    yield from tank(rng, (back + gap, back + gap + deep), rim, boxed=kind == "hung")


def tank(rng: np.random.Generator, y: Span, rim: float, boxed: bool) -> Iterator[Solid]:
    """The cistern with its cover and a lever or a button; boxed in, it reaches the floor."""
    u = rng.uniform
    x, top, taper, corner = u(0.17, 0.26), rim + u(0.2, 0.45), u(0.8, 1.0), u(0.01, 0.06)
    deep, middle = y[1] - y[0], (y[0] + y[1]) / 2
    outline = rectangle(2 * x, deep, corner, steps=2)
    low = 0.0 if boxed else rim - 0.02
    yield stack([(outline * (taper, 0.9), low), (outline, top - 0.05), (outline, top)]).moved(y=middle)
    cover = u(0.02, 0.045)
    yield cushion(centred(2 * x + 0.03), centred(deep + 0.03, middle), (top, top + cover), edge=0.008, corner=corner)
    if rng.random() < 0.6:
        yield box((-0.85 * x, -0.45 * x), (y[0] - 0.03, y[0]), (top - 0.07, top - 0.045))
    else:
        yield revolved([(0.03, top), (0.03, top + cover + 0.012), (0.02, top + cover + 0.014)], 10).moved(y=middle)
