"""`info.json` is what its model says, or a sentence says where it is not."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.packed import info_of
from sphreg.checksums import write_checksums
from sphreg.errors import UserError
from sphreg.info import read_info, write_info

COUNTS = {"bed": {"meshes": 2, "views": 6, "normals": 4}, "sofa": {"meshes": 1, "views": 3, "normals": 0}}
INFO = info_of(COUNTS, 16, counts={"train": COUNTS, "test": COUNTS})


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_info(tmp_path, INFO)
    write_checksums(tmp_path)
    assert read_info(tmp_path) == INFO
    assert read_info(tmp_path).counts["train"]["bed"].normals == 4


def changed(facts: Any, path: str, value: Any) -> Any:
    """The same with another value at a dotted path; none: without it."""
    name, _, rest = path.partition(".")
    if rest:
        return facts | {name: changed(facts[name], rest, value)}
    return {key: old for key, old in facts.items() if key != name} | ({} if value is None else {name: value})


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("note", None, "note: Field required"),
        ("render.size", None, "render.size: Field required"),
        ("render.size", "16", "render.size: Input should be a valid integer"),
        ("render.size", 0, "render.size: Input should be greater than or equal to 8"),
        ("render.other", 1, "render.other: Extra inputs are not permitted"),
        ("render.test_normals", 9, "render: test_normals is 9, allowed: at most test_views, 1"),
        ("other", 1, "other: Extra inputs are not permitted"),
        ("source", "", "source: String should have at least 1 character"),
        ("camera.distance", float("inf"), "camera.distance: Input should be a finite number"),
        ("shading.ambient", 2.0, "shading.ambient: Input should be less than or equal to 1"),
        ("engine", {"engine": 1}, "engine.engine: Input should be a valid string"),
        ("engine", {"version": "1"}, "engine.engine is missing"),
        ("categories", [], "categories: List should have at least 1 item"),
        ("categories", ["sofa", "bed"], "categories are sofa, bed, allowed: each once, sorted"),
        ("categories", ["bed", "bed", "sofa"], "categories are bed, bed, sofa, allowed: each once, sorted"),
        ("categories", ["bed"], "counts.train are of bed, sofa, allowed: bed"),
        ("counts.test", None, "counts are of train, allowed: train, test"),
        ("counts.other", COUNTS, "counts.other: Input should be 'train' or 'test'"),
        ("counts.test.bed", None, "counts.test are of sofa, allowed: bed, sofa"),
        ("counts.test.bed.views", -1, "counts.test.bed.views: Input should be greater than or equal to 0"),
        ("counts.test.bed.views", 1.5, "counts.test.bed.views: Input should be a valid integer"),
        ("counts.test.bed.normals", 7, "counts.test.bed: of 6 views there are 2 meshes and 7 maps of normals"),
        ("counts.test.bed.meshes", 7, "counts.test.bed: of 6 views there are 7 meshes and 4 maps of normals"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, path: str, value: Any, reason: str) -> None:
    (tmp_path / "info.json").write_text(json.dumps(changed(INFO.model_dump(), path, value)))
    write_checksums(tmp_path)
    with pytest.raises(UserError) as caught:
        read_info(tmp_path)
    said = str(caught.value)
    assert said.startswith(f"{tmp_path / 'info.json'}: {reason}") and said.endswith(".") and "\n" not in said


def test_what_has_changed_since_is_not_read(tmp_path: Path) -> None:
    write_info(tmp_path, INFO)
    write_checksums(tmp_path)
    write_info(tmp_path, INFO.model_copy(update={"note": "Another one."}))
    with pytest.raises(UserError, match=r"info\.json: it is not what was written"):
        read_info(tmp_path)
