"""What a training keeps in its folder of the scratch: the state that a killed one goes on from, and its result."""

import hashlib
import io
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from sphreg import checksums, code
from sphreg.devices import out_of_memory
from sphreg.errors import UserError
from sphreg.files import whole
from sphreg.model import ModelConfig
from sphreg.samples import Samples

DIGEST = hashlib.sha256().digest_size
RESULT = "best.safetensors", "config.json", "last.safetensors", "log.csv"
KEPT = 8  # results: more than there are trainings at once, and they take up to a gigabyte each


def fingerprint(config: ModelConfig, samples: Samples) -> str:
    """A checksum of all that the weights depend on: settings, images and their truth, the code that trains, torch."""
    checksum = hashlib.sha256(f"{config.model_dump_json()} torch {torch.__version__}".encode())
    checksum.update(pd.util.hash_pandas_object(samples.table).to_numpy().tobytes())
    # Which the files were held against when they were opened.
    known = checksums.read_checksums(samples.images.path.parent)
    for views in samples.images, samples.normals:
        if views is not None:
            checksum.update(known[views.path.name].encode())
    if config.train.weights not in (None, "imagenet"):
        checksum.update(checksums.digest(Path(config.train.weights)).encode())
    entries: code.Entries = {"HEADS": [config.head], "TASKS": [config.task], "BACKBONES": [config.train.backbone]}
    checksum.update(code.checksum("sphreg.training", entries).encode())
    return checksum.hexdigest()[:16]


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
    with restoring(path):
        content = path.read_bytes()
        if hashlib.sha256(memoryview(content)[DIGEST:]).digest() != content[:DIGEST]:
            raise ValueError("its checksum is another")
        state: dict[str, Any] = torch.load(io.BytesIO(content[DIGEST:]), map_location="cpu", weights_only=True)
    return state


@contextmanager
def restoring(path: Path) -> Iterator[None]:
    """Around all that takes a training up again from a file or a folder.

    Raises:
        UserError: it cannot be read, or anything was raised but for want of memory.
    """
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: it cannot be read ({error.strerror or error}).") from error
    except Exception as error:
        if out_of_memory(error):
            raise
        said = f"{path}: it is not what this training saved, or is damaged"
        raise UserError(f"{said}; delete it, and the training starts over.") from error


def finished(work: Path) -> bool:
    """Whether a training has ended in this folder, and its result is still there.

    Raises:
        UserError: the result is damaged.
    """
    result = work / "result"
    if not (result / checksums.NAME).exists():
        return False
    with restoring(result):
        checksums.check(result, RESULT)
    (result / checksums.NAME).touch()  # among the latest
    return True


def publish(work: Path, out: Path) -> None:
    """Copy the result to a folder.

    Raises:
        UserError: it cannot be written; what was there before stays.
    """
    (work / "checkpoint.pt").unlink(missing_ok=True)
    with ExitStack() as files:
        for name in *RESULT, checksums.NAME:  # the last one is replaced first: a kill leaves nothing that looks whole
            shutil.copyfile(work / "result" / name, files.enter_context(whole(out / name)))


def forget(scratch: Path) -> None:
    """Remove all results but the latest ones, which DVC may not have recorded yet."""
    with suppress(OSError):  # as where another process does the same
        results = sorted(scratch.glob(f"*/result/{checksums.NAME}"), key=lambda path: path.stat().st_mtime)
        for file in results[:-KEPT]:
            file.unlink()  # first: without it the rest means nothing
            shutil.rmtree(file.parents[1])
