"""Views in an LMDB file: encoded images, or encoded maps of normals, by key."""

import io
import os
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
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
MAP_SIZE = 1 << 40  # bytes that a file says it can grow to
TRANSACTION = 1000  # items
FIRST_MAP = 1 << 24  # bytes of address space that writing begins with
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
        """All keys, sorted.

        Raises:
            UserError: the file is damaged.
        """
        with self._sentence(), self._environment().begin() as transaction:
            return [key.decode() for key in transaction.cursor().iternext(values=False)]

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
            UserError: there is none with this key, or the file is damaged.
        """
        value = self._get(key)
        if value is None:
            raise self._lacking(key)
        return value

    def image(self, key: str) -> UInt8[np.ndarray, "h w"]:
        """One grey image, decoded from JPEG.

        Raises:
            UserError: there is none with this key, or it cannot be decoded.
        """
        content = self[key]
        try:
            return simplejpeg.decode_jpeg(content, "GRAY")[..., 0]
        except ValueError as error:
            raise self._damaged(key) from error

    def images(self, keys: Iterable[str]) -> UInt8[np.ndarray, "n h w"]:
        """The grey images, of one size, of at least one key.

        Raises:
            UserError: one is not there, cannot be decoded or has another size.
        """
        first, *_ = keys = list(keys)
        shape = self.image(first).shape
        images = np.empty((len(keys), *shape), dtype=np.uint8)
        # One transaction for all, as it costs as much as a read.
        with self._sentence(), self._environment().begin(buffers=True) as transaction:
            for place, key in zip(images, keys, strict=True):  # decoded in place: a copy costs a third of the time
                value = transaction.get(key.encode())
                if value is None:
                    raise self._lacking(key)
                try:
                    decoded = simplejpeg.decode_jpeg(value, "GRAY", buffer=place)
                except ValueError as error:
                    raise self._damaged(key) from error
                if decoded.shape[:2] != shape:
                    raise UserError(f"{self.path}: {first} has {shape} pixels, and {key} {decoded.shape[:2]}.")
        return images

    def normals(self, key: str) -> Float32[np.ndarray, "h w 3"]:
        """One map of unit normals in camera coordinates, decoded from PNG; the zero vector where there is no object."""
        return decode_normals(self.colours(key))

    def colours(self, key: str) -> UInt8[np.ndarray, "h w 3"]:
        """The same map, as `sphreg.render.camera.encode_normals` made it.

        Raises:
            UserError: there is none with this key, or it cannot be decoded.
        """
        content = self[key]
        try:
            return np.asarray(Image.open(io.BytesIO(content)))
        except (OSError, SyntaxError, ValueError) as error:  # Pillow's for what is no PNG, or a broken one
            raise self._damaged(key) from error

    def _lacking(self, key: str) -> UserError:
        return UserError(f"{self.path}: it has no view {key!r}.")

    def _damaged(self, key: str) -> UserError:
        return UserError(f"{self.path}: the view {key!r} is no image that can be decoded.")

    def _get(self, key: str) -> bytes | None:
        with self._sentence(), self._environment().begin() as transaction:
            value: bytes | None = transaction.get(key.encode())
            return value

    @contextmanager
    def _sentence(self) -> Iterator[None]:
        """Around reading: what LMDB finds wrong with the pages of the file becomes one."""
        try:
            yield
        except (lmdb.Error, UnicodeError) as error:
            raise UserError(f"{self.path}: it is damaged ({error}).") from error

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
        UserError: a key is not after the one before it; or the file cannot be written, as on a full disk. An older one
            is still there then.
    """
    with writing(path) as put:
        for key, value in items:
            put(key, value)


@contextmanager
def writing(path: Path) -> Iterator[Callable[[str, bytes], None]]:
    """A function that takes the items of `write_views` one after the other; at the end the file is there."""
    with whole(path) as partial:  # a new file each time: pages of an older one would be reused, in another order
        try:
            with lmdb.open(str(partial), subdir=False, lock=False, map_size=FIRST_MAP, sync=False) as environment:
                chunk: list[tuple[str, bytes]] = []

                def put(key: str, value: bytes) -> None:
                    chunk.append((key, value))
                    if len(chunk) == TRANSACTION:
                        _write(environment, chunk, path)

                yield put
                _write(environment, chunk, path)
                environment.sync(True)
                page: int = environment.stat()["psize"]
        except lmdb.Error as error:
            what = "address space" if isinstance(error, lmdb.MemoryError) else "disk"
            raise UserError(f"{path}: it cannot be written ({error}; is the {what} full?).") from error
        # Both pages that describe a file hold the size of the map that wrote it, at byte 32 of each: one size for all.
        with partial.open("r+b") as file:
            for start in 0, page:
                file.seek(start + 32)
                file.write(struct.pack("=Q", MAP_SIZE))
    global _writes
    _writes += 1


def _write(environment: lmdb.Environment, chunk: list[tuple[str, bytes]], path: Path) -> None:
    """Write the items in one transaction, and empty the list.

    The map grows as needed, as limits of the address space count all of it; before the transaction, as one that is
    repeated leaves other bytes in what is not used of its pages.
    """
    state, page = environment.info(), environment.stat()["psize"]
    size, needed = state["map_size"], state["last_pgno"] * page + sum(len(value) + 4 * page for _, value in chunk)
    if size < needed:
        environment.set_mapsize(1 << needed.bit_length())
    with environment.begin(write=True) as transaction:
        for key, value in chunk:
            if not transaction.put(key.encode(), value, append=True):
                raise UserError(f"{path}: the keys are not in ascending order at {key!r}.")
    chunk.clear()


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
            if isinstance(error, lmdb.MemoryError):
                raise UserError(f"{path}: it does not fit into the address space ({error}).") from None
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
