"""Whether answers of a model are the same but for rounding, as those of an image alone and in a batch have to be.

Batches, numbers of threads and CPUs differ in the order in which they add float32. That moves a point by some 0.0001
degrees. Where two classes of signs of S_exp tie, it also picks another class, and the point lies elsewhere.
"""

import numpy as np

DEGREES = 0.01  # that a point may move
FLIPS = 0.01  # share of a map's pixels whose signs may be others; a tie is met once in some 100,000


def check_rotations(found: np.ndarray, expected: np.ndarray) -> None:
    """Quaternions (n, 4) of the same rotations. So few have no tie."""
    assert found.shape == expected.shape
    p, q = found.astype(float), expected.astype(float)
    q *= np.where((p * q).sum(-1, keepdims=True) < 0, -1, 1)  # where w is 0 but for rounding, q may have become -q
    assert np.degrees(4 * np.arcsin(np.linalg.norm(p - q, axis=-1) / 2)).max() < DEGREES


def check_normals(found: np.ndarray, expected: np.ndarray) -> None:
    """Maps (..., 3) of the same normals."""
    assert found.shape == expected.shape
    p, q = found.astype(float), expected.astype(float)
    moved = np.degrees(2 * np.arcsin(np.clip(np.linalg.norm(p - q, axis=-1) / 2, 0, 1))) >= DEGREES
    assert moved.mean() <= FLIPS
    np.testing.assert_allclose(p[..., 2], q[..., 2], rtol=0, atol=np.radians(DEGREES))  # whose sign is known
    np.testing.assert_allclose(np.linalg.norm(p, axis=-1), np.linalg.norm(q, axis=-1), rtol=0, atol=1e-5)
