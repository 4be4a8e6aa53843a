"""The rotations that a mesh is seen in."""

import zlib

import numpy as np
from jaxtyping import Float64
from scipy.spatial.transform import Rotation


def rotations(seed: int, name: str, n: int) -> Float64[np.ndarray, "n 4"]:
    """Haar-uniform rotations of one mesh as quaternions XYZW with w >= 0.

    They depend on nothing but the seed and the mesh's name, so that neither the other meshes nor their order matters;
    fewer of them are the first of more.
    """
    generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
    return Rotation.random(n, generator).as_quat(canonical=True)
