"""The table of a split, its LMDB files and the counts of `info.json` say the same, or a sentence says where not."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.transform import Rotation

from sphreg.checksums import write_checksums
from sphreg.errors import UserError
from sphreg.info import read_info
from sphreg.quaternions import TOLERANCE, is_unit
from sphreg.split import COLUMNS, Split, check_views, read_split, read_views, views_table
from sphreg.views import Views, write_views

Table = pd.DataFrame


@pytest.fixture
def folder(data: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(data, tmp_path / "so3"))


def opened(folder: Path, with_normals: bool = True) -> Split:
    """After someone wrote new checksums, too."""
    write_checksums(folder)
    return read_split(folder, "test", read_info(folder), with_normals)


def refused(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        opened(folder)
    said = str(caught.value).replace(f"{folder}/", "")
    assert said.endswith(".") and "\n" not in said
    return said


def test_what_was_packed_is_opened(folder: Path) -> None:
    found = opened(folder)
    assert list(found.table) == list(COLUMNS)
    assert found.table["key"].tolist() == found.images.keys
    assert found.normals is not None and 0 < len(found.normals) < len(found.images)


def test_what_is_not_needed_is_not_demanded(folder: Path) -> None:
    for path in folder.glob("*.normals.lmdb"):
        path.unlink()
    for path in folder.glob("train.*"):
        path.unlink()
    assert opened(folder, with_normals=False).normals is None


def swapped(*names: str) -> Callable[[Table], Table]:
    return lambda table: table.rename(columns=dict(zip(names, names[::-1], strict=True)))


def put(row: int, **values: object) -> Callable[[Table], Table]:
    """Other values in one row."""

    def change(table: Table) -> Table:
        table = table.astype(object)
        table.loc[row, list(values)] = list(values.values())
        return table

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda table: table[::2], "test.csv: it lacks the view 'bed_0101.v002', which test.lmdb has"),
        (lambda table: table[:0], "test.csv: it lacks the view 'bed_0101.v001', which test.lmdb has"),
        (lambda table: table[:-1], "test.csv: it lacks the view 'sofa_0101.v007', which test.lmdb has"),
        (lambda table: pd.concat([table, table[:1]]), "test.csv, line 23: bed_0101.v001 is there twice"),
        (lambda table: table[::-1], "test.csv: its rows are in another order, allowed: that of their keys"),
        (lambda table: table.drop(columns="qw"), "test.csv: it has no column 'qw', only 'key', 'category', "),
        (swapped("qx", "qy"), "test.csv, line 2: azimuth, elevation, tilt are "),
        (swapped("qw", "qx"), "test.csv, line "),
        (swapped("azimuth_deg", "tilt_deg"), "test.csv, line 2: azimuth, elevation, tilt are "),
        (swapped("azimuth_deg", "elevation_deg"), "test.csv, line "),
        (swapped("key", "mesh"), "test.csv, line 3: bed_0101 is there twice"),
        (swapped("category", "mesh"), "test.csv, line 2: key is bed_0101.v001, allowed: bed.v and a number"),
        (put(2, mesh="bed_0102"), "test.csv, line 4: key is bed_0101.v003, allowed: bed_0102.v and a number"),
        (put(2, category="desk"), "test.csv: it has 6 views of category bed, allowed: 7 (info.json)"),
        (put(2, category="chair"), "test.csv, line 4: category is chair, allowed: bed, desk, sofa (info.json)"),
        (put(2, key="bed_0101.v900"), "test.csv: it lacks the view 'bed_0101.v003', which test.lmdb has"),
        (put(2, key="bed_0101.v000"), "test.lmdb: it lacks the view 'bed_0101.v000', which test.csv has"),
        (put(2, key=""), "test.csv, line 4: key is , allowed: a text"),
        (put(2, qw="nan"), "test.csv, line 4: qw is 'nan', allowed: a number from 0 to 1"),
        (put(2, qw="inf"), "test.csv, line 4: qw is inf, allowed: a number from 0 to 1"),
        (put(2, qw=2.0), "test.csv, line 4: qw is 2.0, allowed: a number from 0 to 1"),
        (put(2, qw=-0.5), "test.csv, line 4: qw is -0.5, allowed: a number from 0 to 1"),
        (put(2, qx=""), "test.csv, line 4: qx is nan, allowed: a number from -1 to 1"),
        (put(2, qw=0, qx=0, qy=0, qz=0), "test.csv, line 4: the norm of the quaternion is 0, allowed: 1"),
        (put(2, qw=1, qx=1, qy=1, qz=1), "test.csv, line 4: the norm of the quaternion is 2, allowed: 1"),
        (put(2, qw=1, qx=0, qy=0, qz=0), "test.csv, line 4: azimuth, elevation, tilt are "),
        (put(2, azimuth_deg=181), "test.csv, line 4: azimuth_deg is 181.0, allowed: a number from -180 to 180"),
        (put(2, elevation_deg=-91), "test.csv, line 4: elevation_deg is -91.0, allowed: a number from -90 to 90"),
    ],
)
def test_a_wrong_table_is_refused(folder: Path, change: Callable[[Table], Table], reason: str) -> None:
    change(pd.read_csv(folder / "test.csv")).to_csv(folder / "test.csv", index=False)
    assert refused(folder).startswith(reason)


@pytest.mark.parametrize(
    ("file", "change", "reason"),
    [
        ("test.lmdb", lambda keys: keys[1:], "test.lmdb: it lacks the view 'bed_0101.v001', which test.csv has"),
        ("test.lmdb", lambda keys: [*keys, "z.v001"], "test.csv: it lacks the view 'z.v001', which test.lmdb has"),
        ("test.normals.lmdb", lambda keys: [*keys, "z.v001"], "test.normals.lmdb: it has the view 'z.v001', which "),
        ("test.normals.lmdb", lambda keys: keys[1:], "test.csv: it has 4 normals of category bed, allowed: 5 (info."),
    ],
)
def test_other_keys_are_refused(folder: Path, file: str, change: Callable[[list[str]], list[str]], reason: str) -> None:
    views = Views(folder / file)
    items = {key: views[key] for key in views.keys}
    write_views(folder / file, [(key, items.get(key, b"")) for key in change(views.keys)])
    assert refused(folder).startswith(reason)


def test_a_whole_mesh_that_is_missing_everywhere_is_missed(folder: Path) -> None:
    """Table and LMDB files agree, and `info.json` knows of it."""
    table = pd.read_csv(folder / "test.csv")
    table[table["category"] != "desk"].to_csv(folder / "test.csv", index=False)
    for file in "test.lmdb", "test.normals.lmdb":
        views = Views(folder / file)
        write_views(folder / file, [(key, views[key]) for key in views.keys if not key.startswith("desk")])
    assert refused(folder) == "test.csv: it has 0 meshes of category desk, allowed: 1 (info.json)."


def test_units_are_those_within_a_tolerance() -> None:
    lengths = np.array([1, 1 + 0.9 * TOLERANCE, 1 - 0.9 * TOLERANCE, 1 + 2 * TOLERANCE, 0.5, 0, np.nan, np.inf])
    rotations = Rotation.random(len(lengths), rng=0).as_quat() * lengths[:, None]
    assert is_unit(rotations).tolist() == [True] * 3 + [False] * 5


def test_any_rotation_may_stand_in_a_table(tmp_path: Path) -> None:
    """Also from straight above and below, at the ends of all ranges, and after it was written and read again."""
    turns = [0, 90, 180, -90, 1e-7, 179.9999999]
    euler = [(tilt, polar, azimuth) for tilt in turns for polar in (0, 1e-7, 90, 180, 179.9999999) for azimuth in turns]
    quaternions = np.concatenate(
        [
            Rotation.from_euler("ZXZ", np.array(euler), degrees=True).as_quat(canonical=True),
            Rotation.random(2000, rng=0).as_quat(canonical=True),
        ]
    )
    keys = [f"a.v{number:05d}" for number in range(len(quaternions))]
    table = views_table(keys, ["b"] * len(keys), ["a"] * len(keys), quaternions)
    check_views(table, tmp_path)
    table.to_csv(tmp_path / "a.csv", index=False)
    read_views(tmp_path / "a.csv")
