"""Models of a few weights, as the stage `train` leaves them."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from sphreg.model import Model, ModelConfig
from tests.settings import PARAMS

CATEGORIES = ["bed", "night_stand", "sofa"]
SIZE = 16


def write_model(folder: Path, task: str, head: str = "sexp", **settings: Any) -> Model:
    """Random weights, the same of the same arguments, whose answers depend on the image; as `last` weights."""
    section = getattr(PARAMS.train, task).model_copy(update={"hidden": 8} | settings)
    head_settings: dict[Any, dict[str, Any]] = {**PARAMS.head_settings[head]}
    config = ModelConfig(
        task=task,
        head=head,
        categories=CATEGORIES,
        size=SIZE,
        seed=0,
        train=section,
        head_settings=head_settings.get(task, {}),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Model(config)
        for weight in model.network.parameters():
            if weight.ndim > 1:
                torch.nn.init.kaiming_normal_(weight)
    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder / "last.safetensors")
    return model


def pictures(n: int, height: int = SIZE, width: int = SIZE, channels: int = 0, seed: int = 0) -> np.ndarray:
    """Noise, uint8: (n, h, w), or with channels (n, h, w, c)."""
    shape = (n, height, width, channels) if channels else (n, height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
