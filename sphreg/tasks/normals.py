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
        self.turn = math.radians(settings.rotate_xy_deg)

    def targets(self, truth: Float[Tensor, "batch h w 3"]) -> Float[Tensor, "batch h w 3"]:
        """The normals, turned about z."""
        return turned(truth, self.turn)

    def mask(self, truth: Float[Tensor, "batch h w 3"]) -> Bool[Tensor, "batch h w"]:
        """The pixels that show the object."""
        x, y, z = (truth != 0).unbind(-1)  # `any` takes 100 times as long on a CPU
        return x | y | z

    def total(self, losses: Float[Tensor, "batch h w"], truth: Float[Tensor, "batch h w 3"]) -> Float[Tensor, ""]:
        """Over the pixels that show the object."""
        return (losses * self.mask(truth)).sum()

    def answer(self, points: Float[Tensor, "batch h w 3"]) -> Float[Tensor, "batch h w 3"]:
        """The normals, turned back."""
        return turned(points, -self.turn)

    def error(
        self, answer: Float[Tensor, "batch h w 3"], truth: Float[Tensor, "batch h w 3"]
    ) -> Float[Tensor, "batch h w"]:
        """The angle between the two normals."""
        return angle_between(answer, truth)


def turned(vectors: Float[Tensor, "*n 3"], angle: float) -> Float[Tensor, "*n 3"]:
    """Vectors, turned about z by an angle in radians, counterclockwise for who looks against z."""
    cos, sin = math.cos(angle), math.sin(angle)
    x, y, z = vectors.unbind(-1)
    return torch.stack([cos * x - sin * y, sin * x + cos * y, z], dim=-1)
