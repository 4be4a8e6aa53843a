"""Reading PLY, as text or binary: vertices, and faces of any numbers of corners.

trimesh takes the numbers of corners in a binary file for those of the first face, and refuses comments in the second
line or in Latin-1; plyfile, which reads all of it, is under the GPL.
"""

import re
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from sphreg.errors import UserError


class _Property(NamedTuple):
    """Of a PLY element; `size` is the type of the number of entries of a list."""

    name: str
    kind: str
    size: str | None = None


Elements = dict[str, tuple[int, list[_Property]]]
Tables = dict[str, Any]

# As struct and numpy both call them.
_NAMES = (
    "char uchar short ushort int uint float double int8 uint8 int16 uint16 int32 uint32 float32 float64 int64 uint64"
)
_TYPES = dict(zip(_NAMES.split(), "bBhHiIfdbBhHiIfdqQ", strict=True))
_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}


def parse_ply(data: bytes) -> tuple[Float64[np.ndarray, "v 3"], list[Sequence[int]]]:
    """The vertices, and the corners of each face.

    Raises:
        UserError: the file disagrees with itself or has no faces; the reason alone.
        Exception: any other, where the file is damaged.
    """
    header = re.match(rb"ply[ \t]*(\r\n|\r|\n)(.*?\1)?end_header[ \t]*(\1|$)", data, re.DOTALL)
    if header is None:
        raise ValueError("no header")
    order, elements = _header(header[2].decode("latin-1").split(header[1].decode()))
    if not elements.get("vertex", (0,))[0] or not elements.get("face", (0,))[0]:
        raise UserError(
            f"has no faces, as its header counts {', '.join(f'{n[0]} {name}' for name, n in elements.items())}"
        )
    tables = (_binary if order else _ascii)(data[header.end() :], order, elements)
    vertices = np.column_stack([np.array(tables["vertex"][axis], dtype=np.float64) for axis in "xyz"])
    faces = tables["face"]
    return vertices, list(faces["vertex_indices" if "vertex_indices" in faces else "vertex_index"])


def _header(lines: list[str]) -> tuple[str, Elements]:
    """The order of the bytes, empty for a text, and the number and properties of the elements, as they come."""
    order, elements = None, Elements()
    for line in lines:
        match line.split():
            case ["format", name, "1.0"]:
                order = _ORDERS[name]
            case ["element", name, count] if name not in elements:
                if int(count) < 0:
                    raise UserError(f"has a negative count in its header: {count} {name}")
                elements[name] = int(count), []
            case ["property", "list", size, kind, name]:
                [*elements.values()][-1][1].append(_Property(name, _TYPES[kind], _TYPES[size]))
            case ["property", kind, name]:
                [*elements.values()][-1][1].append(_Property(name, _TYPES[kind]))
            case [] | ["comment" | "obj_info", *_]:
                pass
            case _:
                raise UserError(f"has a line in its header that is not PLY's: {line[:40]!r}")
    if order is None:
        raise UserError("has no format in its header")
    return order, elements


def _ascii(body: bytes, order: str, elements: Elements) -> Tables:
    rows = [line.split() for line in body.splitlines() if line.strip()]
    total = sum(count for count, _ in elements.values())
    if len(rows) != total:
        raise UserError(f"has {len(rows)} lines after its header, which counts {total}: it is damaged or cut short")
    lines, tables = iter(rows), Tables()
    for name, (count, properties) in elements.items():
        part = list(islice(lines, count))
        if any(size for _, _, size in properties):
            tables[name] = _table(properties, [_line(properties, words) for words in part])
        else:
            if any(len(words) != len(properties) for words in part):
                raise UserError(f"has a line that is no {name} of {len(properties)} numbers")
            numbers = np.fromstring(b" ".join(word for words in part for word in words), sep=" ")
            columns = numbers.reshape(count, len(properties)).T
            tables[name] = {p.name: column.astype(p.kind) for p, column in zip(properties, columns, strict=True)}
    return tables


def _line(properties: list[_Property], words: list[bytes]) -> list[Sequence]:
    rest = iter(words)
    values = _row(properties, partial(_take_words, rest))
    if next(rest, None) is not None:
        raise ValueError("a line is too long")
    return values


def _take_words(words: Iterator[bytes], kind: str, count: int) -> list[float] | list[int]:
    number = {"f": np.float32, "d": np.float64}.get(kind, np.int64)
    numbers = np.fromstring(b" ".join(islice(words, count)), dtype=number, sep=" ").tolist()
    if len(numbers) != count:
        raise ValueError("a line is too short")
    return numbers


def _binary(body: bytes, order: str, elements: Elements) -> Tables:
    at, tables = 0, Tables()

    def take(kind: str, count: int) -> tuple:
        nonlocal at
        numbers = struct.Struct(f"{order}{count}{kind}")
        at += numbers.size
        return numbers.unpack_from(body, at - numbers.size)

    for name, (count, properties) in elements.items():
        if any(size for _, _, size in properties):
            tables[name] = _table(properties, [_row(properties, take) for _ in range(count)])
        elif count:
            row = np.dtype([(name, order + kind) for name, kind, _ in properties])
            tables[name] = np.frombuffer(body, row, count, at)
            at += count * row.itemsize
    if at != len(body):
        raise UserError(f"has {len(body)} bytes after its header, which counts {at}: it is damaged")
    return tables


def _row(properties: list[_Property], take: Callable[[str, int], Sequence]) -> list[Sequence]:
    return [take(kind, take(size, 1)[0] if size else 1) for _, kind, size in properties]


def _table(properties: list[_Property], rows: Iterable[Iterable[Any]]) -> dict[str, Any]:
    return dict(zip([name for name, _, _ in properties], zip(*rows, strict=True), strict=False))  # of no rows, none
