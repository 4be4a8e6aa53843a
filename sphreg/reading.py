"""Files that are read: what a reader of a damaged one trips over becomes a sentence, in this one place."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from typing import TypeVar

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
