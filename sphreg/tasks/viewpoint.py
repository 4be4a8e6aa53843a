"""Viewpoint: azimuth, elevation and tilt, each on S1."""

import cmath
import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sphreg.config import ViewpointTraining
from sphreg.spheres import Sphere
from sphreg.tasks.base import Pose
from sphreg.viewpoints import POLE, viewpoint_angles, viewpoint_quaternions


class Viewpoint(Pose):
    """(cos, sin) of each of the three angles. The error is that of the rotation built from them."""

    sphere = Sphere(dim=2)
    points = 3

    def __init__(self, settings: ViewpointTraining) -> None:
        super().__init__(settings)
        self.shift = torch.tensor([math.radians(settings.azimuth_shift_deg), 0.0, 0.0], dtype=torch.float64)

    def targets(self, truth: Float[Tensor, "batch 4"]) -> Float[Tensor, "batch 3 2"]:
        """(cos, sin) of the angles; the azimuth is shifted first.

        They are products of the complex numbers w + iz and -x - iy, whose angles are half the difference and half the
        sum of tilt and azimuth (see `viewpoint_angles`): no arc tangent, and nothing leaves the device.
        """
        x, y, z, w = truth.double().unbind(-1)
        difference, sum_ = torch.complex(w, z), torch.complex(-x, -y)
        bottom, top = difference.abs(), sum_.abs()
        difference = torch.where(bottom < POLE / 2, sum_.conj(), difference)  # the tilt is 0 at the poles
        sum_ = torch.where(top < POLE / 2, difference.conj(), sum_)
        shift = cmath.rect(1, self.shift[0].item())
        azimuth, tilt = shift * sum_ * difference.conj(), sum_ * difference
        elevation = torch.complex(2 * top * bottom, bottom.square() - top.square())
        points = torch.stack([azimuth, elevation, tilt], dim=-1)
        return torch.view_as_real(points / points.abs()).to(truth)

    def answer(self, points: Float[Tensor, "batch 3 2"]) -> Float[Tensor, "batch 4"]:
        """The rotation of the three angles."""
        angles = torch.atan2(points[..., 1], points[..., 0]).double().cpu() - self.shift
        return torch.from_numpy(viewpoint_quaternions(angles.numpy())).to(points)

    def columns(self, points: Float[Tensor, "batch 3 2"]) -> dict[str, np.ndarray]:
        """The angles in degrees, brought into their ranges, and the sign class of each point, 0 to 3."""
        names = ("azimuth", "elevation", "tilt")
        angles = np.degrees(viewpoint_angles(self.answer(points.double()).numpy()))
        classes = self.sphere.sign_class(points).numpy()
        values = {f"{name}_deg": column for name, column in zip(names, angles.T, strict=True)}
        return values | {f"{name}_sign_class": column for name, column in zip(names, classes.T, strict=True)}
