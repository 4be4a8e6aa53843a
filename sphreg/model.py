"""A network with the task and the head that it was trained for."""

import math
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from textwrap import shorten
from typing import Annotated, Any

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from sphreg import heads, networks, tasks
from sphreg.checksums import check_if_any
from sphreg.config import (
    DeviceName,
    NormalsTraining,
    Params,
    RotationTraining,
    Section,
    TaskName,
    Train,
    ViewpointTraining,
)
from sphreg.devices import accelerator, check_device
from sphreg.errors import UserError
from sphreg.files import write_whole
from sphreg.heads import HEADS
from sphreg.loading import in_order, loader
from sphreg.reading import read_json, reading
from sphreg.samples import Batch, Samples


class ModelConfig(Section):
    """What a model is made from, and all that its training depends on but for the images.

    Attributes:
        categories: their places are the numbers of the categories in a batch.
        size: width and height of the images; `sphreg.predict` brings others to it.
    """

    task: TaskName
    head: str
    categories: Annotated[list[str], Field(min_length=1)]
    size: Annotated[int, Field(ge=1, le=2048)]
    seed: int
    train: RotationTraining | ViewpointTraining | NormalsTraining
    head_settings: dict[str, Any]

    @model_validator(mode="after")
    def _parts_fit(self) -> "ModelConfig":
        if self.head not in HEADS:
            raise ValueError(f"head is {self.head!r}, allowed: {', '.join(HEADS)}")
        if len(set(self.categories)) < len(self.categories):
            raise ValueError("categories has one twice, allowed: each once")
        if type(self.train) is not Train.model_fields[self.task].annotation:
            raise ValueError(f"train is of another task than {self.task}")
        return self

    @classmethod
    def of(cls, params: Params, task: str, head: str, categories: list[str], size: int) -> "ModelConfig":
        """The part of all settings that concerns one task and one head."""
        return cls.model_validate(
            {
                "task": task,
                "head": head,
                "categories": categories,
                "size": size,
                "seed": params.seed,
                "train": params.train.of(task),
                "head_settings": params.head_settings[head].get(task, {}),
            }
        )


class Model:
    """Turns images into points on a sphere.

    Attributes:
        accelerator: where it runs.
        network: without what is around it while several processes train it.

    Raises:
        UserError: the weights of the backbone are not to be had, those of the file are of another network or not
            finite, or there is no such device.
    """

    def __init__(self, config: ModelConfig, device: DeviceName = "auto", weights: Path | None = None):
        self.config = config
        self.accelerator = accelerator(device)
        self.task = tasks.build(config.task, config.train)
        self.head = heads.build(config.head, self.task.sphere, config.head_settings)
        self.device = self.accelerator.device
        # A config that was not held against weights yet may ask for any size.
        with nullcontext() if weights is None else torch.device("meta"):
            self.network = networks.build(self.task, self.head.parts, len(config.categories))
        if weights is not None:
            _fill(self.network, weights, config)
        self.network.to(self.device).to(memory_format=torch.channels_last)

    def raw(self, batch: Batch, network: nn.Module | None = None) -> Float[Tensor, "batch *points raw"]:
        """The network's outputs for a batch on the device; the heads work on them in float32."""
        reduced = self.config.train.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=reduced):
            raw: Tensor = (network or self.network)(batch.images, batch.categories)
        return raw.float()

    @torch.inference_mode()
    def predict(self, batch: Batch) -> Float[Tensor, "batch *points dim"]:
        """The predicted points of a batch, on the device."""
        self.network.eval()
        return self.head.predict(self.raw(batch.to(self.device)))

    def points(self, samples: Samples, batch_size: int) -> Iterator[tuple[Batch, Float[Tensor, "batch *points dim"]]]:
        """All samples in order, batch by batch, with their predicted points, on the CPU.

        Of processes that were launched together each predicts a part, and all get the whole.
        """
        processes = self.accelerator.num_processes
        rows = in_order(len(samples), math.ceil(batch_size / processes) * processes)
        for batch in loader(samples, rows, self.accelerator):
            found = self.accelerator.gather_for_metrics((*batch.tensors(), self.predict(batch)))
            images, categories, truth, points = (value.cpu() for value in found)
            yield Batch(images, categories, truth), points

    def save(self, weights: Path) -> None:
        """Write the weights, and the config beside them.

        Raises:
            UserError: a file cannot be written; an older one is still there then.
        """
        state = {name: tensor.contiguous() for name, tensor in self.network.state_dict().items()}
        write_whole(weights, save(state))
        write_whole(weights.with_name("config.json"), (self.config.model_dump_json(indent=2) + "\n").encode())

    @classmethod
    def load(cls, weights: Path, device: DeviceName = "auto") -> "Model":
        """Read what `save` wrote.

        Raises:
            UserError: a file is missing, or is not what `save` writes, or there is no such device.
        """
        check_device(device)
        path = weights.with_name("config.json")
        config = read_json(path, ModelConfig)
        check_if_any(weights.parent, [path.name, weights.name])
        own = config.model_copy(update={"train": config.train.model_copy(update={"weights": None})})
        with reading(path, "the config of a model"):
            return cls(own, device, weights)


def _fill(network: nn.Module, path: Path, config: ModelConfig) -> None:
    """Give a network that has no memory the weights of a file, whose header says before whether they fit."""
    own = network.state_dict()
    with reading(path, "a safetensors file"):
        with safe_open(path, "pt") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        wanted = {name: tuple(weight.shape) for name, weight in own.items()}
        for name in sorted(wanted.keys() | shapes.keys()):
            found, right = (str(known.get(name, "missing")) for known in (shapes, wanted))
            if found != right:
                what = f"the backbone {config.train.backbone}, the task {config.task} and the head {config.head}"
                name = shorten(name, 100, placeholder=" ...")
                raise UserError(f"{path}: its weights are not those of {what} ({name} is {found}, allowed: {right}).")
        state = {name: weight.clone() for name, weight in load_file(path).items()}  # or the file would stay open
        for name, weight in state.items():
            if weight.dtype != own[name].dtype or not weight.isfinite().all():
                raise UserError(f"{path}: {name} is {weight.dtype}, allowed: {own[name].dtype}, and finite.")
        network.load_state_dict(state, assign=True)
