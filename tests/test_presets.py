"""The presets: what they say, and one step of training with every network that a preset, or its comments, can name."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
import yaml
from torch.nn.utils import get_total_norm

from sphreg import heads
from sphreg.config import SMALLEST, Params, check_heads, load
from sphreg.model import Model, ModelConfig
from sphreg.networks.backbones import BACKBONES
from sphreg.networks.pixels import MirroredNetwork
from sphreg.samples import Batch
from sphreg.step import optimization, step
from sphreg.tasks import TASKS
from tests.settings import FILE

ROOT = Path(__file__).parents[1]
PRESETS = sorted((ROOT / "presets").glob("*.yaml"))
PAPER = load(FILE, differences=ROOT / "presets" / "paper.yaml")
CATEGORIES = [f"category {number}" for number in range(10)]
HEADS = list(heads.HEADS)[:3]


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_a_preset_is_valid(path: Path) -> None:
    check_heads(load(FILE, differences=path), path)


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_a_preset_is_printed_as_options(path: Path, tmp_path: Path) -> None:
    shutil.copy(FILE, tmp_path / "params.yaml")
    shutil.copytree(ROOT / "presets", tmp_path / "presets")
    command = [sys.executable, "-m", "sphreg.presets", path.stem]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True)
    printed = shlex.split(ended.stdout)
    settings: dict[str, Any] = {}
    for flag, option in zip(printed[::2], printed[1::2], strict=True):
        assert flag == "-S"
        key, value = option.split("=", 1)
        *sections, last = key.split(".")
        section = settings
        for name in sections:
            section = section.setdefault(name, {})
        section[last] = yaml.safe_load(value)
    assert settings == yaml.safe_load(path.read_text())


class TestPaper:
    """Against the numbers of the published code."""

    def test_data(self) -> None:
        assert PAPER.meshes.source == "modelnet10"
        assert PAPER.meshes.categories is None  # all ten
        assert (PAPER.meshes.modelnet10.train, PAPER.meshes.modelnet10.test) == (None, None)
        assert (PAPER.render.size, PAPER.render.train_views, PAPER.render.test_views) == (224, 100, 20)
        assert PAPER.evaluate.weights == "last"

    @pytest.mark.parametrize(
        ("task", "expected"),
        [
            ("rotation", {"backbone": "vgg16", "batch": 40, "epochs": 150, "iterations": None, "hidden": 996}),
            ("rotation", {"share_hidden": False, "dropout": 0, "per_category": True}),
            ("viewpoint", {"backbone": "resnet101", "batch": 64, "epochs": None, "iterations": 40_000, "hidden": 1024}),
            ("viewpoint", {"share_hidden": True, "hidden_per_angle": True, "dropout": 0.5, "per_category": True}),
            ("viewpoint", {"azimuth_shift_deg": 45}),
            ("normals", {"backbone": "vgg16_bn", "batch": 10, "epochs": 60, "iterations": None, "hidden": 64}),
            ("normals", {"share_hidden": False, "dropout": 0, "rotate_xy_deg": 45}),
            *((task, {"optimizer": "sgd", "lr": 1e-3, "weight_decay": 5e-4}) for task in ("rotation", "viewpoint")),
            ("normals", {"optimizer": "adam", "lr": 1e-4, "weight_decay": 0}),
            *((task, {"weights": "imagenet", "schedule": "thirds", "validation": 0}) for task in TASKS),
        ],
    )
    def test_training(self, task: str, expected: dict[str, Any]) -> None:
        section = getattr(PAPER.train, task)
        assert {name: getattr(section, name) for name in expected} == expected

    @pytest.mark.parametrize(
        ("task", "absolute", "weight"),
        [("rotation", "cosine", 10), ("viewpoint", "cross_entropy", 4), ("normals", "cosine", 10)],
    )
    def test_losses(self, task: str, absolute: str, weight: float) -> None:
        expected = {"absolute": absolute, "absolute_weight": weight, "sign_weight": 1}
        assert PAPER.head_settings["sexp"][task] == expected

    def test_momentum(self) -> None:
        optimizer, _ = optimization(torch.nn.Linear(1, 1), PAPER.train.rotation, steps=3)
        assert optimizer.param_groups[0]["momentum"] == 0.9


# Only the paper's own networks see images of its size.
PUBLISHED = {("alexnet", "rotation"), ("vgg16", "rotation"), ("resnet101", "viewpoint"), ("vgg16_bn", "normals")}


@pytest.fixture(scope="module", autouse=True)
def models_made_once() -> Iterator[None]:
    """The random weights of a large model take longer than a step, which changes a copy of them."""
    made = cache(torchvision.models.get_model)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sphreg.networks.backbones.get_model", lambda name: deepcopy(made(name)))
        yield


def batch_of_two(task: str, size: int) -> Batch:
    """The left half of a map of normals is background."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, 1, size, size), dtype=torch.uint8, generator=generator)
    shape = (2, size, size, 3) if task == "normals" else (2, 4)
    truth = torch.nn.functional.normalize(torch.randn(shape, generator=generator), dim=-1)
    if task == "normals":
        truth[..., 2].abs_()
        truth[:, :, : size // 2] = 0
    return Batch(images, torch.tensor([len(CATEGORIES) - 1, 0]), truth)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("backbone", BACKBONES, scope="module")  # one after the other, in whatever order
def test_one_step_of_training_as_in_the_paper(backbone: str, task: str, head: str) -> None:
    """With every backbone."""
    of_the_paper = head == "sexp" and (backbone, task) in PUBLISHED
    check_step(PAPER, backbone, task, head, 224 if of_the_paper else max(32, SMALLEST[backbone] + 1))


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("path", [path for path in PRESETS if path.stem != "paper"], ids=lambda path: path.stem)
def test_one_step_of_training(path: Path, task: str, head: str) -> None:
    """With the preset's own backbone and size."""
    params = load(FILE, path)
    check_step(params, params.train.of(task).backbone, task, head, params.render.size)


def check_step(params: Params, backbone: str, task: str, head: str, size: int) -> None:
    config = ModelConfig.of(params, task, head, CATEGORIES, size)
    settings = config.train.model_copy(update={"backbone": backbone, "weights": None})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Model(config.model_copy(update={"train": settings}))
        optimizer, schedule = optimization(model.network, settings, steps=3)
        first, *_, last, _ = model.network.parameters()
        before = first.detach().clone(), last.detach().clone()
        report = step(model, model.network.train(), optimizer, batch_of_two(task, size))
        schedule.step()
    assert isinstance(model.network, MirroredNetwork) == (task == "normals" and backbone in ("vgg16", "vgg16_bn"))
    gradients = [weight.grad for weight in model.network.parameters()]
    assert all(gradient is not None for gradient in gradients)  # no layer is idle
    assert 0 < get_total_norm([gradient for gradient in gradients if gradient is not None]) < torch.inf
    assert all(0 <= value < torch.inf for value in report.values()) and report["loss"] > 0
    assert (first != before[0]).any() and (last != before[1]).any()
    assert get_total_norm(list(model.network.parameters())).isfinite()
