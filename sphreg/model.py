"""A network with the task and the head that it was trained for."""

from collections.abc import Iterator
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from sphreg import heads, networks
from sphreg.config import NormalsTraining, Params, RotationTraining, Section, TaskName, ViewpointTraining
from sphreg.errors import UserError
from sphreg.files import whole, write_whole
from sphreg.samples import Batch, Samples
from sphreg.tasks import TASKS


class ModelConfig(Section):
    """What a model is made from, and all that its training depends on but for the images.

    Attributes:
        categories: their places are the numbers of the categories in a batch.
        size: width and height of the images; `sphreg.predict` brings others to it.
    """

    task: TaskName
    head: str
    categories: list[str]
    size: int
    seed: int
    train: RotationTraining | ViewpointTraining | NormalsTraining
    head_settings: dict[str, Any]

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
                "train": getattr(params.train, task),
                "head_settings": params.head_settings[head].get(task, {}),
            }
        )


class Model:
    """Turns images into points on a sphere.

    Raises:
        UserError: the weights of the backbone are not to be had.
    """

    def __init__(self, config: ModelConfig):
        self.config = config
        self.task = TASKS[config.task](config.train)
        self.head = heads.build(config.head, self.task.sphere, config.head_settings)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network = networks.build(self.task, self.head.parts, len(config.categories))
        self.network.to(self.device).to(memory_format=torch.channels_last)

    def raw(self, batch: Batch) -> Float[Tensor, "batch *points raw"]:
        """The network's outputs; the heads work on them in float32."""
        return self.network(batch.images, batch.categories).float()

    @torch.inference_mode()
    def predict(self, batch: Batch) -> Float[Tensor, "batch *points dim"]:
        """The predicted points of a batch, on the CPU."""
        self.network.eval()
        return self.head.predict(self.raw(batch.to(self.device))).cpu()

    def points(self, samples: Samples, batch_size: int) -> Iterator[tuple[Batch, Float[Tensor, "batch *points dim"]]]:
        """All samples in order, batch by batch, with their predicted points."""
        for start in range(0, len(samples), batch_size):
            batch = samples.batch(torch.arange(start, min(start + batch_size, len(samples))))
            yield batch, self.predict(batch)

    def save(self, weights: Path) -> None:
        """Write the weights, and the config beside them."""
        state = {name: tensor.contiguous() for name, tensor in self.network.state_dict().items()}
        with whole(weights) as partial:
            save_file(state, partial)
        write_whole(weights.with_name("config.json"), (self.config.model_dump_json(indent=2) + "\n").encode())

    @classmethod
    def load(cls, weights: Path) -> "Model":
        """Read what `save` wrote.

        Raises:
            UserError: a file is missing, or is not what `save` writes.
        """
        try:
            config = ModelConfig.model_validate_json(weights.with_name("config.json").read_text(encoding="utf-8"))
            with torch.random.fork_rng(devices=[]):  # of the initial weights, which are replaced
                model = cls(config.model_copy(update={"train": config.train.model_copy(update={"weights": None})}))
            state = load_file(weights)
        except OSError as error:
            raise UserError(f"{error.filename or weights}: it cannot be read ({error.strerror or error}).") from None
        except ValueError as error:
            reason = shorten(str(error), 150, placeholder=" ...")
            raise UserError(f"{weights.with_name('config.json')}: it is no config of a model ({reason}).") from None
        except SafetensorError as error:
            raise UserError(f"{weights}: it is no safetensors file, or was cut short ({error}).") from None
        try:
            model.network.load_state_dict(state)
        except RuntimeError as error:
            what = f"the backbone {config.train.backbone}, the task {config.task} and the head {config.head}"
            first = shorten(str(error).splitlines()[1].rstrip("."), 150, placeholder=" ...")
            raise UserError(f"{weights}: its weights are not those of {what} ({first}).") from None
        return model
