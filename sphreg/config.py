"""The settings of params.yaml: typed, frozen and strict. Every value stands there; there is no default here."""

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from sphreg.errors import UserError
from sphreg.heads import HEADS, settings_of


def _number(value: Any) -> Any:
    """YAML takes 1e-3, without a point, for a text."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


Number = Annotated[float, BeforeValidator(_number)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[Number, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[Number, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[Number, Field(ge=0, lt=1)]
Degrees = Annotated[Number, Field(ge=-180, le=180)]
TaskName = Literal["rotation", "viewpoint", "normals"]
TASKS = get_args(TaskName)
DeviceName = Literal["auto", "cpu", "cuda"]


class Section(BaseModel):
    """A part of params.yaml, or of another file: unknown keys and values of another type are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Furniture(Section):
    """Generated meshes, counted per category."""

    seed: Seed
    train: Count
    test: Count


class ModelNet10(Section):
    """The official archive, its checksum (null: any), and how many of its meshes per category (null: all)."""

    archive: Annotated[str, Field(min_length=1)]
    sha256: Annotated[str, Field(pattern="^[0-9a-fA-F]{64}$")] | None
    train: Count | None
    test: Count | None


class Folder(Section):
    """The user's own meshes."""

    path: Annotated[str, Field(min_length=1)]
    up: Literal["z", "y"]


class Meshes(Section):
    """Where the meshes come from."""

    source: Literal["furniture", "modelnet10", "folder"]
    categories: Annotated[list[str], Field(min_length=1)] | None
    on_bad: Literal["fail", "skip"]
    furniture: Furniture
    modelnet10: ModelNet10
    folder: Folder


class Images(Section):
    """The images: how many, from where, and how they are stored."""

    seed: Seed
    size: Annotated[int, Field(ge=8, le=2048)]
    fov_deg: Annotated[Number, Field(ge=1, le=120)]
    train_views: Count
    test_views: Count
    train_normals: Count
    test_normals: Count
    jpeg_quality: Annotated[int, Field(ge=1, le=100)]

    @model_validator(mode="after")
    def _views_have_the_normals(self) -> "Images":
        for split in "train", "test":
            normals, views = getattr(self, f"{split}_normals"), getattr(self, f"{split}_views")
            if normals > views:
                raise ValueError(f"{split}_normals is {normals}, allowed: at most {split}_views, {views}")
        return self


class Render(Images):
    """The images, and what draws them."""

    engine: Literal["auto", "pyrender", "numba"]


# Width and height of an image in pixels that a backbone needs at least, or nothing is left of it after all poolings.
SMALLEST = {
    "small": 1,
    "alexnet": 63,
    "vgg16": 32,
    "vgg16_bn": 32,
    "resnet18": 1,
    "resnet34": 1,
    "resnet50": 1,
    "resnet101": 1,
}


class Training(Section):
    """What the training of each task needs."""

    backbone: Literal["small", "alexnet", "vgg16", "vgg16_bn", "resnet18", "resnet34", "resnet50", "resnet101"]
    weights: str | None
    hidden: Count
    share_hidden: bool
    dropout: Share
    optimizer: Literal["adamw", "adam", "sgd"]
    lr: Positive
    weight_decay: NotNegative
    schedule: Literal["onecycle", "thirds", "constant"]
    epochs: Count | None
    iterations: Count | None
    batch: Count
    validation: Share
    precision: Literal["float32", "bfloat16"]
    compile: bool

    @model_validator(mode="after")
    def _small_was_never_on_imagenet(self) -> "Training":
        if self.backbone == "small" and self.weights == "imagenet":
            raise ValueError("weights is 'imagenet', allowed with backbone small: null or a file")
        return self

    @model_validator(mode="after")
    def _one_length(self) -> "Training":
        if (self.epochs is None) == (self.iterations is None):
            lengths = f"epochs is {self.epochs} and iterations is {self.iterations}"
            raise ValueError(f"{lengths}, allowed: a number for one, null for the other")
        return self


class RotationTraining(Training):
    """Rotation: a quaternion."""

    per_category: bool


class ViewpointTraining(RotationTraining):
    """Viewpoint: azimuth, elevation, tilt."""

    hidden_per_angle: bool
    azimuth_shift_deg: Degrees


class NormalsTraining(Training):
    """Normals: a unit vector per pixel."""

    rotate_xy_deg: Degrees


class Train(Section):
    """How trainings run, which changes no result, and one section per task.

    The launcher is the beginning of a command line, which a shell runs: settings are to be trusted as programs are.
    """

    launcher: Annotated[str, Field(pattern=r"\S")]
    device: DeviceName
    cache: Literal["none", "ram", "device"]
    loaders: Annotated[int, Field(ge=0)] | None
    threads: Count | None
    checkpoint_s: NotNegative
    rotation: RotationTraining
    viewpoint: ViewpointTraining
    normals: NormalsTraining

    def of(self, task: str) -> RotationTraining | ViewpointTraining | NormalsTraining:
        """The section of a task."""
        section: RotationTraining | ViewpointTraining | NormalsTraining = getattr(self, task)
        return section


class Evaluate(Section):
    """Which weights are scored."""

    weights: Literal["last", "best"]
    batch: Count


class Execution(Section):
    """How work is spread, which changes no result.

    Dask sends pickles: whoever reaches the scheduler can run programs on its workers, and on this machine. So it has to
    be in a network that is trusted, or to use Dask's TLS.
    """

    workers: Count | None
    scheduler: Annotated[str, Field(min_length=1)] | None


class Params(Section):
    """The whole of params.yaml. What a head's settings are says its own file: see `check_heads`."""

    head: str
    seed: Seed
    tasks: Annotated[list[TaskName], Field(min_length=1)]
    heads: Annotated[list[str], Field(min_length=1)]
    meshes: Meshes
    render: Render
    train: Train
    head_settings: dict[str, dict[str, dict[str, Any]]]
    evaluate: Evaluate
    execution: Execution

    @model_validator(mode="after")
    def _tasks_and_heads_are_known(self) -> "Params":
        if sorted(self.tasks) != sorted(TASKS):
            raise ValueError(f"tasks is {self.tasks}, allowed: {', '.join(TASKS)}, as the report needs all")
        if len(set(self.heads)) < len(self.heads):
            raise ValueError(f"heads is {self.heads}, allowed: each head once")
        if unknown := set(self.head_settings) - set(HEADS):
            raise ValueError(f"head_settings has {min(unknown)!r}, allowed: {', '.join(HEADS)}")
        for name in self.heads:
            if name not in HEADS:
                raise ValueError(f"heads has {name!r}, allowed: {', '.join(HEADS)}")
            if name not in self.head_settings:
                raise ValueError(f"head_settings has no entry {name!r}; {{}} does where a head has no settings")
            for task in self.head_settings[name]:
                if task not in TASKS:
                    raise ValueError(f"head_settings.{name} has {task!r}, allowed: {', '.join(TASKS)}")
        if self.head not in self.heads:
            raise ValueError(f"head is {self.head!r}, allowed: {', '.join(self.heads)} (the list heads)")
        return self

    @model_validator(mode="after")
    def _images_are_large_enough(self) -> "Params":
        for task in TASKS:
            backbone = self.train.of(task).backbone
            if self.render.size < SMALLEST[backbone]:
                allowed = f"allowed with train.{task}.backbone {backbone}: at least {SMALLEST[backbone]}"
                raise ValueError(f"render.size is {self.render.size}, {allowed}")
        return self


def load(path: Path | str, differences: Path | str | None = None) -> "Params":
    """Read and check the settings.

    Args:
        path: params.yaml.
        differences: a file of `presets/` whose values replace those of params.yaml.

    Raises:
        UserError: one sentence for each setting that is unknown, missing or not allowed, and how to mend it.
    """
    settings = read(path)
    if differences is not None:
        settings = _merge(settings, read(differences))
    try:
        return Params.model_validate(settings)
    except ValidationError as error:
        raise _config_error(path, error, Params) from None


def check_heads(params: Params, path: Path | str) -> None:
    """Check the settings of all heads, which imports their files, and torch with them.

    Raises:
        UserError: as `load` does.
    """
    for head in params.heads:
        for task in params.tasks:
            model = settings_of(head)
            try:
                model.model_validate(params.head_settings[head].get(task, {}))
            except ValidationError as error:
                raise _config_error(path, error, model, f"head_settings.{head}.{task}") from None


def _config_error(path: Path | str, error: ValidationError, model: type[BaseModel], *section: str) -> UserError:
    sentences = [f"{path}: {_describe(e, model, section)}." for e in error.errors()]
    hint = f"Mend it there, or with another -S; `git diff {path}` shows what was there before."
    return UserError("\n".join([*sentences, hint]))


def _describe(error: ErrorDetails, model: Any, section: tuple[str, ...]) -> str:
    key = ".".join(str(part) for part in (*section, *error["loc"]))
    match error["type"]:
        case "extra_forbidden":
            for part in error["loc"][:-1]:
                model = model.model_fields[part].annotation
            return f"{key} is no setting, allowed: {', '.join(model.model_fields) or 'none'}"
        case "missing":
            return f"{key} is missing"
        case "value_error":
            return f"{key}{key and '.'}{error['ctx']['error']}"
        case _:
            return f"{key} is {error['input']!r}, allowed: {error['msg'].removeprefix('Input should be ')}"


def read(path: Path | str) -> dict[str, Any]:
    """The plain contents of params.yaml or a preset.

    Raises:
        UserError: they cannot be read.
    """
    try:
        settings = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: no settings can be read from it: {' '.join(str(error).split())}.") from None
    if not isinstance(settings, dict):
        raise UserError(f"{path}: it holds {type(settings).__name__}, allowed: a mapping of settings.")
    return settings


def _merge(settings: dict[str, Any], differences: dict[str, Any]) -> dict[str, Any]:
    return settings | {
        key: _merge(settings[key], value) if isinstance(value, dict) and isinstance(settings.get(key), dict) else value
        for key, value in differences.items()
    }
