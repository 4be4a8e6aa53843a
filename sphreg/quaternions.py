"""Which quaternions are rotations."""

import numpy as np
from jaxtyping import Bool, Float64

TOLERANCE = 1e-6  # of lengths and of components


def is_unit(quaternions: Float64[np.ndarray, "n 4"]) -> Bool[np.ndarray, "n"]:
    """Which are rotations: finite and of unit length."""
    return np.abs(np.linalg.norm(quaternions, axis=1) - 1) <= TOLERANCE
