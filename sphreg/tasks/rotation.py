"""Rotation: one quaternion on S3."""

import numpy as np
from jaxtyping import Float
from torch import Tensor

from sphreg.rotations import canonical
from sphreg.spheres import Sphere
from sphreg.tasks.base import Pose


class Rotation(Pose):
    """The quaternion XYZW with w >= 0, as q and -q are one rotation."""

    sphere = Sphere(dim=4, positive=3)
    points = 1

    def targets(self, truth: Float[Tensor, "batch 4"]) -> Float[Tensor, "batch 1 4"]:
        """The quaternion itself."""
        return canonical(truth)[:, None]

    def answer(self, points: Float[Tensor, "batch 1 4"]) -> Float[Tensor, "batch 4"]:
        """The quaternion itself."""
        return canonical(points)[:, 0]

    def columns(self, points: Float[Tensor, "batch 1 4"]) -> dict[str, np.ndarray]:
        """The quaternion and its sign class, 0 to 7."""
        quaternions = self.answer(points)
        values = dict(zip(("qw", "qx", "qy", "qz"), quaternions.roll(1, -1).numpy().T, strict=True))
        return values | {"sign_class": self.sphere.sign_class(quaternions).numpy()}
