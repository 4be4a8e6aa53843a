"""The official ModelNet10 archive: checked, and read without unpacking it to disk.

Wu et al., "3D ShapeNets: A deep representation for volumetric shapes", CVPR 2015.
"""

import re
import stat
import zipfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from sphreg.errors import UserError

# Meshes for training and for test.
COUNTS = {
    "bathtub": (106, 50),
    "bed": (515, 100),
    "chair": (889, 100),
    "desk": (200, 86),
    "dresser": (200, 86),
    "monitor": (465, 100),
    "night_stand": (200, 86),
    "sofa": (680, 100),
    "table": (392, 100),
    "toilet": (344, 100),
}

# Bytes. A mesh of 500,000 faces has about 25 MB and all of ModelNet10 a few GB, so what is larger is no such archive.
LARGEST_MESH = 256 * 2**20
LARGEST_SUM = 16 * 2**30

_MESH = re.compile(r"ModelNet10/([^/]+)/(train|test)/([^/]+)\.off")


class Member(NamedTuple):
    """A mesh in the archive, and the name of its file there."""

    category: str
    split: str
    mesh: str
    file: str


def choose(path: Path, categories: Sequence[str], limits: Mapping[str, int | None]) -> list[Member]:
    """The meshes to take from the archive: of each category and split the first by name.

    Args:
        path: the archive.
        categories: keys of `COUNTS`.
        limits: for "train" and "test", how many of each category; None: all.

    Raises:
        UserError: it is no zip archive, has a member that no archive of meshes has, or other numbers of meshes in
            these categories than `COUNTS`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except Exception as error:  # zipfile gives no list of what a damaged archive raises
        raise UserError(f"{path}: it is no zip archive, or is damaged ({error})") from None
    for info in infos:
        _refuse_danger(path, info)
    if sum(info.file_size for info in infos) > LARGEST_SUM:
        raise UserError(f"{path}: it would unpack to more than {LARGEST_SUM} bytes, which ModelNet10 does not")
    found = defaultdict(set)
    for info in infos:
        match = _MESH.fullmatch(info.filename)
        if match and not match[3].startswith("._"):
            found[match[1], match[2]].add(Member(match[1], match[2], match[3], info.filename))
    problems = [
        f"{path}: {category}/{split} has {len(found[category, split])} meshes, ModelNet10 has {count}"
        for category in categories
        for split, count in zip(("train", "test"), COUNTS[category], strict=True)
        if len(found[category, split]) != count
    ]
    if problems:
        raise UserError("\n".join(problems))
    return [
        member
        for category in categories
        for split, limit in limits.items()
        for member in sorted(found[category, split])[:limit]
    ]


def read(archive: zipfile.ZipFile, file: str) -> bytes:
    """The content of a member, at most `LARGEST_MESH` bytes.

    Raises:
        UserError: it is damaged or larger; the reason alone, as the caller knows the file.
    """
    try:
        with archive.open(file) as member:
            data = member.read(LARGEST_MESH + 1)  # whatever its header promises
    except Exception as error:
        raise UserError(f"is damaged in the archive ({error})") from None
    if len(data) > LARGEST_MESH:
        raise UserError(f"has more than {LARGEST_MESH} bytes")
    return data


def _refuse_danger(path: Path, info: zipfile.ZipInfo) -> None:
    """No name in it is ever used as a path, but an archive with a name that leaves its folder is not ModelNet10."""
    parts = re.split(r"[/\\]", info.orig_filename)
    if ".." in parts or parts[0] == "" or re.match(r"[A-Za-z]:", parts[0]):
        problem = "its path leaves the archive's folder"
    elif stat.S_ISLNK(info.external_attr >> 16):
        problem = "it is a symbolic link"
    elif info.flag_bits & 1:
        problem = "it is encrypted"
    elif info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        problem = "it is compressed in an unusual way"  # and would be unpacked whole, past any limit
    elif info.file_size > LARGEST_MESH:
        problem = f"it has more than {LARGEST_MESH} bytes"
    else:
        return
    raise UserError(f"{path}: the member {info.filename!r} is refused: {problem}")
