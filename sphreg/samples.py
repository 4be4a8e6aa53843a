"""The views of one split, as the batches that a task learns from."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from sphreg.errors import UserError
from sphreg.views import Views


@dataclass
class Batch:
    """Some views, and what is true of them: quaternions XYZW, or maps of normals."""

    images: UInt8[Tensor, "batch 1 h w"]
    categories: Int64[Tensor, "batch"]
    truth: Float[Tensor, "batch *truth"]

    def to(self, device: torch.device) -> "Batch":
        """The same on another device."""
        return type(self)(*(value.to(device) for value in vars(self).values()))


class Samples:
    """The views of a split in the order of its table.

    Attributes:
        table: a row per view, with the columns of the split's CSV.
        categories: their places are the numbers of the categories in a batch.
    """

    def __init__(self, table: pd.DataFrame, categories: list[str], images: Views, normals: Views | None):
        unknown = set(table["category"]) - set(categories)
        if unknown:
            raise UserError(f"{images.path}: category {min(unknown)!r} is unknown, allowed: {', '.join(categories)}")
        self.table = table
        self._images, self._normals = images, normals
        self.categories = categories
        self._categories = torch.tensor([categories.index(name) for name in table["category"]])
        self._quaternions = torch.from_numpy(table[["qx", "qy", "qz", "qw"]].to_numpy())

    @classmethod
    def read(cls, data: Path, split: str, with_normals: bool, categories: list[str] | None = None) -> "Samples":
        """All views of a split of the packed dataset; those with normals where these are the truth.

        Args:
            data: the packed dataset.
            split: train or test.
            with_normals: whether the truth is the normals, or else the rotation.
            categories: those that a model knows; None: those of the split, sorted.

        Raises:
            UserError: there is no such view, or one has a category that is not among `categories`.
        """
        table = pd.read_csv(data / f"{split}.csv", dtype={"category": str, "mesh": str}, keep_default_na=False)
        categories = categories or sorted(table["category"].unique())
        normals = Views(data / f"{split}.normals.lmdb") if with_normals else None
        if normals is not None:
            table = table[table["key"].isin(set(normals.keys))]
        if table.empty:
            raise UserError(f"{data}: the split {split} has no view{' with normals' if with_normals else ''}.")
        return cls(table.reset_index(drop=True), categories, Views(data / f"{split}.lmdb"), normals)

    def __len__(self) -> int:
        return len(self.table)

    def hold_out(self, share: float) -> "tuple[Samples, Samples]":
        """These samples without, and with only, the last `share` of the meshes of each category, by name."""
        meshes = self.table[["category", "mesh"]].drop_duplicates().sort_values(["category", "mesh"])
        place = meshes.groupby("category").cumcount() / meshes.groupby("category")["mesh"].transform("size")
        held_out = self.table["mesh"].isin(meshes["mesh"][place >= 1 - share])
        return self._where(~held_out), self._where(held_out)

    def _where(self, rows: pd.Series) -> "Samples":
        table = self.table[rows].reset_index(drop=True)
        return type(self)(table, self.categories, self._images, self._normals)

    def batch(self, rows: Int64[Tensor, "batch"]) -> "Batch":
        """The samples of these rows of the table."""
        keys = self.table["key"].iloc[rows.numpy()]
        images = torch.from_numpy(self._images.images(keys))[:, None]
        if self._normals is None:
            truth = self._quaternions[rows]
        else:
            truth = torch.from_numpy(np.stack([self._normals.normals(key) for key in keys]))
        return Batch(images, self._categories[rows], truth)
