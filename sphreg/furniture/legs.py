"""What furniture stands on. Each recipe fills a support that reaches to +-x and +-y, from the floor up to `top`."""

from collections.abc import Iterator

import numpy as np

from sphreg.furniture.choices import pick
from sphreg.furniture.solids import Solid, bar, box, centred, corners, cushion, pair, revolved, rounded, tube


def straight(rng: np.random.Generator, x: float, y: float, top: float) -> Iterator[Solid]:
    """Four upright legs, square or round, that may taper, with or without stretchers between them."""
    size = rng.uniform(0.05, 0.12) * (x + y) / 2
    sides = pick(rng, [4, 10])
    x, y = x - size, y - size
    yield from corners(bar((x, y, 0.0), (x, y, top), size * rng.uniform(0.5, 1.0), size, sides))
    if top > 6 * size and rng.random() < 0.4:
        low, thin = top * rng.uniform(0.15, 0.6), 0.6 * size
        yield from pair(bar((x, -y, low), (x, y, low), thin, sides=sides))
        yield bar((-x, 0.0, low), (x, 0.0, low), thin, sides=sides)


def splayed(rng: np.random.Generator, x: float, y: float, top: float) -> Iterator[Solid]:
    """Four slanting legs that get thinner towards the floor."""
    size = min(rng.uniform(0.06, 0.11) * (x + y) / 2, 0.4 * top)
    inset, spread = rng.uniform(0.75, 0.92), rng.uniform(0.03, 0.22) * top
    head, foot = (inset * x, inset * y, top), (inset * x + spread, inset * y + spread, 0.0)
    yield from corners(bar(foot, head, size * rng.uniform(0.35, 0.7), size, sides=pick(rng, [4, 8])))
    if rng.random() < 0.35:
        yield from pair(box(centred(size, inset * x), (-inset * y, inset * y), (top - 2 * size, top)))


def turned(rng: np.random.Generator, x: float, y: float, top: float) -> Iterator[Solid]:
    """Four legs from the lathe."""
    size = rng.uniform(0.08, 0.13) * (x + y) / 2
    heights = np.array([0.0, 0.06, 0.14, 0.3, 0.62, 0.7, 0.78, 0.84, 1.0]) * top
    radii = np.array([0.5, 0.7, 0.45, 0.55, 0.95, 0.6, 1.0, 0.7, 0.9]) * size * rng.uniform(0.8, 1.2, 9)
    leg = revolved(list(zip(radii, heights, strict=True)), sides=8)
    yield from corners(leg.moved(x - size, y - size))


def hairpin(rng: np.random.Generator, x: float, y: float, top: float) -> Iterator[Solid]:
    """Four legs of two thin rods each, which meet at the floor."""
    rod, spread = rng.uniform(0.006, 0.012), rng.uniform(0.15, 0.3) * min(x, y)
    foot = (x - rod, y - rod, 0.0)
    yield from corners(
        bar(foot, (x - spread, y - rod, top), rod, sides=6), bar(foot, (x - rod, y - spread, top), rod, sides=6)
    )


def sled(rng: np.random.Generator, x: float, y: float, top: float) -> Iterator[Solid]:
    """A bent tube on the left and on the right, each with a runner on the floor."""
    size = rng.uniform(0.03, 0.07) * (x + y) / 2
    x, lean = x - size, rng.uniform(0.0, 0.25) * y
    path = [(x, lean - y, top), (x, size - y, size), (x, y - size, size), (x, y - lean, top)]
    yield from pair(tube(rounded(path, rng.uniform(0.02, 0.3) * top), size, sides=pick(rng, [4, 8])))
    yield bar((-x, 0.0, top - size), (x, 0.0, top - size), size)


def panels(rng: np.random.Generator, x: float, y: float, top: float) -> Iterator[Solid]:
    """A board on the left and on the right, and one between them."""
    thick, inset = rng.uniform(0.015, 0.05), rng.uniform(0.8, 1.0)
    yield from pair(box((inset * x - thick, inset * x), (-y, y), (0.0, top)))
    yield box((-inset * x, inset * x), centred(thick), (top * rng.uniform(0.2, 0.7), top))


def trestle(rng: np.random.Generator, x: float, y: float, top: float) -> Iterator[Solid]:
    """Two legs on each side that cross or lean against each other, and a long beam."""
    size, spread = rng.uniform(0.06, 0.1) * (x + y) / 2, min(rng.uniform(0.6, 1.7) * y, 0.9 * top)
    x = rng.uniform(0.65, 0.9) * x
    leg = bar((x, y - size, 0.0), (x, y - size - spread, top), size)
    yield from corners(leg)
    low = rng.uniform(0.2, 0.5) * top
    yield bar((-x, 0.0, low), (x, 0.0, low), 0.8 * size)
    yield from pair(bar((x, -0.6 * y, low), (x, 0.6 * y, low), 0.7 * size))


def pedestal(rng: np.random.Generator, x: float, y: float, top: float) -> Iterator[Solid]:
    """One column in the middle on a round foot: a tulip, a turned post or a plain tube."""
    foot, column = rng.uniform(0.6, 0.95) * min(x, y), rng.uniform(0.12, 0.3) * min(x, y)
    plate = rng.uniform(0.02, 0.06) * top
    waist = {
        "tulip": [(0.45, 0.08), (0.15, 0.2), (0.0, 0.45), (0.05, 0.75), (0.4, 0.97)],
        "turned": [(0.2, 0.12), (0.05, 0.2), (0.15, 0.35), (0.0, 0.5), (0.1, 0.8), (0.3, 0.97)],
        "tube": [(0.0, 0.08), (0.0, 0.96)],
    }[pick(rng, ["tulip", "turned", "tube"])]
    middle = [(column + share * (foot - column), height * top) for share, height in waist]
    yield revolved([(foot, 0.0), (0.95 * foot, plate), *middle, (0.6 * foot, top)], sides=16)


def star(rng: np.random.Generator, x: float, y: float, top: float) -> Iterator[Solid]:
    """A gas spring on four or five arms with castors or glides."""
    reach, size = rng.uniform(0.95, 1.35) * min(x, y), rng.uniform(0.07, 0.12) * min(x, y)
    arms, castor, hub = pick(rng, [4, 5]), rng.uniform(0.02, 0.05), rng.uniform(0.08, 0.13)
    for angle in 2 * np.pi * np.arange(arms) / arms + np.pi / 2:
        tip_x, tip_y = reach * float(np.cos(angle)), reach * float(np.sin(angle))
        yield bar((0.0, 0.0, hub), (tip_x, tip_y, 1.6 * castor), size, 0.6 * size)
        yield bar((tip_x - castor / 2, tip_y, castor), (tip_x + castor / 2, tip_y, castor), castor, sides=8)
    yield revolved(
        [(1.3 * size, hub - 0.03), (1.3 * size, hub + 0.06), (0.8 * size, hub + 0.08), (0.8 * size, top)], 10
    )


def plinth(rng: np.random.Generator, x: float, y: float, top: float) -> Iterator[Solid]:
    """A closed base, set back a little."""
    inset = rng.uniform(0.86, 0.98)
    yield box((-inset * x, inset * x), (-inset * y, y), (0.0, top))


def buns(rng: np.random.Generator, x: float, y: float, top: float) -> Iterator[Solid]:
    """Four low round feet or blocks."""
    size = rng.uniform(0.4, 0.8) * min(top, 0.1)
    if rng.random() < 0.5:
        foot = revolved([(0.6 * size, 0.0), (size, 0.35 * top), (size, 0.7 * top), (0.6 * size, top)], 10)
    else:
        foot = cushion(centred(2 * size), centred(2 * size), (0.0, top), edge=0.1 * size)
    yield from corners(foot.moved(x - size, y - size))
