"""The choice between styles."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

Style = TypeVar("Style")


def pick(rng: np.random.Generator, styles: Sequence[Style] | Mapping[Style, float]) -> Style:
    """One of a sequence, each as likely as any other, or a key of a mapping whose values are the weights.

    `rng.choice` would turn the styles into an array first, and numbers and names into numpy's own.
    """
    weights = list(styles.values()) if isinstance(styles, Mapping) else [1.0] * len(styles)
    ends = np.cumsum(weights)
    return list(styles)[int(np.searchsorted(ends, rng.random() * ends[-1], side="right"))]
