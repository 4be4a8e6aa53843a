"""The network of the pose tasks."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn

from sphreg.config import RotationTraining, ViewpointTraining
from sphreg.networks.backbones import Backbone
from sphreg.networks.branches import Branches


class PoseNetwork(nn.Module):
    """Image -> backbone -> branches -> raw outputs of each point; those of the image's category, if they are apart."""

    def __init__(
        self,
        backbone: Backbone,
        layers: nn.Module,
        parts: Sequence[int],
        points: int,
        categories: int,
        settings: RotationTraining,
    ):
        super().__init__()
        node, features = backbone.features
        copies = points if isinstance(settings, ViewpointTraining) and settings.hidden_per_angle else 1
        self.per_category = settings.per_category
        self.parts = len(parts)
        self.shape = (categories if self.per_category else 1, points // copies, -1)
        self.node, self.prepared, self.backbone = node, backbone.prepared, layers
        self.branches = Branches(
            lambda: nn.Linear(features, settings.hidden),
            lambda part: nn.Linear(settings.hidden, math.prod(self.shape[:2]) * part),
            parts,
            settings,
            copies,
        )

    def forward(
        self, images: UInt8[Tensor, "batch 1 h w"], categories: Int64[Tensor, "batch"]
    ) -> Float[Tensor, "batch points raw"]:
        """Raw outputs, the parts side by side."""
        features = self.backbone(self.prepared(images))[self.node]
        parts = [part.unflatten(1, self.shape) for part in self.branches(features)]
        copies = [torch.cat(parts[i : i + self.parts], dim=-1) for i in range(0, len(parts), self.parts)]
        raw = torch.cat(copies, dim=-2)
        if not self.per_category:
            return raw[:, 0]
        return raw[torch.arange(len(raw), device=raw.device), categories]
