"""Tables that are read from CSV, and held against what their columns have to be."""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten

import numpy as np
import pandas as pd
from jaxtyping import Bool

from sphreg.errors import UserError
from sphreg.reading import reading


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


def read_table(
    path: Path, columns: Mapping[str, Column], unique: Sequence[str] = (), others: Column | None = None
) -> pd.DataFrame:
    """These columns of a CSV file. Names stay what they are: a category may be called `NA` or `1`.

    Args:
        path: of the file.
        columns: what has to be there; others may be there, too, and are left out.
        unique: columns that no two rows have in common.
        others: what these are, if that is known.

    Raises:
        UserError: the file cannot be read, lacks a column, or has a row that is not as the columns say.
    """
    with reading(path, "a table"), warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # of rows that have more cells than there are columns
        there = pd.read_csv(path, nrows=0).columns
        if missing := [name for name in columns if name not in there]:
            names = shorten(", ".join(map(repr, there)), 500, placeholder=" ...")
            raise UserError(f"{path}: it has no column {missing[0]!r}, only {names}.")
        known = {name: others for name in there if others} | dict(columns)
        numbers = {name: column for name, column in known.items() if column.kind is not str}
        try:
            table = pd.read_csv(
                path,
                index_col=False,
                dtype={name: float if name in numbers else str for name in there},
                keep_default_na=False,
                na_values={name: [""] for name in numbers},
            )
        except ValueError:
            _find_text(path, numbers)
            raise
        table = table[list(known)].copy()
    check_table(table, path, known, unique)
    return table[list(columns)]


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
