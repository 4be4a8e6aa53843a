"""What others published, from `numbers.yaml`: each number with its data, network, source and certainty."""

from importlib.resources import files
from typing import Literal

import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict, Field

SOURCES = {
    "paper": "Liao et al., CVPR 2019",
    "authors": "the authors' repository (leoshine/Spherical_Regression)",
    "later": "a table in the repository of a later paper",
    "rpmg": "a table in a later repository, for RPMG",
    "unknown": "not noted",
}
STATUS = {
    "valid": "",
    "corrected": "corrected by the authors",
    "withdrawn": "withdrawn: √2 too small",
}


class Row(BaseModel):
    """The numbers of one method; None where they were not given."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: str
    backbone: str
    views: str
    status: Literal["valid", "corrected", "withdrawn"]
    source: Literal["paper", "authors", "later", "rpmg", "unknown"]
    certainty: Literal["checked", "unchecked"]
    median_deg: float | None = Field(None, gt=0, lt=180)
    mean_deg: float | None = Field(None, gt=0, lt=180)
    acc_30: float | None = Field(None, ge=0, le=1)
    acc_22_5: float | None = Field(None, ge=0, le=1)
    acc_15: float | None = Field(None, ge=0, le=1)
    acc_11_25: float | None = Field(None, ge=0, le=1)
    acc_7_5: float | None = Field(None, ge=0, le=1)
    acc_5: float | None = Field(None, ge=0, le=1)


class Published(BaseModel):
    """Methods that were tested on the same data."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: str
    task: Literal["rotation", "viewpoint", "normals"]
    split: str
    rows: tuple[Row, ...]

    def frame(self) -> pd.DataFrame:
        """A row per method, with the metrics that any of them has."""
        table = pd.DataFrame([row.model_dump() for row in self.rows])
        table["source"] = table["source"].map(SOURCES)
        table["status"] = table["status"].map(STATUS)
        return table.dropna(axis="columns", how="all")


def published(task: str) -> list[Published]:
    """All that is known of a task, by the data it was tested on."""
    text = (files(__name__) / "numbers.yaml").read_text(encoding="utf-8")
    return [found for entry in yaml.safe_load(text) if (found := Published.model_validate(entry)).task == task]
