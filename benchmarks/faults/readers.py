"""What reads files of each kind, and sound files for it."""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.faults import corpus
from benchmarks.faults.project import ROOT
from sphreg import checkpoint, config, modelnet10
from sphreg.formats import parse_mesh
from sphreg.info import Info
from sphreg.model import Model
from sphreg.predict.images import square
from sphreg.reading import read_json
from sphreg.render.index import read_index
from sphreg.render.shards import decode_shard
from sphreg.results import Result
from sphreg.split import read_views
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


def _shard(path: Path) -> Any:
    return decode_shard(path.read_bytes(), path, _render(), "train")


@cache
def _render() -> config.Render:
    render = config.load(ROOT / "params.yaml").render
    return render.model_copy(update={"size": 8, "train_views": 2, "train_normals": 1})


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


def _result(task: str, name: str, read: Callable[[Result], Any]) -> Reader:
    """Of what `evaluate` writes."""
    file = f"results/0/0/{task}/{name}"
    return Reader(corpus.made(file), file, lambda path: read(Result(task, path.parent)))


READERS: dict[str, Reader] = {
    **{kind: _mesh(kind) for kind in ("off", "obj", "ply", "stl", "glb")},
    "images": Reader(lambda folder: corpus.pictures(), "image", lambda path: square(str(path), 16)),
    "pickles": Reader(lambda folder: corpus.pickles(), "viewID2quat.pkl", read_quaternions),
    "archives": Reader(lambda folder: corpus.archives(), "archive.zip", _archive),
    "index": Reader(corpus.made("meshes/index.csv"), "meshes/index.csv", lambda path: read_index(path.parent)),
    "views": Reader(corpus.made("so3/test.csv"), "so3/test.csv", lambda path: read_views(path).to_csv()),
    "errors": _result("rotation", "errors.csv", lambda result: result.errors.to_csv()),
    "angles": _result("viewpoint", "errors.csv", lambda result: result.errors.to_csv()),
    "scores": _result("rotation", "metrics.json", lambda result: result.scores),
    "logs": _result("rotation", "log.csv", lambda result: result.log.to_csv()),
    "histograms": _result("normals", "histogram.csv", lambda result: result.histogram.to_csv()),
    "pixels": _result("normals", "meshes.npz", lambda result: result.pixels),
    "maps": _result("normals", "maps.npz", lambda result: result.maps()),
    "shards": Reader(lambda folder: corpus.shards(), "shard", _shard),
    "infos": Reader(corpus.made("so3/info.json"), "so3/info.json", lambda path: read_json(path, Info)),
    "weights": Reader(corpus.weights, "last.safetensors", _weights),
    "configs": Reader(corpus.configs, "config.json", _weights),
    "checkpoints": Reader(_checkpoints, "checkpoint.pt", checkpoint.load),
    "settings": Reader(lambda folder: corpus.settings(), "params.yaml", config.load),
}
