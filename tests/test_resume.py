"""A training that is killed, at whatever moment, and started again ends as one that was left alone."""

import importlib
import os
import pickle
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

import sphreg.training
from sphreg import checkpoint
from sphreg.checksums import write_checksums
from sphreg.errors import UserError
from tests.children import KILLED, Children
from tests.datasets import config_of, samples_of, write_data
from tests.settings import PARAMS


def result(folder: Path) -> dict[str, Any]:
    """All that a training leaves, but for how fast it was; it leaves nothing unfinished."""
    assert list((folder / "scratch").rglob("*")) == []
    files = {path.name: path.read_bytes() for path in (folder / "out").iterdir()}
    assert sorted(files) == ["best.safetensors", "config.json", "last.safetensors", "log.csv"]
    log = pd.read_csv(folder / "out" / "log.csv", dtype=str)
    assert (log["images_per_s"].astype(float) > 0).all()
    return files | {"log.csv": log.drop(columns="images_per_s").to_csv()}


# 31 steps to an epoch of 63 images, or 22 of 45 maps, with a checkpoint after the 20th and the last: see `children`.
WAYS: dict[str, dict[str, Any]] = {
    "adamw-onecycle": {"task": "rotation", "head": "sexp", "optimizer": "adamw", "schedule": "onecycle"},
    "adam-thirds": {"task": "viewpoint", "head": "direct", "optimizer": "adam", "schedule": "thirds"},
    "sgd-constant": {"task": "normals", "head": "flat", "optimizer": "sgd", "schedule": "constant"},
}


@pytest.mark.parametrize("way", WAYS)
def test_killed_at_some_steps(children: Children, data: Path, tmp_path: Path, way: str) -> None:
    """In the first epoch and in the second; with dropout; the images come now from the file, now from memory."""
    config = config_of(**WAYS[way], batch=2, dropout=0.3, lr=0.001)
    assert children.train(config, data, tmp_path / "whole")[0] == [0]
    numbers = random.Random(way)
    caches = numbers.sample(["none", "ram", "none"], 3)
    per_epoch = 22 if way == "sgd-constant" else 31
    first = numbers.randint(21, per_epoch)  # after the first checkpoint
    second = per_epoch - 20 + numbers.randint(1, 19)  # of those that are left, before the checkpoint in its middle
    for steps, cache, before in (first, caches[0], 0), (second, caches[1], 20), (None, caches[2], per_epoch):
        kill = steps and ("step", steps)
        statuses, output = children.train(config, data, tmp_path / "parts", kill=kill, cache=cache)
        assert statuses == [KILLED if kill else 0], output
        assert (f"Going on after step {before} of {2 * per_epoch}" in output) == (before > 0)
    assert result(tmp_path / "parts") == result(tmp_path / "whole")


@pytest.mark.parametrize(
    ("place", "time", "step"),
    [
        ("after checkpoint", 1, 20),
        ("after checkpoint", 2, 31),
        ("in checkpoint", 1, 0),
        ("in checkpoint", 3, 31),
        ("validation", 1, 20),
        ("validation", 11 + 7, 51),
    ],
)
def test_killed_at_a_bad_moment(
    children: Children, data: Path, tmp_path: Path, whole: dict[str, Any], place: str, time: int, step: int
) -> None:
    """Of 62 steps; the 21 images that are held out are 11 batches. Two processes decode, once."""
    statuses, output = children.train(config_of(batch=2), data, tmp_path, kill=(place, time))
    assert statuses == [KILLED], output
    loaders = 2 if (place, time) == ("after checkpoint", 1) else 0
    statuses, output = children.train(config_of(batch=2), data, tmp_path, loaders=loaders)
    assert statuses == [0], output
    assert (f"Going on after step {step} of 62" in output) == (step > 0)
    assert result(tmp_path) == whole


@pytest.fixture(scope="module")
def whole(children: Children, data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("whole")
    assert children.train(config_of(batch=2), data, folder)[0] == [0]
    return result(folder)


def test_a_checkpoint_after_each_step(children: Children, data: Path, tmp_path: Path) -> None:
    assert children.train(config_of(), data, tmp_path / "whole", checkpoint_s=1e9)[0] == [0]
    for step in range(1, 6):  # of 6, one in each process but the last
        statuses, output = children.train(config_of(), data, tmp_path / "parts", kill=("step", 2), checkpoint_s=0.0)
        assert statuses == [KILLED], output
        assert ("Going on after" in output) == (step > 1)
    statuses, output = children.train(config_of(), data, tmp_path / "parts", checkpoint_s=0.0)
    assert statuses == [0], output
    assert "Going on after step 5 of 6" in output
    assert result(tmp_path / "parts") == result(tmp_path / "whole")


def test_killed_before_each_change_of_a_file(children: Children, data: Path, tmp_path: Path) -> None:
    config = config_of(epochs=1)
    statuses, output = children.train(config, data, tmp_path / "whole", kill=("change", 0))
    assert statuses == [0]
    changes = [line for line in output.splitlines() if line.startswith("CHANGE")]
    assert {line.split("/")[-1] for line in changes} >= {f"{name}.partial" for name in ("checkpoint.pt", "log.csv")}
    expected = result(tmp_path / "whole")
    for change, name in enumerate(changes, 1):
        folder = tmp_path / f"{change}"
        statuses, output = children.train(config, data, folder, kill=("change", change))
        assert statuses == [KILLED], name
        statuses, output = children.train(config, data, folder)
        assert statuses == [0], (name, output)
        assert result(folder) == expected, name


def test_killed_while_the_unfinished_is_removed(children: Children, data: Path, tmp_path: Path) -> None:
    """Which goes first is the file system's choice."""
    config = config_of(epochs=1)
    _, output = children.train(config, data, tmp_path / "whole", kill=("change", 0))
    changes = [line for line in output.splitlines() if line.startswith("CHANGE")]
    removal = next(i for i, line in enumerate(changes, 1) if line.startswith("CHANGE shutil.rmtree"))
    assert children.train(config, data, tmp_path / "parts", kill=("change", removal))[0] == [KILLED]
    for file in (tmp_path / "parts" / "scratch").glob("*/*"):
        folder = tmp_path / file.name
        shutil.copytree(tmp_path / "parts", folder)
        (folder / file.relative_to(tmp_path / "parts")).unlink()
        statuses, output = children.train(config, data, folder)
        assert statuses == [0], output
        assert result(folder) == result(tmp_path / "whole")


@pytest.fixture(scope="module")
def killed(children: Children, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("killed")
    assert children.train(config_of(), data, folder, kill=("after checkpoint", 1))[0] == [KILLED]
    return folder


class TestWhatItGoesOnFrom:
    def test_not_from_another_setting(self, children: Children, data: Path, killed: Path, tmp_path: Path) -> None:
        """What was killed can still be gone on with later."""
        shutil.copytree(killed, tmp_path / "both")
        for folder in "both", "alone":
            statuses, output = children.train(config_of(lr=0.001), data, tmp_path / folder)
            assert statuses == [0]
            assert "Going on" not in output
        for name in "last.safetensors", "best.safetensors":
            assert (tmp_path / "both/out" / name).read_bytes() == (tmp_path / "alone/out" / name).read_bytes()
        statuses, output = children.train(config_of(), data, tmp_path / "both")
        assert statuses == [0]
        assert "Going on after step 3 of 6" in output

    @pytest.mark.parametrize(
        "settings", [{"head": "flat"}, {"epochs": 3}, {"dropout": 0.1}, {"batch": 8}, {"validation": 0.0}]
    )
    def test_not_from_other_settings(self, data: Path, settings: dict[str, Any]) -> None:
        samples = samples_of(data, "rotation")
        assert checkpoint.fingerprint(config_of(), samples) == checkpoint.fingerprint(config_of(), samples)
        assert checkpoint.fingerprint(config_of(**settings), samples) != checkpoint.fingerprint(config_of(), samples)

    def test_not_from_other_weights_of_the_backbone(self, data: Path, tmp_path: Path) -> None:
        """In a file of the same name."""
        weights = tmp_path / "weights.safetensors"
        found = []
        for content in b"some", b"other", b"some":
            weights.write_bytes(content)
            found.append(checkpoint.fingerprint(config_of(weights=str(weights)), samples_of(data, "rotation")))
        assert found[0] == found[2] != found[1]

    def test_from_the_same_dataset_at_another_place(
        self, children: Children, data: Path, killed: Path, tmp_path: Path
    ) -> None:
        shutil.copytree(killed, tmp_path / "moved")
        shutil.copytree(data, tmp_path / "so3")
        assert "Going on" in children.train(config_of(), tmp_path / "so3", tmp_path / "moved")[1]

    def test_not_from_other_images_or_another_truth(self, data: Path, tmp_path: Path) -> None:
        def fingerprint(task: str, folder: Path) -> str:
            return checkpoint.fingerprint(config_of(task), samples_of(folder, task))

        other = write_data(tmp_path / "other", seed=1)
        for task, file in (
            ("rotation", "train.lmdb"),
            ("rotation", "train.csv"),
            ("normals", "train.lmdb"),
            ("normals", "train.normals.lmdb"),
        ):
            shutil.copytree(data, tmp_path / task, dirs_exist_ok=True)
            assert fingerprint(task, tmp_path / task) == fingerprint(task, data)
            shutil.copy(other / file, tmp_path / task / file)
            write_checksums(tmp_path / task)
            assert fingerprint(task, tmp_path / task) != fingerprint(task, data)

    @pytest.mark.parametrize(
        "module", ["training", "checkpoint", "loading", "samples", "model", "heads.sexp", "networks.pose", "rotations"]
    )
    def test_not_from_other_code(
        self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
    ) -> None:
        samples, loaded = samples_of(data, "rotation"), importlib.import_module(f"sphreg.{module}")
        assert loaded.__file__ is not None
        before = checkpoint.fingerprint(config_of(), samples)
        copy = tmp_path / "copy.py"
        copy.write_bytes(Path(loaded.__file__).read_bytes())
        monkeypatch.setattr(loaded, "__file__", str(copy))
        assert checkpoint.fingerprint(config_of(), samples) == before
        copy.write_bytes(copy.read_bytes() + b"# changed\n")
        assert checkpoint.fingerprint(config_of(), samples) != before


class Running:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.folder),)


class TestDamagedCheckpoints:
    @pytest.fixture
    def file(self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A checkpoint after the first of two epochs."""
        save = checkpoint.save

        def interrupted(path: Path, state: dict[str, Any]) -> None:
            save(path, state)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(checkpoint, "save", interrupted)
            with pytest.raises(KeyboardInterrupt):
                self.train(data, tmp_path)
        (file,) = tmp_path.rglob("checkpoint.pt")
        return file

    def train(self, data: Path, folder: Path) -> None:
        how = PARAMS.train.model_copy(update={"loaders": 0, "device": "cpu"})
        sphreg.training.train(config_of(), samples_of(data, "rotation"), folder / "out", how, folder / "scratch")

    def refused(self, file: Path, data: Path, tmp_path: Path) -> None:
        content = file.read_bytes()
        with pytest.raises(UserError) as caught:
            self.train(data, tmp_path)
        said = str(caught.value)
        assert said.startswith(f"{file}: ")
        assert "delete it" in said
        assert "\n" not in said
        assert said.endswith(".")
        assert file.read_bytes() == content
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["log.csv"]

    def test_deleted_as_the_sentence_says(self, file: Path, data: Path, tmp_path: Path) -> None:
        file.unlink()
        self.train(data, tmp_path)
        assert result(tmp_path)

    @pytest.mark.parametrize("share", [0, 0.0001, 0.5, 0.999999])
    def test_truncated(self, file: Path, data: Path, tmp_path: Path, share: float) -> None:
        content = file.read_bytes()
        file.write_bytes(content[: int(share * len(content))])
        self.refused(file, data, tmp_path)

    @pytest.mark.parametrize("share", [0.001, 0.3, 0.5, 0.7, 0.999])
    def test_a_wrong_byte(self, file: Path, data: Path, tmp_path: Path, share: float) -> None:
        content = bytearray(file.read_bytes())
        content[int(share * len(content))] ^= 1
        file.write_bytes(content)
        self.refused(file, data, tmp_path)

    @pytest.mark.parametrize("content", [b"hello\n", b"\x80\x02\x8a", b"PK\x03\x04", bytes(range(256)) * 9])
    def test_something_else(self, file: Path, data: Path, tmp_path: Path, content: bytes) -> None:
        file.write_bytes(content)
        self.refused(file, data, tmp_path)

    @pytest.mark.parametrize("state", [[1, 2], {"network": 1}, {}])
    def test_a_file_of_torch_that_is_no_state(self, file: Path, data: Path, tmp_path: Path, state: Any) -> None:
        torch.save(state, file)
        self.refused(file, data, tmp_path)

    @pytest.mark.parametrize("by", ["torch", "older torch", "pickle", "checkpoint"])
    def test_code_is_not_run(self, file: Path, data: Path, tmp_path: Path, by: str) -> None:
        folder = tmp_path / "made"
        state = {"network": Running(folder)}
        if by == "checkpoint":
            checkpoint.save(file, state)
        elif by == "pickle":
            file.write_bytes(pickle.dumps(state, protocol=2))
        else:
            torch.save(state, file, _use_new_zipfile_serialization=by == "torch")
        pickle.loads(pickle.dumps(state))
        folder.rmdir()  # it would run
        self.refused(file, data, tmp_path)
        assert not folder.exists()
