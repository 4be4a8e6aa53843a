"""Chairs: a support, a seat, a leaning back and perhaps arms."""

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
    ellipse,
    extruded,
    pair,
    ribbon,
    rounded,
    split,
    stack,
    tube,
    upright,
)


def chair(rng: np.random.Generator) -> Iterator[Solid]:
    """A chair of any kind: kitchen, office, lounge, of wood, tubes or plastic."""
    u = rng.uniform
    x, y = u(0.19, 0.28), u(0.19, 0.27)
    seat, rise, thick = u(0.38, 0.50), u(0.32, 0.62), u(0.02, 0.09)
    support = pick(
        rng,
        {
            legs.straight: 0.27,
            legs.splayed: 0.17,
            legs.turned: 0.12,
            legs.sled: 0.11,
            legs.pedestal: 0.06,
            legs.star: 0.17,
            cantilever: 0.10,
        },
    )
    kind = pick(rng, {board: 0.35, padded: 0.35, disc: 0.15, scoop: 0.15})
    inset = 0.72 if kind is disc else 0.92  # of the legs
    yield from support(rng, inset * x, inset * y, seat - thick)
    yield from kind(rng, x, y, (seat - thick, seat))
    if kind is not scoop:
        back = pick(rng, [panel, slats, ladder, spindles, cross, hoop, barrel])
        lean, bow = u(0.04, 0.32), u(0.0, 0.08)
        for part in back(rng, x, y, (seat - thick, seat + rise)):
            yield part.bowed(x, y=-bow).leaned(lean, seat)
    if rng.random() < 0.45:
        yield from pick(rng, [bar_arms, loop_arms, panel_arms])(rng, x, y, seat, u(0.16, 0.25))


def cantilever(rng: np.random.Generator, x: float, y: float, top: float) -> Iterator[Solid]:
    """Two bent tubes that carry the seat from the front alone, joined at the back on the floor."""
    size = rng.uniform(0.010, 0.016)
    path = [(x, y, size), (x, -y, size), (x, -y, top), (x, y, top)]
    yield from pair(tube(rounded(path, rng.uniform(0.04, 0.12)), size, sides=8))
    yield bar((-x, y - size, size), (x, y - size, size), size, sides=8)


# Seats fill +-x, +-y and the heights z.


def board(rng: np.random.Generator, x: float, y: float, z: Span) -> Iterator[Solid]:
    """A flat board with eased edges, perhaps narrower at the back."""
    flat = cushion((-x, x), (-y, y), z, edge=rng.uniform(0.004, 0.02), corner=rng.uniform(0.0, 0.12))
    behind = np.maximum(flat.vertices[:, 1] / y, 0.0)
    yield flat.shifted(0, -rng.uniform(0.0, 0.25) * behind * flat.vertices[:, 0])


def padded(rng: np.random.Generator, x: float, y: float, z: Span) -> Iterator[Solid]:
    """A cushion on a board."""
    soft, middle = rng.uniform(0.02, 0.05), np.mean(z)
    yield box((-x, x), (-y, y), (z[0], float(middle)))
    yield cushion((-x, x), (-y, y), (float(middle), z[1] + soft), edge=0.7 * soft, corner=0.05, steps=2)


def disc(rng: np.random.Generator, x: float, y: float, z: Span) -> Iterator[Solid]:
    """A round or squarish seat, hollowed a little."""
    outline, thick = ellipse(2 * x, 2 * y, power=rng.uniform(2.0, 4.0), points=20), z[1] - z[0]
    edge, hollow = rng.uniform(0.85, 0.95), rng.uniform(0.1, 0.6) * thick
    yield stack(
        [(edge * outline, z[0]), (outline, z[1] - thick / 2), (edge * outline, z[1]), (0.4 * outline, z[1] - hollow)]
    )


def scoop(rng: np.random.Generator, x: float, y: float, z: Span) -> Iterator[Solid]:
    """A curved shell that is seat and back in one."""
    u, seat = rng.uniform, z[1]
    top = (0.0, y + u(0.03, 0.15), seat + u(0.32, 0.6))
    side = [(0.0, -y, seat - u(0.0, 0.06)), (0.0, -0.5 * y, seat), (0.0, y, seat - 0.02), top]
    curve = np.array(rounded(side, u(0.08, 0.2), steps=5))[:, 1:]
    shell = extruded(ribbon(curve, u(0.012, 0.04)), (-x, x), cuts=6)
    yield shell.moved(z=-0.02).bowed(x, y=-u(0.0, 0.08), z=u(0.0, 0.05))


# Backs stand upright in front of y, between the heights z; the chair bows and leans them.


def posts(rng: np.random.Generator, x: float, y: float, z: Span) -> Iterator[Solid]:
    """Two uprights."""
    size, sides = rng.uniform(0.010, 0.022), pick(rng, [4, 8])
    yield from pair(bar((x - size, y - size, z[0]), (x - size, y - size, z[1]), size, sides=sides))


def rail(rng: np.random.Generator, x: float, y: float, z: Span) -> Solid:
    """A crosspiece that takes a bow."""
    return box((-x, x), (y - rng.uniform(0.015, 0.035), y), z, cuts=6)


def panel(rng: np.random.Generator, x: float, y: float, z: Span) -> Iterator[Solid]:
    """An upholstered or wooden panel, down to the seat or high up on posts."""
    thick, gap = rng.uniform(0.02, 0.09), pick(rng, [0.0, 0.3, 0.5]) * rng.uniform(0.8, 1.2) * (z[1] - z[0])
    if gap:
        yield from posts(rng, 0.7 * x, y, (z[0], z[1] - 0.08))
    corner = rng.uniform(0.0, 0.12)
    yield upright((-x, x), (y - thick, y), (z[0] + gap, z[1]), edge=0.3 * thick, corner=corner, steps=2)


def slats(rng: np.random.Generator, x: float, y: float, z: Span) -> Iterator[Solid]:
    """Upright slats between posts, a top rail and perhaps a lower one."""
    yield from posts(rng, x, y, z)
    top = z[1] - rng.uniform(0.04, 0.1)
    yield rail(rng, x, y, (top, z[1]))
    low = pick(rng, [z[0], z[0] + 0.3 * (z[1] - z[0])])
    yield rail(rng, x, y, (low, low + 0.04))
    for slat in split((-0.85 * x, 0.85 * x), int(rng.integers(1, 7)), gap=rng.uniform(0.03, 0.06)):
        yield box(slat, (y - 0.015, y - 0.005), (low, top))


def ladder(rng: np.random.Generator, x: float, y: float, z: Span) -> Iterator[Solid]:
    """Crosspieces between two posts."""
    yield from posts(rng, x, y, z)
    low = z[0] + rng.uniform(0.2, 0.5) * (z[1] - z[0])
    for height in split((low, z[1] - 0.01), int(rng.integers(2, 6)), gap=rng.uniform(0.03, 0.06)):
        yield rail(rng, x, y, height)


def spindles(rng: np.random.Generator, x: float, y: float, z: Span) -> Iterator[Solid]:
    """Round rods that fan out to a crest rail."""
    spread, crest = rng.uniform(0.7, 0.95), rng.uniform(0.04, 0.12)
    for at in np.linspace(-1.0, 1.0, int(rng.integers(5, 9))) * x:
        yield bar((spread * at, y - 0.02, z[0]), (0.97 * at, y - 0.02, z[1] - crest), 0.008, sides=6)
    yield box((-x, x), (y - 0.035, y), (z[1] - crest, z[1]), cuts=6).bowed(x, z=-rng.uniform(0.0, 0.05))


def cross(rng: np.random.Generator, x: float, y: float, z: Span) -> Iterator[Solid]:
    """Two bars crossing between posts and rails."""
    yield from posts(rng, x, y, z)
    top, low = z[1] - rng.uniform(0.04, 0.09), z[0] + rng.uniform(0.08, 0.2)
    yield rail(rng, x, y, (top, z[1]))
    yield rail(rng, x, y, (low - 0.04, low))
    yield from pair(bar((0.9 * x, y - 0.015, low), (-0.9 * x, y - 0.015, top), 0.012))


def hoop(rng: np.random.Generator, x: float, y: float, z: Span) -> Iterator[Solid]:
    """A bent tube around a pad."""
    size = rng.uniform(0.009, 0.016)
    path = [(size - x, y, z[0]), (size - x, y, z[1]), (x - size, y, z[1]), (x - size, y, z[0])]
    yield tube(rounded(path, rng.uniform(0.05, 0.25)), size, sides=6)
    low = z[0] + rng.uniform(0.2, 0.6) * (z[1] - z[0])
    yield upright(
        (size - x, x - size), (y - 0.02, y + 0.01), (low, z[1] - rng.uniform(0.03, 0.1)), corner=0.06, steps=2
    )


def barrel(rng: np.random.Generator, x: float, y: float, z: Span) -> Iterator[Solid]:
    """A shell bent around the sitter, rounder towards its top."""
    around, thick = rng.uniform(0.1, 0.9), rng.uniform(0.012, 0.05)
    corner = rng.uniform(0.0, 0.35)
    layers = []
    for share in np.linspace(0.0, 1.0, 6):
        along = np.linspace(-1.0, 1.0, 11) * x * (1.0 - corner * share**4)
        curve = np.column_stack([along, y - around * y * (along / x) ** 2])
        layers.append((ribbon(curve, thick), z[0] + share * (z[1] - z[0])))
    yield stack(layers)


# Arms reach from the front to the back at a height over the seat.


def bar_arms(rng: np.random.Generator, x: float, y: float, seat: float, height: float) -> Iterator[Solid]:
    """A board on a post."""
    wide, front = rng.uniform(0.03, 0.07), -rng.uniform(0.4, 0.95) * y
    top = seat + height
    yield from pair(
        cushion(centred(wide, x), (front, 1.1 * y), (top - 0.025, top), edge=0.006),
        bar((x, front + 0.04, seat - 0.03), (x, front + 0.04, top - 0.02), rng.uniform(0.01, 0.02)),
    )


def loop_arms(rng: np.random.Generator, x: float, y: float, seat: float, height: float) -> Iterator[Solid]:
    """A bent tube."""
    front, size = -rng.uniform(0.3, 0.9) * y, rng.uniform(0.009, 0.018)
    path = [(x, front, seat - 0.03), (x, front, seat + height), (x, 1.1 * y, seat + height)]
    path += [(x, y, seat - 0.03)] if rng.random() < 0.4 else []
    yield from pair(tube(rounded(path, rng.uniform(0.03, 0.1)), size, sides=6))


def panel_arms(rng: np.random.Generator, x: float, y: float, seat: float, height: float) -> Iterator[Solid]:
    """Closed sides."""
    wide, low = rng.uniform(0.025, 0.09), seat - rng.uniform(0.05, 0.2)
    yield from pair(cushion((x, x + wide), (-y, y), (low, seat + height), edge=0.2 * wide, steps=2))
