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
from sphreg.reading import TEXT, Column, read_table
from sphreg.render.shards import ROTATIONS, read_index, read_shard
from sphreg.results import read_errors, read_histogram, read_log, read_pixels
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


def _table(path: Path) -> Any:
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


def _csv(head: str, *rows: str) -> Callable[[Path], list[bytes]]:
    return lambda folder: ["\n".join([head, *rows, ""]).encode()]


def _checkpoints(folder: Path) -> list[bytes]:
    checkpoint.save(folder / "made.pt", {"done": 3, "log": [{"epoch": 1.0}]})
    return [(folder / "made.pt").read_bytes()]


def _mesh(kind: str) -> Reader:
    return Reader(lambda folder: corpus.meshes(kind), f"mesh.{kind}", lambda path: parse_mesh(path.read_bytes(), kind))


VIEWS = _csv(
    "key,category,mesh,qw,qx,qy,qz,azimuth_deg,elevation_deg,tilt_deg",
    "chair_0001.v001,chair,chair_0001,0.5,0.5,0.5,0.5,90.0,0.0,-90.0",
    "chair_0001.v002,chair,chair_0001,1.0,0.0,0.0,0.0,0.0,-90.0,0.0",
)
ERRORS = _csv(
    "key,category,mesh,true_w,true_x,error_deg",
    "chair_0001.v001,chair,chair_0001,0.5,0.5,12.5",
    "chair_0001.v002,chair,chair_0001,1.0,0.0,170.25",
)
LOG = _csv(
    "epoch,lr,loss,absolute,signs,grad_norm,grad_norm_cv,validation_median_deg,images_per_s,threads",
    "1,0.003,1.5,0.5,1.0,0.3,0.1,120.5,100.0,1.0",
    "2,1e-8,1.25,0.5,0.75,0.25,0.1,119.5,101.0,1.0",
)
INDEX = _csv(
    "mesh,category,split,path,vertices,faces,source,problem",
    "chair_0001,chair,train,chair/train/chair_0001.off,24,36,chair_0001,",
    "chair_0002,chair,test,chair/test/chair_0002.off,24,36,chair_0002,",
)
READERS: dict[str, Reader] = {
    **{kind: _mesh(kind) for kind in ("off", "obj", "ply", "stl", "glb")},
    "images": Reader(lambda folder: corpus.pictures(), "image", lambda path: square(str(path), 16)),
    "pickles": Reader(lambda folder: corpus.pickles(), "viewID2quat.pkl", read_quaternions),
    "archives": Reader(lambda folder: corpus.archives(), "archive.zip", _archive),
    "tables": Reader(VIEWS, "test.csv", _table),
    "index": Reader(INDEX, "index.csv", lambda path: read_index(path.parent)),
    "errors": Reader(ERRORS, "errors.csv", lambda path: read_errors(path.parent).to_csv()),
    "histograms": Reader(
        _csv("category,bin,pixels", "chair,1200,3", "toilet,17999,1"),
        "histogram.csv",
        lambda path: read_histogram(path.parent).to_csv(),
    ),
    "logs": Reader(LOG, "log.csv", lambda path: read_log(path.parent).to_csv()),
    "pixels": Reader(lambda folder: corpus.pixels(), "meshes.npz", lambda path: read_pixels(path.parent)),
    "shards": Reader(
        lambda folder: corpus.shards(), "shard", lambda path: read_shard(path, [ROTATIONS, "v001.jpg", "v001.png"])
    ),
    "weights": Reader(corpus.weights, "last.safetensors", _weights),
    "configs": Reader(corpus.configs, "config.json", _weights),
    "checkpoints": Reader(_checkpoints, "checkpoint.pt", checkpoint.load),
    "settings": Reader(lambda folder: corpus.settings(), "params.yaml", config.load),
}
