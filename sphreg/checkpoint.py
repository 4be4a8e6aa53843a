"""The state of a training that is not finished, which a killed one goes on from."""

import hashlib
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import pandas as pd
import torch
from filelock import FileLock, Timeout

from sphreg.checksums import read_checksums
from sphreg.errors import UserError
from sphreg.files import whole
from sphreg.model import ModelConfig
from sphreg.samples import Samples

DIGEST = hashlib.sha256().digest_size


def fingerprint(config: ModelConfig, samples: Samples) -> str:
    """A checksum of all that the weights depend on: settings, images and their truth, the code of sphreg, torch."""
    checksum = hashlib.sha256(f"{config.model_dump_json()} torch {torch.__version__}".encode())
    checksum.update(pd.util.hash_pandas_object(samples.table).to_numpy().tobytes())
    known = read_checksums(samples.images.path.parent)  # which the files were held against when they were opened
    for views in samples.images, samples.normals:
        if views is not None:
            checksum.update(known[views.path.name].encode())
    if config.train.weights not in (None, "imagenet"):
        checksum.update(_digest(Path(config.train.weights)))
    modules = {name: module.__file__ for name, module in sys.modules.items() if name.split(".")[0] == "sphreg"}
    for _, file in sorted(modules.items()):
        if file is not None:
            checksum.update(_digest(Path(file)))
    return checksum.hexdigest()[:16]


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Wait for another process that works in this folder: two experiments may want the same model at the same time."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    file = folder.with_suffix(".lock")
    lock = FileLock(file)  # which the end of a process releases, too
    try:
        lock.acquire(blocking=False)
    except Timeout:
        print("Another process trains the same model; waiting for its end.", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        file.unlink(missing_ok=True)
        lock.release()


def save(path: Path, state: dict[str, Any]) -> None:
    """Write tensors, numbers, texts, and lists and dicts of them, after a checksum of what follows.

    Raises:
        UserError: the file cannot be written; an older one is still there then.
    """
    content = io.BytesIO()
    torch.save(state, content)
    with whole(path) as partial, partial.open("wb") as file:
        file.write(hashlib.sha256(content.getbuffer()).digest())
        file.write(content.getbuffer())


def load(path: Path) -> dict[str, Any] | None:
    """What `save` wrote, on the CPU; None where there is no file. No code of a pickle is run.

    Raises:
        UserError: the file is damaged, or something else.
    """
    if not path.exists():
        return None
    content = path.read_bytes()
    damaged = UserError(f"{path}: it is no checkpoint, or is damaged; delete it, and the training starts over.")
    if hashlib.sha256(memoryview(content)[DIGEST:]).digest() != content[:DIGEST]:
        raise damaged
    try:
        state: dict[str, Any] = torch.load(io.BytesIO(content[DIGEST:]), map_location="cpu", weights_only=True)
    except UnpicklingError:
        raise damaged from None
    return state
