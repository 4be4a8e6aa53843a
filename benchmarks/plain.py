"""The loop of training that people write, to be compared with: rotation, with the head sexp.

Each of its habits can be left out; what is done instead is what `sphreg` does. It gives the same losses.
"""

import io
from collections.abc import Collection, Iterator
from itertools import product
from typing import Any

import numpy as np
import simplejpeg
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.optim import Optimizer
from torch.utils.data import BatchSampler, DataLoader, Dataset, default_collate

from sphreg.model import Model
from sphreg.networks.backbones import scaled
from sphreg.rotations import canonical
from sphreg.samples import Samples
from sphreg.spheres import s_exp

HABITS = {  # by name, what is done instead
    "pillow": "simplejpeg in place of Pillow",
    "samples": "batches at once in place of samples and torch's default collate",
    "floats": "images are made floats, and normalised, a batch at once",
    "signs": "sign classes of a batch at once in place of a dict",
    "item": "without `.item()` at each step",
}
MEAN, DEVIATION = 0.449, 0.226  # of ImageNet's grey levels
# In the order of `Sphere.sign_class`, where x is the lowest bit.
CLASSES = {signs[::-1]: number for number, signs in enumerate(product((1, -1), repeat=3))}
Batch = dict[str, Tensor]


class Images(Dataset[dict[str, Any]]):
    """The views of a split, one by one."""

    def __init__(self, samples: Samples, habits: Collection[str]):
        self.habits, self.views = habits, samples.images
        self.keys = samples.table["key"].tolist()
        self.categories = [samples.categories.index(name) for name in samples.table["category"]]
        self.quaternions = samples.table[["qx", "qy", "qz", "qw"]].to_numpy(np.float64)

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, row: int) -> dict[str, Any]:
        quaternion = self.quaternions[row]
        return {
            "images": self.converted(self.decoded(row)[None]),
            "categories": self.categories[row],
            "quaternions": quaternion if quaternion[3] >= 0 else -quaternion,
        }

    def decoded(self, row: int) -> np.ndarray:
        content = self.views[self.keys[row]]
        if "pillow" in self.habits:
            return np.array(Image.open(io.BytesIO(content)))
        return simplejpeg.decode_jpeg(content, "GRAY")[..., 0]

    def converted(self, image: np.ndarray) -> np.ndarray:
        return (image.astype(np.float32) / 255 - MEAN) / DEVIATION if "floats" in self.habits else image


class Batches(Images):
    """The same, a batch at once."""

    def __getitems__(self, rows: list[int]) -> Batch:
        images = np.stack([self.decoded(row) for row in rows])[:, None]
        return {
            "images": torch.from_numpy(self.converted(images)),
            "categories": torch.tensor([self.categories[row] for row in rows]),
            "quaternions": canonical(torch.from_numpy(self.quaternions[rows])),
        }


def loader(samples: Samples, rows: BatchSampler, habits: Collection[str], processes: int) -> Iterator[Batch]:
    """The batches of these rows."""
    dataset, collate = (Images, default_collate) if "samples" in habits else (Batches, _same)
    return iter(DataLoader(dataset(samples, habits), batch_sampler=rows, num_workers=processes, collate_fn=collate))


def _same(batch: Any) -> Any:
    return batch


def prepare(model: Model) -> None:
    """Let the network of a model take floats."""
    model.network.prepared = lambda images: images


def floats(images: Tensor) -> Tensor:
    """What the loader gives, as the network takes it."""
    return images if images.is_floating_point() else scaled(images)


def loss(model: Model, batch: Batch, habits: Collection[str]) -> Tensor:
    """Of a batch, by a model that was prepared."""
    raw = model.network(floats(batch["images"]), batch["categories"])[:, 0]
    target = batch["quaternions"].float()
    if "signs" not in habits:
        return torch.stack([part.mean() for part in model.head.loss(raw, target).values()]).sum()
    settings = model.config.head_settings
    exponents, logits = raw.split(model.head.parts, dim=-1)
    absolute = 1 - (s_exp(exponents) * target.abs()).sum(-1).mean()
    signs = F.cross_entropy(logits, sign_classes(target))
    return settings["absolute_weight"] * absolute + settings["sign_weight"] * signs


def step(model: Model, optimizer: Optimizer, habits: Collection[str], batch: Batch) -> float | Tensor:
    """One step of training; its loss."""
    found = loss(model, batch, habits)
    optimizer.zero_grad()
    found.backward()
    optimizer.step()
    return found.item() if "item" in habits else found.detach()


def sign_classes(quaternions: Tensor) -> Tensor:
    """After `compute_loss` of S3.3D_Rotation/regQuatNet/regQuatNet.py in github.com/leoshine/Spherical_Regression."""
    signs = torch.sign(quaternions[:, :3])
    signs[signs == 0] = 1
    return torch.tensor([CLASSES[tuple(one)] for one in signs.numpy().astype(np.int32).tolist()])
