"""What reads files of each kind, and sound files for it."""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.faults import corpus
from sphreg import checkpoint, config, modelnet10
from sphreg.formats import parse_mesh
from sphreg.model import Model
from sphreg.predict.images import square
from sphreg.render.index import read_index
from sphreg.render.shards import ROTATIONS, read_shard
from sphreg.results import read_errors, read_histogram, read_log, read_pixels
from sphreg.summary import read_scores
from sphreg.tables import TEXT, Column, read_table
from sphreg.views.original import read_quaternions


@dataclass(frozen=True)
class Reader:
    """What reads a file of some kind.

    Attributes:
        corpus: sound files; may write others to a folder where the reader looks for them.
        file: under which name the content is written there.
        read: the value of the file, whose checksum tells one from another.
    """

    corpus: Callable[[Path], list[bytes]]
    file: str
    read: Callable[[Path], Any]


def _views(path: Path) -> Any:
    columns = {"key": TEXT, "category": TEXT, "mesh": TEXT} | dict.fromkeys(
        ("qw", "qx", "qy", "qz"), Column(float, -1, 1)
    )
    return read_table(path, columns, unique=["key"]).to_csv()


def _archive(path: Path) -> Any:
    chosen = modelnet10.choose(path, ["bathtub"], {"train": 1, "test": 1})
    with zipfile.ZipFile(path) as archive:
        return [parse_mesh(modelnet10.read(archive, member.file), "off") for member in chosen]


def _weights(path: Path) -> Any:
    return [
        weight.numpy().tobytes()
        for weight in Model.load(path.with_name("last.safetensors"), "cpu").network.state_dict().values()
    ]


def _checkpoints(folder: Path) -> list[bytes]:
    checkpoint.save(folder / "made.pt", {"done": 3, "log": [{"epoch": 1.0}]})
    return [(folder / "made.pt").read_bytes()]


def _mesh(kind: str) -> Reader:
    return Reader(lambda folder: corpus.meshes(kind), f"mesh.{kind}", lambda path: parse_mesh(path.read_bytes(), kind))


def _result(task: str, name: str, read: Callable[[Path], Any]) -> Reader:
    """Of what `evaluate` writes."""
    file = f"results/0/0/{task}/{name}"
    return Reader(corpus.made(file), file, lambda path: read(path.parent))


READERS: dict[str, Reader] = {
    **{kind: _mesh(kind) for kind in ("off", "obj", "ply", "stl", "glb")},
    "images": Reader(lambda folder: corpus.pictures(), "image", lambda path: square(str(path), 16)),
    "pickles": Reader(lambda folder: corpus.pickles(), "viewID2quat.pkl", read_quaternions),
    "archives": Reader(lambda folder: corpus.archives(), "archive.zip", _archive),
    "index": Reader(corpus.made("meshes/index.csv"), "meshes/index.csv", lambda path: read_index(path.parent)),
    "views": Reader(corpus.made("so3/test.csv"), "so3/test.csv", _views),
    "errors": _result("rotation", "errors.csv", lambda folder: read_errors(folder).to_csv()),
    "angles": _result("viewpoint", "errors.csv", lambda folder: read_errors(folder).to_csv()),
    "scores": _result("rotation", "metrics.json", lambda folder: read_scores(folder.parent)),
    "logs": _result("rotation", "log.csv", lambda folder: read_log(folder).to_csv()),
    "histograms": _result("normals", "histogram.csv", lambda folder: read_histogram(folder).to_csv()),
    "pixels": _result("normals", "meshes.npz", read_pixels),
    "shards": Reader(
        lambda folder: corpus.shards(), "shard", lambda path: read_shard(path, [ROTATIONS, "v001.jpg", "v001.png"])
    ),
    "weights": Reader(corpus.weights, "last.safetensors", _weights),
    "configs": Reader(corpus.configs, "config.json", _weights),
    "checkpoints": Reader(_checkpoints, "checkpoint.pt", checkpoint.load),
    "settings": Reader(lambda folder: corpus.settings(), "params.yaml", config.load),
}
