"""Views in an LMDB file: encoded images, or encoded maps of normals, by key."""

import io
import os
import threading
import time
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import lmdb
import numpy as np
import simplejpeg
from jaxtyping import Float32, UInt8
from PIL import Image

from sphreg.errors import UserError
from sphreg.files import whole
from sphreg.render.camera import decode_normals

# These shape the file: the same items give the same bytes as long as both stay.
MAP_SIZE = 1 << 40  # bytes that a file can grow to; only what is used is written
TRANSACTION = 1000  # items
CLOSING_S = 10.0  # within which a file is closed that nobody uses any more

# Of the views that are open, by device and inode, as a file may have many names and a name, in time, many files.
_environments: WeakValueDictionary[tuple[int, int], lmdb.Environment] = WeakValueDictionary()
_process = os.getpid()  # that opened them
_opening = threading.Lock()
_writes = 0  # how often this process replaced a file


class Views:
    """Reads what `write_views` wrote. Leaves no lock file, and may be pickled, forked and shared by threads.

    Attributes:
        path: the LMDB file.
    """

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            UserError: it is missing, cut short or no LMDB file.
        """
        self.path = path
        self._found: tuple[int, int, lmdb.Environment] | None = None
        self._environment()

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_found": None}

    @property
    def keys(self) -> list[str]:
        """All keys, sorted."""
        with self._environment().begin() as transaction:
            return [bytes(key).decode() for key in transaction.cursor().iternext(values=False)]

    def __len__(self) -> int:
        """The number of views."""
        entries: int = self._environment().stat()["entries"]
        return entries

    def __contains__(self, key: str) -> bool:
        """Whether there is a view with this key."""
        return self._get(key) is not None

    def __getitem__(self, key: str) -> bytes:
        """The encoded view.

        Raises:
            KeyError: there is none with this key.
        """
        value = self._get(key)
        if value is None:
            raise KeyError(f"{self.path} has no view {key!r}")
        return value

    def image(self, key: str) -> UInt8[np.ndarray, "h w"]:
        """One grey image, decoded from JPEG.

        Raises:
            UserError: it cannot be decoded.
        """
        try:
            return simplejpeg.decode_jpeg(self[key], "GRAY")[..., 0]
        except ValueError as error:
            raise self._damaged(key) from error

    def images(self, keys: Iterable[str]) -> UInt8[np.ndarray, "n h w"]:
        """The grey images, of one size, of at least one key.

        Raises:
            UserError: one cannot be decoded.
            ValueError: one has another size.
        """
        first, *_ = keys = list(keys)
        shape = self.image(first).shape
        images = np.empty((len(keys), *shape), dtype=np.uint8)
        with self._environment().begin(buffers=True) as transaction:  # one for all, as it costs as much as a read
            for place, key in zip(images, keys, strict=True):  # decoded in place: a copy costs a third of the time
                value = transaction.get(key.encode())
                if value is None:
                    raise KeyError(f"{self.path} has no view {key!r}")
                try:
                    decoded = simplejpeg.decode_jpeg(value, "GRAY", buffer=place)
                except ValueError as error:
                    raise self._damaged(key) from error
                if decoded.shape[:2] != shape:
                    raise ValueError(f"{self.path}: {first} has {shape} pixels, and {key} {decoded.shape[:2]}")
        return images

    def normals(self, key: str) -> Float32[np.ndarray, "h w 3"]:
        """One map of unit normals in camera coordinates, decoded from PNG; the zero vector where there is no object."""
        return decode_normals(self.colours(key))

    def colours(self, key: str) -> UInt8[np.ndarray, "h w 3"]:
        """The same map, as `sphreg.render.camera.encode_normals` made it.

        Raises:
            UserError: it cannot be decoded.
        """
        try:
            return np.asarray(Image.open(io.BytesIO(self[key])))
        except (OSError, SyntaxError, ValueError) as error:  # Pillow's for what is no PNG, or a broken one
            raise self._damaged(key) from error

    def _damaged(self, key: str) -> UserError:
        return UserError(f"{self.path}: the view {key!r} is no image that can be decoded.")

    def _get(self, key: str) -> bytes | None:
        with self._environment().begin() as transaction:
            value: bytes | None = transaction.get(key.encode())
            return value

    def _environment(self) -> lmdb.Environment:
        """The environment of the file, looked up again only after a fork and after a file was replaced."""
        process, writes, found = os.getpid(), _writes, self._found
        if found is None or found[:2] != (process, writes):
            self._found = found = process, writes, _environment(self.path)
        return found[2]


def write_views(path: Path, items: Iterable[tuple[str, bytes]]) -> None:
    """Write an LMDB file. The same items give the same bytes.

    Args:
        path: the file, which is replaced if it exists.
        items: keys, in ascending order, and what they stand for.

    Raises:
        ValueError: a key is not after the one before it.
        UserError: the file cannot be written, as on a full disk. An older one is still there then.
    """
    with whole(path) as partial:  # a new file each time: pages of an older one would be reused, in another order
        try:
            _write(partial, items)
        except lmdb.Error as error:
            raise UserError(f"{path}: it cannot be written ({error}; is the disk full?).") from error
    global _writes
    _writes += 1


def _write(path: Path, items: Iterable[tuple[str, bytes]]) -> None:
    with lmdb.open(str(path), subdir=False, lock=False, map_size=MAP_SIZE, sync=False) as environment:
        rest = iter(items)
        while chunk := list(islice(rest, TRANSACTION)):
            with environment.begin(write=True) as transaction:
                for key, value in chunk:
                    if not transaction.put(key.encode(), value, append=True):
                        raise ValueError(f"the keys are not in ascending order at {key!r}")
        environment.sync(True)


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _environment(path: Path) -> lmdb.Environment:
    """The one environment of a file in this process. LMDB allows no second, and none that a fork took along."""
    global _process
    if not path.is_file():
        raise UserError(f"{path}: there is no such file.")
    with _opening:
        if _process != os.getpid():
            for environment in _environments.values():
                environment.close()
            _environments.clear()
            _process = os.getpid()
        while True:
            file = _identity(path)
            environment = _environments.get(file) or _open(path)
            if _identity(path) == file:
                _environments[file] = environment
                return environment
            del environment  # the file was replaced in the meantime


def _open(path: Path) -> lmdb.Environment:
    end = time.monotonic() + CLOSING_S
    while True:
        try:
            # Without `lock=False` a lock file would appear beside the views, which DVC takes for a change.
            environment = lmdb.open(str(path), subdir=False, readonly=True, lock=False, readahead=False)
            break
        except lmdb.Error as error:
            if "already open in this process" not in str(error) or time.monotonic() > end:
                raise UserError(f"{path}: it is no LMDB file ({error}).") from None
            time.sleep(0.001)  # another thread lets it go: it is forgotten here a little before it is closed
    # LMDB does not look, and to read behind the end of the file kills the process.
    expected = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    size = path.stat().st_size
    if size < expected:
        environment.close()
        raise UserError(f"{path}: it is cut short, with {size} of {expected} bytes.")
    return environment
