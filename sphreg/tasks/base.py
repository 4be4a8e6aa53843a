"""The contract of a task."""

from abc import ABC, abstractmethod

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sphreg.config import RotationTraining, Training
from sphreg.rotations import geodesic_angle
from sphreg.spheres import Sphere


class Task(ABC):
    """Says what is learned from an image, as points on a sphere. It knows no head and no network.

    Attributes:
        sphere: where each point lives.
        points: how many points an image has; None: one for each pixel.
    """

    sphere: Sphere
    points: int | None

    def __init__(self, settings: Training) -> None:
        self.settings = settings

    @abstractmethod
    def targets(self, truth: Float[Tensor, "batch *truth"]) -> Float[Tensor, "batch *points dim"]:
        """The points to learn; they mean nothing outside of `mask`."""

    @abstractmethod
    def mask(self, truth: Float[Tensor, "batch *truth"]) -> Bool[Tensor, "batch *errors"]:
        """Where there is a truth: which images, or which pixels."""

    @abstractmethod
    def total(self, losses: Float[Tensor, "batch *points"], truth: Float[Tensor, "batch *truth"]) -> Float[Tensor, ""]:
        """The sum of the losses of a batch, where there is a truth. What is learned is this, divided by how many
        images, or pixels, `mask` has in the batches of all processes.
        """

    @abstractmethod
    def answer(self, points: Float[Tensor, "batch *points dim"]) -> Float[Tensor, "batch *truth"]:
        """What the predicted points say, in the form of the truth."""

    @abstractmethod
    def error(
        self, answer: Float[Tensor, "batch *truth"], truth: Float[Tensor, "batch *truth"]
    ) -> Float[Tensor, "batch *errors"]:
        """The angle between answer and truth in radians, per image or per pixel; it means nothing outside of `mask`."""


class Pose(Task):
    """A task whose truth and answer are a rotation: a quaternion XYZW per image."""

    points: int
    settings: RotationTraining

    def mask(self, truth: Float[Tensor, "batch 4"]) -> Bool[Tensor, "batch"]:
        """All images."""
        return torch.ones(len(truth), dtype=torch.bool, device=truth.device)

    def total(self, losses: Float[Tensor, "batch points"], truth: Float[Tensor, "batch 4"]) -> Float[Tensor, ""]:
        """Over the points of all images, as published."""
        return losses.sum()

    def error(self, answer: Float[Tensor, "batch 4"], truth: Float[Tensor, "batch 4"]) -> Float[Tensor, "batch"]:
        """The geodesic angle between the two rotations."""
        return geodesic_angle(answer, truth)

    @abstractmethod
    def columns(self, points: Float[Tensor, "batch points dim"]) -> dict[str, np.ndarray]:
        """What the table of a test shows of the points, true and predicted ones: values and sign classes."""
