"""Files and folders that are there as a whole, or not at all."""

import os
import shutil
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


def replace(old: Path, new: Path) -> None:
    """Put what is in the folder `new` in the place of the folder `old`. `new` stays, for the caller to remove.

    Files are linked, or copied where the disk has no hard links or is another one. A kill leaves the one or the other
    at `old`, or neither, and `new` in each case. What an earlier kill left beside `old` is removed.

    Raises:
        UserError: it cannot be written. What was in `old` before is still there then.
    """
    partial, former = (old.with_name(f"{old.name}.{state}") for state in ("partial", "former"))
    try:
        for left in (partial, former):
            if left.exists():
                shutil.rmtree(left)
        partial.mkdir(parents=True)
        for path in sorted(new.rglob("*")):  # folders before what is in them
            target = partial / path.relative_to(new)
            if path.is_dir():
                target.mkdir()
            else:
                _link(path, target)
        if old.exists():
            old.rename(former)
        partial.rename(old)
    except OSError as error:
        raise UserError(f"{old}: it cannot be written ({error.strerror or error}).") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(former, ignore_errors=True)


def _link(path: Path, target: Path) -> None:
    try:
        target.hardlink_to(path)
    except OSError:
        shutil.copy2(path, target)
