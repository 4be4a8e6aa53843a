"""Every input file of the stages around the packed dataset, damaged in every way: one sentence, before any work."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from simplejpeg import encode_jpeg

from benchmarks.results import write_log
from sphreg.checksums import write_checksums
from sphreg.config import Params
from sphreg.errors import UserError
from sphreg.model import Model
from sphreg.pack import pack
from sphreg.render.png import png
from sphreg.render.sampling import rotations
from sphreg.render.shards import encode_shard
from stages import card, evaluate, train
from stages import pack as pack_stage
from tests.datasets import config_of
from tests.settings import PARAMS

SIZE, VIEWS, CATEGORIES = 16, 2, ["bed", "sofa"]
MESHES = [(f"{category}_{split}", category, split) for category in CATEGORIES for split in ("train", "test")]
COUNTS = {
    f"{split}_{kind}": VIEWS - (kind == "normals") for split in ("train", "test") for kind in ("views", "normals")
}
SETTINGS = PARAMS.model_copy(update={"render": PARAMS.render.model_copy(update={"size": SIZE} | COUNTS)})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Meshes, shards, what was packed of them, and a model."""
    folder, rng = tmp_path_factory.mktemp("made"), np.random.default_rng(0)
    rows = ["mesh,category,split,path,vertices,faces,source,problem"]
    for mesh, category, split in MESHES:
        rows.append(f"{mesh},{category},{split},{mesh}.off,4,4,{mesh},")
        grey = rng.integers(0, 256, (VIEWS, SIZE, SIZE, 1), np.uint8)
        images = {f"v{view + 1:03d}": encode_jpeg(grey[view], 95, "GRAY") for view in range(VIEWS)}
        normals = {"v001": png(rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8))}
        path = folder / "shards" / category / split / f"{mesh}.safetensors"
        path.parent.mkdir(parents=True)
        path.write_bytes(encode_shard(images, normals, rotations(0, mesh, VIEWS)))
    (folder / "shards/engine.json").write_text(json.dumps({"engine": "none"}))
    (folder / "meshes").mkdir()
    (folder / "meshes/index.csv").write_text("\n".join(rows) + "\n")
    (folder / "meshes/source.json").write_text(json.dumps({"source": "furniture", "seed": 0}))
    write_checksums(folder / "shards")
    write_checksums(folder / "meshes")
    pack(folder / "shards", folder / "meshes", folder / "so3", SETTINGS.render)
    config = config_of("normals").model_copy(update={"categories": CATEGORIES})
    Model(config).save(folder / "model" / "last.safetensors")
    write_log(folder / "model", 1, rng)
    return folder


def run_pack(folder: Path, params: Params) -> None:
    pack_stage.main(params, folder / "shards", folder / "meshes", folder / "out")


def run_train(folder: Path, params: Params) -> None:
    train.main(params, "normals", "sexp", folder / "so3", folder / "out")


def run_evaluate(folder: Path, params: Params) -> None:
    evaluate.main(params, folder / "model", folder / "so3", folder / "out")


def run_card(folder: Path, params: Params) -> None:
    card.main(params, folder / "so3", folder / "meshes", folder / "out")


MESHES_READ = ["meshes/index.csv", "meshes/source.json", "meshes/SHA256SUMS"]
PACKED = {split: [f"so3/{split}.csv", f"so3/{split}.lmdb"] for split in ("train", "test")}
ALWAYS = ["so3/info.json", "so3/SHA256SUMS"]
INPUTS = {
    "pack": (run_pack, [*MESHES_READ, *(f"shards/{name}" for name in ("engine.json", "SHA256SUMS"))]),
    "train": (run_train, [*ALWAYS, *PACKED["train"], "so3/train.normals.lmdb"]),
    "evaluate": (run_evaluate, [*ALWAYS, *PACKED["test"], "so3/test.normals.lmdb"]),
    "card": (run_card, [*MESHES_READ, *ALWAYS, *PACKED["train"], *PACKED["test"], "so3/test.normals.lmdb"]),
}
INPUTS["pack"][1].append("shards/sofa/test/sofa_test.safetensors")


def flipped(content: bytes) -> bytes:
    """Some bits, everywhere in it."""
    found = np.frombuffer(content, np.uint8).copy()
    found[:: max(1, len(found) // 50)] ^= np.uint8(0x55)
    return found.tobytes()


DAMAGES: dict[str, Callable[[bytes], bytes] | None] = {
    "missing": None,
    "empty": lambda content: b"",
    "truncated": lambda content: content[: len(content) // 2],
    "flipped": flipped,
    "text": lambda content: b"hello, world\n" * 1000,
    "json": lambda content: b'{"a": [1]}',
    "utf-16": lambda content: "key,qw\n\u00e4,1\n".encode("utf-16"),
    "zeros": lambda content: bytes(len(content)),
}


@pytest.fixture(autouse=True)
def _no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def work(*_: object) -> None:
        raise AssertionError("it works")

    for name in "stages.train.train", "stages.evaluate.evaluate", "sphreg.card.markdown":
        monkeypatch.setattr(name, work)


@pytest.mark.parametrize("known", [True, False], ids=["", "with checksums of the damaged file"])
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("stage", INPUTS)
def test_one_sentence(made: Path, tmp_path: Path, stage: str, damage: str, known: bool) -> None:
    run, files = INPUTS[stage]
    change = DAMAGES[damage]
    for file in files:
        folder = tmp_path / file.replace("/", "-")
        shutil.copytree(made, folder)
        path = folder / file
        if change is None:
            path.unlink()
        else:
            path.write_bytes(change(path.read_bytes()))
        if not known:
            if path.name == "SHA256SUMS" or (damage == "flipped" and path.suffix == ".lmdb"):
                continue  # nobody may open what LMDB does not check
            write_checksums(folder / file.split("/")[0])
        with pytest.raises(UserError) as caught:
            run(folder, SETTINGS)
        said = str(caught.value)
        assert said.startswith(f"{folder}/") and said.endswith(".") and "\n" not in said, said
        assert path.name in said, said
        assert not (folder / "out/SHA256SUMS").exists(), said  # without which nobody reads the rest


@pytest.mark.parametrize("stage", INPUTS)
def test_without_damage_work_begins(made: Path, tmp_path: Path, stage: str) -> None:
    run, files = INPUTS[stage]
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    assert all((tmp_path / file).is_file() for file in files)
    if stage == "pack":
        run(tmp_path, SETTINGS)
        assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == {
            path.name: path.read_bytes() for path in (made / "so3").iterdir()
        }
    else:
        with pytest.raises(AssertionError, match="it works"):
            run(tmp_path, SETTINGS)
