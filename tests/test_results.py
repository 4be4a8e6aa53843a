"""The files that a test writes and reports read: what is damaged, or does not fit the rest, is one sentence."""

import io
import json
import math
import os
import resource
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import simplejpeg
import torch
from safetensors.torch import load_file, save_file

from benchmarks.packed import info_of
from benchmarks.results import write_log, write_result
from sphreg import checksums
from sphreg.checksums import write_checksums
from sphreg.comparison import Scored, compare
from sphreg.errors import UserError
from sphreg.evaluation import evaluate
from sphreg.figures.looks import looks
from sphreg.info import write_info
from sphreg.model import Model
from sphreg.page.pictures import pictures
from sphreg.page.results import errors
from sphreg.predict import Predictor
from sphreg.report import report
from sphreg.results import Result, files, write_arrays
from sphreg.runs import runs_in
from sphreg.table import table
from sphreg.views import write_views
from stages.evaluate import main as stage
from tests.datasets import CATEGORIES, config_of, samples_of
from tests.settings import PARAMS

TASKS = ("rotation", "viewpoint", "normals")
GREY = simplejpeg.encode_jpeg(np.full((16, 16, 1), 200, np.uint8), 95, "GRAY")
INFO = info_of(CATEGORIES, 16)


def views() -> pd.DataFrame:
    """Two meshes of two categories each, with three views."""
    names = [f"{category}{mesh}" for category in ("bed", "sofa") for mesh in (1, 2) for _ in range(3)]
    table = pd.DataFrame({"key": [f"{name}.v{i % 3 + 1:03d}" for i, name in enumerate(names)], "mesh": names})
    table["category"] = table["mesh"].str[:-1]
    return table.assign(qx=0.0, qy=0.6, qz=0.0, qw=0.8)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`HEAD/TASK` of one head, where one view of normals shows no pixel."""
    folder, rng = tmp_path_factory.mktemp("results"), np.random.default_rng(0)
    for task in TASKS:
        degrees: list[Any] = rng.uniform(0, 180, 12).tolist()
        if task == "normals":
            degrees = [rng.uniform(0, 180, count) for count in range(12)]
        write_result(folder / "flat" / task, task, views(), degrees, 3, rng, size=4)
    return folder


@pytest.fixture
def results(written: Path, tmp_path: Path) -> Path:
    """The same, to be damaged."""
    return Path(shutil.copytree(written, tmp_path / "results"))


def spoilt(kind: str, content: bytes) -> bytes:
    """What a fault of the disk, or a hand, may make of a file."""
    match kind:
        case "empty":
            return b""
        case "cut short":
            return content[: len(content) // 2]
        case "flipped":
            middle = len(content) // 2
            return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        case "garbage":
            return bytes(range(256))
        case "other JSON":
            return b'{"render": [1, {"all": null}]}'
        case "doubled":
            return content + b"".join(content.splitlines(keepends=True)[1:])
        case _:
            return b"".join(content.splitlines(keepends=True)[:-1])


KINDS = ("missing", "empty", "cut short", "flipped", "garbage", "other JSON", "doubled", "last line removed")


def spoil(path: Path, kind: str) -> None:
    if kind == "missing":
        path.unlink()
    else:
        path.write_bytes(spoilt(kind, path.read_bytes()))


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(UserError) as caught:
        call()
    said = str(caught.value)
    assert "\n" not in said and said.endswith(".")
    return said


# What no other number follows from: digits of the log and of angles, and its length.
LOOSE = {("errors.csv", "flipped"), *(("log.csv", kind) for kind in ("flipped", "cut short", "last line removed"))}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("task", "name"), [(task, name) for task in TASKS for name in files(task)])
def test_each_file_damaged_in_each_way(results: Path, task: str, name: str, kind: str) -> None:
    folder = results / "flat" / task
    spoil(folder / name, kind)
    assert refused(Result(task, folder).check).startswith(str(folder / name))
    (folder / checksums.NAME).unlink()  # as of an earlier version: what the files say of each other has to do
    if (name, kind) not in LOOSE:
        assert refused(Result(task, folder).check).startswith(str(folder))


@pytest.mark.parametrize("kind", KINDS[1:])
def test_checksums_damaged_in_each_way(results: Path, kind: str) -> None:
    folder = results / "flat" / "normals"
    spoil(folder / checksums.NAME, kind)
    if kind == "doubled":
        Result("normals", folder).check()
    else:
        assert refused(Result("normals", folder).check).startswith(str(folder))


@pytest.mark.parametrize("task", TASKS)
def test_a_result_without_checksums_is_of_an_earlier_version(results: Path, task: str) -> None:
    (results / "flat" / task / checksums.NAME).unlink()
    Result(task, results / "flat" / task).check()


def page(results: Path) -> None:
    for task in TASKS[::-1]:
        scored = [Scored(run, Path(run.folder), INFO) for run in runs_in(results, ["flat"], [task], 0)]
        rows = compare(scored).rows
        angles = dict.fromkeys(["azimuth_deg", "elevation_deg", "tilt_deg"], 0.0)
        table = errors(rows, views().assign(**angles))
        list(pictures(task, rows, table, looks((row.head, row.differs) for row in rows)))


READERS: dict[str, Callable[[Path], None]] = {
    "report": lambda results: report(results / "flat", results, results / "out"),
    "table": lambda results: table(results, ["flat"], TASKS, results, results / "out"),
    "page": page,
}
READ = {
    "report": ["errors.csv", "histogram.csv", "log.csv", "metrics.json", "maps.npz"],
    "table": ["errors.csv", "histogram.csv", "metrics.json"],
    "page": ["meshes.npz", "log.csv", "maps.npz"],  # and the others, before
}


@pytest.mark.parametrize(("reader", "name"), [(reader, name) for reader, names in READ.items() for name in names])
def test_reports_refuse_what_is_not_as_it_was_written(results: Path, reader: str, name: str) -> None:
    write_views(results / "test.lmdb", [(key, GREY) for key in views()["key"]])
    write_info(results, INFO)
    write_checksums(results)
    spoil(results / "flat" / "normals" / name, "flipped")
    assert name in refused(lambda: READERS[reader](results))


def changed(path: Path, row: int, **cells: Any) -> None:
    """Change cells of a table, and leave the checksums away."""
    table = pd.read_csv(path, dtype=object, keep_default_na=False)
    for name, value in cells.items():
        table.loc[row, name] = value
    table.to_csv(path, index=False)
    (path.parent / checksums.NAME).unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("file", "cells", "said"),
    [
        ("rotation/errors.csv", {"error_deg": 400}, "line 4: error_deg is 400.0, allowed: a number from 0 to 180"),
        ("rotation/errors.csv", {"error_deg": -1}, "line 4: error_deg is -1.0"),
        ("rotation/errors.csv", {"error_deg": "inf"}, "line 4: error_deg is inf"),
        ("rotation/errors.csv", {"error_deg": ""}, "line 4: error_deg is nan"),
        ("rotation/errors.csv", {"key": "bed1.v001"}, "line 4: bed1.v001 is there twice"),
        ("rotation/errors.csv", {"predicted_qw": 0.1}, "line 4: its predicted quaternion has another length than 1"),
        ("rotation/errors.csv", {"true_sign_class": 8}, "line 4: true_sign_class is 8.0"),
        ("viewpoint/errors.csv", {"predicted_elevation_deg": 91}, "line 4: predicted_elevation_deg is 91.0"),
        ("normals/errors.csv", {"pixels": -1}, "line 4: pixels is -1.0"),
        ("normals/errors.csv", {"pixels": 0}, "line 4: mean_deg has to be there where pixels are"),
        ("normals/errors.csv", {"pixels": 3}, "its pixels are not as many as those of errors.csv"),
        ("normals/histogram.csv", {"bin": 18_000}, "line 4: bin is 18000.0, allowed: a whole number from 0 to 17999"),
        ("normals/histogram.csv", {"bin": 0}, "not those of"),
        ("normals/histogram.csv", {"pixels": 0}, "line 4: pixels is 0.0"),
        ("normals/histogram.csv", {"category": "sofa"}, "its pixels are not as many as those of errors.csv"),
        ("normals/log.csv", {"epoch": 4}, "line 4: it is not the next epoch, counted from 1"),
        ("normals/log.csv", {"loss": ""}, "line 4: loss is nan"),
    ],
)
def test_a_cell_that_cannot_be(results: Path, file: str, cells: dict[str, Any], said: str) -> None:
    changed(results / "flat" / file, 2, **cells)
    assert said in refused(Result(Path(file).parent.name, results / "flat" / Path(file).parent).check)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "181.0", '"1"', "null"])
def test_metrics_that_cannot_be(results: Path, value: str) -> None:
    path = results / "flat" / "rotation" / "metrics.json"
    first = str(next(iter(json.loads(path.read_text()).values()))["median_deg"])
    path.write_text(path.read_text().replace(first, value, 1))
    (path.parent / checksums.NAME).unlink()
    assert refused(lambda: Result("rotation", path.parent).scores).startswith(f"{path}: ")


def test_metrics_of_a_version_without_those_of_a_fifth(results: Path) -> None:
    folder = results / "flat" / "rotation"
    scores = json.loads((folder / "metrics.json").read_text())
    del scores["macro_fifth"]
    (folder / "metrics.json").write_text(json.dumps(scores))
    (folder / checksums.NAME).unlink()
    assert Result("rotation", folder).scores == scores


class TestArrays:
    def refused(self, results: Path, name: str, **arrays: Any) -> str:
        """With these arrays in place of those that were there."""
        path = results / "flat" / "normals" / name
        (path.parent / checksums.NAME).unlink()
        with np.load(path) as known:
            arrays = {**known, **arrays}
        with path.open("wb") as file:
            np.savez_compressed(file, **{name: array for name, array in arrays.items() if array is not None})
        said = refused(Result("normals", path.parent).check)
        assert said.startswith(f"{path}: ")
        return said

    @pytest.mark.parametrize(
        ("name", "arrays", "said"),
        [
            ("meshes.npz", {"pixels": None}, "is not an archive of arrays"),
            ("meshes.npz", {"pixels": np.zeros((4, 3600))}, "pixels is <f8 (4, 3600), allowed: uint32 (4, 3600)"),
            ("meshes.npz", {"pixels": np.zeros((4, 3600), np.uint32)}, "its pixels are not those of errors.csv"),
            ("meshes.npz", {"pixels": np.zeros((300_000_000, 0), np.uint32)}, "pixels is <u4 (300000000, 0)"),
            ("meshes.npz", {"mesh": np.array(["a", "b", "c", "d"])}, "its meshes are not those of errors.csv"),
            ("meshes.npz", {"mesh": np.array(["a", "b", "c", "d"], object)}, "mesh is |O (4,)"),
            ("meshes.npz", {"mesh": np.array(["a", "b", "c", "d" * 1001])}, "mesh is <U1001 (4,)"),
            ("maps.npz", {"key": np.array(["a"])}, "image is |u1 (12, 4, 4)"),
            ("maps.npz", {"key": np.array([f"bed1.v{i:03d}" for i in range(12)])}, "its keys are not those of errors."),
            ("maps.npz", {"true": np.full((12, 4, 4, 3), np.nan, np.float32)}, "true has other numbers than from -1"),
            ("maps.npz", {"true": np.full((12, 4, 4, 3), 2, np.float32)}, "true has other numbers than from -1 to 1"),
        ],
    )
    def test_what_is_something_else(self, results: Path, name: str, arrays: dict[str, Any], said: str) -> None:
        assert said in self.refused(results, name, **arrays)

    @pytest.mark.parametrize("shape", ["(4, 3600)", "(10000000000000, 3600)", "(-4, -3600)", "(4,)"])
    def test_a_header_is_held_against_the_file_before_memory_is_taken(self, results: Path, shape: str) -> None:
        """Whose array has one number."""
        path = results / "flat" / "normals" / "meshes.npz"
        (path.parent / checksums.NAME).unlink()
        buffer = io.BytesIO()
        np.save(buffer, np.zeros((1,), np.uint32))
        header = buffer.getvalue().replace(b"(1,)", shape.encode()).replace(b" " * (len(shape) - 4) + b"\n", b"\n")
        with np.load(path) as known, zipfile.ZipFile(path.with_suffix(".new"), "w") as archive:
            for name in "category", "mesh":
                buffer = io.BytesIO()
                np.save(buffer, known[name])
                archive.writestr(f"{name}.npy", buffer.getvalue())
            archive.writestr("pixels.npy", header)
        path.with_suffix(".new").rename(path)
        assert refused(Result("normals", path.parent).check).startswith(f"{path}: ")


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class TestTheStage:
    @pytest.fixture
    def model(self, tmp_path: Path) -> Path:
        return self.write_model(tmp_path / "model", "rotation")

    def write_model(self, folder: Path, task: str) -> Path:
        with torch.random.fork_rng(devices=[]):
            Model(config_of(task)).save(folder / "last.safetensors")
        write_log(folder, 1, np.random.default_rng(0))
        return folder

    @pytest.mark.parametrize("task", TASKS)
    def test_what_it_writes_is_right_and_the_same_again(self, data: Path, tmp_path: Path, task: str) -> None:
        """And links into a cache are replaced, not written through."""
        model, out = self.write_model(tmp_path / "model", task), tmp_path / "out"
        stage(PARAMS, model, data, out)
        assert set(os.listdir(out)) == {*files(task), "card.md", checksums.NAME}
        Result(task, out).check()
        first = {path.name: path.read_bytes() for path in out.iterdir()}
        (tmp_path / "cache").mkdir()
        for name in first:
            (tmp_path / "cache" / name).write_text("of another test")
            (out / name).unlink()
            (out / name).symlink_to(tmp_path / "cache" / name)
        stage(PARAMS, model, data, out)
        assert {path.name: path.read_bytes() for path in out.iterdir()} == first
        assert {path.read_text() for path in (tmp_path / "cache").iterdir()} == {"of another test"}

    @pytest.mark.parametrize("task", ["rotation", "normals"])
    def test_a_disk_that_is_full(self, data: Path, tmp_path: Path, task: str) -> None:
        model = self.write_model(tmp_path / "model", task)
        with no_file_larger_than(10):
            said = refused(lambda: stage(PARAMS, model, data, tmp_path / "out"))
        assert said == f"{tmp_path / 'out' / 'errors.csv'}: it cannot be written (File too large)."
        assert not list((tmp_path / "out").iterdir())

    def test_arrays_on_a_disk_that_is_full(self, tmp_path: Path) -> None:
        with no_file_larger_than(1000):
            said = refused(lambda: write_arrays(tmp_path / "a.npz", a=np.random.default_rng(0).normal(size=10_000)))
        assert said == f"{tmp_path / 'a.npz'}: it cannot be written (File too large)."
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("name", ["last.safetensors", "config.json", "log.csv"])
    def test_a_model_damaged_in_each_way(self, data: Path, model: Path, tmp_path: Path, name: str, kind: str) -> None:
        checksums.write_checksums(model)
        spoil(model / name, kind)
        assert refused(lambda: stage(PARAMS, model, data, tmp_path / "out")).startswith(f"{model / name}: ")
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"task": "depth"}, "task: Input should be 'rotation', 'viewpoint' or 'normals'"),
            ({"task": "normals"}, "train is of another task than normals"),
            ({"head": "gone"}, "head is 'gone', allowed: direct, flat, sexp"),
            ({"categories": []}, "categories: List should have at least 1 item"),
            ({"categories": ["bed", "bed"]}, "categories has one twice"),
            ({"size": 10**12}, "size: Input should be less than or equal to 2048"),
            ({"head_settings": {"a": 1}}, "is not the config of a model"),
            ({"train": {"backbone": "resnet9"}}, "backbone: Input should be 'small'"),
            ({"train": {"hidden": 10**18}}, "is not the config of a model"),
            ({"train": {"hidden": 10**100}}, "is not the config of a model"),
        ],
    )
    def test_a_config_that_cannot_be(self, model: Path, changes: dict[str, Any], said: str) -> None:
        path = model / "config.json"
        config = json.loads(path.read_text())
        train = config["train"] | changes.get("train", {})
        path.write_text(json.dumps(config | changes | {"train": train}))
        found = refused(lambda: Model.load(model / "last.safetensors"))
        assert found.startswith(f"{path}: ") and said in found

    def test_sizes_are_held_against_the_weights_before_memory_is_taken(self, model: Path) -> None:
        """A hidden layer of 16 TB."""
        path = model / "config.json"
        path.write_text(path.read_text().replace('"hidden": 16', '"hidden": 2000000000'))
        said = refused(lambda: Model.load(model / "last.safetensors"))
        assert "branches.hidden.0.bias is (16,), allowed: (2000000000,)" in said

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_weights_that_are_not_finite(self, model: Path, value: float) -> None:
        file = model / "last.safetensors"
        state = load_file(file)
        state["branches.hidden.0.weight"][3, 5] = value
        save_file(state, file)
        assert "branches.hidden.0.weight is torch.float32, allowed: torch.float32, and finite" in refused(
            lambda: Model.load(file)
        )

    def test_weights_of_another_type(self, model: Path) -> None:
        file = model / "last.safetensors"
        save_file({name: weight.double() for name, weight in load_file(file).items()}, file)
        assert "is torch.float64, allowed: torch.float32" in refused(lambda: Model.load(file))

    @pytest.mark.parametrize("task", TASKS)
    def test_predictions_that_are_not_finite(self, data: Path, tmp_path: Path, task: str) -> None:
        """Of finite weights, that are too large."""
        with torch.random.fork_rng(devices=[]):
            model = Model(config_of(task, "direct"))
        with torch.no_grad():
            for weight in model.network.branches.parameters():
                weight.fill_(1e38)
        key = samples_of(data, task, "test").table["key"][0]
        said = refused(lambda: evaluate(model, samples_of(data, task, "test"), tmp_path / "out", 8))
        assert said == f"{data / 'test.lmdb'}: the prediction for {key} is not finite; train the model again."
        image = np.zeros((16, 16), np.uint8)
        assert (
            refused(lambda: Predictor(model, 16).predict([image], "bed"))
            == "images[0]: the model's answer is not finite."
        )

    def test_a_test_without_any_pixel(self, data: Path, tmp_path: Path) -> None:
        samples = samples_of(data, "normals", "test")
        black = np.zeros((16, 16, 3), np.uint8)
        samples.normals = SimpleNamespace(colours=lambda key: black)
        with torch.random.fork_rng(devices=[]):
            model = Model(config_of("normals"))
        assert "no view shows a pixel with a normal" in refused(lambda: evaluate(model, samples, tmp_path, 8))
