"""What `info.json` says of a packed dataset: the contract between what makes one and all that reads it."""

import json
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sphreg.checksums import check
from sphreg.config import Images, Section
from sphreg.files import write_whole
from sphreg.reading import read_json

SplitName = Literal["train", "test"]
SPLITS: tuple[SplitName, ...] = get_args(SplitName)
NAME = "info.json"
NOTE = "A re-render: the camera and the light of the original ModelNet10-SO3 were never published."

Name = Annotated[str, Field(min_length=1)]
Number = Annotated[int, Field(ge=0)]
Grey = Annotated[float, Field(ge=0, le=1)]


class Counts(Section):
    """Of one category and split: its meshes, their views, and the views that have normals."""

    meshes: Number
    views: Number
    normals: Number

    @model_validator(mode="after")
    def _normals_are_of_views(self) -> "Counts":
        if not self.meshes <= self.views or not self.normals <= self.views:
            raise ValueError(f"of {self.views} views there are {self.meshes} meshes and {self.normals} maps of normals")
        return self


class Distance(Section):
    """Where the camera is: its distance from the object, whose bounding sphere has radius 1."""

    distance: Annotated[float, Field(gt=1, allow_inf_nan=False)]


class Shading(Section):
    """See `sphreg.render.camera`."""

    ambient: Grey
    headlight: Grey
    background: Grey


class Info(Section):
    """What there is to know of a packed dataset.

    Attributes:
        note: a sentence that belongs to all numbers on it.
        source: of its meshes.
        categories: sorted.
        counts: by split and category.
        render: of what kind the images are.
        camera: where from.
        shading: how grey.
        engine: what drew, as `engine`, and all else that the images depend on.
        software: versions of what packed it.
    """

    note: str
    source: Name
    categories: Annotated[list[Name], Field(min_length=1)]
    counts: dict[SplitName, dict[str, Counts]]
    render: Images
    camera: Distance
    shading: Shading
    engine: dict[str, str]
    software: dict[str, str]

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> "Info":
        if self.categories != sorted(set(self.categories)):
            raise ValueError(f"categories are {', '.join(self.categories)}, allowed: each once, sorted")
        if list(self.counts) != list(SPLITS):
            raise ValueError(f"counts are of {', '.join(self.counts) or 'no split'}, allowed: {', '.join(SPLITS)}")
        for split, counts in self.counts.items():
            if list(counts) != self.categories:
                raise ValueError(
                    f"counts.{split} are of {', '.join(counts) or 'no category'}, allowed: {', '.join(self.categories)}"
                )
        if "engine" not in self.engine:
            raise ValueError("engine.engine is missing")
        return self


class Source(BaseModel):
    """What `source.json` of the meshes says: the source's name, and what else tells one state of it from another."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    source: Literal["furniture", "modelnet10", "folder"]


def read_info(data: Path) -> Info:
    """Of a packed dataset, what `info.json` says.

    Raises:
        UserError: it is missing, has changed since it was written, or is something else.
    """
    check(data, [NAME])
    return read_json(data / NAME, Info)


def write_info(data: Path, info: Info) -> None:
    """Write `info.json` of a packed dataset.

    Raises:
        UserError: it cannot be written.
    """
    write_whole(data / NAME, (json.dumps(info.model_dump(), indent=2) + "\n").encode())
