"""Files of each kind, changed at random, for each reader: a value or a sentence, within ten seconds and a gibibyte."""

import hashlib
import itertools
import json
import re
import signal
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from resource import RLIMIT_AS
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.faults import corpus
from benchmarks.faults.children import FORK, Child, limit_memory
from benchmarks.faults.findings import GOOD, Finding, Outcome
from sphreg import checkpoint, config, modelnet10
from sphreg.errors import UserError
from sphreg.formats import parse_mesh
from sphreg.model import Model
from sphreg.predict.images import square
from sphreg.reading import TEXT, Column, read_table
from sphreg.render.shards import ROTATIONS, read_index, read_shard
from sphreg.results import read_errors, read_histogram, read_log, read_pixels
from sphreg.views.original import read_quaternions

SECONDS = 10
MORE = 2**30  # bytes that a reader may take
WORDS = (
    "nan",
    "-1",
    "1e999",
    "0",
    "99999999999999999999",
    "\x00",
    "\ufeff",
    '"',
    ",",
    "\r",
    "-inf",
    "é",
    "{}",
    "[]",
    "null",
    "1.5",
)
NUMBERS = (0, 1, 127, 128, 255, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)


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


def mutate(content: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """Change a file at one to eight places; as often as not where its first bytes are, which say what follows."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 9))):
        size = len(data)
        place = int(rng.integers(min(size, 200) if rng.random() < 0.5 else size)) if size else 0
        match int(rng.integers(9)):
            case 0 if size:
                data[place] ^= 1 << int(rng.integers(8))
            case 1 if size:
                data[place] = int(rng.integers(256))
            case 2:
                del data[place : place + int(rng.integers(1, 9))]
            case 3:
                data[place:place] = data[place : place + int(rng.integers(1, 65))]
            case 4:
                width = int(rng.choice([1, 2, 4, 8]))
                number = int(NUMBERS[rng.integers(len(NUMBERS))]) % 256**width
                data[place : place + width] = number.to_bytes(width, "little" if rng.random() < 0.7 else "big")
            case 5:
                word = WORDS[rng.integers(len(WORDS))].encode()
                data[place : place + int(rng.integers(0, 9))] = word
            case 6:
                start = int(rng.integers(len(other)))
                data[place : place + int(rng.integers(0, 33))] = other[start : start + int(rng.integers(1, 65))]
            case 7:
                numbers = list(re.finditer(rb"-?\d+", bytes(data[:5000])))
                if numbers:
                    found = numbers[int(rng.integers(len(numbers)))]
                    data[found.start() : found.end()] = WORDS[rng.integers(len(WORDS))].encode()
            case 8 if rng.random() < 0.3:
                del data[place:]
    return bytes(data)


def run(name: str, seed: int, seconds: float, kept: Path, only: int | None = None) -> list[Finding]:
    """Read changed files until it is time; those at which a reader fails are kept in a folder.

    Args:
        name: of the reader.
        seed: of the changes.
        seconds: that it may take.
        kept: the folder.
        only: the number of a file that is to be repeated, and no other.
    """
    end = time.monotonic() + seconds
    counts = FORK.Array("q", len(Outcome), lock=False)
    number = FORK.Value("q", -1 if only is None else only - 1, lock=False)
    faults: list[Finding] = []
    with TemporaryDirectory() as folder:
        while only is None or number.value < only:
            start = number.value + 1
            ended = Child(partial(_read_all, name, seed, end, Path(folder), counts, number, only), Path(folder)).end(
                end - time.monotonic() + 30
            )
            for line in ended.said.splitlines():
                if line.startswith("FAULT "):
                    where, outcome, said = json.loads(line.removeprefix("FAULT "))
                    faults.append(Finding("fuzz", name, f"{name}:{where}", Outcome(outcome), said))
            if ended.status == 0:
                break
            if number.value < start and ended.status is not None and ended.status > 0:
                raise RuntimeError(f"the files for {name} cannot be made:\n{ended.said}")
            outcome = Outcome.HANG if ended.status in (None, -signal.SIGALRM) else Outcome.CRASH
            last = (ended.said.splitlines() or [""])[-1]
            faults.append(Finding("fuzz", name, f"{name}:{number.value}", outcome, f"status {ended.status} {last}"))
        for fault in faults[:20]:
            kept.mkdir(parents=True, exist_ok=True)
            where = int(fault.case.rpartition(":")[2])
            (kept / f"{name}-{where}-{READERS[name].file}").write_bytes(
                _content(READERS[name].corpus(Path(folder)), seed, where)
            )
    good = [
        Finding("fuzz", name, name, outcome, count=counts[place])
        for place, outcome in enumerate(Outcome)
        if outcome in GOOD and counts[place]
    ]
    return good + faults


def _content(files: list[bytes], seed: int, number: int) -> bytes:
    rng = np.random.default_rng([seed, number])
    sound, other = (files[int(rng.integers(len(files)))] for _ in range(2))
    return mutate(sound, other, rng)


def _read_all(name: str, seed: int, end: float, folder: Path, counts: Any, number: Any, only: int | None) -> None:
    reader = READERS[name]
    files = reader.corpus(folder)
    sound = set()
    for file in files:
        (folder / reader.file).write_bytes(file)
        sound.add(_attempt(reader, folder / reader.file)[1])
    limit_memory(RLIMIT_AS, MORE)
    for place in itertools.count(number.value + 1):
        if time.monotonic() > end or (only is not None and place > only):
            return
        content = _content(files, seed, place)
        (folder / reader.file).unlink(missing_ok=True)
        (folder / reader.file).write_bytes(content)
        number.value = place
        signal.alarm(SECONDS)  # ends the process, whatever it does
        outcome, said = _attempt(reader, folder / reader.file)
        signal.alarm(0)
        if outcome is Outcome.ALLOWED and said in sound:
            outcome = Outcome.SAME
        counts[list(Outcome).index(outcome)] += 1
        if outcome not in GOOD:
            print("FAULT", json.dumps([place, outcome.value, said]), flush=True)


def _attempt(reader: Reader, path: Path) -> tuple[Outcome, str]:
    """Read a file; its checksum, or what is said of it."""
    try:
        return Outcome.ALLOWED, hashlib.sha256(repr(_plain(reader.read(path))).encode()).hexdigest()
    except BaseException as error:
        chain = list(_chain(error))
        said = f"{type(error).__name__}: {error}"[:300].replace(str(path.parent), "")
        if any(isinstance(each, MemoryError) or "allocate memory" in str(each) for each in chain):
            return Outcome.MEMORY, said
        if isinstance(error, UserError) and str(error).strip():
            return Outcome.SENTENCE, said
        return Outcome.TRACEBACK, said


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _plain(value: Any) -> Any:
    """Arrays as their bytes, also in tuples, lists and dictionaries."""
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype.str, hashlib.sha256(value.tobytes()).digest()
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value
