"""Files that are there as a whole, or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sphreg.errors import UserError


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A name to write a file under, which becomes `path` at the end: a kill leaves no half of it.

    The folder is made if need be, and what an earlier kill left under that name is removed.

    Raises:
        UserError: it cannot be written, as on a full disk. What was there before stays, and nothing else.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.unlink(missing_ok=True)
        yield partial
        os.replace(partial, path)
    except OSError as error:
        raise UserError(f"{path}: it cannot be written ({error.strerror or error}).") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under another name first; see `whole`.

    Raises:
        UserError: it cannot be written.
    """
    with whole(path) as partial:
        partial.write_bytes(content)
