"""A training that is killed, at whatever moment, and started again ends as one that was left alone."""

import errno
import itertools
import os
import pickle
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
import torch

import sphreg.training
from sphreg import checkpoint, checksums, code
from sphreg.checksums import write_checksums
from sphreg.errors import UserError
from tests.children import KILLED, Children
from tests.datasets import config_of, samples_of, write_data
from tests.settings import PARAMS

ROOT = Path(__file__).parents[1]


def result(folder: Path) -> dict[str, Any]:
    """All that a training leaves, but for how fast it was; it leaves nothing unfinished, and the same as its result."""
    files = {path.name: path.read_bytes() for path in (folder / "out").iterdir()}
    assert sorted(files) == ["SHA256SUMS", "best.safetensors", "config.json", "last.safetensors", "log.csv"]
    checksums.check(folder / "out", files.keys() - {"SHA256SUMS"})
    (results,) = (folder / "scratch").iterdir()
    assert {path.relative_to(results): path.read_bytes() for path in results.rglob("*") if path.is_file()} == {
        Path("result", name): content for name, content in files.items()
    }
    del files["SHA256SUMS"]  # of the log, too
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
    learned = next(i for i, line in enumerate(changes, 1) if line.startswith("CHANGE os.rename") and "point" in line)
    ended = next(i for i, line in enumerate(changes, 1) if line.startswith("CHANGE os.rename") and "SUMS" in line)
    for change, name in enumerate(changes, 1):
        folder = tmp_path / f"{change}"
        statuses, output = children.train(config, data, folder, kill=("change", change))
        assert statuses == [KILLED], name
        shutil.rmtree(folder / "out", ignore_errors=True)  # as DVC does
        statuses, output = children.train(config, data, folder)
        assert statuses == [0], (name, output)
        assert result(folder) == expected, name
        assert ("Going on after step 3 of 3" in output) == (learned < change <= ended), name
        assert ("This model was trained before" in output) == (ended < change), name


class TestResults:
    """Those of the latest trainings stay: DVC may be killed before it has recorded them."""

    def train(self, data: Path, folder: Path) -> None:
        how = PARAMS.train.model_copy(update={"loaders": 0, "device": "cpu"})
        sphreg.training.train(
            config_of(epochs=1), samples_of(data, "rotation"), folder / "out", how, folder / "scratch"
        )

    @pytest.fixture
    def trained(self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A folder with a training that has ended; another one would fail."""

        def work(*_: Any) -> None:
            raise AssertionError("it works")

        self.train(data, tmp_path)
        monkeypatch.setattr(sphreg.training, "step", work)
        return tmp_path

    def test_what_was_trained_is_not_trained_again(self, data: Path, trained: Path) -> None:
        files = {path.name: path.read_bytes() for path in (trained / "out").iterdir()}
        shutil.rmtree(trained / "out")
        self.train(data, trained)
        assert {path.name: path.read_bytes() for path in (trained / "out").iterdir()} == files
        assert result(trained)

    def test_a_damaged_one(self, data: Path, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (weights,) = trained.glob("scratch/*/result/last.safetensors")
        content = weights.read_bytes()
        weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(UserError, match=r"result: it is not what .*; delete it, and the training starts over\.$"):
            self.train(data, trained)
        shutil.rmtree(weights.parent)
        monkeypatch.undo()
        self.train(data, trained)
        assert (trained / "out" / "last.safetensors").read_bytes() == content

    @pytest.mark.parametrize("file", range(5))
    def test_a_disk_that_is_full_when_it_is_written(
        self, data: Path, trained: Path, monkeypatch: pytest.MonkeyPatch, file: int
    ) -> None:
        """All that was there before stays."""
        copy, calls = shutil.copyfile, itertools.count()

        def copyfile(source: Path, target: Path) -> None:
            if next(calls) == file:
                target.write_bytes(b"a part")
                raise OSError(errno.ENOSPC, "No space left on device", str(target))
            copy(source, target)

        for path in (trained / "out").iterdir():
            path.write_bytes(b"older")
        with monkeypatch.context() as patch:
            patch.setattr(shutil, "copyfile", copyfile)
            with pytest.raises(UserError, match=r"it cannot be written \(No space left on device\)\.$"):
                self.train(data, trained)
        assert {path.read_bytes() for path in (trained / "out").iterdir()} == {b"older"}
        self.train(data, trained)
        assert result(trained)

    def test_old_ones_are_removed(self, tmp_path: Path) -> None:
        """And no checkpoint."""
        for number in range(checkpoint.KEPT + 3):
            folder = tmp_path / f"{number}"
            (folder / "result").mkdir(parents=True)
            (folder / "result" / "last.safetensors").touch()
            (folder / ("checkpoint.pt" if number == 0 else "result/SHA256SUMS")).touch()
            os.utime(folder / "result", (number, number))
            if number:
                os.utime(folder / "result" / "SHA256SUMS", (number, number))
        checkpoint.forget(tmp_path)
        assert {int(path.name) for path in tmp_path.iterdir()} == {0, *range(3, checkpoint.KEPT + 3)}


@pytest.mark.parametrize(("step", "file"), [(5, "checkpoint.pt"), (31, "result/best.safetensors")])
def test_a_full_disk(
    children: Children, data: Path, tmp_path: Path, whole: dict[str, Any], step: int, file: str
) -> None:
    """It is one sentence, and the training goes on from the last checkpoint when there is room."""
    statuses, output = children.train(config_of(batch=2), data, tmp_path, kill=("fill", step))
    assert statuses == [1], output
    assert output.splitlines()[-1].endswith(f"/{file}: it cannot be written (File too large).")
    assert "Traceback" not in output
    statuses, output = children.train(config_of(batch=2), data, tmp_path)
    assert statuses == [0], output
    assert ("Going on after step 20 of 62" in output) == (step > 20)
    assert result(tmp_path) == whole


@pytest.mark.parametrize("loaders", [0, 2])
def test_interrupted(children: Children, data: Path, tmp_path: Path, whole: dict[str, Any], loaders: int) -> None:
    """Ctrl-C is one line, leaves no process, and the checkpoint can be used."""
    statuses, output = children.train(config_of(batch=2), data, tmp_path, kill=("interrupt", 25), loaders=loaders)
    assert statuses == [130], output
    group, *said = output.splitlines()
    assert said == ["Interrupted."]
    numbers = [int(number) for number in group.split()[1:]]
    assert len(numbers) == loaders + 1
    _, alive = psutil.wait_procs([psutil.Process(n) for n in numbers if psutil.pid_exists(n)], timeout=60)
    assert not alive
    statuses, output = children.train(config_of(batch=2), data, tmp_path)
    assert statuses == [0], output
    assert "Going on after step 20 of 62" in output
    assert result(tmp_path) == whole


def test_a_process_that_decodes_is_lost(children: Children, data: Path, tmp_path: Path, whole: dict[str, Any]) -> None:
    statuses, output = children.train(config_of(batch=2), data, tmp_path, kill=("lose", 25), loaders=2)
    assert statuses == [1], output
    *_, said = output.splitlines()  # torch may tell before of what it raised where nobody can catch it
    assert said.startswith("A process that decodes images was lost, as it is where memory is short (")
    assert said.endswith("; train.loaders is 2, allowed: fewer, or 0.")
    statuses, output = children.train(config_of(batch=2), data, tmp_path)
    assert "Going on after step 20 of 62" in output
    assert result(tmp_path) == whole


@pytest.mark.parametrize("threads", [1, 2])
def test_it_goes_on_with_other_threads_and_says_so(
    children: Children, data: Path, tmp_path: Path, killed: Path, threads: int
) -> None:
    shutil.copytree(killed, tmp_path / "parts")
    statuses, output = children.train(config_of(), data, tmp_path / "parts", threads=threads)
    assert statuses == [0]
    assert "Going on after step 3 of 6" in output
    assert ("The number of threads was 1 and is now 2: the weights will not be, bit for bit, " in output) == (
        threads == 2
    )


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
        "module", ["training", "checkpoint", "loading", "samples", "model", "heads/sexp", "networks/pose", "rotations"]
    )
    def test_not_from_other_code(
        self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
    ) -> None:
        """Whose comments do not count."""
        found = []
        for text in "", "# changed\n", "changed = 1\n":
            monkeypatch.setattr(code, "ROOT", tmp_path / f"{len(found)}")
            shutil.copytree(ROOT / "sphreg", code.ROOT / "sphreg", ignore=shutil.ignore_patterns("__pycache__"))
            with (code.ROOT / f"sphreg/{module}.py").open("a") as file:
                file.write(text)
            found.append(checkpoint.fingerprint(config_of(), samples_of(data, "rotation")))
        assert found[0] == found[1] != found[2]


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
