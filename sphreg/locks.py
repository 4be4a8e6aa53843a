"""Work that one process at a time may do. The end of a process, whatever it is, releases what it holds."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from sphreg.errors import UserError


@contextmanager
def alone(path: Path, wait: bool = True) -> Iterator[bool]:
    """Work on a file or folder while no other process does. The lock lies beside it, as `.NAME.lock`.

    Args:
        path: need not be there; its folder is made.
        wait: for the end of another process's work, after a line that says so.

    Yields:
        Whether this process is alone; always with `wait`.

    Raises:
        UserError: no lock can be written there.
    """
    lock, queue = (_lock(path, kind) for kind in ("lock", "queue.lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            if wait:
                # At once, with its end: others may say the same at the same time.
                sys.stderr.write(f"{path}: another process works on it; waiting for its end.\n")
                queue.acquire()
                lock.acquire()
                _release(queue)
    except OSError as error:
        raise UserError(f"{path}: it cannot be written ({error.strerror or error}).") from error
    try:
        yield lock.is_locked
    finally:
        if lock.is_locked:
            _release(lock)


def wanted(path: Path) -> bool:
    """Whether another process waits to be alone there."""
    queue = _lock(path, "queue.lock")
    try:
        queue.acquire(blocking=False)
    except Timeout:
        return True
    _release(queue)
    return False


def _lock(path: Path, kind: str) -> FileLock:
    return FileLock(path.with_name(f".{path.name}.{kind}"))


def _release(lock: FileLock) -> None:
    Path(lock.lock_file).unlink(missing_ok=True)  # whoever waits for it looks by its name again
    lock.release()
