"""Backbones: what the networks take from torchvision's models of images, and the weights of these."""

from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlparse

import torch
from jaxtyping import Float, UInt8
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import get_model, get_model_weights
from torchvision.models.feature_extraction import create_feature_extractor

from sphreg.config import SMALLEST
from sphreg.errors import UserError
from sphreg.reading import reading


@dataclass(frozen=True)
class Backbone:
    """A model of images, and which outputs of it the networks take, named as torchvision names the nodes of its graph.

    Attributes:
        name: torchvision's, or small.
        inputs: channels of its images.
        features: the node that sums an image up, for the pose tasks, and how many numbers that are.
        maps: nodes of feature maps from fine to coarse, each the last one of its size, and their channels.
    """

    name: str
    inputs: int
    features: tuple[str, int]
    maps: Mapping[str, int]

    def part(self, nodes: Collection[str], weights: str | None, setting: str) -> nn.Module:
        """The layers that lead to some nodes: images to a dict of the nodes' outputs.

        Args:
            nodes: their names.
            weights: null: random; imagenet: torchvision's; a safetensors file of the model, or of these layers.
            setting: the name of the setting for `weights`.

        Raises:
            UserError: the weights are not to be had, are damaged, or belong to another model.
        """
        model = small() if self.name == "small" else get_model(self.name)
        part: nn.Module = create_feature_extractor(model, list(nodes))
        if weights is not None:
            try:
                state = imagenet(self.name) if weights == "imagenet" else read(Path(weights))
                reason = misfit(state, part.state_dict(), model.state_dict())
            except (OSError, RuntimeError, HTTPException, UserError) as error:
                reason = " ".join(str(error).split()).rstrip(".")
            if reason:
                what = f"{setting} is {weights!r}, which gives the backbone {self.name} no weights: {reason}"
                raise UserError(f"{what}; allowed: null or a safetensors file with its weights.")
            part.load_state_dict({name: state[name] for name in part.state_dict() if name in state})
        return part

    def prepared(self, images: UInt8[Tensor, "batch 1 h w"]) -> Float[Tensor, "batch _ h w"]:
        """Grey levels scaled, and repeated for a model of colour images.

        Raises:
            UserError: the images are too small.
        """
        height, width = images.shape[-2:]
        least = SMALLEST[self.name]
        if min(height, width) < least:
            allowed = f"allowed with the backbone {self.name}: at least {least} x {least} (render.size)"
            raise UserError(f"the images have {height} x {width} pixels, {allowed}.")
        return scaled(images).expand(-1, self.inputs, -1, -1)


def small() -> nn.Module:
    """Four strided convolutions: fast on a CPU at 64 pixels."""
    levels = nn.Sequential(*(convolution(a, b, stride=2) for a, b in pairwise((1, 16, 32, 64, 128))))
    return nn.Sequential(OrderedDict(levels=levels, avgpool=nn.AdaptiveAvgPool2d(4), flatten=nn.Flatten()))


def _vgg(name: str, *last: int) -> Backbone:
    """`last`: the layer before each pooling. Features are what the layer of ImageNet's classes gets, as published."""
    maps = {f"features.{layer}": channels for layer, channels in zip(last, (64, 128, 256, 512, 512), strict=True)}
    return Backbone(name, 3, ("classifier.5", 4096), maps)


def _resnet(name: str, expansion: int) -> Backbone:
    maps = {f"layer{i}": 32 * 2**i * expansion for i in (1, 2, 3, 4)}
    return Backbone(name, 3, ("flatten", 512 * expansion), {"relu": 64} | maps)


BACKBONES = {
    "small": Backbone("small", 1, ("flatten", 2048), {f"levels.{i}": 16 * 2**i for i in range(4)}),
    "alexnet": Backbone(
        "alexnet", 3, ("classifier.5", 4096), {"features.1": 64, "features.4": 192, "features.11": 256}
    ),
    "vgg16": _vgg("vgg16", 3, 8, 15, 22, 29),
    "vgg16_bn": _vgg("vgg16_bn", 5, 12, 22, 32, 42),
    "resnet18": _resnet("resnet18", expansion=1),
    "resnet34": _resnet("resnet34", expansion=1),
    "resnet50": _resnet("resnet50", expansion=4),
    "resnet101": _resnet("resnet101", expansion=4),
}


def imagenet(name: str) -> dict[str, Tensor]:
    """The weights of torchvision's first ImageNet training, as published; downloaded if they are not there yet.

    Raises:
        OSError, RuntimeError, HTTPException: they are not to be had, or damaged.
    """
    weights = get_model_weights(name)["IMAGENET1K_V1"]
    file = Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(weights.url).path).name)
    try:  # a pickle without code in it
        state: dict[str, Tensor] = weights.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except Exception as error:
        if isinstance(error, OSError) or not file.exists():
            raise
        raise OSError(f"{file} is damaged, and has to be deleted") from None
    return state


def read(file: Path) -> dict[str, Tensor]:
    """The weights of a safetensors file.

    Raises:
        OSError: there is none.
        UserError: it is something else, or cannot be read.
    """
    if not file.is_file():
        raise OSError("there is no such file")
    with reading(file, "a safetensors file"):
        return load_file(file)


def misfit(state: Mapping[str, Tensor], own: Mapping[str, Tensor], whole: Collection[str]) -> str:
    """The first reason why `state` does not fill `own`, which is a part of a model with the weights `whole`, or ''."""
    for name, weight in own.items():
        if name not in state:
            if not name.endswith("num_batches_tracked"):  # which older files of torchvision lack
                return f"{name} is missing"
        elif state[name].shape != weight.shape:
            return f"{name} has the shape {tuple(state[name].shape)} in place of {tuple(weight.shape)}"
        elif state[name].is_floating_point() != weight.is_floating_point():
            return f"{name} has the type {state[name].dtype} in place of {weight.dtype}"
        elif not state[name].isfinite().all():
            return f"{name} is not finite"
    return next((f"{name} belongs to another model" for name in state if name not in whole), "")


def convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """A 3 x 3 convolution with batch normalisation and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


def scaled(images: UInt8[Tensor, "batch 1 h w"]) -> Float[Tensor, "batch 1 h w"]:
    """Grey levels with the mean and deviation of ImageNet's, which the weights of torchvision expect."""
    return (images.float() / 255 - 0.449) / 0.226
