"""A small dataset as `pack` writes it, whose images tell their labels, and settings to train on it in a second."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from PIL import Image
from scipy.spatial.transform import Rotation

from benchmarks.packed import describe
from sphreg.model import ModelConfig
from sphreg.samples import Samples
from sphreg.split import views_table
from sphreg.views import write_views
from tests.settings import PARAMS

CATEGORIES = ["bed", "desk", "sofa"]
MESHES, VIEWS, NORMALS, SIZE = {"train": 4, "test": 1}, 7, 5, 16  # odd numbers of views, also of those held out


def picture(quaternion: np.ndarray, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Four quarters as bright as the components, and normals, as colours, that lean as far: in so many of the rows."""
    leaning = np.kron(quaternion.reshape(2, 2), np.ones((SIZE // 2, SIZE // 2)))
    normals = np.stack([np.sin(leaning), np.zeros_like(leaning), np.cos(leaning)], axis=-1)
    colours = np.rint((normals + 1) / 2 * 255).astype(np.uint8)
    colours[rows:] = 0
    return np.rint((leaning + 1) / 2 * 255).astype(np.uint8), colours


def write_data(folder: Path, seed: int = 0) -> Path:
    """84 views to train and 21 to test, 60 and 15 with normals, where the objects are from one to SIZE rows high."""
    rng = np.random.default_rng(seed)
    for split, meshes in MESHES.items():
        rows, quaternions, images, normals = [], [], [], []
        for category in CATEGORIES:
            for number in range(1, meshes + 1):
                mesh = f"{category}_{number + 100 * (split == 'test'):04d}"
                for view in range(1, VIEWS + 1):
                    key = f"{mesh}.v{view:03d}"
                    quaternion = Rotation.random(rng=rng).as_quat(canonical=True)
                    image, colours = picture(quaternion, rows=int(rng.choice([1, 2, SIZE])))
                    rows.append((key, category, mesh))
                    quaternions.append(quaternion)
                    images.append((key, simplejpeg.encode_jpeg(image[..., None].copy(), 95, "GRAY")))
                    if view <= NORMALS:
                        normals.append((key, png(colours)))
        folder.mkdir(parents=True, exist_ok=True)
        views_table(*zip(*rows, strict=True), np.array(quaternions)).to_csv(folder / f"{split}.csv", index=False)
        write_views(folder / f"{split}.lmdb", images)
        write_views(folder / f"{split}.normals.lmdb", normals)
    describe(folder, SIZE)
    return folder


def png(colours: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(colours).save(buffer, "PNG")
    return buffer.getvalue()


def samples_of(data: Path, task: str, split: str = "train") -> Samples:
    return Samples.read(data, split, with_normals=task == "normals", categories=CATEGORIES)


def config_of(task: str = "rotation", head: str = "sexp", **settings: Any) -> ModelConfig:
    """Those of `tests.settings` but for what is given, and for what makes a quick training of 63 images, or 45 maps."""
    quick = {"epochs": 2, "batch": 16, "hidden": 16, "validation": 0.25}
    section = getattr(PARAMS.train, task).model_copy(update=quick | settings)
    head_settings: dict[Any, dict[str, Any]] = PARAMS.head_settings[head]
    values = {"task": task, "head": head, "categories": CATEGORIES, "size": SIZE, "seed": 0, "train": section}
    return ModelConfig(**values, head_settings=head_settings.get(task, {}))
