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


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A new folder to write to, which takes the place of the folder `path` at the end.

    A kill leaves the old one or the new one at `path`, or for a moment neither. What it leaves beside `path` is removed
    the next time. Two processes may not do this at once; see `sphreg.locks.alone`.

    Raises:
        UserError: it cannot be written. What was there before stays, and nothing else.
    """
    partial, former = (path.with_name(f"{path.name}.{state}") for state in ("partial", "former"))
    try:
        for left in (partial, former):
            if left.exists():
                shutil.rmtree(left)
        partial.mkdir(parents=True)
        yield partial
        if path.exists():
            path.rename(former)
        partial.rename(path)
    except OSError as error:
        raise UserError(f"{path}: it cannot be written ({error.strerror or error}).") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(former, ignore_errors=True)


def link_files(old: Path, new: Path) -> None:
    """Link all files of a folder, and of those in it, to another; copies where the disk takes no hard links."""
    for path in sorted(old.rglob("*")):  # folders before what is in them
        target = new / path.relative_to(old)
        if path.is_dir():
            target.mkdir()
            continue
        try:
            target.hardlink_to(path)
        except OSError:
            shutil.copy2(path, target)
