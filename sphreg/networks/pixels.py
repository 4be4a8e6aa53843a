"""The networks of normals."""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn

from sphreg.config import Training
from sphreg.networks.backbones import Backbone, convolution
from sphreg.networks.branches import Branches


class PixelNetwork(nn.Module):
    """Image -> backbone -> decoder with skip connections -> branches -> raw outputs of each pixel.

    The decoder works at up to half of the image's size; its outputs hold 2 x 2 pixels each (Shi et al., "Real-Time
    Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network", CVPR 2016), as
    layers at the full size would cost most of the time.
    """

    def __init__(self, backbone: Backbone, layers: nn.Module, parts: Sequence[int], settings: Training):
        super().__init__()
        self.prepared, self.backbone = backbone.prepared, layers
        coarse_to_fine = list(backbone.maps.values())[::-1]
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
        height, width = images.shape[-2:]
        x, *skips = reversed(self.backbone(self.prepared(images)).values())
        for level, skip in zip(self.levels, skips, strict=True):
            x = level(torch.cat([F.interpolate(x, size=skip.shape[-2:]), skip], dim=1))
        x = F.interpolate(x, size=((height + 1) // 2, (width + 1) // 2))  # changes what alexnet gives, a quarter, alone
        raw = torch.cat([F.pixel_shuffle(part, 2) for part in self.branches(x)], dim=1)
        return raw[..., :height, :width].permute(0, 2, 3, 1)


class MirroredNetwork(nn.Module):
    """Image -> VGG16 -> its mirror image -> branches -> raw outputs of each pixel, as published.

    The decoder undoes each pooling: a value goes back to the pixel that it was the maximum at. Skip connections lead to
    each of its sizes, and the last layers, at the full one, are those of the branches. Published are transposed
    convolutions of stride 1, which are convolutions. (After Zhang et al., "Physically-Based Rendering for Indoor Scene
    Understanding Using Convolutional Neural Networks", CVPR 2017.)
    """

    def __init__(self, backbone: Backbone, layers: nn.Module, parts: Sequence[int], settings: Training):
        super().__init__()
        self.prepared, self.backbone = backbone.prepared, layers
        self.levels = nn.ModuleList(
            nn.Sequential(*(convolution(a, b) for a, b in pairwise(channels)))
            for channels in (
                (512, 512, 512, 512),
                (512 + 512, 512, 512, 256),
                (256 + 256, 256, 256, 128),
                (128 + 128, 128, 64),
            )
        )
        self.branches = Branches(
            lambda: nn.Sequential(nn.Conv2d(64 + 64, settings.hidden, 3, padding=1), nn.BatchNorm2d(settings.hidden)),
            lambda part: nn.Sequential(nn.Conv2d(settings.hidden, part, 3, padding=1), nn.BatchNorm2d(part)),
            parts,
            settings,
        )

    def forward(
        self, images: UInt8[Tensor, "batch 1 h w"], categories: Int64[Tensor, "batch"]
    ) -> Float[Tensor, "batch h w raw"]:
        """Raw outputs, the parts side by side; the category is not used."""
        x, *skips = reversed(self.backbone(self.prepared(images)).values())
        for level, skip in zip(self.levels, skips, strict=True):
            _, maxima = F.max_pool2d(skip, 2, return_indices=True)
            x = torch.cat([skip, F.max_unpool2d(level(x), maxima, [2, 2], output_size=skip.shape[-2:])], dim=1)
        return torch.cat(self.branches(x), dim=1).permute(0, 2, 3, 1)
