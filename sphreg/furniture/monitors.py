"""Monitors and televisions: a screen in a bezel, a housing that bulges behind it, and a stand that is set back."""

from collections.abc import Iterator

import numpy as np

from sphreg.furniture.choices import pick
from sphreg.furniture.solids import (
    Solid,
    bar,
    box,
    centred,
    cushion,
    ellipse,
    extruded,
    pair,
    rectangle,
    revolved,
    ribbon,
    rounded,
    stack,
    tube,
    upright,
)


def monitor(rng: np.random.Generator) -> Iterator[Solid]:
    """A flat panel, a curved one or a cathode ray tube on its stand."""
    u = rng.uniform
    head = pick(rng, {flat: 0.6, curved: 0.12, cathode: 0.28})
    height = u(0.26, 0.42)
    x = height / 2 * u(*{flat: (1.2, 1.9), curved: (1.7, 2.4), cathode: (1.1, 1.4)}[head])
    clear = u(0.02, 0.06) if head is cathode else u(0.06, 0.2)
    tilt = u(-0.02, 0.2)
    for part in head(rng, x, height):
        yield part.moved(z=clear).leaned(tilt, clear)
    stand = swivel if head is cathode else pick(rng, {column: 0.5, bent: 0.2, loop: 0.15, feet: 0.15})
    yield from stand(rng, x, clear, clear + u(0.25, 0.5) * height)


# Heads fill +-x and the heights from 0 up. They are built lying on their back, outline by outline, and then tipped.


def flat(rng: np.random.Generator, x: float, height: float) -> Iterator[Solid]:
    """A thin panel with a chin or speakers and a box of electronics behind it."""
    u = rng.uniform
    border, thick, recess, chin = u(0.008, 0.03), u(0.015, 0.045), u(0.006, 0.014), pick(rng, [0.0, u(0.02, 0.08)])
    yield from bezel(x, height, border, chin, thick, recess, corner=u(0.002, 0.03))
    bulge, shrink, drop = u(0.035, 0.1), u(0.4, 0.8), u(-0.06, 0.0)
    sections = [(0.97, 0.0, 0.0), (u(shrink, 0.97), 0.0, 0.4), (shrink, drop, 1.0)]
    yield stack(
        (rectangle(scale * 2 * x, scale * height, 0.03, at=(0.0, (0.5 + low) * height)), -thick - share * bulge)
        for scale, low, share in sections
    ).tipped()
    if chin and rng.random() < 0.6:
        for at in centred(0.5 * x, at=u(-0.6, 0.6) * x):
            yield box(centred(0.03, at), (-0.006, 0.0), centred(0.012, border + chin / 2))
    if rng.random() < 0.2:
        wide = u(0.03, 0.07)
        yield from pair(cushion((x, x + wide), (-0.005, thick), (0.1 * height, 0.95 * height), edge=0.008))


def bezel(
    x: float, height: float, border: float, chin: float, thick: float, recess: float, corner: float
) -> Iterator[Solid]:
    """A frame around a screen that lies `recess` behind its front at y = 0."""
    outer = rectangle(2 * x, height, corner, 3, at=(0.0, height / 2))
    inner, screen = (
        rectangle(2 * (x - inset), height - 2 * inset - chin, corner / 2, 3, at=(0.0, (height + chin) / 2))
        for inset in (border, border + recess)
    )
    layers = [(outer, -thick), (outer, 0.0), (inner, 0.0), (screen, -recess), (screen, -thick)]
    yield stack(layers, closed=True).tipped()
    yield stack([(screen, -thick), (screen, -recess)]).tipped()


def curved(rng: np.random.Generator, x: float, height: float) -> Iterator[Solid]:
    """A wide panel bent towards the viewer."""
    u = rng.uniform
    bend, thick, border = u(0.12, 0.3) * x, u(0.015, 0.03), u(0.008, 0.02)
    for y, z in (
        ((0.012, thick), (0.0, height)),
        ((0.0, thick), (0.0, 2 * border)),
        ((0.0, thick), (height - border, height)),
    ):
        yield box((-x, x), y, z, cuts=10).bowed(x, y=-bend)
    yield from pair(box((x - border, x), (-bend, thick - bend), (0.0, height)))
    half, low, wide = u(0.25, 0.6) * x, u(0.05, 0.2) * height, u(0.4, 0.7) * height
    yield upright((-half, half), (0.01, u(0.06, 0.1)), (low, low + wide), edge=0.02, corner=0.03)


def cathode(rng: np.random.Generator, x: float, height: float) -> Iterator[Solid]:
    """A deep housing that narrows to the neck of its tube."""
    u = rng.uniform
    front, depth, corner, low = u(0.04, 0.12), u(0.24, 0.42), u(0.01, 0.05), u(0.1, 0.5) * height  # of the neck
    yield from bezel(x, height, u(0.015, 0.04), u(0.0, 0.06), front, u(0.008, 0.016), corner)
    shoulder, neck = u(0.75, 0.95), u(0.4, 0.6)
    sections = [(0.98, 0.0), (shoulder, 0.15), ((shoulder + neck) / 2, 0.6), (neck, 0.65), (0.9 * neck, 1.0)]
    yield stack(
        (
            rectangle(scale * 2 * x, scale * height, scale * corner, 3, at=(0.0, low + scale * (height / 2 - low))),
            -front - share * (depth - front),
        )
        for scale, share in sections
    ).tipped()


# Stands carry a head whose lower edge is at the height `clear`; their neck meets it at the height `grip`.


def plate(rng: np.random.Generator, x: float, behind: float) -> Solid:
    """A round or squarish base under the screen."""
    thick = rng.uniform(0.008, 0.025)
    outline = ellipse(rng.uniform(0.8, 1.6) * x, rng.uniform(0.16, 0.24), power=pick(rng, [2.0, 3.0, 9.0]))
    disc = stack([(outline, 0.0), (outline, 0.5 * thick), (0.94 * outline, thick)])
    return disc.moved(y=behind - rng.uniform(0.0, 0.05))


def column(rng: np.random.Generator, x: float, clear: float, grip: float) -> Iterator[Solid]:
    """A neck on a plate."""
    behind, size = rng.uniform(0.05, 0.09), rng.uniform(0.015, 0.045)
    foot = behind + rng.uniform(0.0, 0.04)
    yield bar((0.0, foot, 0.0), (0.0, behind, grip), size, rng.uniform(0.5, 1.0) * size, sides=pick(rng, [4, 10]))
    yield plate(rng, x, foot)


def bent(rng: np.random.Generator, x: float, clear: float, grip: float) -> Iterator[Solid]:
    """A strip of metal that is foot and neck in one."""
    behind, front, half = rng.uniform(0.08, 0.13), -rng.uniform(0.06, 0.1), rng.uniform(0.2, 0.5) * x
    thick = rng.uniform(0.008, 0.014)
    path = [(0.0, front, thick / 2), (0.0, behind + 0.03, thick / 2), (0.0, behind - 0.04, grip)]
    yield extruded(ribbon(np.array(rounded(path, 0.03))[:, 1:], thick), (-half, half))


def loop(rng: np.random.Generator, x: float, clear: float, grip: float) -> Iterator[Solid]:
    """A neck on a bent tube that is open at the front."""
    behind, half, front = rng.uniform(0.06, 0.1), rng.uniform(0.5, 0.85) * x, -rng.uniform(0.04, 0.12)
    size = rng.uniform(0.007, 0.013)
    path = [(-half, front, size), (-half, behind, size), (half, behind, size), (half, front, size)]
    yield tube(rounded(path, rng.uniform(0.03, 0.1)), size)
    yield bar((0.0, behind, 0.0), (0.0, behind - 0.03, grip), rng.uniform(0.015, 0.035))


def feet(rng: np.random.Generator, x: float, clear: float, grip: float) -> Iterator[Solid]:
    """A foot near each end, longer at the front than behind."""
    at, size, reach = rng.uniform(0.5, 0.85) * x, rng.uniform(0.006, 0.012), rng.uniform(0.09, 0.13)
    yield from pair(
        bar((at, -reach, size), (at, 0.6 * reach, size), size),
        bar((at, 0.03, size), (at, 0.03, clear + 0.02), size),
    )


def swivel(rng: np.random.Generator, x: float, clear: float, grip: float) -> Iterator[Solid]:
    """A low turntable under a tube."""
    wide, top = rng.uniform(0.4, 0.7) * x, clear + 0.03
    yield revolved([(wide, 0.0), (wide, 0.3 * top), (0.6 * wide, top)], sides=16).moved(y=rng.uniform(0.1, 0.16))
