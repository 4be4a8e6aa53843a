"""Arrays that are read from .npz, and held against what they have to be before they take memory."""

import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sphreg.errors import UserError
from sphreg.reading import reading

LONGEST = 1000  # characters of a text in an array, which takes as much memory for each


@dataclass(frozen=True)
class Array:
    """What an array of an archive is: texts, or finite numbers of a range.

    Attributes:
        dtype: of its numbers; str for texts.
        shape: of each axis its length, or a name: those of one name are equally long, and not empty.
        low: the least number.
        high: the largest number.
    """

    dtype: type
    shape: tuple[int | str, ...]
    low: float = -math.inf
    high: float = math.inf

    def __str__(self) -> str:
        """As messages name it."""
        return f"{np.dtype(self.dtype).name} ({', '.join(map(str, self.shape))})"

    def has(self, dtype: np.dtype) -> bool:
        """Whether it may be of this type."""
        if self.dtype is str:
            return dtype.kind == "U" and dtype.itemsize <= LONGEST * np.dtype("U1").itemsize
        return dtype == self.dtype


def read_arrays(
    path: Path, arrays: Mapping[str, Array], most: Mapping[str, int] | None = None
) -> dict[str, np.ndarray]:
    """These arrays of an .npz file. No memory is taken before the header of an array is known to be right.

    Args:
        path: of the file.
        arrays: what has to be there; others may be there, too, and are left out.
        most: how long the axes with a name may be.

    Raises:
        UserError: the file cannot be read, lacks an array, or has one that is something else.
    """
    lengths: dict[str, int] = {}
    found = {}
    with reading(path, "an archive of arrays"), zipfile.ZipFile(path) as archive:
        for name, array in arrays.items():
            member = archive.getinfo(f"{name}.npy")
            with archive.open(member) as file:
                np.lib.format.read_magic(file)
                shape, _, dtype = np.lib.format.read_array_header_1_0(file)
                size = file.tell() + math.prod(shape) * dtype.itemsize
            for axis, length in zip(array.shape, shape, strict=False):
                if isinstance(axis, str) and 1 <= length <= (most or {})[axis]:
                    lengths.setdefault(axis, length)
            allowed = tuple(lengths.get(axis) if isinstance(axis, str) else axis for axis in array.shape)
            if shape != allowed or not array.has(dtype) or member.file_size != size:
                raise UserError(f"{path}: {name} is {dtype.str} {shape}, allowed: {array}.")
            with archive.open(member) as file:
                values = found[name] = np.lib.format.read_array(file, allow_pickle=False)
            if array.dtype is not str and not _within(values, array):
                raise UserError(f"{path}: {name} has other numbers than from {array.low:g} to {array.high:g}.")
    return found


def _within(values: np.ndarray, array: Array) -> bool:
    least, largest = values.min(initial=0), values.max(initial=0)  # NaN where one is
    return bool(array.low <= least and largest <= array.high and np.isfinite(least) and np.isfinite(largest))
