"""The state of a training that is not finished, which a killed one goes on from."""

import hashlib
import pickle
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from sphreg.errors import UserError
from sphreg.files import whole
from sphreg.model import ModelConfig
from sphreg.samples import Samples


def fingerprint(config: ModelConfig, samples: Samples) -> str:
    """A checksum of all that the weights depend on: settings, images and their truth, the code of sphreg, torch."""
    checksum = hashlib.sha256(f"{config.model_dump_json()} torch {torch.__version__}".encode())
    checksum.update(pd.util.hash_pandas_object(samples.table).to_numpy().tobytes())
    for views in samples.images, samples.normals:
        if views is not None:
            checksum.update(_digest(views.path))
    modules = {name: module.__file__ for name, module in sys.modules.items() if name.split(".")[0] == "sphreg"}
    for _, file in sorted(modules.items()):
        if file is not None:
            checksum.update(_digest(Path(file)))
    return checksum.hexdigest()[:16]


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def save(path: Path, state: dict[str, Any]) -> None:
    """Write tensors, numbers, texts, and lists and dicts of them.

    Raises:
        UserError: the file cannot be written; an older one is still there then.
    """
    with whole(path) as partial:
        torch.save(state, partial)


def load(path: Path) -> dict[str, Any] | None:
    """What `save` wrote, on the CPU; None where there is no file. No code of a pickle is run.

    Raises:
        UserError: the file is damaged, or something else.
    """
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = " ".join(str(error).split())[:100]
        raise UserError(f"{path}: it is no checkpoint ({reason}); delete it, and the training starts over.") from None
    return state
