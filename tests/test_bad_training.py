"""What training and evaluation refuse: in one sentence, before they work, and with all that was there still there."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

import sphreg
import sphreg.training
from benchmarks.results import write_log
from sphreg.checksums import write_checksums
from sphreg.config import load
from sphreg.devices import check_device
from sphreg.errors import UserError
from sphreg.info import Info, read_info, write_info
from sphreg.model import Model, ModelConfig
from sphreg.networks import backbones
from sphreg.views import Views, write_views
from stages import check, evaluate, train
from tests.children import Children
from tests.datasets import config_of, samples_of
from tests.settings import FILE, PARAMS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With an older result in it."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "last.safetensors").write_bytes(b"an older one")
    return tmp_path


def refused(folder: Path, call: Callable[..., None], *args: Any) -> str:
    """The sentence, and no file is another one afterwards."""

    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    before = files()
    with pytest.raises(UserError) as caught:
        call(*args)
    assert files() == before
    said = str(caught.value)
    assert "\n" not in said
    assert said.endswith(".")
    return said


def training(config: ModelConfig, data: Path, folder: Path, **settings: Any) -> Callable[[], None]:
    how = PARAMS.train.model_copy(update={"loaders": 0, "device": "cpu"} | settings)
    samples = samples_of(data, config.task)
    return lambda: sphreg.training.train(config, samples, folder / "out", how, folder / "scratch")


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def work(*_: Any) -> None:
        raise AssertionError("it works")

    monkeypatch.setattr("sphreg.training.step", work)
    monkeypatch.setattr("sphreg.views.Views.images", work)


@pytest.mark.usefixtures("no_work")
class TestTraining:
    def test_fewer_images_than_a_batch(self, data: Path, folder: Path) -> None:
        assert refused(folder, training(config_of(batch=64), data, folder)) == (
            "train.rotation.batch is 64, allowed: at most 63, as there are no more images to learn from."
        )
        assert refused(folder, training(config_of("normals", batch=46), data, folder)).startswith(
            "train.normals.batch is 46, allowed: at most 45, "
        )

    @pytest.mark.parametrize("task", ["rotation", "viewpoint", "normals"])
    def test_a_gpu_where_there_is_none(
        self, data: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, task: str
    ) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        said = refused(folder, training(config_of(task), data, folder, device="cuda"))
        assert said == "train.device is 'cuda', and torch finds no GPU here; allowed: auto, cpu."

    def test_a_cache_that_does_not_fit(self, data: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.undo()  # one image is decoded, to know the size
        monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=84 * (16 * 16 + 8 + 32) - 1))
        said = refused(folder, training(config_of(), data, folder, cache="ram"))
        assert "which needs 0.0 GB for 84 images of 16 x 16 pixels" in said

    @pytest.mark.parametrize(
        "kind", ["shapes", "layers", "nan", "whole numbers", "truncated", "empty", "pickle", "folder", "missing"]
    )
    def test_weights_of_something_else(self, data: Path, folder: Path, kind: str) -> None:
        file = folder / "weights.safetensors"
        state = Model(config_of()).network.backbone.state_dict()
        assert isinstance(state, dict)
        state = {name: weight.clone(memory_format=torch.contiguous_format) for name, weight in state.items()}
        match kind:
            case "shapes":
                state = {name: weight[..., :1].clone() if weight.ndim > 1 else weight for name, weight in state.items()}
            case "layers":
                state = {f"other.{name}": torch.zeros(1) for name in state}
            case "nan":
                state["levels.2.0.weight"][3, 4, 1, 2] = torch.nan
            case "whole numbers":
                state["levels.2.0.weight"] = state["levels.2.0.weight"].to(torch.int8)
        save_file(state, file)
        spoil(file, kind, folder)
        said = refused(folder, training(config_of(weights=str(file)), data, folder))
        assert said.startswith(f"train.rotation.weights is {str(file)!r}, which gives the backbone small no weights: ")

    def test_a_category_that_only_the_test_has(self, data: Path, folder: Path) -> None:
        shutil.copytree(data, folder / "so3")
        facts = read_info(data).model_dump()
        facts["counts"]["train"]["desk"] = {"meshes": 0, "views": 0, "normals": 0}
        write_info(folder / "so3", Info.model_validate(facts))
        write_checksums(folder / "so3")
        said = refused(folder, train.main, PARAMS, "rotation", "sexp", folder / "so3", folder / "out")
        assert "'desk'" in said
        assert str(folder / "so3") in said


@pytest.mark.parametrize(
    ("raised", "tried"),
    [
        (lambda: torch.empty(2**60, dtype=torch.uint8), " (tried to allocate 1152921504606846976 bytes)"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."), " (tried to allocate 20.00 GiB)"),
        (MemoryError(), ""),
        (RuntimeError("CUDNN_STATUS_ALLOC_FAILED"), ""),
    ],
)
def test_a_batch_that_does_not_fit_into_the_memory(
    data: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, raised: Callable[[], Any] | Exception, tried: str
) -> None:
    def step(*_: Any) -> None:
        if isinstance(raised, Exception):
            raise raised
        raised()

    monkeypatch.setattr("sphreg.training.step", step)
    assert refused(folder, training(config_of(), data, folder)) == (
        f"train.rotation.batch is 16, for which the memory does not suffice{tried}; allowed: fewer images, or a "
        "smaller network."
    )


def test_a_file_in_the_place_of_the_folder(data: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("of the user")
    assert refused(tmp_path, training(config_of(epochs=1), data, tmp_path)) == (
        f"{tmp_path / 'out' / 'log.csv'}: it cannot be written (File exists)."
    )


class Making:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[..., None], tuple[Path]]:
        return Path.mkdir, (self.folder,)


def spoil(file: Path, kind: str, folder: Path) -> None:
    """Make it one that is cut short, a pickle that would make a folder, or none."""
    match kind:
        case "truncated":
            file.write_bytes(file.read_bytes()[:-1])
        case "empty":
            file.write_bytes(b"")
        case "folder":
            file.unlink()
            file.mkdir()
        case "pickle":
            file.write_bytes(pickle.dumps(Making(folder / "made")))
        case "missing":
            file.unlink()


class TestEvaluation:
    @pytest.fixture
    def model(self, folder: Path) -> Path:
        with torch.random.fork_rng(devices=[]):
            Model(config_of()).save(folder / "model" / "last.safetensors")
        write_log(folder / "model", 1, np.random.default_rng(0))
        return folder / "model"

    def refused(self, folder: Path, data: Path) -> str:
        return refused(folder, evaluate.main, PARAMS, folder / "model", data, folder / "results")

    def test_a_category_that_the_training_lacked(self, data: Path, folder: Path, model: Path) -> None:
        config = json.loads((model / "config.json").read_text())
        (model / "config.json").write_text(json.dumps(config | {"categories": ["bed", "chair", "sofa"]}))
        assert self.refused(folder, data) == (
            f"{data / 'test.lmdb'}: category 'desk' is unknown, allowed: bed, chair, sofa."
        )

    @pytest.mark.parametrize("kind", ["shapes", "layers", "truncated", "pickle", "missing"])
    def test_weights_of_something_else(self, data: Path, folder: Path, model: Path, kind: str) -> None:
        file = model / "last.safetensors"
        state = load_file(file)
        match kind:
            case "shapes":
                save_file({name: torch.zeros(3, 3) for name in state}, file)
            case "layers":
                save_file({name: weight for name, weight in state.items() if "branches" not in name}, file)
            case _:
                spoil(file, kind, folder)
        assert self.refused(folder, data).startswith(f"{file}: ")

    @pytest.mark.parametrize("task", ["viewpoint", "normals"])
    def test_weights_of_another_task(self, data: Path, folder: Path, model: Path, task: str) -> None:
        with torch.random.fork_rng(devices=[]):
            Model(config_of(task)).save(folder / "other" / "last.safetensors")
        shutil.copy(folder / "other" / "last.safetensors", model)
        assert self.refused(folder, data).startswith(f"{model / 'last.safetensors'}: ")

    def test_a_model_of_another_task(self, folder: Path, model: Path) -> None:
        said = refused(folder, lambda: sphreg.load(model, task="normals"))
        assert said == f"{model}: the task of this model is rotation, allowed here: normals."

    def test_a_test_without_normals(self, data: Path, folder: Path, model: Path) -> None:
        with torch.random.fork_rng(devices=[]):
            Model(config_of("normals")).save(model / "last.safetensors")
        shutil.copytree(data, folder / "so3")
        (folder / "so3" / "test.normals.lmdb").unlink()
        assert "test.normals.lmdb" in self.refused(folder, folder / "so3")

    def test_a_gpu_where_there_is_none(
        self, data: Path, folder: Path, model: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        params = PARAMS.model_copy(update={"train": PARAMS.train.model_copy(update={"device": "cuda"})})
        said = refused(folder, evaluate.main, params, model, data, folder / "results")
        assert said == "train.device is 'cuda', and torch finds no GPU here; allowed: auto, cpu."


class TestAnImageThatIsNone:
    """It is found when it is read, and named."""

    @pytest.mark.parametrize(("task", "kind"), [("rotation", "lmdb"), ("normals", "normals.lmdb")])
    def test_in_training(self, data: Path, folder: Path, task: str, kind: str) -> None:
        key = damage(data, folder / "so3", f"train.{kind}")
        said = refused(folder, training(config_of(task, batch=45, validation=0.0), folder / "so3", folder))
        assert str(folder / "so3" / f"train.{kind}") in said
        assert key in said

    @pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
    @pytest.mark.parametrize("cache", ["none", "ram"])
    def test_in_a_process_that_decodes(self, data: Path, folder: Path, cache: str) -> None:
        key = damage(data, folder / "so3", "train.lmdb")
        config = config_of(batch=84, validation=0.0)
        said = refused(folder, training(config, folder / "so3", folder, loaders=1, cache=cache))
        assert key in said


def damage(data: Path, copy: Path, file: str) -> str:
    """A copy of the dataset with an image that is none; its key."""
    shutil.copytree(data, copy)
    views = Views(data / file)
    key = views.keys[3]
    write_views(copy / file, [(k, b"no image" if k == key else views[k]) for k in views.keys])
    write_checksums(copy)
    return key


class TestSettings:
    def changed(self, folder: Path, **section: Any) -> None:
        """The settings with other values in the section train, checked as the stage `check` does."""
        settings = yaml.safe_load(FILE.read_text())
        for name, value in section.items():
            settings["train"][name] = settings["train"][name] | value if isinstance(value, dict) else value
        settings["meshes"]["folder"]["path"] = str(folder)
        (folder / "params.yaml").write_text(yaml.safe_dump(settings))
        check.main(load(folder / "params.yaml"), folder / "marker")

    @pytest.mark.parametrize(
        ("section", "said"),
        [
            ({"rotation": {"batch": 0}}, "train.rotation.batch is 0, allowed: greater than or equal to 1"),
            ({"viewpoint": {"lr": -0.1}}, "train.viewpoint.lr is -0.1, allowed: greater than 0"),
            ({"normals": {"epochs": 0}}, "train.normals.epochs is 0, allowed: greater than or equal to 1"),
            ({"normals": {"epochs": None, "iterations": 0}}, "train.normals.iterations is 0, allowed: greater than"),
            ({"rotation": {"precision": "float16"}}, "train.rotation.precision is 'float16', allowed: 'float32' or"),
            ({"cache": "disk"}, "train.cache is 'disk', allowed: 'none', 'ram' or 'device'"),
            ({"loaders": -1}, "train.loaders is -1, allowed: greater than or equal to 0"),
            ({"checkpoint_s": -1}, "train.checkpoint_s is -1, allowed: greater than or equal to 0"),
            ({"device": "tpu"}, "train.device is 'tpu', allowed: 'auto', 'cpu' or 'cuda'"),
        ],
    )
    def test_a_value_that_is_not_allowed(self, tmp_path: Path, section: dict[str, Any], said: str) -> None:
        with pytest.raises(UserError) as caught:
            self.changed(tmp_path, **section)
        sentence, hint = str(caught.value).splitlines()
        assert sentence.startswith(f"{tmp_path / 'params.yaml'}: {said}")
        assert "git diff" in hint
        assert not (tmp_path / "marker").exists()

    def test_a_gpu_where_there_is_none(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        with pytest.raises(
            UserError, match=r"^train\.device is 'cuda', and torch finds no GPU here; allowed: auto, cpu\.$"
        ):
            self.changed(tmp_path, device="cuda")
        assert not (tmp_path / "marker").exists()

    def test_weights_that_cannot_be_had(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Before hours of rendering."""

        def offline(name: str) -> dict[str, Any]:
            raise OSError(f"no network for {name}")

        monkeypatch.setattr(backbones, "imagenet", offline)
        for weights, reason in ("imagenet", "no network for resnet18"), ("none.safetensors", "there is no such file"):
            what = f"train.normals.weights is '{weights}', which gives the backbone resnet18 no weights"
            with pytest.raises(UserError, match=f"^{what}: {reason}; allowed: "):
                self.changed(tmp_path, normals={"backbone": "resnet18", "weights": weights})
        assert not (tmp_path / "marker").exists()

    def test_without_a_place_to_write_it_says_that_all_is_allowed(self, capsys: pytest.CaptureFixture[str]) -> None:
        check.main(PARAMS)
        assert capsys.readouterr().out == "All settings are allowed.\n"

    @pytest.mark.parametrize("gpu", [True, False])
    def test_bfloat16_that_the_gpu_lacks(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpu: bool) -> None:
        """The CPU has it."""
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Old GPU")
        reduced = config_of(precision="bfloat16").train
        check_device("auto", config_of().train)
        check_device("cpu", reduced)
        if gpu:
            with pytest.raises(UserError, match=r"^precision is 'bfloat16', which Old GPU lacks; allowed: float32\.$"):
                check_device("auto", config_of().train, reduced)
            with pytest.raises(UserError, match="Old GPU"):
                self.changed(tmp_path, normals={"precision": "bfloat16"})
        else:
            self.changed(tmp_path, normals={"precision": "bfloat16"})
            assert (tmp_path / "marker").exists()


def curves(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "out" / "log.csv").drop(columns=["images_per_s", "validation_median_deg"])


@pytest.mark.parametrize("task", ["rotation", "normals"])
def test_bfloat16_on_the_cpu(data: Path, children: Children, tmp_path: Path, task: str) -> None:
    """Its numbers have 8 bits, and are off by up to 0.4 %; weights stay float32."""
    for precision in "float32", "bfloat16":
        config = config_of(task, precision=precision, optimizer="sgd", lr=0.05, epochs=4)
        statuses, output = children.train(config, data, tmp_path / precision, plain=True)
        assert statuses == [0], output
    exact, reduced = curves(tmp_path / "float32"), curves(tmp_path / "bfloat16")
    assert reduced["loss"].iloc[-1] < reduced["loss"].iloc[0]
    pd.testing.assert_frame_equal(exact, reduced, rtol=0.02)
    assert (exact["loss"] != reduced["loss"]).all()
    weights = load_file(tmp_path / "bfloat16" / "out" / "last.safetensors")
    assert {weight.dtype for weight in weights.values()} == {torch.float32}


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_a_compiled_network_learns_the_same(data: Path, children: Children, tmp_path: Path) -> None:
    """In a process of its own, without the checks of types, which torch.compile does not see through."""
    plain = {"optimizer": "sgd", "lr": 0.05, "validation": 0.0, "share_hidden": True}
    for name, compiled in ("plain", False), ("compiled", True):
        config = config_of("rotation", "direct", compile=compiled, **plain)
        statuses, output = children.train(config, data, tmp_path / name, plain=True)
        assert statuses == [0], output
    pd.testing.assert_frame_equal(curves(tmp_path / "plain"), curves(tmp_path / "compiled"), rtol=1e-4)
    weights = [load_file(tmp_path / name / "out" / "last.safetensors") for name in ("plain", "compiled")]
    torch.testing.assert_close(*weights, rtol=1e-3, atol=1e-5)
