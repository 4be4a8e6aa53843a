"""Normals: one unit vector per pixel, on S2."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sphreg.config import NormalsTraining
from sphreg.rotations import angle_between
from sphreg.spheres import Sphere
from sphreg.tasks.base import Task


class Normals(Task):
    """Unit normals in the camera's frame; the zero vector where there is no object.

    z points to the viewer, so its sign is known (but for the few visible pixels that perspective lets look away).
    x and y are turned by an angle before learning and turned back after, as published, to balance their signs.
    """

    sphere = Sphere(dim=3, positive=2)
    points = None

    def __init__(self, settings: NormalsTraining) -> None:
        super().__init__(settings)
        cos, sin = (f(math.radians(settings.rotate_xy_deg)) for f in (math.cos, math.sin))
        self.turn = torch.tensor([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)

    def targets(self, truth: Float[Tensor, "batch h w 3"]) -> Float[Tensor, "batch h w 3"]:
        """The normals, turned about z."""
        return truth @ self.turn.T.to(truth)

    def mask(self, truth: Float[Tensor, "batch h w 3"]) -> Bool[Tensor, "batch h w"]:
        """The pixels that show the object."""
        return (truth != 0).any(-1)

    def total(self, losses: Float[Tensor, "batch h w"], truth: Float[Tensor, "batch h w 3"]) -> Float[Tensor, ""]:
        """Over the pixels that show the object."""
        return (losses * self.mask(truth)).sum()

    def answer(self, points: Float[Tensor, "batch h w 3"]) -> Float[Tensor, "batch h w 3"]:
        """The normals, turned back."""
        return points @ self.turn.to(points)

    def error(
        self, answer: Float[Tensor, "batch h w 3"], truth: Float[Tensor, "batch h w 3"]
    ) -> Float[Tensor, "batch h w"]:
        """The angle between the two normals."""
        return angle_between(answer, truth)
