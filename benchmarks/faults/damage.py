"""Ways to break a file."""

import csv
import io
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load, save

Rng = np.random.Generator
Change = Callable[[bytes, Rng], bytes]


def flip(count: int) -> Change:
    """Flip so many bits, each anywhere."""

    def change(content: bytes, rng: Rng) -> bytes:
        damaged = bytearray(content)
        for place in rng.integers(len(content), size=count):
            damaged[place] ^= 1 << int(rng.integers(8))
        return bytes(damaged)

    return change


def cut(content: bytes, rng: Rng) -> bytes:
    return content[: rng.integers(len(content))]


def zeros(content: bytes, rng: Rng) -> bytes:
    """What a disk that lost power leaves: zeros from somewhere on, up to a page."""
    start = int(rng.integers(len(content)))
    length = min(int(rng.integers(1, 4097)), len(content) - start)
    return content[:start] + bytes(length) + content[start + length :]


def table(change: Callable[[list[list[str]], Rng], Any]) -> Change:
    """Change the rows of a CSV file, the first of which is its head, in place."""

    def changed(content: bytes, rng: Rng) -> bytes:
        rows = list(csv.reader(io.StringIO(content.decode())))
        change(rows, rng)
        file = io.StringIO()
        csv.writer(file, lineterminator="\n").writerows(rows)
        return file.getvalue().encode()

    return changed


def _row(rows: list[list[str]], rng: Rng) -> int:
    return int(rng.integers(1, len(rows)))


def each_row_twice(rows: list[list[str]], rng: Rng) -> None:
    rows[1:] = [row for row in rows[1:] for _ in range(2)]


def row_twice(rows: list[list[str]], rng: Rng) -> None:
    rows.insert(_row(rows, rng), list(rows[_row(rows, rng)]))


def row_less(rows: list[list[str]], rng: Rng) -> None:
    del rows[_row(rows, rng)]


def half_of_rows(rows: list[list[str]], rng: Rng) -> None:
    del rows[1 + len(rows) // 2 :]


def column_less(rows: list[list[str]], rng: Rng) -> None:
    column = int(rng.integers(len(rows[0])))
    for row in rows:
        del row[column]


def names_swapped(rows: list[list[str]], rng: Rng) -> None:
    first, second = rng.choice(len(rows[0]), 2, replace=False)
    rows[0][first], rows[0][second] = rows[0][second], rows[0][first]


def cell(value: str) -> Callable[[list[list[str]], Rng], None]:
    """Put something into a cell that holds a number."""

    def change(rows: list[list[str]], rng: Rng) -> None:
        row = rows[_row(rows, rng)]
        numbers = [place for place, text in enumerate(row) if _is_number(text)]
        row[int(rng.choice(numbers))] = value

    return change


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def leaf(value: Any) -> Change:
    """Put something in the place of a value somewhere in a JSON file; without a value the key goes, too."""

    def change(content: bytes, rng: Rng) -> bytes:
        document = json.loads(content)
        places = list(_leaves(document))
        parent, key = places[int(rng.integers(len(places)))]
        if value is None:
            del parent[key]
        else:
            parent[key] = value
        return json.dumps(document, indent=2).encode()

    return change


def _leaves(node: Any) -> Any:
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        if isinstance(value, dict | list):
            yield from _leaves(value)
        else:
            yield node, key


def weights_nan(content: bytes, rng: Rng) -> bytes:
    tensors = load(content)
    name = str(rng.choice([name for name, tensor in tensors.items() if tensor.dtype.kind == "f"]))
    tensors[name] = np.full_like(tensors[name], np.nan)
    return save(tensors)


def arrays(change: Callable[[dict[str, np.ndarray], Rng], Any]) -> Change:
    """Change the arrays of an NPZ file."""

    def changed(content: bytes, rng: Rng) -> bytes:
        with np.load(io.BytesIO(content)) as found:
            held = dict(found)
        change(held, rng)
        file = io.BytesIO()
        np.savez_compressed(file, **held)
        return file.getvalue()

    return changed


def array_less(held: dict[str, np.ndarray], rng: Rng) -> None:
    del held[str(rng.choice(list(held)))]


def array_shorter(held: dict[str, np.ndarray], rng: Rng) -> None:
    name = str(rng.choice(list(held)))
    held[name] = held[name][:-1]


def array_nan(held: dict[str, np.ndarray], rng: Rng) -> None:
    name = str(rng.choice([name for name, array in held.items() if array.dtype.kind in "fiu"]))
    held[name] = np.full(held[name].shape, np.nan)


ANY: dict[str, Change] = {
    "emptied": lambda content, rng: b"",
    "half": lambda content, rng: content[: len(content) // 2],
    "cut": cut,
    "flip1": flip(1),
    "flip2": flip(2),
    "flip8": flip(8),
    "flip99": flip(99),
    "zeros": zeros,
    "doubled": lambda content, rng: content * 2,
}
# These hold as a file of its kind, so that a checksum may be made anew: what it says is wrong.
OF_KIND: dict[str, dict[str, Change]] = {
    ".csv": {
        "each_row_twice": table(each_row_twice),
        "row_twice": table(row_twice),
        "row_less": table(row_less),
        "half_of_rows": table(half_of_rows),
        "column_less": table(column_less),
        "names_swapped": table(names_swapped),
        "cell_nan": table(cell("nan")),
        "cell_inf": table(cell("-inf")),
        "cell_empty": table(cell("")),
        "cell_large": table(cell("4000")),
        "cell_text": table(cell("NA")),
    },
    ".json": {
        "key_less": leaf(None),
        "value_nan": leaf(math.nan),
        "value_huge": leaf(10**12),
        "value_list": leaf([]),
        "value_text": leaf("chair"),
    },
    ".npz": {"less": arrays(array_less), "shorter": arrays(array_shorter), "nan": arrays(array_nan)},
    ".safetensors": {"nan": weights_nan},
}
NAMES = ("missing", "folder", "dangling", "swapped_near", "swapped_far")  # which need more than the content


def damages(path: str) -> list[str]:
    """The names of what can be done to a file."""
    return [*NAMES, *ANY, *OF_KIND.get(Path(path).suffix, {})]


def damage(path: Path, name: str, rng: Rng, near: Sequence[Path], far: Sequence[Path]) -> None:
    """Break a file; another takes its place, as it may have other names.

    Args:
        path: of the file.
        name: one of `damages`.
        rng: tells where.
        near: files of the kind beside it.
        far: files of the kind elsewhere.
    """
    content = path.read_bytes()
    path.unlink()
    if name == "folder":
        path.mkdir()
    elif name == "dangling":
        path.symlink_to("nowhere")
    elif name.startswith("swapped"):
        others = [other.read_bytes() for other in ([*near, *far] if name == "swapped_near" else [*far, *near])[:20]]
        others = [other for other in others if other != content]
        path.write_bytes(others[int(rng.integers(len(others)))] if others else content)
    elif name != "missing":
        path.write_bytes((ANY | OF_KIND.get(path.suffix, {}))[name](content, rng))
