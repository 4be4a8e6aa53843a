"""What others published: the file agrees with itself and with arithmetic, and a wrong one says where."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from sphreg.errors import UserError
from sphreg.published import NUMBERS, SOURCES, STATUS, Published, Row, published

TASKS = ("rotation", "viewpoint", "normals")
ENTRIES = [entry for task in TASKS for entry in published(task)]
ROWS = [
    pytest.param(row, id=f"{entry.data}-{row.method}-{row.backbone}-{row.status}")
    for entry in ENTRIES
    for row in entry.rows
]


def entry_of(data: str) -> Published:
    (entry,) = [entry for entry in ENTRIES if entry.data == data]
    return entry


def by_status(status: str) -> dict[tuple[str, str], Row]:
    rows = [row for row in entry_of("ModelNet10-SO3").rows if row.status == status]
    return {(row.method, row.backbone): row for row in rows}


def accuracies(row: Row) -> dict[float, float]:
    """By the angle, ascending."""
    given = {name: value for name, value in row.model_dump().items() if name.startswith("acc_") and value is not None}
    return dict(sorted((float(name.removeprefix("acc_").replace("_", ".")), value) for name, value in given.items()))


def test_tasks_have_all_entries_between_them() -> None:
    assert [entry.data for entry in ENTRIES] == [entry["data"] for entry in yaml.safe_load(NUMBERS.read_text())]
    assert [entry.task for entry in ENTRIES] == ["rotation", "rotation", "viewpoint", "normals"]


@pytest.mark.parametrize("row", ROWS)
def test_a_row_has_a_source_and_more_fall_below_larger_angles(row: Row) -> None:
    assert SOURCES[row.source] and row.status in STATUS
    shares = list(accuracies(row).values())
    assert shares == sorted(shares)


def test_what_is_from_memory_or_withdrawn_is_not_checked() -> None:
    for entry in ENTRIES:
        for row in entry.rows:
            if row.source in ("memory", "unknown") or row.status == "withdrawn":
                assert row.certainty == "unchecked", row
            if row.source in ("authors", "later", "rpmg"):
                assert row.certainty == "checked", row


def test_no_row_comes_twice() -> None:
    for entry in ENTRIES:
        rows = [(row.method, row.backbone, row.status) for row in entry.rows]
        assert len(set(rows)) == len(rows)


def test_the_corrected_errors_of_vgg16_with_s_exp_are_the_withdrawn_ones_times_the_root_of_two() -> None:
    corrected, withdrawn = by_status("corrected"), by_status("withdrawn")
    name = ("S_exp", "VGG16")
    # Both are rounded to a tenth.
    assert corrected[name].median_deg == pytest.approx(
        withdrawn[name].median_deg * math.sqrt(2), abs=0.05 + 0.05 * 2**0.5
    )


def test_all_that_was_corrected_was_withdrawn_before_and_looked_better() -> None:
    corrected, withdrawn = by_status("corrected"), by_status("withdrawn")
    assert corrected.keys() < withdrawn.keys()
    assert withdrawn.keys() - corrected.keys() == {("direct", "AlexNet"), ("direct", "VGG16")}
    for name, row in corrected.items():
        assert row.median_deg > withdrawn[name].median_deg
        assert all(accuracies(row)[angle] < share for angle, share in accuracies(withdrawn[name]).items())


def test_withdrawn_errors_below_an_angle_are_corrected_ones_below_a_larger_one() -> None:
    """15 degrees as withdrawn are 21.2 as corrected: a share between those below 15 and below 30."""
    for name, row in by_status("corrected").items():
        right, wrong = accuracies(row), accuracies(by_status("withdrawn")[name])
        assert right[7.5] < wrong[7.5] < right[15] < wrong[15] < right[30] < wrong[30]


@pytest.mark.parametrize("data", ["NYUv2", "ModelNet10-SO3, chairs alone"])
def test_half_of_the_errors_fall_below_the_median(data: str) -> None:
    """Where no means over categories are taken."""
    for row in entry_of(data).rows:
        for angle, share in accuracies(row).items():
            assert row.median_deg is not None and (row.median_deg < angle) == (share > 0.5), row


def test_frames_have_the_numbers_of_the_file() -> None:
    for entry, raw in zip(ENTRIES, yaml.safe_load(NUMBERS.read_text()), strict=True):
        frame = entry.frame()
        for name in {name for row in raw["rows"] for name in row if name.endswith("_deg") or name.startswith("acc_")}:
            assert [None if value != value else value for value in frame[name]] == [
                row.get(name) for row in raw["rows"]
            ]
        assert frame["source"].tolist() == [SOURCES[row["source"]] for row in raw["rows"]]


Change = Callable[[list[dict[str, Any]]], object]
WRONG: dict[str, tuple[Change, str]] = {
    "a percentage": (
        lambda file: file[2]["rows"][4].update(acc_30=87.4),
        "entry 3, row 5, acc_30 is 87.4: input should be less than or equal to 1.",
    ),
    "no angle": (lambda file: file[0]["rows"][0].update(median_deg=0), "entry 1, row 1, median_deg is 0: .* than 0."),
    "nan": (lambda file: file[0]["rows"][0].update(mean_deg=math.nan), "entry 1, row 1, mean_deg is nan: .*."),
    "a status": (
        lambda file: file[3]["rows"][1].update(status="new"),
        "entry 4, row 2, status is 'new': input should be 'valid', 'corrected' or 'withdrawn'.",
    ),
    "a source": (
        lambda file: file[0]["rows"][1].update(source="a friend"),
        "entry 1, row 2, source is 'a friend': .*.",
    ),
    "no source": (lambda file: file[0]["rows"][1].pop("source"), "entry 1, row 2, source: field required."),
    "an empty network": (lambda file: file[0]["rows"][1].update(backbone=""), "entry 1, row 2, backbone is '': .*."),
    "another metric": (
        lambda file: file[0]["rows"][1].update(acc_10=0.1),
        "entry 1, row 2, acc_10 is 0.1: extra inputs are not permitted.",
    ),
    "checked from memory": (
        lambda file: file[0]["rows"][0].update(source="memory"),
        "entry 1, row 1: what is checked has a source that can be read, not 'memory'.",
    ),
    "no number": (lambda file: file[3]["rows"][3].pop("mean_deg"), "entry 4, row 4: a row has at least one number."),
    "no rows": (lambda file: file[1].update(rows=[]), "entry 2, rows: .* at least 1 item .*."),
    "a task": (lambda file: file[1].update(task="depth"), "entry 2, task is 'depth': input should be .*."),
    "no entry": (lambda file: file.__setitem__(1, None), "entry 2 is None: .*."),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_gives_one_sentence(case: str, tmp_path: Path) -> None:
    change, sentence = WRONG[case]
    entries = yaml.safe_load(NUMBERS.read_text())
    change(entries)
    path = tmp_path / "numbers.yaml"
    path.write_text(yaml.safe_dump(entries))
    with pytest.raises(UserError) as error:
        published("rotation", path)
    assert re.fullmatch(f"{re.escape(str(path))}: {sentence[:-1]}\\.", str(error.value)), str(error.value)


@pytest.mark.parametrize("content", [b"", b"a: 1", b"- [", b"\xff\xfe\x00", b"- 1\n\t- 2"])
def test_what_is_no_list_of_entries_gives_one_sentence(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "numbers.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"^{re.escape(str(path))}: [^\n]+\\.$"):
        published("rotation", path)


def test_a_file_that_is_not_there_gives_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"numbers.yaml: it cannot be read \(No such file or directory\)\.$"):
        published("rotation", tmp_path / "numbers.yaml")
