"""Backbones, and the layers between a backbone and the raw outputs of a head."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, ResNet, ResNet18_Weights

from sphreg.config import RotationTraining, Training
from sphreg.errors import UserError
from sphreg.tasks.base import Pose, Task


class Backbone(nn.Module):
    """Grey images to a pyramid of feature maps, from fine (half the image's size) to coarse; each halves the last.

    Attributes:
        channels: of each map.
        pooled: width and height that the coarsest map is pooled to for the pose tasks.
    """

    channels: tuple[int, ...]
    pooled: int


class Small(Backbone):
    """Four strided convolutions: fast on a CPU at 64 pixels."""

    channels = (16, 32, 64, 128)
    pooled = 4

    def __init__(self) -> None:
        super().__init__()
        inputs = (1, *self.channels)
        self.levels = nn.ModuleList(convolution(a, b, stride=2) for a, b in zip(inputs, self.channels, strict=False))

    def forward(self, images: Float[Tensor, "batch 1 h w"]) -> list[Float[Tensor, "batch _ _ _"]]:
        """The four maps."""
        maps = [images]
        for level in self.levels:
            maps.append(level(maps[-1]))
        return maps[1:]


class ResNet18(ResNet, Backbone):
    """torchvision's, without its last layer; grey is repeated to three channels, so that its weights fit."""

    channels = (64, 64, 128, 256, 512)
    pooled = 1
    conv1: nn.Module
    bn1: nn.Module
    relu: nn.Module
    maxpool: nn.Module

    def __init__(self) -> None:
        super().__init__(BasicBlock, [2, 2, 2, 2])
        del self.fc

    def forward(self, images: Float[Tensor, "batch 1 h w"]) -> list[Float[Tensor, "batch _ _ _"]]:
        """The maps after the first convolution and after each of the four layers."""
        maps = [self.relu(self.bn1(self.conv1(images.expand(-1, 3, -1, -1))))]
        x = self.maxpool(maps[0])
        for name in ("layer1", "layer2", "layer3", "layer4"):
            x = self.get_submodule(name)(x)
            maps.append(x)
        return maps


BACKBONES: dict[str, type[Backbone]] = {"small": Small, "resnet18": ResNet18}


class Branches(nn.Module):
    """A hidden layer and an output layer for each part of a head; the hidden layer may be one for all."""

    def __init__(
        self,
        hidden: Callable[[], nn.Module],
        outputs: Callable[[int], nn.Module],
        parts: Sequence[int],
        settings: Training,
    ):
        super().__init__()
        self.hidden = nn.ModuleList(hidden() for _ in range(1 if settings.share_hidden else len(parts)))
        self.outputs = nn.ModuleList(outputs(part) for part in parts)
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, features: Tensor) -> list[Tensor]:
        """The output of each part."""
        hidden = [self.dropout(F.relu(layer(features))) for layer in self.hidden]
        return [output(hidden[i % len(hidden)]) for i, output in enumerate(self.outputs)]


class PoseNetwork(nn.Module):
    """Image -> backbone -> branches -> raw outputs of each point; those of the image's category, if they are apart."""

    def __init__(
        self, backbone: Backbone, parts: Sequence[int], points: int, categories: int, settings: RotationTraining
    ):
        super().__init__()
        self.per_category = settings.per_category
        self.shape = (categories if self.per_category else 1, points, -1)
        features = backbone.channels[-1] * backbone.pooled**2
        self.backbone = backbone
        self.branches = Branches(
            lambda: nn.Linear(features, settings.hidden),
            lambda part: nn.Linear(settings.hidden, math.prod(self.shape[:2]) * part),
            parts,
            settings,
        )

    def forward(
        self, images: UInt8[Tensor, "batch 1 h w"], categories: Int64[Tensor, "batch"]
    ) -> Float[Tensor, "batch points raw"]:
        """Raw outputs, the parts side by side."""
        features = F.adaptive_avg_pool2d(self.backbone(scaled(images))[-1], self.backbone.pooled).flatten(1)
        raw = torch.cat([part.unflatten(1, self.shape) for part in self.branches(features)], dim=-1)
        if not self.per_category:
            return raw[:, 0]
        return raw[torch.arange(len(raw), device=raw.device), categories]


class PixelNetwork(nn.Module):
    """Image -> backbone -> decoder with skip connections -> branches -> raw outputs of each pixel.

    The decoder works at up to half of the image's size; its outputs hold 2 x 2 pixels each (Shi et al., "Real-Time
    Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network", CVPR 2016), as
    layers at the full size would cost most of the time.
    """

    def __init__(self, backbone: Backbone, parts: Sequence[int], settings: Training):
        super().__init__()
        self.backbone = backbone
        coarse_to_fine = backbone.channels[::-1]
        self.levels = nn.ModuleList(convolution(a + b, b) for a, b in pairwise(coarse_to_fine))
        self.branches = Branches(
            lambda: nn.Conv2d(coarse_to_fine[-1], settings.hidden, 3, padding=1),
            lambda part: nn.Conv2d(settings.hidden, 4 * part, 1),
            parts,
            settings,
        )

    def forward(
        self, images: UInt8[Tensor, "batch 1 h w"], categories: Int64[Tensor, "batch"]
    ) -> Float[Tensor, "batch h w raw"]:
        """Raw outputs, the parts side by side; the category is not used."""
        x, *skips = reversed(self.backbone(scaled(images)))
        for level, skip in zip(self.levels, skips, strict=True):
            x = level(torch.cat([F.interpolate(x, size=skip.shape[-2:]), skip], dim=1))
        raw = torch.cat([F.pixel_shuffle(part, 2) for part in self.branches(x)], dim=1)
        return raw[..., : images.shape[-2], : images.shape[-1]].permute(0, 2, 3, 1)


def build(task: Task, parts: Sequence[int], categories: int) -> PoseNetwork | PixelNetwork:
    """The network of a task, with `parts` raw outputs per point (see `Head.parts`), in random weights.

    The backbone's weights are read where the settings name some.

    Raises:
        UserError: the weights are not to be had or belong to another backbone.
    """
    backbone = BACKBONES[task.settings.backbone]()
    if task.settings.weights is not None:
        load_weights(backbone, task.settings.weights)
    if isinstance(task, Pose):
        return PoseNetwork(backbone, parts, task.points, categories, task.settings)
    return PixelNetwork(backbone, parts, task.settings)


def load_weights(backbone: Backbone, weights: str) -> None:
    """Fill a backbone with torchvision's ImageNet weights, or with those of a safetensors file."""
    try:
        if weights == "imagenet":
            state = ResNet18_Weights.IMAGENET1K_V1.get_state_dict(progress=True)
            state = {name: weight for name, weight in state.items() if not name.startswith("fc.")}
        else:
            state = load_file(weights)
        backbone.load_state_dict(state)
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"weights {weights!r} do not fill the backbone {type(backbone).__name__}: {reason}") from None


def convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """A 3 x 3 convolution with batch normalisation and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


def scaled(images: UInt8[Tensor, "batch 1 h w"]) -> Float[Tensor, "batch 1 h w"]:
    """Grey levels with the mean and deviation of ImageNet's, which the weights of torchvision expect."""
    return (images.float() / 255 - 0.449) / 0.226
