"""Settings: what is allowed, and what a person reads otherwise."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import FunctionType
from typing import Any, get_args

import pytest
import yaml
from dvc.utils.hydra import apply_overrides
from pydantic import BaseModel

from sphreg import config, presets
from sphreg.config import SMALLEST, Params, Training, check_heads, load, read
from sphreg.errors import UserError
from sphreg.step import length
from tests.settings import FILE, PARAMS

ROOT = Path(__file__).parents[1]
PRESETS = sorted((ROOT / "presets").glob("*.yaml"))


def load_changed(folder: Path, key: str, value: Any) -> Params:
    """The settings with one other value."""
    settings = read(FILE)
    *sections, last = key.split(".")
    section = settings
    for name in sections:
        section = section[name]
    section[last] = value
    (folder / "params.yaml").write_text(yaml.safe_dump(settings))
    params = load(folder / "params.yaml")
    check_heads(params, folder / "params.yaml")
    return params


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("head", "nope", "direct, flat, sexp"),
        ("heads", ["nope"], "direct, flat, sexp"),
        ("seed", -1, "greater than or equal to 0"),
        ("tasks", ["depth"], "'rotation', 'viewpoint' or 'normals'"),
        ("meshes.source", "shapenet", "'furniture', 'modelnet10' or 'folder'"),
        ("meshes.on_bad", "maybe", "'fail' or 'skip'"),
        ("meshes.furniture.train", 0, "greater than or equal to 1"),
        ("render.size", 64.5, "a valid integer"),
        ("render.test_normals", 21, "at most test_views, 20"),
        ("render.jpeg_quality", 101, "less than or equal to 100"),
        ("render.fov_deg", "wide", "a valid number"),
        ("train.rotation.lr", -1, "greater than 0"),
        ("train.rotation.lr", float("nan"), "greater than 0"),
        ("train.rotation.lr", float("inf"), "finite number"),
        ("train.rotation.lr", True, "a valid number"),
        ("seed", 2**32, "less than 4294967296"),
        ("render.train_normals", 0, "greater than or equal to 1"),
        ("tasks", ["rotation"], "rotation, viewpoint, normals"),
        ("heads", ["direct", "direct"], "each head once"),
        ("head_settings", {"direct": {}, "flat": {}, "sexp": {}, "nope": {}}, "direct, flat, sexp"),
        ("head_settings.sexp.rotation.sign_weight", True, "a valid number"),
        ("train.viewpoint.batch", 0, "greater than or equal to 1"),
        ("train.normals.epochs", 0, "greater than or equal to 1"),
        ("train.normals.epochs", None, "a number for one, null for the other"),
        ("train.viewpoint.iterations", 40_000, "a number for one, null for the other"),
        ("train.viewpoint.iterations", 0, "greater than or equal to 1"),
        ("train.viewpoint.hidden_per_angle", 3, "a valid boolean"),
        ("train.rotation.hidden_per_angle", True, "backbone, weights, hidden"),
        ("train.normals.backbone", "vgg19", "'alexnet', 'vgg16', 'vgg16_bn', 'resnet18', 'resnet34', 'resnet50'"),
        ("train.rotation.per_category", "yes", "a valid boolean"),
        ("train.rotation.weights", "imagenet", "null or a file"),
        ("train.rotation.learning_rate", 0.1, "backbone, weights, hidden"),
        ("evaluate.weights", "worst", "'last' or 'best'"),
        ("head_settings.sexp.rotation.absolute", "l1", "'cosine' or 'cross_entropy'"),
        ("head_settings.sexp.rotation.weight", 1, "absolute, absolute_weight, sign_weight"),
        ("head_settings.flat.rotation", {"weight": 1}, "none"),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_allowed(tmp_path: Path, key: str, value: Any, allowed: str) -> None:
    with pytest.raises(UserError) as caught:
        load_changed(tmp_path, key, value)
    sentence, hint = str(caught.value).splitlines()
    assert key.split(".")[-1] in sentence
    assert allowed in sentence
    assert "git diff" in hint


def test_a_missing_setting_is_named(tmp_path: Path) -> None:
    text = re.sub("^seed: .*$", "", FILE.read_text(), flags=re.MULTILINE)
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(UserError, match="seed is missing"):
        load(tmp_path / "params.yaml")


@pytest.mark.parametrize("text", ["a: [", "just words", "\x00", ""])
def test_a_file_that_holds_no_settings_is_said_to(tmp_path: Path, text: str) -> None:
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(UserError, match=r"params\.yaml: "):
        load(tmp_path / "params.yaml")


def test_numbers_without_a_point_before_the_exponent_are_numbers(tmp_path: Path) -> None:
    text = FILE.read_text().replace("lr: 0.003\n", "lr: 1e-3\n")
    (tmp_path / "params.yaml").write_text(text)
    assert load(tmp_path / "params.yaml").train.rotation.lr == 0.001


def test_no_setting_has_a_default_in_code() -> None:
    def fields(model: type[BaseModel]) -> None:
        for name, field in model.model_fields.items():
            assert field.is_required(), f"{model.__name__}.{name}"
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                fields(field.annotation)

    fields(Params)


def test_lengths_in_epochs_and_in_iterations() -> None:
    epochs = PARAMS.train.normals.model_copy(update={"epochs": 7, "iterations": None})
    assert length(epochs, per_epoch=11) == 77
    iterations = PARAMS.train.normals.model_copy(update={"epochs": None, "iterations": 40_000})
    assert length(iterations, per_epoch=11) == length(iterations, per_epoch=50_000) == 40_000


def test_the_smallest_image_is_known_for_each_backbone() -> None:
    assert list(SMALLEST) == list(get_args(Training.model_fields["backbone"].annotation))


@pytest.mark.parametrize("path", [ROOT / "params.yaml", FILE], ids=["the user's", "of the tests"])
def test_the_settings_that_stand_there_are_allowed(path: Path) -> None:
    check_heads(load(path), path)


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_a_preset_is_allowed_and_differs_in_all_that_it_names(path: Path) -> None:
    load(FILE, differences=path)
    defaults = dict(option.split("=", 1) for option in presets.options(read(FILE)))
    for option in presets.options(read(path)):
        key, value = option.split("=", 1)
        assert defaults[key] != value, f"{option} is the default"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder, with settings and the presets."""
    shutil.copy(FILE, tmp_path / "params.yaml")
    shutil.copytree(ROOT / "presets", tmp_path / "presets")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("project")
def test_the_options_of_a_preset_are_words_for_a_shell(capsys: pytest.CaptureFixture[str]) -> None:
    presets.main(["tiny"])
    words = shlex.split(capsys.readouterr().out)
    assert words[::2] == ["-S"] * (len(words) // 2)
    assert "meshes.categories=[chair,toilet]" in words
    assert "train.rotation.epochs=2" in words


@pytest.mark.usefixtures("project")
def test_an_unknown_preset_is_told_which_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert presets.main(["huge"]) == 1
    assert "allowed: modelnet10, paper, tiny" in capsys.readouterr().err


def test_the_settings_are_checked_without_torch() -> None:
    code = "import sys, sphreg.config; sphreg.config.load('params.yaml'); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_what_dvc_changes_keeps_all_comments(tmp_path: Path) -> None:
    """`dvc exp run -S` writes the file anew, and loses what it does not expect where it is."""
    file = tmp_path / "params.yaml"
    shutil.copy(ROOT / "params.yaml", file)
    apply_overrides(file, ["head=sexp", "meshes.categories=[chair]", "train.rotation.lr=0.5", "execution.workers=3"])
    before, after = (re.findall("#.*", path.read_text()) for path in (ROOT / "params.yaml", file))
    assert len(before) > 50 and after == before
    changed = yaml.safe_load(file.read_text())
    assert (changed["head"], changed["meshes"]["categories"], changed["execution"]["workers"]) == ("sexp", ["chair"], 3)


def test_settings_are_declared_and_do_nothing() -> None:
    """What they do would not count as code of a stage: see `sphreg.code.UNCOUNTED`."""
    sections = [each for each in vars(config).values() if isinstance(each, type) and each.__module__ == config.__name__]
    assert Params in sections
    for each in sections:
        own = {name for name, value in vars(each).items() if isinstance(value, property | FunctionType)}
        assert {name for name in own if not name.startswith("_")} <= {"of"}
