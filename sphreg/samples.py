"""The views of one split, as the batches that a task learns from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Float32, Int64, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from sphreg.errors import UserError
from sphreg.info import SplitName, read_info
from sphreg.split import QUATERNION, read_split
from sphreg.views import Views


@dataclass
class Batch:
    """Some views, and what is true of them: quaternions XYZW, or maps of normals, as vectors or as they are stored."""

    images: UInt8[Tensor, "batch 1 h w"]
    categories: Int64[Tensor, "batch"]
    truth: Float[Tensor, "batch *truth"] | UInt8[Tensor, "batch h w 3"]

    def to(self, device: torch.device, non_blocking: bool = False) -> "Batch":
        """The same on a device, where maps of normals become vectors: stored they are a quarter of the bytes."""
        images, categories, truth = (value.to(device, non_blocking=non_blocking) for value in self.tensors())
        return Batch(images, categories, normals(truth) if truth.dtype == torch.uint8 else truth)

    def pin_memory(self) -> "Batch":
        """The same in memory that a GPU can read while the CPU goes on."""
        return Batch(*(value.pin_memory() for value in self.tensors()))

    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """Images, categories and truth."""
        return self.images, self.categories, self.truth

    def __getitem__(self, rows: Int64[Tensor, "batch"]) -> "Batch":
        return Batch(*(value[rows] for value in self.tensors()))


def normals(colours: UInt8[Tensor, "*n 3"]) -> Float32[Tensor, "*n 3"]:
    """What `sphreg.render.camera.decode_normals` does, on any device.

    Written out, as torch takes four times as long on a CPU to reduce a last axis of three.
    """
    vectors = colours.float() * (2 / 255) - 1
    x, y, z = vectors.unbind(-1)
    red, green, blue = colours.unbind(-1)
    shown = (red | green | blue) != 0
    return vectors * (shown * (x * x + y * y + z * z).rsqrt())[..., None]  # no colour has length 0


class Samples(Dataset[Batch]):
    """The views of a split in the order of its table.

    Attributes:
        table: a row per view, with the columns of the split's CSV.
        categories: their places are the numbers of the categories in a batch.
        images: the views.
        normals: the maps of normals, if these are the truth.
    """

    def __init__(self, table: pd.DataFrame, categories: list[str], images: Views, normals: Views | None):
        unknown = set(table["category"]) - set(categories)
        if unknown:
            raise UserError(f"{images.path}: category {min(unknown)!r} is unknown, allowed: {', '.join(categories)}.")
        self.table = table
        self.categories = categories
        self.images, self.normals = images, normals
        self._kept: Batch | None = None
        self._keys = table["key"].to_numpy(object)
        self._categories = torch.tensor([categories.index(name) for name in table["category"]], dtype=torch.long)
        self._quaternions = torch.tensor(table[QUATERNION].to_numpy(np.float64))

    @classmethod
    def read(cls, data: Path, split: SplitName, with_normals: bool, categories: list[str] | None = None) -> "Samples":
        """All views of a split of the packed dataset; those with normals where these are the truth.

        Args:
            data: the packed dataset.
            split: which.
            with_normals: whether the truth is the normals, or else the rotation.
            categories: those that a model knows; None: those of the split, sorted.

        Raises:
            UserError: the dataset is not as it was packed, there is no such view, or one has a category that is not
                among `categories`.
        """
        found = read_split(data, split, read_info(data), with_normals)
        table = found.table
        categories = categories or sorted(table["category"].unique())
        if found.normals is not None:
            table = table[table["key"].isin(set(found.normals.keys))]
        if table.empty:
            raise UserError(f"{data}: the split {split} has no view{' with normals' if with_normals else ''}.")
        return cls(table.reset_index(drop=True), categories, found.images, found.normals)

    def __len__(self) -> int:
        return len(self.table)

    @property
    def device(self) -> torch.device:
        """Where batches are made."""
        return torch.device("cpu") if self._kept is None else self._kept.images.device

    def hold_out(self, share: float) -> "tuple[Samples, Samples]":
        """These samples without, and with only, the last `share` of the meshes of each category, by name."""
        meshes = self.table[["category", "mesh"]].drop_duplicates().sort_values(["category", "mesh"])
        place = meshes.groupby("category").cumcount() / meshes.groupby("category")["mesh"].transform("size")
        held_out = self.table["mesh"].isin(meshes["mesh"][place >= 1 - share])
        return self._where(~held_out), self._where(held_out)

    def _where(self, rows: pd.Series) -> "Samples":
        return Samples(self.table[rows].reset_index(drop=True), self.categories, self.images, self.normals)

    def kept(self, everything: Batch) -> "Samples":
        """The same samples, taken from memory: all of them, in their order, as `samples[rows]` gave them."""
        same = Samples(self.table, self.categories, self.images, self.normals)
        same._kept = everything
        return same

    def __getitem__(self, rows: Sequence[int]) -> Batch:
        """The samples of these rows of the table; maps of normals as they are stored."""
        places = torch.tensor(rows)
        if self._kept is not None:
            if self.device.type == "cuda":
                places = places.pin_memory().to(self.device, non_blocking=True)  # or the CPU would wait for the GPU
            return self._kept[places]
        keys = self._keys[rows]
        images = torch.from_numpy(self.images.images(keys))[:, None]
        if self.normals is None:
            truth = self._quaternions[places]
        else:
            truth = torch.from_numpy(np.stack([self.normals.colours(key) for key in keys]))
        return Batch(images, self._categories[places], truth)

    __getitems__ = __getitem__  # what a DataLoader asks for, once a batch

    def batch(self, rows: Int64[Tensor, "batch"]) -> Batch:
        """The samples of these rows of the table, ready for use on the CPU."""
        return self[rows.tolist()].to(torch.device("cpu"))
