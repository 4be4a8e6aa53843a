"""What others published, from `numbers.yaml`: each number with its data, network, source and certainty."""

from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from sphreg.errors import UserError

NUMBERS = Path(__file__).with_name("numbers.yaml")
SOURCES = {
    "paper": "Liao et al., CVPR 2019",
    "authors": "the authors' repository (leoshine/Spherical_Regression)",
    "later": "a table in the repository of a later paper",
    "rpmg": "a table for RPMG, in the repository of a later paper",
    "memory": "from memory",
    "unknown": "not noted",
}
STATUS = {
    "valid": "",
    "corrected": "corrected by the authors",
    "withdrawn": "withdrawn: √2 too small",
}

Text = Annotated[str, Field(min_length=1)]
Angle = Annotated[float, Field(gt=0, lt=180)] | None
Share = Annotated[float, Field(ge=0, le=1)] | None


class Row(BaseModel):
    """The numbers of one method; None where they were not given."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Text
    backbone: Text
    views: Text
    status: Literal["valid", "corrected", "withdrawn"]
    source: Literal["paper", "authors", "later", "rpmg", "memory", "unknown"]
    certainty: Literal["checked", "unchecked"]
    median_deg: Angle = None
    mean_deg: Angle = None
    acc_30: Share = None
    acc_22_5: Share = None
    acc_15: Share = None
    acc_11_25: Share = None
    acc_7_5: Share = None
    acc_5: Share = None

    @model_validator(mode="after")
    def _sourced(self) -> "Row":
        if self.certainty == "checked" and self.source in ("memory", "unknown"):
            raise ValueError(f"what is checked has a source that can be read, not {self.source!r}")
        metrics = [name for name in type(self).model_fields if name.endswith("_deg") or name.startswith("acc_")]
        if all(getattr(self, name) is None for name in metrics):
            raise ValueError("a row has at least one number")
        return self


class Published(BaseModel):
    """Methods that were tested on the same data."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: Text
    task: Literal["rotation", "viewpoint", "normals"]
    split: Text
    rows: Annotated[tuple[Row, ...], Field(min_length=1)]

    def frame(self) -> pd.DataFrame:
        """A row per method, with the metrics that any of them has."""
        table = pd.DataFrame([row.model_dump() for row in self.rows])
        table["source"] = table["source"].map(SOURCES)
        table["status"] = table["status"].map(STATUS)
        return table.dropna(axis="columns", how="all")


def published(task: str, numbers: Path = NUMBERS) -> list[Published]:
    """All that is known of a task, by the data it was tested on.

    Raises:
        UserError: the file with the numbers is not as it should be.
    """
    try:
        entries = TypeAdapter(tuple[Published, ...]).validate_python(
            yaml.safe_load(numbers.read_text(encoding="utf-8"))
        )
    except OSError as error:
        raise UserError(f"{numbers}: it cannot be read ({error.strerror}).") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{numbers}: it is no YAML ({' '.join(str(error).split())}).") from None
    except ValidationError as error:
        raise UserError(f"{numbers}: {_first(error)}.") from None
    return [entry for entry in entries if entry.task == task]


def _first(error: ValidationError) -> str:
    """`entry 3, row 5, acc_30 is 77.8: input should be less than or equal to 1`."""
    first = error.errors(include_url=False)[0]
    match first["loc"]:
        case (int(entry), "rows", int(row), *rest):
            place = [f"entry {entry + 1}", f"row {row + 1}", *map(str, rest)]
        case (int(entry), *rest):
            place = [f"entry {entry + 1}", *map(str, rest)]
        case _:
            place = ["the file"]
    value = "" if isinstance(first["input"], (dict, list, tuple)) else f" is {first['input']!r}"
    reason = first["msg"].removeprefix("Value error, ")
    return f"{', '.join(place)}{value}: {reason[0].lower()}{reason[1:]}"
