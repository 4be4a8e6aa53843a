"""Files that are read: what a reader of a damaged one trips over becomes a sentence, in this one place."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import TypeVar

import numpy as np
import pandas as pd
from jaxtyping import Bool
from pydantic import BaseModel, ValidationError

from sphreg.errors import UserError

Model = TypeVar("Model", bound=BaseModel)


@contextmanager
def reading(path: Path, kind: str) -> Iterator[None]:
    """Around the reading of one file.

    Args:
        path: of the file.
        kind: what it should be, as "a table".

    Raises:
        UserError: anything was raised.
    """
    try:
        yield
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{path}: it cannot be read ({error.strerror or error}).") from error
    except MemoryError as error:
        raise UserError(f"{path}: it does not fit into the memory.") from error
    except Exception as error:  # there is no list of what a reader of damaged files may trip over
        reason = shorten(str(error), 150, placeholder=" ...") or type(error).__name__
        raise UserError(f"{path}: it is not {kind}, or is damaged ({reason}).") from error


def read_json(path: Path, model: type[Model]) -> Model:
    """A JSON file, held against its model.

    Raises:
        UserError: it cannot be read, or is something else; the first thing that is wrong is named.
    """
    with reading(path, "JSON"):
        return parse_json(path.read_bytes(), path, model)


def parse_json(content: bytes, path: Path | str, model: type[Model]) -> Model:
    """The content of a JSON file, held against its model; see `read_json`."""
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"] if "[" not in str(part))  # names of pydantic's own
        reason = first["msg"].removeprefix("Value error, ")
        raise UserError(f"{path}: {place and f'{place}: '}{reason}.") from None


@dataclass(frozen=True)
class Column:
    """What stands in a column of a table: text, or finite numbers of a range.

    Attributes:
        kind: str, int or float.
        low: the least number.
        high: the largest number.
        optional: whether a cell may be empty.
    """

    kind: type = float
    low: float | int = -math.inf
    high: float | int = math.inf
    optional: bool = False

    def __str__(self) -> str:
        """As messages name it."""
        if self.kind is str:
            return "a text"
        what = "a whole number" if self.kind is int else "a number"
        match math.isfinite(self.low), math.isfinite(self.high):
            case True, True:
                return f"{what} from {self.low:g} to {self.high:g}"
            case True, False:
                return f"{what} of at least {self.low:g}"
            case _:
                return what


TEXT = Column(str)


def read_table(path: Path, columns: Mapping[str, Column], unique: Sequence[str] = ()) -> pd.DataFrame:
    """These columns of a CSV file. Names stay what they are: a category may be called `NA` or `1`.

    Args:
        path: of the file.
        columns: what has to be there; others may be there, too, and are left out.
        unique: columns that no two rows have in common.

    Raises:
        UserError: the file cannot be read, lacks a column, or has a row that is not as the columns say.
    """
    with reading(path, "a table"):
        there = pd.read_csv(path, nrows=0).columns
        if missing := [name for name in columns if name not in there]:
            names = shorten(", ".join(map(repr, there)), 500, placeholder=" ...")
            raise UserError(f"{path}: it has no column {missing[0]!r}, only {names}.")
        numbers = {name: column for name, column in columns.items() if column.kind is not str}
        try:
            table = pd.read_csv(
                path,
                dtype={name: float if name in numbers else str for name in there},
                keep_default_na=False,
                na_values={name: [""] for name in numbers},
            )
        except ValueError:
            _find_text(path, numbers)
            raise
        if not isinstance(table.index, pd.RangeIndex):  # pandas takes what is too much for names of rows
            raise UserError(f"{path}: its rows have more cells than its {len(there)} columns.")
        table = table[list(columns)].copy()
    check_table(table, path, columns, unique)
    return table


def check_table(table: pd.DataFrame, path: Path, columns: Mapping[str, Column], unique: Sequence[str] = ()) -> None:
    """Hold a table against its columns, as `read_table` does; whole numbers get their type.

    Raises:
        UserError: a row is not as the columns say.
    """
    for name, column in columns.items():
        wrong = _wrong(table[name].to_numpy(), column)
        if wrong.any():
            row = int(wrong.argmax())
            raise UserError(f"{path}, line {row + 2}: {name} is {table[name][row]}, allowed: {column}.")
        if column.kind is int and not column.optional:
            table[name] = table[name].astype(np.int64)
    twice = table.duplicated(list(unique)).to_numpy() if unique else np.zeros(0, bool)
    if twice.any():
        row = int(twice.argmax())
        what = ", ".join(map(str, table.loc[row, list(unique)]))
        raise UserError(f"{path}, line {row + 2}: {what} is there twice.")


def _find_text(path: Path, numbers: Mapping[str, Column]) -> None:
    """Name the first cell that should hold a number, and is none that pandas can read."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    for name, column in numbers.items():
        for row, text in enumerate(table[name].tolist()):
            try:
                known = text == "" or math.isfinite(float(text))
            except ValueError:
                known = False
            if not known:
                raise UserError(f"{path}, line {row + 2}: {name} is {shorten(text, 50)!r}, allowed: {column}.")


def _wrong(values: np.ndarray, column: Column) -> Bool[np.ndarray, "rows"]:
    if column.kind is str:
        missing = pd.isna(values)  # where a row is cut short
        return missing if column.optional else missing | (values == "")
    with np.errstate(invalid="ignore"):
        wrong = ~((values >= column.low) & (values <= column.high) & np.isfinite(values))
        if column.kind is int:
            wrong |= values != np.floor(values)
    return wrong & ~np.isnan(values) if column.optional else wrong
