"""How fast views are scored: `python -m benchmarks.evaluation`, a minute or less.

As many views as ModelNet10-SO3 has for its test. Their quaternions are random, the errors of the predictions go from a
millionth of a degree to 180. Rates are medians over rounds that take turns; torch has one thread. The loops go over the
samples in Python, as people write them and as the paper's authors did, with the mistake of sqrt(2) corrected.
"""

import argparse
import functools
import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.linalg
import torch
from scipy.spatial.transform import Rotation

from benchmarks.rounds import machine, rates
from sphreg.metrics import pose_metrics
from sphreg.modelnet10 import COUNTS
from sphreg.program import program
from sphreg.rotations import geodesic_angle

VIEWS = 20  # of each mesh
REPEATS = 50  # of ours in a round, so that it is about as long as the loops
SUBSET = 500  # views of the matrix logarithm, which takes half a minute for all
GOAL = 100  # times as fast as a loop
TOLERANCE_DEG = 1e-6


@program
def main() -> None:
    """Print the rates and their ratios; with --out also write them to a file. Status 1 if the angles do not agree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    table, true, predicted = views()
    subset = np.random.default_rng(1).choice(len(true), SUBSET, replace=False)
    pairs = {name: (true, predicted) for name in LOOPS}
    pairs["logarithm"] = true[subset], predicted[subset]
    agreement = [agree(name, loop(*pairs[name]), ours(*pairs[name])) for name, loop in LOOPS.items()]

    def angles() -> int:
        for _ in range(REPEATS):
            ours(true, predicted)
        return REPEATS * len(true)

    def whole() -> int:
        for _ in range(REPEATS):
            table["error_deg"] = ours(true, predicted)
            pose_metrics(table)
        return REPEATS * len(true)

    def angles_by(name: str) -> int:
        return len(LOOPS[name](*pairs[name]))

    loops = {name: functools.partial(angles_by, name) for name in LOOPS}
    found = rates({"whole": whole, "angles": angles, **loops}, arguments.rounds)
    lines = [
        f"`python -m benchmarks.evaluation` on {machine()}; {len(table):,} views, {len(COUNTS)} categories; medians of "
        f"{arguments.rounds} rounds. The loops do the angles alone; the logarithm does {SUBSET} random views a round.",
        "",
        "| what | views/s | angles and metrics against it | angles alone against it |",
        "| --- | ---: | ---: | ---: |",
        f"| angles and metrics, `geodesic_angle` and `pose_metrics` | {found['whole']:,.0f} | | |",
        f"| angles alone, `geodesic_angle` | {found['angles']:,.0f} | | |",
    ]
    for name in LOOPS:
        ratios = (_ratio(found[which] / found[name]) for which in ("whole", "angles"))
        lines.append(f"| {NAMES[name]} | {found[name]:,.0f} | {' | '.join(ratios)} |")
    lines += ["", *agreement]
    print(*lines, sep="\n")
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n")


def views() -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """The table of the test views with `key` and `category`, sorted, and XYZW, true and predicted, one row a view.

    Half of the errors are uniform up to 180 degrees, half have uniform logarithms from 1e-6 degrees; some are 0 or 180.
    """
    meshes = [(f"{category}_{number:04d}", category) for category, (_, n) in COUNTS.items() for number in range(n)]
    rows = [(f"{mesh}.v{view:03d}", category) for mesh, category in meshes for view in range(1, VIEWS + 1)]
    rng = np.random.default_rng(0)
    uniform, small = rng.uniform(0, 180, len(rows)), 10 ** rng.uniform(-6, math.log10(180), len(rows))
    degrees = np.where(rng.random(len(rows)) < 0.5, uniform, small)
    degrees[rng.choice(len(rows), 40, replace=False)] = np.repeat([0.0, 180.0], 20)
    axes = rng.normal(size=(len(rows), 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    true = Rotation.random(len(rows), rng)
    predicted = true * Rotation.from_rotvec(axes * degrees[:, None], degrees=True)
    return pd.DataFrame(rows, columns=["key", "category"]), true.as_quat(), predicted.as_quat()


def ours(true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """The errors in degrees, as the test of a model computes them."""
    return geodesic_angle(torch.from_numpy(predicted), torch.from_numpy(true)).rad2deg().numpy()


def by_logarithm(true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """The same by the norm of Frobenius of log(R1' R2), which is sqrt(2) times the angle."""
    norms = []
    for p, q in zip(true, predicted, strict=True):
        norms.append(scipy.linalg.norm(scipy.linalg.logm(matrix(p).T @ matrix(q))))
    return np.degrees(np.array(norms) / math.sqrt(2))


def by_trace(true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """The same by the trace of R1' R2, which is 1 + 2 cos of the angle."""
    angles = []
    for p, q in zip(true, predicted, strict=True):
        cosine = (np.trace(matrix(p).T @ matrix(q)) - 1) / 2
        angles.append(np.arccos(np.clip(cosine, -1, 1)))
    return np.degrees(angles)


def by_trace_as_published(true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """The same with squares and with NumPy's class of matrices."""
    angles = []
    for quaternions in zip(true, predicted, strict=True):
        first, second = (np.matrix(matrix_of_squares(quaternion)) for quaternion in quaternions)
        cosine = (np.trace(first.transpose() * second) - 1) / 2
        angles.append(np.arccos(np.clip(cosine, -1, 1)))
    return np.degrees(angles)


def matrix(quaternion: np.ndarray) -> np.ndarray:
    """Of a unit quaternion XYZW."""
    x, y, z, w = quaternion
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def matrix_of_squares(quaternion: np.ndarray) -> np.ndarray:
    """The same, homogeneous in its length."""
    x, y, z, w = quaternion
    return np.array(
        [
            [w**2 + x**2 - y**2 - z**2, 2 * x * y - 2 * z * w, 2 * x * z + 2 * y * w],
            [2 * x * y + 2 * z * w, w**2 - x**2 + y**2 - z**2, 2 * y * z - 2 * x * w],
            [2 * x * z - 2 * y * w, 2 * y * z + 2 * x * w, w**2 - x**2 - y**2 + z**2],
        ]
    )


Loop = Callable[[np.ndarray, np.ndarray], np.ndarray]
LOOPS: dict[str, Loop] = {
    "logarithm": by_logarithm,
    "published trace": by_trace_as_published,
    "plain trace": by_trace,
}
NAMES = {
    "logarithm": "loop, matrix logarithm (SciPy), as first published",
    "published trace": "loop, arccos of the trace (NumPy), with `np.matrix` and squares as published",
    "plain trace": "loop, arccos of the trace (NumPy), as lean as it gets",
}
# Between these degrees a loop is far more accurate than the tolerance. The logarithm has no single value at a half
# turn, and arccos loses digits at both ends.
ACCURATE_DEG = {"logarithm": (0.0, 179.999), "published trace": (0.001, 179.999), "plain trace": (0.001, 179.999)}


def agree(name: str, theirs_deg: np.ndarray, ours_deg: np.ndarray) -> str:
    """A sentence on how far a loop is from ours. Ends the script if they do not agree where the loop is accurate."""
    low, high = ACCURATE_DEG[name]
    inside = (ours_deg >= low) & (ours_deg <= high)
    difference = np.abs(theirs_deg - ours_deg)
    largest = difference[inside].max()
    if not largest <= TOLERANCE_DEG:  # nor if it is not a number
        raise SystemExit(f"{name}: {largest:.2g} degrees from `geodesic_angle`, allowed: {TOLERANCE_DEG:g}")
    return (
        f"- {name}: at most {largest:.1e} degrees from `geodesic_angle`, on {np.count_nonzero(inside):,} errors from "
        f"{low:g} to {high:g} degrees."
    )


def _ratio(ratio: float) -> str:
    return f"{ratio:,.0f} x" + f" (goal: {GOAL})" * (ratio < GOAL)


if __name__ == "__main__":
    sys.exit(main())
